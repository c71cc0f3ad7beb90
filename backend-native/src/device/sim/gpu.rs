//! GPUs by name, with their data sheets' figures.
//!
//! `docs/sim.md` names the source of each figure. All are dense (no structured sparsity), 16-bit floats with 32-bit
//! accumulation, one direction of a link, and what the vendor states, not what anyone reaches: the time model takes its
//! share of them.

/// What a data sheet says of one GPU.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct GpuSpec {
    /// The name to ask for it by.
    pub name: &'static str,
    /// Dense 16-bit tensor throughput, in floating-point operations a second.
    pub flops: f64,
    /// Memory bandwidth, in bytes a second.
    pub memory_bytes_per_s: f64,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// Streaming multiprocessors, or compute units.
    pub processors: u32,
    /// One direction of the link to the host, in bytes a second.
    pub host_bytes_per_s: f64,
    /// One direction of the links to its peers, in bytes a second.
    pub peer_bytes_per_s: f64,
}

const TERA: f64 = 1e12;
const GIGA: f64 = 1e9;
const PCIE_GEN3: f64 = 16.0 * GIGA;
const PCIE_GEN4: f64 = 32.0 * GIGA;
const PCIE_GEN5: f64 = 64.0 * GIGA;

/// Every GPU that has a name here.
pub const GPUS: &[GpuSpec] = &[
    gpu("h100", 989.4, 3.35, 80, 132, PCIE_GEN5, 450.0),
    gpu("h100-pcie", 756.0, 2.0, 80, 114, PCIE_GEN5, 64.0),
    gpu("h200", 989.4, 4.8, 141, 132, PCIE_GEN5, 450.0),
    gpu("b200", 2_250.0, 8.0, 180, 148, PCIE_GEN5, 900.0),
    gpu("a100-40g", 312.0, 1.555, 40, 108, PCIE_GEN4, 300.0),
    gpu("a100-80g", 312.0, 2.039, 80, 108, PCIE_GEN4, 300.0),
    gpu("a10", 125.0, 0.6, 24, 72, PCIE_GEN4, 32.0),
    gpu("v100", 125.0, 0.9, 32, 80, PCIE_GEN3, 150.0),
    gpu("t4", 65.0, 0.3, 16, 40, PCIE_GEN3, 16.0),
    gpu("l4", 121.0, 0.3, 24, 58, PCIE_GEN4, 32.0),
    gpu("l40s", 362.05, 0.864, 48, 142, PCIE_GEN4, 32.0),
    gpu("rtx3090", 71.0, 0.936, 24, 82, PCIE_GEN4, 32.0),
    gpu("rtx4090", 165.2, 1.008, 24, 128, PCIE_GEN4, 32.0),
    gpu("mi300x", 1_307.4, 5.3, 192, 304, PCIE_GEN5, 448.0),
    gpu("mi325x", 1_307.4, 6.0, 256, 304, PCIE_GEN5, 448.0),
];

/// Takes teraflops, terabytes a second, gigabytes, processors, bytes a second to the host, gigabytes a second to peers.
const fn gpu(
    name: &'static str,
    teraflops: f64,
    memory_tb_per_s: f64,
    memory_gb: u64,
    processors: u32,
    host_bytes_per_s: f64,
    peer_gb_per_s: f64,
) -> GpuSpec {
    GpuSpec {
        name,
        flops: teraflops * TERA,
        memory_bytes_per_s: memory_tb_per_s * TERA,
        memory_bytes: memory_gb * 1_000_000_000,
        processors,
        host_bytes_per_s,
        peer_bytes_per_s: peer_gb_per_s * GIGA,
    }
}

impl GpuSpec {
    /// The GPU that is simulated unless another is named: an H100 SXM.
    pub const DEFAULT: &'static Self = &GPUS[0];

    /// Finds a GPU by name, in any case.
    ///
    /// ```
    /// use kvlens_native::device::sim::GpuSpec;
    /// assert_eq!(GpuSpec::named("H100").unwrap().processors, 132);
    /// assert!(GpuSpec::named("abacus").is_none());
    /// ```
    pub fn named(name: &str) -> Option<&'static Self> {
        GPUS.iter().find(|gpu| gpu.name.eq_ignore_ascii_case(name))
    }
}
