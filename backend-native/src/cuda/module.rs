//! The embedded PTX, loaded when first used.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use cudarc::{
    driver::{CudaContext, CudaFunction, CudaModule, sys::CUfunction_attribute, sys::CUresult},
    nvrtc::Ptx,
};

use super::{
    dtype::Element,
    error::{Context as _, Error, Result},
};

/// What a source of the attention kernels is compiled for: the type of K and V, and of the queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Build {
    F16,
    Bf16,
    /// Queries in f32.
    F16Wide,
    /// Queries in f32.
    Bf16Wide,
}

impl Build {
    pub(crate) fn narrow<T: Element>() -> Self {
        if T::NAME == "bf16" { Self::Bf16 } else { Self::F16 }
    }

    pub(crate) fn wide<T: Element>() -> Self {
        if T::NAME == "bf16" {
            Self::Bf16Wide
        } else {
            Self::F16Wide
        }
    }

    pub(crate) fn is_wide(self) -> bool {
        matches!(self, Self::F16Wide | Self::Bf16Wide)
    }

    /// Picks the entry point of a build and head size.
    pub(crate) fn entry(self, names: &EntryNames, head_dim: usize) -> &'static str {
        let row = match self {
            Self::F16 => 0,
            Self::Bf16 => 1,
            Self::F16Wide => 2,
            Self::Bf16Wide => 3,
        };
        let column = match head_dim {
            64 => 0,
            128 => 1,
            _ => 2,
        };
        names[row][column]
    }
}

/// Entry points of a family: a row per build, a column per head size.
pub(crate) type EntryNames = [[&'static str; 3]; 4];

/// The [`EntryNames`] of a family.
macro_rules! entry_names {
    ($family:literal) => {
        [
            entry_names!($family, "_f16"),
            entry_names!($family, "_bf16"),
            entry_names!($family, "_f16_wide"),
            entry_names!($family, "_bf16_wide"),
        ]
    };
    ($family:literal, $build:literal) => {
        [
            concat!($family, $build, "_d64"),
            concat!($family, $build, "_d128"),
            concat!($family, $build, "_d256"),
        ]
    };
}
pub(crate) use entry_names;

/// A compiled source of `kernels/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Module {
    Decode(Build),
    Prefill(Build),
    RotateF16,
    RotateBf16,
    Kv,
    Linear,
    Ops,
}

impl Module {
    fn ptx(self) -> &'static str {
        use Build::{Bf16, Bf16Wide, F16, F16Wide};
        match self {
            Self::Decode(F16) => include_str!("../../kernels/ptx/decode_f16.ptx"),
            Self::Decode(Bf16) => include_str!("../../kernels/ptx/decode_bf16.ptx"),
            Self::Decode(F16Wide) => include_str!("../../kernels/ptx/decode_f16_wide.ptx"),
            Self::Decode(Bf16Wide) => include_str!("../../kernels/ptx/decode_bf16_wide.ptx"),
            Self::Prefill(F16) => include_str!("../../kernels/ptx/prefill_f16.ptx"),
            Self::Prefill(Bf16) => include_str!("../../kernels/ptx/prefill_bf16.ptx"),
            Self::Prefill(F16Wide) => include_str!("../../kernels/ptx/prefill_f16_wide.ptx"),
            Self::Prefill(Bf16Wide) => include_str!("../../kernels/ptx/prefill_bf16_wide.ptx"),
            Self::RotateF16 => include_str!("../../kernels/ptx/rotate_f16.ptx"),
            Self::RotateBf16 => include_str!("../../kernels/ptx/rotate_bf16.ptx"),
            Self::Kv => include_str!("../../kernels/ptx/kv.ptx"),
            Self::Linear => include_str!("../../kernels/ptx/linear.ptx"),
            Self::Ops => include_str!("../../kernels/ptx/ops.ptx"),
        }
    }
}

/// Entry points found so far. The driver compiles a module for the GPU when its first kernel is asked for
/// and keeps the result in its own cache on disk.
#[derive(Debug)]
pub(crate) struct Modules {
    context: Arc<CudaContext>,
    driver: (i32, i32),
    shared_memory: u32,
    loaded: Mutex<Loaded>,
}

#[derive(Debug, Default)]
struct Loaded {
    modules: HashMap<Module, Arc<CudaModule>>,
    functions: HashMap<&'static str, CudaFunction>,
}

impl Modules {
    pub(crate) fn new(context: Arc<CudaContext>, driver: (i32, i32), shared_memory: u32) -> Self {
        Self {
            context,
            driver,
            shared_memory,
            loaded: Mutex::default(),
        }
    }

    /// Returns an entry point that may use `shared_bytes` of dynamic shared memory.
    pub(crate) fn function(
        &self,
        module: Module,
        name: &'static str,
        shared_bytes: u32,
    ) -> Result<CudaFunction> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(function) = loaded.functions.get(name) {
            return Ok(function.clone());
        }
        let module = match loaded.modules.get(&module) {
            Some(module) => module.clone(),
            None => {
                let fresh = self.load(module)?;
                loaded.modules.insert(module, fresh.clone());
                fresh
            }
        };
        let function = module.load_function(name).during("looking up a kernel")?;
        self.allow_shared(&function, name, shared_bytes)?;
        loaded.functions.insert(name, function.clone());
        Ok(function)
    }

    fn load(&self, module: Module) -> Result<Arc<CudaModule>> {
        self.context
            .load_module(Ptx::from_src(module.ptx()))
            .map_err(|source| match source.0 {
                CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION => Error::DriverTooOld { driver: self.driver },
                _ => Error::Driver {
                    operation: "loading the kernels",
                    source,
                },
            })
    }

    fn allow_shared(&self, function: &CudaFunction, kernel: &'static str, needed: u32) -> Result<()> {
        if needed > self.shared_memory {
            return Err(Error::SharedMemory {
                kernel,
                needed,
                available: self.shared_memory,
            });
        }
        let limit = CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        let bytes = i32::try_from(needed).unwrap_or(i32::MAX);
        function
            .set_attribute(limit, bytes)
            .during("raising a kernel's shared memory")
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        path::{Path, PathBuf},
    };

    /// The hash that `kernels/build.py` writes into the first line of every PTX file.
    fn fnv1a(data: &[u8]) -> u64 {
        data.iter().fold(0xCBF2_9CE4_8422_2325, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
        })
    }

    fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
        let mut found: Vec<_> = fs::read_dir(folder)
            .expect("the kernels folder")
            .map(|entry| entry.expect("a folder entry").path())
            .filter(|path| path.extension().is_some_and(|e| e == extension))
            .collect();
        found.sort();
        found
    }

    /// A source's name is the PTX file's up to the build.
    fn is_made_from(ptx: &Path, source: &Path) -> bool {
        let stem = |path: &Path| path.file_stem().expect("a name").to_string_lossy().into_owned();
        let (ptx, source) = (stem(ptx), stem(source));
        ptx == source
            || ["f16", "bf16"]
                .iter()
                .any(|dtype| ptx == format!("{source}_{dtype}"))
    }

    #[test]
    fn committed_ptx_is_made_from_the_sources() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels");
        let compiled = files(&folder.join("ptx"), "ptx");
        for source in files(&folder, "cu") {
            let mut data = fs::read(&source).expect("a source");
            for header in files(&folder, "cuh") {
                data.extend(fs::read(header).expect("a header"));
            }
            data.extend(fs::read(folder.join("requirements.txt")).expect("the pins"));
            let expected = format!("// kvlens sources fnv1a:{:016x}", fnv1a(&data));
            let mut made = compiled
                .iter()
                .filter(|ptx| is_made_from(ptx, &source))
                .peekable();
            assert!(
                made.peek().is_some(),
                "{}: run kernels/build.py",
                source.display()
            );
            for ptx in made {
                let text = fs::read_to_string(ptx).expect("the PTX is committed");
                assert_eq!(
                    text.lines().next(),
                    Some(expected.as_str()),
                    "{}: run kernels/build.py",
                    ptx.display()
                );
            }
        }
    }
}
