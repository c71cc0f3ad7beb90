//! Cuts a ragged batch into equal shares of work, on the host and without a GPU.
//!
//! Decode lays all (sequence, KV head) pairs end to end, in units of 64 tokens, and gives every CTA the same
//! length of that line: the idea of stream-K (Osama et al. 2023) for attention. A pair that a cut falls into
//! is merged from its parts by the kernel.

use super::params::{DecodeWork, PrefillWork};

/// Tokens that the four warps of a decode CTA take in one turn.
pub(crate) const UNIT: u32 = 64;
/// Query heads that one decode piece covers at most.
pub(crate) const HEADS_PER_PIECE: u32 = 8;

/// A sequence as a plan sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// Tokens in the cache.
    pub(crate) len: u32,
    /// Where its blocks begin in the block table.
    pub(crate) blocks: u32,
}

/// The work of one decode launch: entry `c` is the first piece of CTA `c`, the rest hang off `next`.
#[derive(Debug, Clone, Default)]
pub(crate) struct DecodePlan {
    /// Pieces; the first `ctas` are the heads of the CTAs' lists.
    pub(crate) work: Vec<DecodeWork>,
    /// Partials that the launch writes.
    pub(crate) slots: u32,
    /// CTAs with something to do.
    pub(crate) busy: u32,
    /// Pieces of the pair being dealt, kept for its capacity.
    current: Vec<usize>,
}

impl DecodePlan {
    /// Pieces and partials that no batch of `seqs` sequences and `heads` heads exceeds.
    pub(crate) fn capacity(seqs: usize, heads: u16, ctas: u32) -> (usize, usize) {
        (2 * ctas as usize + seqs * usize::from(heads), 2 * ctas as usize)
    }

    /// Replans in place, so that a steady batch allocates nothing.
    ///
    /// An empty sequence becomes one piece without tokens, which writes zeros.
    pub(crate) fn rebuild(&mut self, spans: &[Span], heads: u16, ctas: u32) {
        let total: u64 = spans.iter().map(|span| units(span.len)).sum::<u64>() * u64::from(heads);
        self.busy = busy_ctas(total, ctas);
        self.slots = 0;
        self.work.clear();
        self.work.resize(ctas as usize, DecodeWork::default());
        let mut dealer = Dealer {
            plan: self,
            total,
            cta: 0,
            at: 0,
            tail: 0,
            fresh: true,
        };
        for (seq, &span) in (0..).zip(spans) {
            for head in 0..heads {
                dealer.deal(seq, head, span);
            }
        }
    }
}

fn units(len: u32) -> u64 {
    u64::from(len.div_ceil(UNIT).max(1))
}

/// For a small batch, as few CTAs as keep the longest share as short as it can be: fewer partials to merge.
fn busy_ctas(total: u64, ctas: u32) -> u32 {
    let share = total.div_ceil(u64::from(ctas)).max(1);
    let busy = if share <= 16 {
        total.div_ceil(share)
    } else {
        u64::from(ctas)
    };
    u32::try_from(busy).unwrap_or(ctas)
}

struct Dealer<'a> {
    plan: &'a mut DecodePlan,
    total: u64,
    cta: u64,
    at: u64,
    tail: usize,
    fresh: bool,
}

impl Dealer<'_> {
    /// Where the share of the current CTA ends on the line.
    fn share_end(&self) -> u64 {
        (self.cta + 1) * self.total / u64::from(self.plan.busy)
    }

    fn deal(&mut self, seq: u32, head: u16, Span { len, blocks }: Span) {
        let (start, end) = (self.at, self.at + units(len));
        let first_slot = self.plan.slots;
        let token = |at: u64| u32::try_from((at - start) * u64::from(UNIT)).map_or(len, |t| t.min(len));
        self.plan.current.clear();
        for slot in first_slot.. {
            let stop = end.min(self.share_end());
            let (begin, end_token) = (token(self.at), token(stop));
            self.push(DecodeWork {
                seq,
                blocks,
                head,
                begin,
                end: end_token,
                slot,
                first_slot,
                ..DecodeWork::default()
            });
            self.at = stop;
            if self.at == self.share_end() {
                self.cta += 1;
                self.fresh = true;
            }
            if self.at == end {
                break;
            }
        }
        self.stamp();
    }

    /// Adds a piece to the current CTA's list.
    fn push(&mut self, piece: DecodeWork) {
        let DecodePlan { work, current, .. } = &mut *self.plan;
        if self.fresh {
            self.tail = usize::try_from(self.cta).unwrap_or(0);
            work[self.tail] = piece;
        } else {
            work[self.tail].next = u32::try_from(work.len()).unwrap_or(0);
            self.tail = work.len();
            work.push(piece);
        }
        self.fresh = false;
        current.push(self.tail);
    }

    /// Tells the pieces of the pair just dealt how many they are.
    fn stamp(&mut self) {
        let DecodePlan {
            work, current, slots, ..
        } = &mut *self.plan;
        let parts = u16::try_from(current.len()).unwrap_or(u16::MAX);
        for &index in &*current {
            work[index].parts = parts;
        }
        if parts > 1 {
            *slots += u32::from(parts);
        }
    }
}

/// A sequence's share of a prefill launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// Tokens of the sequence that are in the cache already, before this chunk.
    pub context: u32,
    /// New tokens.
    pub tokens: u32,
}

/// Cuts prefill chunks into tiles of `rows` packed query rows, those with the most keys first, so that the
/// last CTAs to start are the shortest. `blocks` says where each sequence's blocks begin in the table.
pub(crate) fn prefill_tiles(
    chunks: &[Chunk],
    blocks: &[u32],
    (kv_heads, group): (u32, u32),
    rows: u32,
    tiles: &mut Vec<PrefillWork>,
) {
    tiles.clear();
    let mut first_token = 0;
    for (&Chunk { context, tokens }, &blocks) in chunks.iter().zip(blocks) {
        for first_row in (0..tokens * group).step_by(rows as usize) {
            tiles.extend((0..kv_heads).map(|kv_head| PrefillWork {
                blocks,
                kv_head,
                first_token,
                tokens,
                context,
                first_row,
                unused: [0; 2],
            }));
        }
        first_token += tokens;
    }
    tiles.sort_by_key(|tile| std::cmp::Reverse(tile.context + tile.first_row / group));
}

#[cfg(test)]
mod tests;
