//! One look-up of a block in the prefix cache.

use super::column::row;

row! {
    /// One look-up of a block of a prompt in the prefix cache: the trace from which miss-ratio curves follow.
    ///
    /// Look-ups are sampled by content: a block is recorded always or never, which keeps reuse distances true (SHARDS).
    /// Within one source, rows are in the order of the look-ups.
    AccessRow in Accesses {
        monotonic_ns: time [Nanoseconds] "When the prompt was looked up: the admission of its request.",
        prefix_hash: u64 [None] "Low 64 bits of the hash that names the block's content and its prefix.",
        position: u32 [None] "The block's place in the prompt, from 0.",
        engine_index: u32 [None] "Which of the source's engines: the data-parallel rank.",
        sample_every: u32 [None] "One block content in this many is recorded.",
        hit: flag [None] "Whether the block was found and used.",
        first_admission: flag [None] "Whether the request was admitted for the first time, rather than again after a preemption.",
    }
}
