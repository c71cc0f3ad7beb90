//! The rows of a step: tokens, positions and slots, decodes first.

use super::{
    context::Gpu,
    error::{Result, check_length},
    kv::SlotMapping,
    layout::KvLayout,
    plan::Chunk,
    prefill::PrefillSequence,
    table::{Sequence, block_number},
    upload::Upload,
};
use crate::device::{SeqStep, StepBatch};

/// The rows of one step on the device. Sequences with one new token come first, for the decode kernel; the
/// others follow, for the prefill kernel.
#[derive(Debug)]
pub(crate) struct StepRows {
    layout: KvLayout,
    vocabulary: u32,
    tokens: Vec<u32>,
    positions: Vec<u32>,
    slots: Vec<i32>,
    sampled: Vec<u32>,
    decodes: usize,
    pub(crate) device_tokens: Upload<u32>,
    pub(crate) device_positions: Upload<u32>,
    pub(crate) device_sampled: Upload<u32>,
    pub(crate) mapping: SlotMapping,
}

impl StepRows {
    pub(crate) fn try_new(
        gpu: &Gpu,
        layout: KvLayout,
        vocabulary: usize,
        max_tokens: usize,
        max_seqs: usize,
    ) -> Result<Self> {
        Ok(Self {
            layout,
            vocabulary: u32::try_from(vocabulary).unwrap_or(u32::MAX).max(1),
            tokens: Vec::with_capacity(max_tokens),
            positions: Vec::with_capacity(max_tokens),
            slots: Vec::with_capacity(max_tokens),
            sampled: Vec::with_capacity(max_seqs),
            decodes: 0,
            device_tokens: Upload::try_new(gpu, max_tokens)?,
            device_positions: Upload::try_new(gpu, max_tokens)?,
            device_sampled: Upload::try_new(gpu, max_seqs)?,
            mapping: SlotMapping::try_new(gpu, &layout, max_tokens)?,
        })
    }

    /// Rows of the step.
    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Rows that the decode kernel takes: the first ones.
    pub(crate) fn decodes(&self) -> usize {
        self.decodes
    }

    /// Sequences that want a token, in the order of the batch.
    pub(crate) fn sampled(&self) -> usize {
        self.sampled.len()
    }

    /// Lays a batch out and enqueues its transfer.
    pub(crate) fn update(&mut self, gpu: &Gpu, batch: &StepBatch<'_>) -> Result<()> {
        self.tokens.clear();
        self.positions.clear();
        self.slots.clear();
        self.sampled.clear();
        for sequence in decodes(batch) {
            self.add_rows(&sequence)?;
        }
        self.decodes = self.tokens.len();
        for sequence in prefills(batch) {
            self.add_rows(&sequence)?;
        }
        self.find_sampled(batch);
        let stream = gpu.stream();
        self.device_tokens.write(&self.tokens, stream)?;
        self.device_positions.write(&self.positions, stream)?;
        self.device_sampled.write(&self.sampled, stream)?;
        self.mapping.update(gpu, &self.slots)
    }

    fn add_rows(&mut self, sequence: &SeqStep<'_>) -> Result<()> {
        let first = self.tokens.len();
        let end = sequence.start + sequence.len;
        self.tokens.resize(first + sequence.len as usize, 0);
        sequence.read_tokens(sequence.start, &mut self.tokens[first..]);
        self.tokens[first..]
            .iter_mut()
            .for_each(|token| *token %= self.vocabulary);
        self.positions.extend(sequence.start..end);
        let size = u32::try_from(self.layout.block_size()).unwrap_or(u32::MAX);
        let table = sequence.block_table;
        check_length(
            "block table of a sequence",
            table.len(),
            end.div_ceil(size) as usize,
        )?;
        for position in sequence.start..end {
            let block = block_number(&self.layout, table[(position / size) as usize])?;
            // Below 2^31: the layout checked that all slots are.
            self.slots
                .push(block * size.cast_signed() + (position % size).cast_signed());
        }
        Ok(())
    }

    /// Finds the last row of every sequence that wants a token. Rows are laid out decodes first, tokens come
    /// out in the order of the batch.
    fn find_sampled(&mut self, batch: &StepBatch<'_>) {
        let (mut decode_row, mut prefill_row) = (0, u32::try_from(self.decodes).unwrap_or(u32::MAX));
        for sequence in batch.iter() {
            let row = if sequence.len == 1 {
                &mut decode_row
            } else {
                &mut prefill_row
            };
            *row += sequence.len;
            if sequence.sampled {
                self.sampled.push(*row - 1);
            }
        }
    }
}

fn sequences<'a>(batch: &StepBatch<'a>) -> impl Iterator<Item = SeqStep<'a>> + Clone + use<'a> {
    let sequences = batch.sequences;
    (0..sequences.len()).filter_map(move |index| sequences.at(index))
}

fn decodes<'a>(batch: &StepBatch<'a>) -> impl Iterator<Item = SeqStep<'a>> + Clone + use<'a> {
    sequences(batch).filter(|sequence| sequence.len == 1)
}

fn prefills<'a>(batch: &StepBatch<'a>) -> impl Iterator<Item = SeqStep<'a>> + Clone + use<'a> {
    sequences(batch).filter(|sequence| sequence.len != 1)
}

/// The decode kernel's share of a batch.
pub(crate) fn decode_sequences<'a>(
    batch: &StepBatch<'a>,
) -> impl Iterator<Item = Sequence<'a>> + Clone + use<'a> {
    decodes(batch).map(|s| Sequence {
        len: s.start + 1,
        blocks: s.block_table,
    })
}

/// The prefill kernel's share of a batch.
pub(crate) fn prefill_sequences<'a>(
    batch: &StepBatch<'a>,
) -> impl Iterator<Item = PrefillSequence<'a>> + Clone + use<'a> {
    prefills(batch).map(|s| PrefillSequence {
        chunk: Chunk {
            context: s.start,
            tokens: s.len,
        },
        blocks: s.block_table,
    })
}
