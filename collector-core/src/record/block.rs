//! One life of a KV block.

use super::column::{code, row};

code! {
    /// How a block's life ended.
    BlockEnd {
        /// It was handed out again and lost reusable content.
        Evicted = "evicted",
        /// It was handed out again and had held nothing reusable.
        Reallocated = "reallocated",
        /// The prefix cache was reset.
        Reset = "reset",
        /// It was alive when recording ended: the life is censored, its true length is longer.
        Censored = "censored",
    }
}

code! {
    /// What made the last holder let go of a block.
    Release {
        /// The request finished.
        Finished = "finished",
        /// The request was preempted, to be recomputed.
        Preempted = "preempted",
        /// The request was swapped out.
        SwappedOut = "swapped_out",
        /// The block was copied for a diverging sequence.
        Copied = "copied",
    }
}

row! {
    /// One life of a KV block: from being handed out to being handed out again.
    ///
    /// Lives that recording saw begin and not end are rows too, with `end = censored`, so that the number of rows equals
    /// the number of allocations (or its sampled share).
    BlockRow in Blocks {
        monotonic_ns: time [Nanoseconds] "End of the life, or of the recording for a censored one.",
        block: opt_u32 [None] "The block's number in the pool.",
        engine_index: u32 [None] "Which of the source's engines: the data-parallel rank.",
        prefix_hash: opt_u64 [None] "Low 64 bits of the hash that names the block's content and its prefix; null if it never became reusable.",
        allocated: time [Nanoseconds] "When the block was handed out.",
        cached: opt_time [Nanoseconds] "When its content became reusable.",
        last_touched: opt_time [Nanoseconds] "Its last use: as a hit, or by a step of a request that held it; null where the source does not tell.",
        freed: opt_time [Nanoseconds] "When the last holder let go of it; null for a block still held.",
        released_by: code<Release> [None] "What made the last holder let go.",
        end: code<BlockEnd> [None] "How the life ended.",
        tokens: opt_u32 [Tokens] "Token slots filled at the end.",
        lifetime_ns: u64 [Nanoseconds] "From allocation to the end.",
        idle_ns: opt_u64 [Nanoseconds] "From the last use to the end; null for a block still held.",
        reuse_count: opt_u32 [Count] "Prefix-cache hits on the block; null where the source does not tell.",
        reuse_gap_first_ns: opt_u64 [Nanoseconds] "From becoming reusable to the first hit.",
        reuse_gap_max_ns: opt_u64 [Nanoseconds] "The longest gap before a hit.",
        reuse_gap_sum_ns: opt_u64 [Nanoseconds] "Sum of the gaps: from becoming reusable to the last hit.",
        sample_every: u32 [None] "One life in this many was recorded.",
    }
}
