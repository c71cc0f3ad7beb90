//! Records what happens inside an LLM inference engine: traits, metric catalog, recorder, histograms, collector.
