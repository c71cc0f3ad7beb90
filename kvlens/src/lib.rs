//! Records what happens inside an LLM inference engine: facade library and command.
