//! A paged-KV inference engine (CPU, simulated and CUDA devices) that records itself.
