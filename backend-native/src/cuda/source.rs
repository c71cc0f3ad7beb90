//! The GPU's own gauges as a source of a run: memory, and what NVML knows.

use std::sync::Arc;

use cudarc::driver::CudaContext;
#[cfg(feature = "nvml")]
use kvlens_core::Reading;
use kvlens_core::{Error, MetricDesc, MetricId, Result, Sink, SourceInfo, StatsSource, catalog};

use super::context::Gpu;
#[cfg(feature = "nvml")]
use super::nvml::{Nvml, NvmlSample};

/// Reads the GPU's memory, utilisation, power, energy, clocks and temperature.
///
/// It runs on a thread of the collector and enqueues nothing, so the engine's stream never waits for it. Without
/// the feature `nvml`, or on a machine without NVML, all but the memory is null.
#[derive(Debug)]
pub struct GpuSource {
    info: SourceInfo,
    metrics: Vec<MetricDesc>,
    context: Arc<CudaContext>,
    #[cfg(feature = "nvml")]
    nvml: Option<Nvml>,
    /// The energy counter's last reading: it counts from the driver's start, the run from its own.
    #[cfg(feature = "nvml")]
    energy_mj: Option<u64>,
}

/// Places in [`GpuSource::metrics`].
const MEMORY_TOTAL: MetricId = MetricId(0);
const MEMORY_USED: MetricId = MetricId(1);
#[cfg(feature = "nvml")]
const ENERGY: MetricId = MetricId(2);
#[cfg(feature = "nvml")]
const FIRST_GAUGE: usize = 3;
#[cfg(feature = "nvml")]
const NVML_METRICS: [&MetricDesc; 6] = [
    &catalog::DEVICE_ENERGY,
    &catalog::DEVICE_UTILIZATION,
    &catalog::DEVICE_POWER,
    &catalog::DEVICE_SM_CLOCK,
    &catalog::DEVICE_MEMORY_CLOCK,
    &catalog::DEVICE_TEMPERATURE,
];

impl GpuSource {
    /// Makes a source of a name of its own in the run, such as `gpu-0`.
    pub fn new(gpu: &Gpu, name: impl Into<String>) -> Self {
        let memory = [&catalog::DEVICE_MEMORY_TOTAL, &catalog::DEVICE_MEMORY_USED].into_iter();
        #[cfg(feature = "nvml")]
        let nvml = Nvml::open(&gpu.info().uuid);
        #[cfg(feature = "nvml")]
        let memory = memory.chain(NVML_METRICS.into_iter().filter(|_| nvml.is_some()));
        let metrics = memory.cloned().collect();
        let (major, minor) = gpu.info().driver;
        Self {
            info: SourceInfo::new(name, "cuda")
                .with_engine_version(format!("{major}.{minor}"))
                .with_device(gpu.info().name.clone())
                .with_attribute("uuid", gpu.info().uuid.clone()),
            metrics,
            context: gpu.context().clone(),
            #[cfg(feature = "nvml")]
            energy_mj: nvml.as_ref().and_then(|nvml| nvml.sample().energy_mj),
            #[cfg(feature = "nvml")]
            nvml,
        }
    }
}

impl StatsSource for GpuSource {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn metrics(&self) -> &[MetricDesc] {
        &self.metrics
    }

    #[expect(clippy::cast_precision_loss, reason = "bytes of memory are far below 2^53")]
    fn sample(&mut self, sink: &mut dyn Sink) -> Result<()> {
        let read = self.context.mem_get_info();
        let (free, total) = read.map_err(|error| Error::Source {
            name: self.info.name.clone(),
            source: Box::new(error),
        })?;
        sink.gauge(MEMORY_TOTAL, total as f64);
        sink.gauge(MEMORY_USED, (total - free) as f64);
        #[cfg(feature = "nvml")]
        if let Some(nvml) = &self.nvml {
            let sample = nvml.sample();
            hand_over(&sample, sink);
            if let Some(now) = sample.energy_mj {
                let before = self.energy_mj.replace(now).unwrap_or(now);
                sink.counter(ENERGY, Reading::Delta(now.saturating_sub(before)));
            }
        }
        Ok(())
    }

    fn drain(&mut self, _sink: &mut dyn Sink) -> Result<()> {
        Ok(())
    }
}

/// Hands over what NVML knew, but for the energy, in the order of [`NVML_METRICS`].
#[cfg(feature = "nvml")]
fn hand_over(sample: &NvmlSample, sink: &mut dyn Sink) {
    let gauges = [
        sample
            .gpu_utilization_percent
            .map(|percent| f64::from(percent) / 100.0),
        sample.power_mw.map(f64::from),
        sample.sm_clock_mhz.map(f64::from),
        sample.memory_clock_mhz.map(f64::from),
        sample.temperature_celsius.map(f64::from),
    ];
    for (place, gauge) in (FIRST_GAUGE..).zip(gauges) {
        if let Some(value) = gauge {
            sink.gauge(MetricId(place), value);
        }
    }
}
