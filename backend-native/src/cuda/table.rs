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

/// The blocks of all sequences, one sequence after the other.
#[derive(Debug)]
pub(crate) struct BlockTable {
    entries: Upload<i32>,
    starts: Vec<u32>,
}

impl BlockTable {
    pub(crate) fn try_new(gpu: &Gpu, max_entries: usize) -> Result<Self> {
        Ok(Self {
            entries: Upload::try_new(gpu, max_entries)?,
            starts: Vec::new(),
        })
    }

    /// Checks every block that a kernel will follow, and enqueues the transfer.
    pub(crate) fn update<'a>(
        &mut self,
        gpu: &Gpu,
        layout: &KvLayout,
        sequences: impl Iterator<Item = Sequence<'a>>,
    ) -> Result<()> {
        self.starts.clear();
        let entries = self.entries.edit()?;
        let mut at = 0;
        for Sequence { len, blocks } in sequences {
            let needed = (len as usize).div_ceil(layout.block_size());
            check_length("block table of a sequence", blocks.len(), needed)?;
            check_length("block table", entries.len(), at + needed)?;
            for (entry, &block) in entries[at..].iter_mut().zip(&blocks[..needed]) {
                *entry = block_number(layout, block)?;
            }
            self.starts.push(u32::try_from(at).unwrap_or(u32::MAX));
            at += needed;
        }
        self.entries.send(at, gpu.stream())
    }

    /// Where each sequence's blocks begin.
    pub(crate) fn starts(&self) -> &[u32] {
        &self.starts
    }

    pub(crate) fn device(&self) -> &CudaSlice<i32> {
        self.entries.device()
    }
}

/// A block's number as kernels read it, if the pool has it.
pub(crate) fn block_number(layout: &KvLayout, block: u32) -> Result<i32> {
    check_index("block", i64::from(block), layout.blocks())?;
    i32::try_from(block).map_err(|_| Error::OutOfRange {
        what: "block",
        found: i64::from(block),
        limit: layout.blocks(),
    })
}
