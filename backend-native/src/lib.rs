//! A paged-KV inference engine (CPU, simulated and CUDA devices) that records itself.

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
