//! How an engine is set up.

/// Tokens of a KV block unless said otherwise: vLLM's default.
pub const DEFAULT_BLOCK_SIZE: u32 = 16;
/// KV blocks of the pool unless said otherwise.
pub const DEFAULT_KV_BLOCKS: u32 = 4096;
/// Sequences that run at once unless said otherwise.
pub const DEFAULT_MAX_RUNNING: u32 = 256;
/// Tokens computed in a step at most unless said otherwise.
pub const DEFAULT_MAX_STEP_TOKENS: u32 = 8192;

/// How a running request gives its blocks back when the pool runs out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Preemption {
    /// Its KV is thrown away and computed again later.
    #[default]
    Recompute,
    /// Its KV moves to the host pool and back; where the host pool is full, as [`Preemption::Recompute`].
    Swap,
}

/// Who runs first and who is preempted last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// In the order of being added.
    #[default]
    Fcfs,
    /// By [`Request::priority`](crate::Request::priority), lower first, then in the order of being added.
    Priority,
}

/// How an engine is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineConfig {
    /// Tokens of a KV block.
    pub block_size: u32,
    /// KV blocks that requests can use; the null block comes on top.
    pub kv_blocks: u32,
    /// Blocks of the host pool that [`Preemption::Swap`] uses.
    pub host_blocks: u32,
    /// Sequences that run at once, at most.
    pub max_running: u32,
    /// Tokens computed in a step, at most: longer prefills are cut into chunks.
    pub max_step_tokens: u32,
    /// Whether blocks are kept for later requests with the same prefix.
    pub prefix_caching: bool,
    /// What happens to a request when the pool runs out of blocks.
    pub preemption: Preemption,
    /// Who runs first.
    pub policy: Policy,
    /// One block life in this many is recorded; 1 records all.
    pub block_sample_every: u32,
    /// The `engine_index` of every row.
    pub engine_index: u32,
}

impl EngineConfig {
    /// Makes a configuration with a pool of `kv_blocks` blocks and defaults for the rest.
    pub fn new(block_size: u32, kv_blocks: u32) -> Self {
        Self {
            block_size,
            kv_blocks,
            ..Self::default()
        }
    }
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            block_size: DEFAULT_BLOCK_SIZE,
            kv_blocks: DEFAULT_KV_BLOCKS,
            host_blocks: 0,
            max_running: DEFAULT_MAX_RUNNING,
            max_step_tokens: DEFAULT_MAX_STEP_TOKENS,
            prefix_caching: true,
            preemption: Preemption::Recompute,
            policy: Policy::Fcfs,
            block_sample_every: 1,
            engine_index: 0,
        }
    }
}
