//! A paged-KV inference engine (CPU, simulated and CUDA devices) that records itself.
//!
//! Requests go into an [`Engine`]; each step it chooses a batch under a token budget, finds cached prefixes, hands out KV
//! blocks, and has a [`Device`] compute the next tokens. What happens meanwhile goes through a
//! [`Recording`] to a collector.
//!
//! | module | what it holds |
//! |---|---|
//! | [`engine`], [`config`], [`request`] | the engine, its settings, what is asked of it |
//! | [`block_pool`], [`hash`] | KV blocks: holders, names, eviction, lives |
//! | [`device`] | who executes a step: [`device::cpu`], [`device::sim`], `cuda` |
//! | [`model`], [`mod@reference`] | what is computed around attention; its arithmetic in plain loops |
//! | [`recording`] | metrics, steps, requests, block lives, look-ups |
//! | [`trace`], [`workload`], [`replay`] | requests from files or made up, and when they arrive |
//!
//! The scheduler's semantics are vLLM V1's: whole-block prefix hits, at most all but one token of a prompt; running
//! requests first, then waiting ones; eviction on allocation only.

pub mod block_pool;
pub mod config;
mod counts;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod device;
pub mod engine;
pub mod error;
pub mod hash;
pub mod model;
pub mod recording;
pub mod reference;
pub mod replay;
pub mod request;
mod scheduler;
mod sequence;
mod timing;
pub mod trace;
pub mod workload;

pub use block_pool::{BlockPool, Lives};
pub use config::{EngineConfig, Policy, Preemption};
pub use device::Device;
pub use engine::{Engine, EngineState, Output, StepSummary};
pub use error::{Error, Result};
pub use hash::{BlockHash, BlockHasher};
pub use model::{BuiltinModel, Model};
pub use recording::{Recording, RecordingOptions};
pub use request::{Prompt, Request, Span};
pub use scheduler::{AuditError, Fork};
