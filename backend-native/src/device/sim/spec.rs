//! What to simulate, as text: `sim`, `sim:h200`, `sim:8xh100:llama-3-70b`.

use std::fmt;
use std::str::FromStr;

use super::{GPUS, GpuSpec, MODELS, ModelSpec};

/// A model on one or several GPUs of a kind.
///
/// Written `sim[:[Nx]gpu[:model]]`, where `Nx` spreads each layer over N GPUs (tensor parallelism).
///
/// ```
/// use kvlens_native::device::sim::SimSpec;
/// let spec: SimSpec = "sim:4xh200:llama-3-70b".parse()?;
/// assert_eq!((spec.gpu.name, spec.tensor_parallel, spec.model.name), ("h200", 4, "llama-3-70b"));
/// assert_eq!("sim".parse::<SimSpec>()?.to_string(), "sim:h100:llama-3-8b");
/// let error = "sim:abacus".parse::<SimSpec>().unwrap_err().to_string();
/// assert!(error.contains("choose one of h100, "));
/// # Ok::<(), kvlens_native::device::sim::SimSpecError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct SimSpec {
    /// The GPU.
    pub gpu: GpuSpec,
    /// The model.
    pub model: ModelSpec,
    /// How many GPUs each layer is spread over.
    pub tensor_parallel: u32,
}

impl SimSpec {
    /// The most GPUs that a layer can be spread over: one host's.
    pub const MAX_TENSOR_PARALLEL: u32 = 16;

    /// Simulates a model on one GPU.
    pub const fn new(gpu: &GpuSpec, model: &ModelSpec) -> Self {
        Self {
            gpu: *gpu,
            model: *model,
            tensor_parallel: 1,
        }
    }

    /// Bytes of KV cache that the memory has room for beside the weights; 0 where not even they fit.
    pub fn kv_bytes(&self) -> u64 {
        let memory = self
            .gpu
            .memory_bytes
            .saturating_mul(u64::from(self.tensor_parallel));
        // Nine tenths in integers, so that no float is rounded.
        let usable = memory / 10 * 9;
        usable.saturating_sub(self.model.weights() * u64::from(self.model.element_bytes))
    }

    /// KV blocks of `block_size` tokens that the memory has room for beside the weights.
    ///
    /// ```
    /// use kvlens_native::device::sim::SimSpec;
    /// let blocks = SimSpec::default().kv_blocks(16);
    /// assert_eq!(blocks, 26_674);
    /// ```
    pub fn kv_blocks(&self, block_size: u32) -> u32 {
        let block = self
            .model
            .kv_bytes_per_token()
            .saturating_mul(u64::from(block_size.max(1)));
        u32::try_from(self.kv_bytes() / block.max(1)).unwrap_or(u32::MAX)
    }
}

impl Default for SimSpec {
    fn default() -> Self {
        Self::new(GpuSpec::DEFAULT, ModelSpec::DEFAULT)
    }
}

impl fmt::Display for SimSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sim:")?;
        if self.tensor_parallel > 1 {
            write!(f, "{}x", self.tensor_parallel)?;
        }
        write!(f, "{}:{}", self.gpu.name, self.model.name)
    }
}

/// A text that says nothing that can be simulated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SimSpecError {
    /// It doesn't begin with `sim`.
    #[error("`{found}` is no simulated device: write sim, sim:GPU or sim:NxGPU:MODEL")]
    NotSim {
        /// The text.
        found: String,
    },
    /// No GPU has this name.
    #[error("no GPU is named `{found}`: choose one of {}", names(GPUS.iter().map(|g| g.name)))]
    Gpu {
        /// The name.
        found: String,
    },
    /// No model has this name.
    #[error("no model is named `{found}`: choose one of {}", names(MODELS.iter().map(|m| m.name)))]
    Model {
        /// The name.
        found: String,
    },
    /// The number of GPUs is out of range.
    #[error(
        "`{found}` is no number of GPUs: give 1 to {}, as in sim:4xh100",
        SimSpec::MAX_TENSOR_PARALLEL
    )]
    Count {
        /// What was given.
        found: String,
    },
}

fn names(names: impl Iterator<Item = &'static str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

impl FromStr for SimSpec {
    type Err = SimSpecError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.splitn(3, ':');
        if parts.next() != Some("sim") {
            return Err(SimSpecError::NotSim {
                found: text.to_owned(),
            });
        }
        let (gpu, tensor_parallel) = parts.next().map_or(Ok((*GpuSpec::DEFAULT, 1)), gpus)?;
        let model = match parts.next() {
            None => ModelSpec::DEFAULT,
            Some(name) => ModelSpec::named(name).ok_or_else(|| SimSpecError::Model {
                found: name.to_owned(),
            })?,
        };
        Ok(Self {
            gpu,
            model: *model,
            tensor_parallel,
        })
    }
}

/// Reads `gpu` or `Nxgpu`.
fn gpus(text: &str) -> Result<(GpuSpec, u32), SimSpecError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, rest) = text.split_at(digits);
    let (count, name) = match rest.strip_prefix('x') {
        Some(name) if digits > 0 => {
            let given = count
                .parse()
                .ok()
                .filter(|n| (1..=SimSpec::MAX_TENSOR_PARALLEL).contains(n));
            (
                given.ok_or_else(|| SimSpecError::Count {
                    found: count.to_owned(),
                })?,
                name,
            )
        }
        _ => (1, text),
    };
    let gpu = GpuSpec::named(name).ok_or_else(|| SimSpecError::Gpu {
        found: name.to_owned(),
    })?;
    Ok((*gpu, count))
}
