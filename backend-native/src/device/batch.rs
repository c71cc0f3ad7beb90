//! What goes to a device in a step, and what comes back.

use crate::request::Prompt;

/// A block's content on its way from one place to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockMove {
    /// The block, of the device's or the host's pool, that is read.
    pub from: u32,
    /// The block, of the device's or the host's pool, that is written.
    pub to: u32,
}

/// A sequence's part of a step.
#[derive(Debug, Clone, Copy)]
pub struct SeqStep<'a> {
    /// The request it belongs to.
    pub request: u64,
    /// A small number, the sequence's own as long as it lives.
    pub slot: u32,
    /// The blocks of its tokens, in order; long enough for the new tokens.
    pub block_table: &'a [u32],
    /// Tokens whose KV is already in the blocks: the position of the first new token.
    pub start: u32,
    /// New tokens to compute.
    pub len: u32,
    /// Whether the token that follows is wanted.
    pub sampled: bool,
    /// Whether this is one new token of a sequence that has sampled before, rather than a piece of prompt.
    pub decode: bool,
    /// The prompt, for [`read_tokens`](Self::read_tokens).
    pub prompt: &'a Prompt,
    /// Tokens in the prompt.
    pub prompt_len: u32,
    /// The tokens generated so far, which follow the prompt.
    pub generated: &'a [u32],
}

impl SeqStep<'_> {
    /// Fills `out` with the sequence's tokens from a position on.
    ///
    /// Tokens are not handed over, because a device that computes nothing needs none of them.
    pub fn read_tokens(&self, from: u32, out: &mut [u32]) {
        read_tokens(self.prompt, self.prompt_len, self.generated, from, out);
    }
}

/// Reads tokens of a prompt and of what was generated after it.
pub(crate) fn read_tokens(prompt: &Prompt, prompt_len: u32, generated: &[u32], from: u32, out: &mut [u32]) {
    let in_prompt = (prompt_len.saturating_sub(from) as usize).min(out.len());
    let (head, tail) = out.split_at_mut(in_prompt);
    if !head.is_empty() {
        prompt.read(from as usize, head);
    }
    let skip = from.saturating_sub(prompt_len) as usize;
    for (token, slot) in generated.iter().skip(skip).zip(tail) {
        *slot = *token;
    }
}

/// The sequences of a batch, by place.
pub trait Sequences {
    /// Counts them.
    fn len(&self) -> usize;

    /// Shows one of them; `None` past the end.
    fn at(&self, index: usize) -> Option<SeqStep<'_>>;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Sequences for [SeqStep<'_>] {
    fn len(&self) -> usize {
        <[SeqStep<'_>]>::len(self)
    }

    fn at(&self, index: usize) -> Option<SeqStep<'_>> {
        self.get(index).copied()
    }
}

impl Sequences for Vec<SeqStep<'_>> {
    fn len(&self) -> usize {
        self.as_slice().len()
    }

    fn at(&self, index: usize) -> Option<SeqStep<'_>> {
        self.get(index).copied()
    }
}

/// One step, as a device gets it.
#[derive(Clone, Copy)]
pub struct StepBatch<'a> {
    /// The step's number, from 0.
    pub step: u64,
    /// Device blocks to save into the host pool; first.
    pub swap_out: &'a [BlockMove],
    /// Device blocks to copy to device blocks; second.
    pub copies: &'a [BlockMove],
    /// Host blocks to load into device blocks; third.
    pub swap_in: &'a [BlockMove],
    /// The sequences to run; last.
    pub sequences: &'a dyn Sequences,
}

impl<'a> StepBatch<'a> {
    /// Makes a batch without moves.
    pub fn new(step: u64, sequences: &'a dyn Sequences) -> Self {
        Self {
            step,
            swap_out: &[],
            copies: &[],
            swap_in: &[],
            sequences,
        }
    }

    /// Walks the sequences.
    pub fn iter(&self) -> impl Iterator<Item = SeqStep<'a>> + use<'a> {
        let sequences = self.sequences;
        (0..sequences.len()).filter_map(|index| sequences.at(index))
    }
}

impl std::fmt::Debug for StepBatch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StepBatch")
            .field("step", &self.step)
            .field("swap_out", &self.swap_out)
            .field("copies", &self.copies)
            .field("swap_in", &self.swap_in)
            .field("sequences", &self.iter().collect::<Vec<_>>())
            .finish()
    }
}

/// How long the device was busy with a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceTime {
    /// The step.
    pub step: u64,
    /// Time on the device.
    pub device_ns: u64,
    /// Energy used, where it is known.
    pub energy_mj: Option<u64>,
}

/// What a device gives back; cleared by the engine before each step.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct StepOutput {
    /// The sampled tokens, one per sequence with `sampled` set, in batch order.
    pub tokens: Vec<u32>,
    /// Times that became known, of this step or of earlier ones.
    pub times: Vec<DeviceTime>,
    /// How long the step would have taken without its prefills, where the device can tell.
    pub decode_only_ns: Option<u64>,
}

impl StepOutput {
    /// Empties it, keeping its memory.
    pub fn clear(&mut self) {
        self.tokens.clear();
        self.times.clear();
        self.decode_only_ns = None;
    }
}
