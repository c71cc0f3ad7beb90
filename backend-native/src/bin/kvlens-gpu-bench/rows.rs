//! Queries and outputs in both precisions.

use cudarc::driver::CudaSlice;
use half::f16;
use kvlens_native::cuda::{Attention, Gpu, Result, SplitRows, Tensors};

use crate::fill::Fill;

/// Rows of queries, and where their attention goes.
#[derive(Debug)]
pub(crate) struct Rows {
    row: usize,
    narrow: CudaSlice<f16>,
    wide: CudaSlice<f32>,
    out: CudaSlice<f16>,
    wide_out: SplitRows,
}

impl Rows {
    pub(crate) fn new(gpu: &Gpu, rows: usize, row: usize, fill: &mut Fill) -> Result<Self> {
        let narrow = fill.device(gpu, rows * row)?;
        let wide: Vec<f32> = gpu.download(&narrow)?.into_iter().map(f16::to_f32).collect();
        Ok(Self {
            row,
            narrow,
            wide: gpu.upload(&wide)?,
            out: gpu.zeros(rows * row)?,
            wide_out: SplitRows::try_new(gpu, rows, row)?,
        })
    }

    /// Calls `run` with 16-bit queries, or with f32 ones.
    pub(crate) fn call(
        &mut self,
        wide: bool,
        run: impl FnOnce(&mut Attention<'_, '_, f16>) -> Result<()>,
    ) -> Result<()> {
        let (narrow, queries, mut out) = (self.narrow.as_view(), self.wide.as_view(), self.out.as_view_mut());
        let tensors = if wide {
            Tensors::Wide {
                queries: &queries,
                out: &mut self.wide_out,
            }
        } else {
            Tensors::Narrow {
                queries: &narrow,
                out: &mut out,
            }
        };
        run(&mut Attention {
            tensors,
            stride: self.row,
            first_row: 0,
            scale: 0.088_388_35,
        })
    }
}
