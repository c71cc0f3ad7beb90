//! A live request: its tokens, its blocks, its times.

use crate::block_pool::Content;
use crate::device::batch::read_tokens;
use crate::hash::{BlockHash, BlockHasher};
use crate::request::{Prompt, Request};
use crate::timing::Timing;
use kvlens_core::record::Text;
use std::sync::Arc;

/// A sequence's rank: what is smaller runs earlier and is preempted later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Rank {
    /// The request's priority; 0 under first come, first served.
    pub(crate) priority: u32,
    /// Its number in the order of being added.
    pub(crate) number: u64,
}

/// Where a sequence is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Phase {
    /// Queued, with no block of the device.
    #[default]
    Waiting,
    /// Queued, with its KV in the host pool.
    Swapped,
    /// In the running batch.
    Running,
}

/// What a sequence does in the step that is being scheduled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) slot: u32,
    /// Tokens whose KV is there already.
    pub(crate) start: u32,
    /// Tokens to compute.
    pub(crate) len: u32,
    /// Whether a token is sampled.
    pub(crate) sampled: bool,
    /// Whether it is one new token after the prompt, rather than a piece of prompt or a recomputation.
    pub(crate) decode: bool,
}

/// A live request.
#[derive(Debug)]
pub(crate) struct Sequence {
    pub(crate) id: u64,
    pub(crate) name: Text,
    pub(crate) rank: Rank,
    pub(crate) priority: u32,
    pub(crate) prompt: Prompt,
    pub(crate) prompt_len: u32,
    pub(crate) max_tokens: u32,
    pub(crate) stop_token: Option<u32>,
    pub(crate) extra_key: u64,
    pub(crate) phase: Phase,
    pub(crate) generated: Vec<u32>,
    /// Tokens whose KV is in `blocks` (or `host_blocks`).
    pub(crate) computed: u32,
    /// The most tokens ever computed or found cached: what is below is recomputed, not new.
    pub(crate) computed_before: u32,
    pub(crate) blocks: Vec<u32>,
    pub(crate) host_blocks: Vec<u32>,
    /// Names of the first blocks, as far as they were needed so far.
    pub(crate) hashes: Vec<BlockHash>,
    /// Blocks whose content the pool knows by name.
    pub(crate) cached_blocks: u32,
    /// Whether a fork may share a block that it writes to.
    pub(crate) forked: bool,
    pub(crate) timing: Timing,
}

impl Sequence {
    pub(crate) fn new() -> Self {
        Self {
            id: 0,
            name: Text::EMPTY,
            rank: Rank::default(),
            priority: 0,
            prompt: Prompt::Tokens(Arc::default()),
            prompt_len: 0,
            max_tokens: 0,
            stop_token: None,
            extra_key: 0,
            phase: Phase::Waiting,
            generated: Vec::new(),
            computed: 0,
            computed_before: 0,
            blocks: Vec::new(),
            host_blocks: Vec::new(),
            hashes: Vec::new(),
            cached_blocks: 0,
            forked: false,
            timing: Timing::default(),
        }
    }

    /// Takes a request over, keeping the memory of the one before.
    pub(crate) fn begin(&mut self, request: Request, prompt_len: u32, rank: Rank) {
        self.id = request.id;
        self.name = request.name.unwrap_or_else(|| Text::number(request.id));
        self.rank = rank;
        self.priority = request.priority;
        self.prompt = request.prompt;
        self.prompt_len = prompt_len;
        self.max_tokens = request.max_tokens;
        self.stop_token = request.stop_token;
        self.extra_key = request.extra_key;
        self.phase = Phase::Waiting;
        self.generated.clear();
        self.computed = 0;
        self.computed_before = 0;
        self.blocks.clear();
        self.host_blocks.clear();
        self.hashes.clear();
        self.cached_blocks = 0;
        self.forked = false;
        self.timing = Timing::new(request.arrival_ns);
    }

    /// Lets go of the prompt, so that an ended request keeps no memory of its caller's.
    pub(crate) fn end(&mut self) {
        self.prompt = Prompt::Tokens(Arc::default());
    }

    /// Tokens known so far.
    pub(crate) fn tokens(&self) -> u32 {
        self.prompt_len + len(&self.generated)
    }

    /// The name of a whole block of known tokens, by its place.
    pub(crate) fn hash(&mut self, index: u32, block_size: u32, hasher: &mut BlockHasher) -> BlockHash {
        while len(&self.hashes) <= index {
            let parent = self.hashes.last().copied().unwrap_or(BlockHash::NONE);
            let from = len(&self.hashes) * block_size;
            let name = hasher.name(parent, self.extra_key, |tokens| {
                read_tokens(&self.prompt, self.prompt_len, &self.generated, from, tokens);
            });
            self.hashes.push(name);
        }
        self.hashes[index as usize]
    }

    /// The first tokens of a block, and what comes before it: the names of the blocks before must have been asked for.
    pub(crate) fn content(&self, index: u32, block_size: u32, tokens: u32) -> Content {
        let mut content = Content {
            parent: self.hashes[..index as usize]
                .last()
                .copied()
                .unwrap_or(BlockHash::NONE),
            extra_key: self.extra_key,
            tokens: vec![0; tokens as usize].into(),
        };
        let from = index * block_size;
        read_tokens(
            &self.prompt,
            self.prompt_len,
            &self.generated,
            from,
            &mut content.tokens,
        );
        content
    }

    /// Token slots filled in one of its blocks.
    pub(crate) fn filled(&self, index: u32, block_size: u32) -> u32 {
        self.computed.saturating_sub(index * block_size).min(block_size)
    }
}

/// A vector's length; the engine keeps all of them below 2^32.
pub(crate) fn len<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).unwrap_or(u32::MAX)
}

/// The live sequences, by slot; slots and their memory are used again.
#[derive(Debug, Default)]
pub(crate) struct Slab {
    sequences: Vec<Sequence>,
    vacant: Vec<u32>,
}

impl Slab {
    pub(crate) fn insert(&mut self, request: Request, prompt_len: u32, rank: Rank) -> u32 {
        let slot = self.vacant.pop().unwrap_or_else(|| {
            self.sequences.push(Sequence::new());
            len(&self.sequences) - 1
        });
        self[slot].begin(request, prompt_len, rank);
        slot
    }

    pub(crate) fn remove(&mut self, slot: u32) {
        self[slot].end();
        self.vacant.push(slot);
    }
}

impl std::ops::Index<u32> for Slab {
    type Output = Sequence;

    #[inline]
    fn index(&self, slot: u32) -> &Sequence {
        &self.sequences[slot as usize]
    }
}

impl std::ops::IndexMut<u32> for Slab {
    #[inline]
    fn index_mut(&mut self, slot: u32) -> &mut Sequence {
        &mut self.sequences[slot as usize]
    }
}
