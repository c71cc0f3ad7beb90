//! Block tables on the device, checked on the way there.

use cudarc::driver::CudaSlice;

use super::{
    context::Gpu,
    error::{Error, Result, check_index, check_length},
    layout::KvLayout,
    upload::Upload,
};

/// The KV blocks of one sequence, in order.
#[derive(Debug, Clone, Copy)]
pub struct Sequence<'a> {
    /// Tokens whose K and V are in the pool.
    pub len: u32,
    /// Blocks that hold them; more than needed does no harm.
    pub blocks: &'a [u32],
}

/// One row of block numbers per sequence.
#[derive(Debug)]
pub(crate) struct BlockTable {
    rows: Upload<i32>,
    stride: usize,
    max_seqs: usize,
}

impl BlockTable {
    pub(crate) fn try_new(gpu: &Gpu, max_seqs: usize, max_blocks: usize) -> Result<Self> {
        Ok(Self {
            rows: Upload::try_new(gpu, max_seqs * max_blocks)?,
            stride: max_blocks,
            max_seqs,
        })
    }

    /// Checks every block that a kernel will follow, and enqueues the transfer.
    pub(crate) fn update<'a>(
        &mut self,
        gpu: &Gpu,
        layout: &KvLayout,
        sequences: impl ExactSizeIterator<Item = Sequence<'a>>,
    ) -> Result<()> {
        let count = sequences.len();
        check_length("block table rows", self.max_seqs, count)?;
        let stride = self.stride;
        let rows = self.rows.edit()?;
        for (row, sequence) in rows.chunks_exact_mut(stride.max(1)).zip(sequences) {
            fill_row(row, layout, sequence)?;
        }
        self.rows.send(count * stride, gpu.stream())
    }

    pub(crate) fn device(&self) -> &CudaSlice<i32> {
        self.rows.device()
    }

    pub(crate) fn stride(&self) -> u32 {
        u32::try_from(self.stride).unwrap_or(u32::MAX)
    }
}

fn fill_row(row: &mut [i32], layout: &KvLayout, sequence: Sequence<'_>) -> Result<()> {
    let needed = (sequence.len as usize).div_ceil(layout.block_size());
    check_length("block table of a sequence", sequence.blocks.len(), needed)?;
    check_length("block table row", row.len(), needed)?;
    for (entry, &block) in row.iter_mut().zip(&sequence.blocks[..needed]) {
        check_index("block", i64::from(block), layout.blocks())?;
        *entry = i32::try_from(block).map_err(|_| Error::OutOfRange {
            what: "block",
            found: i64::from(block),
            limit: layout.blocks(),
        })?;
    }
    Ok(())
}
