//! What executes: chosen by `--device`, made with everything it needs.

use super::args::RunArgs;
use super::error::CliError;
use kvlens_core::{Clock, ManualClock, SystemClock};
use kvlens_native::device::Device;
use kvlens_native::device::cpu::{CpuDevice, KvDtype};
use kvlens_native::device::sim::{SimDevice, SimSpec, SimSpecError};
use kvlens_native::model::{DEFAULT_SHAPE, ModelShape, PRESETS, UnknownShape};
use kvlens_native::replay::Pace;
use kvlens_native::{BuiltinModel, EngineConfig};
use std::sync::Arc;

/// Share of the free GPU memory that KV blocks take, unless said otherwise.
#[cfg(feature = "cuda")]
const KV_MEMORY_SHARE: f64 = 0.9;

/// What executes.
#[derive(Debug, Clone)]
pub(super) enum DeviceChoice {
    Cpu(Computed),
    Sim(SimSpec),
    #[cfg(feature = "cuda")]
    Cuda {
        computed: Computed,
        ordinal: usize,
        /// `None` where `--kv-blocks` says how many.
        kv_memory_share: Option<f64>,
    },
}

/// What a device that really computes is given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Computed {
    shape: ModelShape,
    dtype: KvDtype,
    seed: u64,
}

/// A device with its clock.
pub(super) struct Made {
    pub(super) device: Box<dyn Device>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) pace: Pace,
    /// What the model is called.
    pub(super) model: String,
    /// The GPU as a source of gauges.
    #[cfg(feature = "cuda")]
    pub(super) gauges: Option<kvlens_native::cuda::GpuSource>,
}

impl DeviceChoice {
    pub(super) fn new(args: &RunArgs) -> Result<Self, CliError> {
        let name = args.device.as_deref().unwrap_or("cpu");
        let (kind, detail) = name.split_once(':').unwrap_or((name, ""));
        let choice = match kind {
            "cpu" if detail.is_empty() => Self::Cpu(computed(args)?),
            "sim" => {
                let spec = name.parse();
                Self::Sim(spec.map_err(|error: SimSpecError| CliError::usage("device", name, error))?)
            }
            "cuda" => cuda(args, name, detail)?,
            _ => {
                let mend = "write cpu, sim[:[Nx]GPU[:MODEL]] or cuda[:N]";
                return Err(CliError::usage("device", name, mend));
            }
        };
        choice.refuse_what_it_ignores(args)?;
        Ok(choice)
    }

    /// An option that would change nothing is a misunderstanding.
    fn refuse_what_it_ignores(&self, args: &RunArgs) -> Result<(), CliError> {
        let wants_compute =
            "it needs --device cpu or cuda: a simulated device names its model as in sim:h100:llama-3-8b";
        if matches!(self, Self::Sim(_)) {
            if let Some(shape) = &args.model_shape {
                return Err(CliError::usage("model-shape", shape, wants_compute));
            }
            if let Some(dtype) = &args.dtype {
                return Err(CliError::usage("dtype", dtype, wants_compute));
            }
        }
        match args.kv_memory_share {
            Some(share) if !self.is_cuda() => Err(CliError::usage(
                "kv-memory-share",
                share,
                "it needs --device cuda",
            )),
            _ => Ok(()),
        }
    }

    fn is_cuda(&self) -> bool {
        !matches!(self, Self::Cpu(_) | Self::Sim(_))
    }

    /// Makes the device; on a GPU, `config` gets the number of KV blocks that fit.
    #[cfg_attr(
        not(feature = "cuda"),
        expect(
            clippy::unnecessary_wraps,
            clippy::needless_pass_by_ref_mut,
            reason = "a GPU can fail and sizes the pool"
        )
    )]
    pub(super) fn make(&self, config: &mut EngineConfig) -> Result<Made, CliError> {
        match self {
            Self::Sim(spec) => {
                let clock = Arc::new(ManualClock::new(SystemClock::new().wall_ns()));
                let device = SimDevice::new(spec, config.block_size, clock.clone());
                let pace = Pace::Virtual(clock.clone());
                Ok(Made::new(
                    Box::new(device),
                    clock,
                    pace,
                    spec.model.name.to_owned(),
                ))
            }
            Self::Cpu(computed) => {
                let device = CpuDevice::boxed(Arc::new(computed.model()), config, computed.dtype);
                Ok(Made::real(device, computed.name()))
            }
            #[cfg(feature = "cuda")]
            Self::Cuda {
                computed,
                ordinal,
                kv_memory_share,
            } => {
                let failed = |error| CliError::failed("can't use the GPU", error);
                computed
                    .on_gpu(*ordinal, *kv_memory_share, config)
                    .map_err(failed)
            }
        }
    }
}

fn computed(args: &RunArgs) -> Result<Computed, CliError> {
    let shape = match &args.model_shape {
        None => DEFAULT_SHAPE,
        Some(text) => text
            .parse()
            .map_err(|error: UnknownShape| CliError::usage("model-shape", text, error))?,
    };
    let dtype = match &args.dtype {
        None => KvDtype::F16,
        Some(text) => {
            KvDtype::from_name(text).ok_or_else(|| CliError::usage("dtype", text, "write f16 or bf16"))?
        }
    };
    Ok(Computed {
        shape,
        dtype,
        seed: args.seed.unwrap_or(0),
    })
}

#[cfg(not(feature = "cuda"))]
fn cuda(_args: &RunArgs, name: &str, _detail: &str) -> Result<DeviceChoice, CliError> {
    let mend = "this kvlens was built without it: cargo build --release --features cuda,nvml";
    Err(CliError::usage("device", name, mend))
}

#[cfg(feature = "cuda")]
fn cuda(args: &RunArgs, name: &str, detail: &str) -> Result<DeviceChoice, CliError> {
    let ordinal = if detail.is_empty() { "0" } else { detail };
    let ordinal = ordinal
        .parse()
        .map_err(|_| CliError::usage("device", name, "write the GPU's number, as in cuda:0"))?;
    let share = args.kv_memory_share.unwrap_or(KV_MEMORY_SHARE);
    if !(share > 0.0 && share <= 1.0) {
        let mend = "give a share above 0 and at most 1";
        return Err(CliError::usage("kv-memory-share", share, mend));
    }
    Ok(DeviceChoice::Cuda {
        computed: computed(args)?,
        ordinal,
        kv_memory_share: args.kv_blocks.is_none().then_some(share),
    })
}

impl Computed {
    fn model(&self) -> BuiltinModel {
        BuiltinModel::with_shape(self.seed, self.shape)
    }

    /// The name for `run.json`, which does not let a preset's name pass for the real model.
    fn name(&self) -> String {
        match PRESETS.iter().find(|preset| preset.shape == self.shape) {
            Some(preset) if preset.shape == DEFAULT_SHAPE => format!("{}, random weights", preset.name),
            Some(preset) => format!("sizes of {}, random weights", preset.name),
            None => "sizes of its own, random weights".to_owned(),
        }
    }

    #[cfg(feature = "cuda")]
    fn on_gpu(
        &self,
        ordinal: usize,
        share: Option<f64>,
        config: &mut EngineConfig,
    ) -> kvlens_native::cuda::Result<Made> {
        use kvlens_native::cuda::{CudaDevice, Gpu, GpuSource, blocks_that_fit};
        let gpu = Gpu::open(ordinal)?;
        if let Some(share) = share {
            config.kv_blocks = blocks_that_fit(&gpu, &self.shape, config.block_size, share)?;
        }
        let gauges = GpuSource::new(&gpu, format!("gpu-{ordinal}"));
        let device = CudaDevice::boxed(gpu, &self.model(), config, self.dtype)?;
        let mut made = Made::real(device, self.name());
        made.gauges = Some(gauges);
        Ok(made)
    }
}

impl Made {
    fn new(device: Box<dyn Device>, clock: Arc<dyn Clock>, pace: Pace, model: String) -> Self {
        Self {
            device,
            clock,
            pace,
            model,
            #[cfg(feature = "cuda")]
            gauges: None,
        }
    }

    /// A device on a clock that runs by itself.
    fn real(device: Box<dyn Device>, model: String) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        Self::new(device, clock.clone(), Pace::Real(clock), model)
    }
}
