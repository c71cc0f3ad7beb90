//! Power, energy, clocks and temperature of the GPU, from NVML.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use nvml_wrapper::{
    Nvml as Library,
    enum_wrappers::device::{Clock, TemperatureSensor},
    error::NvmlError,
};

/// A GPU as NVML sees it. Absent where the library or the device is missing: then every gauge is null.
#[derive(Debug)]
pub struct Nvml {
    library: Library,
    uuid: String,
}

/// One reading. A quantity that this GPU doesn't report is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NvmlSample {
    /// Share of the last sampling period in which a kernel ran, percent.
    pub gpu_utilization_percent: Option<u32>,
    /// Share of the last sampling period in which memory was read or written, percent.
    pub memory_utilization_percent: Option<u32>,
    /// Power draw, milliwatts.
    pub power_mw: Option<u32>,
    /// Energy since the driver was loaded, millijoules.
    pub energy_mj: Option<u64>,
    /// Clock of the multiprocessors, MHz.
    pub sm_clock_mhz: Option<u32>,
    /// Clock of the memory, MHz.
    pub memory_clock_mhz: Option<u32>,
    /// Temperature of the GPU, degrees Celsius.
    pub temperature_celsius: Option<u32>,
    /// Device memory in use, by all processes, bytes.
    pub memory_used_bytes: Option<u64>,
}

impl Nvml {
    /// Opens NVML for the GPU with a UUID ([`super::GpuInfo::uuid`]); `None` where that cannot be done.
    pub fn open(uuid: &str) -> Option<Self> {
        let nvml = Self {
            library: Library::init().ok()?,
            uuid: format!("GPU-{uuid}"),
        };
        nvml.library.device_by_uuid(nvml.uuid.as_str()).ok()?;
        Some(nvml)
    }

    /// Reads all quantities. Takes the driver some tens of microseconds: call it from the collector, not from
    /// the engine.
    pub fn sample(&self) -> NvmlSample {
        self.read().unwrap_or_default()
    }

    fn read(&self) -> Result<NvmlSample, NvmlError> {
        let device = self.library.device_by_uuid(self.uuid.as_str())?;
        let utilization = device.utilization_rates().ok();
        Ok(NvmlSample {
            gpu_utilization_percent: utilization.as_ref().map(|u| u.gpu),
            memory_utilization_percent: utilization.as_ref().map(|u| u.memory),
            power_mw: device.power_usage().ok(),
            energy_mj: device.total_energy_consumption().ok(),
            sm_clock_mhz: device.clock_info(Clock::SM).ok(),
            memory_clock_mhz: device.clock_info(Clock::Memory).ok(),
            temperature_celsius: device.temperature(TemperatureSensor::Gpu).ok(),
            memory_used_bytes: device.memory_info().ok().map(|memory| memory.used),
        })
    }
}

/// How often [`EnergyMeter`] reads the counter: the GPU itself updates it every few tens of milliseconds.
const ENERGY_INTERVAL: Duration = Duration::from_millis(20);

/// Follows the energy counter on a thread of its own, so that reading it costs an engine nothing.
#[derive(Debug)]
pub struct EnergyMeter {
    latest: Arc<AtomicU64>,
    taken: u64,
    stop: mpsc::Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl EnergyMeter {
    /// Starts following a GPU; `None` where NVML or the counter is missing.
    pub fn start(uuid: &str) -> Option<Self> {
        let nvml = Nvml::open(uuid)?;
        let first = nvml.sample().energy_mj?;
        let latest = Arc::new(AtomicU64::new(first));
        let (stop, stopped) = mpsc::channel();
        let shared = latest.clone();
        let follow = move || {
            while stopped.recv_timeout(ENERGY_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                if let Some(energy) = nvml.sample().energy_mj {
                    shared.store(energy, Ordering::Relaxed);
                }
            }
        };
        let thread = thread::Builder::new()
            .name("kvlens-energy".into())
            .spawn(follow)
            .ok()?;
        Some(Self {
            latest,
            taken: first,
            stop,
            thread: Some(thread),
        })
    }

    /// Returns the millijoules that the counter advanced since the last call. Short steps see 0 and then a
    /// jump; the sum over steps is right.
    pub fn take(&mut self) -> u64 {
        let latest = self.latest.load(Ordering::Relaxed);
        let energy = latest.saturating_sub(self.taken);
        self.taken = latest;
        energy
    }
}

impl Drop for EnergyMeter {
    fn drop(&mut self) {
        // The thread may have ended already: then there is nobody to tell, and nothing to wait for.
        let _ended = self.stop.send(());
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}
