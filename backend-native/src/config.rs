//! How an engine is set up.

use crate::device::DeviceInfo;
use crate::error::{Error, Result};

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
    /// Of the block contents looked up, one in this many is recorded; 1 records all.
    pub access_sample_every: u32,
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

    /// Checks the settings, alone and against a device.
    pub(crate) fn check(&self, device: &DeviceInfo) -> Result<()> {
        for (setting, found) in [
            ("block_size", self.block_size),
            ("kv_blocks", self.kv_blocks),
            ("max_running", self.max_running),
            ("max_step_tokens", self.max_step_tokens),
            ("block_sample_every", self.block_sample_every),
            ("access_sample_every", self.access_sample_every),
        ] {
            at_least_one(setting, found)?;
        }
        at_most(
            "kv_blocks",
            self.kv_blocks,
            Some(MAX_KV_BLOCKS),
            "the engine can number",
        )?;
        // Block 0 is the null block.
        let blocks = device.blocks.map(|blocks| blocks.saturating_sub(1));
        at_most("kv_blocks", self.kv_blocks, blocks, "the device has")?;
        at_most(
            "host_blocks",
            self.host_blocks,
            device.host_blocks,
            "the device's host pool has",
        )?;
        match device.block_size {
            Some(wanted) if wanted != self.block_size => Err(Error::Config {
                setting: "block_size",
                found: u64::from(self.block_size),
                mend: format!("the device was made for {wanted}"),
            }),
            _ => Ok(()),
        }
    }
}

/// KV blocks that block numbers, beside two special ones, can tell apart.
const MAX_KV_BLOCKS: u32 = u32::MAX - 2;

fn at_least_one(setting: &'static str, found: u32) -> Result<()> {
    if found > 0 {
        return Ok(());
    }
    Err(Error::Config {
        setting,
        found: 0,
        mend: "give at least 1".to_string(),
    })
}

fn at_most(setting: &'static str, found: u32, most: Option<u32>, whose: &str) -> Result<()> {
    match most {
        Some(most) if found > most => Err(Error::Config {
            setting,
            found: u64::from(found),
            mend: format!("give at most {most}, which is what {whose}"),
        }),
        _ => Ok(()),
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
            access_sample_every: 1,
            engine_index: 0,
        }
    }
}
