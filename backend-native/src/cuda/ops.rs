//! What a decoder needs around attention: embedding, normalization, projections, the choice of a token.
//!
//! The hidden state is f32. Before a projection it is split into two f16 planes, whose products with f16
//! weights are summed in f32 on the tensor cores: as exact as f32 arithmetic.

use cudarc::driver::{CudaSlice, CudaView, CudaViewMut};
use half::f16;

use super::{
    context::{Gpu, Kernel, address},
    dtype::Element,
    error::{Error, Result, check_length},
    kv::SlotMapping,
    layout::KvLayout,
    module::Module,
    params::{ArgmaxParams, EmbedParams, LinearParams, RotateParams, SplitParams},
};

const THREADS: u32 = 256;
/// Rows of the tiles of `linear.cu`: a projection takes the smallest that holds all its rows, or many of the
/// largest.
const SMALL_ROWS: usize = 16;
const MEDIUM_ROWS: usize = 64;
/// Inputs of a projection come in multiples of this.
const DEPTH: usize = 64;

const ARGMAX: Kernel = Kernel {
    module: Module::Ops,
    name: "argmax",
    threads: 1024,
    shared_bytes: 0,
};
/// Threads of the rotation at most; a pair of a head's elements each.
const ROTATE_THREADS: usize = 1024;

const fn op(name: &'static str) -> Kernel {
    Kernel {
        module: Module::Ops,
        name,
        threads: THREADS,
        shared_bytes: 0,
    }
}

fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// Rows of numbers, each the sum of two f16: what a projection multiplies.
#[derive(Debug)]
pub struct SplitRows {
    planes: CudaSlice<f16>,
    capacity: usize,
    columns: usize,
}

impl SplitRows {
    /// Makes room for `capacity` rows.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn try_new(gpu: &Gpu, capacity: usize, columns: usize) -> Result<Self> {
        Ok(Self {
            planes: gpu.zeros(2 * capacity * columns)?,
            capacity,
            columns,
        })
    }

    /// Copies the first rows to the host, the planes added up, and waits for it.
    ///
    /// # Errors
    /// [`Error::Length`] for more rows than there are; the driver's.
    pub fn download(&self, gpu: &Gpu, rows: usize) -> Result<Vec<f32>> {
        check_length("split rows", self.capacity, rows)?;
        let low = self.capacity * self.columns;
        let hi = gpu.download(&self.planes.slice(..rows * self.columns))?;
        let lo = gpu.download(&self.planes.slice(low..low + rows * self.columns))?;
        Ok(hi
            .iter()
            .zip(lo)
            .map(|(hi, lo)| hi.to_f32() + lo.to_f32())
            .collect())
    }

    pub(crate) fn check(&self, rows: usize, columns: usize) -> Result<()> {
        check_length("split rows", self.capacity, rows)?;
        check_length("columns of split rows", columns, self.columns)?;
        check_length("columns of split rows", self.columns, columns)
    }

    pub(crate) fn addresses(&self) -> (u64, u64) {
        let hi = address(&self.planes);
        (hi, hi + (self.capacity * self.columns * size_of::<f16>()) as u64)
    }
}

/// Which rows a [`split`] takes, and how.
#[derive(Debug)]
pub struct Selection<'a> {
    /// How many rows.
    pub rows: usize,
    /// Their numbers; all in order where absent.
    pub indices: Option<&'a CudaSlice<u32>>,
    /// Whether each is scaled to a root mean square of 1.
    pub normalize: bool,
}

/// Looks the first hidden state of every token up: `tokens` must be below the vocabulary.
///
/// # Errors
/// [`Error::Length`] if a buffer is too short; the driver's.
pub(crate) fn embed(
    gpu: &Gpu,
    table: &CudaSlice<f16>,
    tokens: &CudaSlice<u32>,
    rows: usize,
    out: &mut CudaSlice<f32>,
    columns: usize,
) -> Result<()> {
    check_length("tokens", tokens.len(), rows)?;
    check_length("hidden state", out.len(), rows * columns)?;
    let params = EmbedParams {
        table: address(table),
        tokens: address(tokens),
        out: address(out),
        rows: number(rows),
        columns: number(columns),
    };
    let grid = number((rows * columns / 8).div_ceil(THREADS as usize));
    if grid == 0 {
        return Ok(());
    }
    // SAFETY: tokens and output were measured above; the caller keeps tokens below the table's rows.
    unsafe { gpu.launch(gpu.stream(), &op("embed"), (grid, 1, 1), &params) }
}

/// Splits rows of f32 into two f16 planes.
///
/// # Errors
/// [`Error::Length`] if a buffer is too short; the driver's.
pub fn split(gpu: &Gpu, x: &CudaView<'_, f32>, select: &Selection<'_>, out: &mut SplitRows) -> Result<()> {
    let Selection {
        rows,
        indices,
        normalize,
    } = *select;
    out.check(rows, out.columns)?;
    match indices {
        Some(indices) => check_length("row numbers", indices.len(), rows)?,
        None => check_length("rows to split", x.len(), rows * out.columns)?,
    }
    if rows == 0 {
        return Ok(());
    }
    let (hi, lo) = out.addresses();
    let params = SplitParams {
        x: address(x),
        indices: indices.map_or(0, address),
        hi,
        lo,
        columns: number(out.columns),
        normalize: u32::from(normalize),
    };
    // SAFETY: the planes were measured above, and x too unless rows are picked: then the caller's numbers
    // are below its rows.
    unsafe { gpu.launch(gpu.stream(), &op("split_rows"), (number(rows), 1, 1), &params) }
}

/// Chooses the highest of each row, the lowest place of equals.
///
/// # Errors
/// [`Error::Length`] if a buffer is too short; the driver's.
pub fn argmax(
    gpu: &Gpu,
    logits: &CudaView<'_, f32>,
    rows: usize,
    columns: usize,
    tokens: &mut CudaSlice<u32>,
) -> Result<()> {
    check_length("logits", logits.len(), rows * columns)?;
    check_length("tokens", tokens.len(), rows)?;
    if rows == 0 {
        return Ok(());
    }
    let params = ArgmaxParams {
        logits: address(logits),
        tokens: address(tokens),
        columns: number(columns),
        unused: 0,
    };
    // SAFETY: both buffers were measured above.
    unsafe { gpu.launch(gpu.stream(), &ARGMAX, (number(rows), 1, 1), &params) }
}

/// What becomes of a projection's result.
#[derive(Debug)]
pub enum Then<'a> {
    /// It is stored.
    Store(CudaViewMut<'a, f32>),
    /// It is added to what is there.
    Add(CudaViewMut<'a, f32>),
    /// Negative numbers become 0, and it is split for the next projection.
    ReluSplit(&'a mut SplitRows),
}

/// A matrix of f16 weights on the GPU, a row per output.
#[derive(Debug)]
pub struct Linear {
    weights: CudaSlice<f16>,
    inputs: usize,
    outputs: usize,
}

impl Linear {
    /// Uploads matrices of `inputs` columns, one below the other. Weights are rounded to f16.
    ///
    /// # Errors
    /// [`Error::UnsupportedShape`] unless `inputs` is a multiple of 64; [`Error::OutOfMemory`].
    pub fn try_new(gpu: &Gpu, matrices: &[&[f32]], inputs: usize) -> Result<Self> {
        if inputs == 0 || !inputs.is_multiple_of(DEPTH) {
            let supported = "multiples of 64";
            return Err(Error::UnsupportedShape {
                what: "width of a projection",
                found: inputs,
                supported,
            });
        }
        let weights: Vec<f16> = matrices
            .iter()
            .copied()
            .flatten()
            .map(|&w| f16::from_f32(w))
            .collect();
        Ok(Self {
            outputs: weights.len() / inputs,
            weights: gpu.upload(&weights)?,
            inputs,
        })
    }

    /// Multiplies the first `rows` rows of `x`.
    ///
    /// # Errors
    /// [`Error::Length`] if a buffer is too short; the driver's.
    pub fn apply(&self, gpu: &Gpu, x: &SplitRows, rows: usize, then: Then<'_>) -> Result<()> {
        x.check(rows, self.inputs)?;
        let (names, y, y_lo) = match then {
            Then::Store(y) => (STORE, self.plain(&y, rows)?, 0),
            Then::Add(y) => (ADD, self.plain(&y, rows)?, 0),
            Then::ReluSplit(y) => {
                y.check(rows, self.outputs)?;
                let (hi, lo) = y.addresses();
                (RELU_SPLIT, hi, lo)
            }
        };
        if rows == 0 {
            return Ok(());
        }
        let (x_hi, x_lo) = x.addresses();
        let params = LinearParams {
            weights: address(&self.weights),
            x_hi,
            x_lo,
            y,
            y_lo,
            rows: number(rows),
            inputs: number(self.inputs),
            outputs: number(self.outputs),
            unused: 0,
        };
        let (kernel, grid) = self.shape(names, rows);
        // SAFETY: weights are outputs times inputs, x and y were measured above; the kernel masks the tiles'
        // ends.
        unsafe { gpu.launch(gpu.stream(), &kernel, grid, &params) }
    }

    fn plain(&self, y: &CudaViewMut<'_, f32>, rows: usize) -> Result<u64> {
        check_length("projection", y.len(), rows * self.outputs)?;
        Ok(address(y))
    }

    /// The kernel for a number of rows, with its grid.
    fn shape(&self, [small, medium, large]: [&'static str; 3], rows: usize) -> (Kernel, (u32, u32, u32)) {
        let (name, threads, outputs, tile_rows, stages) = if rows <= SMALL_ROWS {
            (small, 128, 32, SMALL_ROWS, 12)
        } else if rows <= MEDIUM_ROWS {
            (medium, 128, 32, MEDIUM_ROWS, 4)
        } else {
            (large, 256, 128, MEDIUM_ROWS, 3)
        };
        let shared_bytes = tile_bytes(outputs, number(tile_rows), stages);
        let kernel = Kernel {
            module: Module::Linear,
            name,
            threads,
            shared_bytes,
        };
        let grid = (
            number(self.outputs.div_ceil(outputs as usize)),
            number(rows.div_ceil(tile_rows)),
            1,
        );
        (kernel, grid)
    }
}

/// Entry points for few, some and many rows.
const STORE: [&str; 3] = ["linear_small_store", "linear_medium_store", "linear_large_store"];
const ADD: [&str; 3] = ["linear_small_add", "linear_medium_add", "linear_large_add"];
const RELU_SPLIT: [&str; 3] = ["linear_small_relu", "linear_medium_relu", "linear_large_relu"];

/// Shared memory of a tile of `linear.cu`: weights and both planes of x, times the stages.
fn tile_bytes(outputs: u32, rows: u32, stages: u32) -> u32 {
    (outputs + 2 * rows) * number(DEPTH) * 2 * stages
}

/// Q, K and V of a step, side by side, with what places them.
#[derive(Debug)]
pub(crate) struct Qkv<'a> {
    pub(crate) rows: &'a mut CudaSlice<f32>,
    pub(crate) q_heads: usize,
    pub(crate) positions: &'a CudaSlice<u32>,
    pub(crate) frequencies: &'a CudaSlice<f32>,
}

/// Rotates Q in place, and writes rotated K and V to the pool.
pub(crate) fn rotate_append<T: Element>(
    gpu: &Gpu,
    layout: &KvLayout,
    slots: &SlotMapping,
    qkv: &Qkv<'_>,
    layer: &mut CudaViewMut<'_, T>,
) -> Result<()> {
    let tokens = slots.tokens_for(layout)?;
    let row = (qkv.q_heads + 2 * layout.kv_heads()) * layout.head_dim();
    check_length("KV layer", layer.len(), layout.layer_elements())?;
    check_length("Q, K and V", qkv.rows.len(), tokens * row)?;
    check_length("positions", qkv.positions.len(), tokens)?;
    check_length("frequencies", qkv.frequencies.len(), layout.head_dim() / 2)?;
    if tokens == 0 {
        return Ok(());
    }
    let params = RotateParams {
        qkv: address(qkv.rows),
        positions: address(qkv.positions),
        frequencies: address(qkv.frequencies),
        kv: address(layer),
        slots: address(slots.device()),
        q_heads: number(qkv.q_heads),
        kv_heads: number(layout.kv_heads()),
        dim: number(layout.head_dim()),
        block_shift: layout.block_shift(),
    };
    // SAFETY: all buffers were measured above, and every slot was checked against the pool.
    unsafe {
        gpu.launch(
            gpu.stream(),
            &rotate::<T>(row / 2),
            (number(tokens), 1, 1),
            &params,
        )
    }
}

fn rotate<T: Element>(pairs: usize) -> Kernel {
    let (module, name) = match T::NAME {
        "bf16" => (Module::RotateBf16, "rotate_bf16_append"),
        _ => (Module::RotateF16, "rotate_f16_append"),
    };
    Kernel {
        module,
        name,
        threads: number(pairs.min(ROTATE_THREADS)),
        shared_bytes: 0,
    }
}

/// Loads the modules.
pub(crate) fn warm_up<T: Element>(gpu: &Gpu) -> Result<()> {
    gpu.function(&op("embed"))?;
    gpu.function(&rotate::<T>(ROTATE_THREADS)).map(drop)
}
