//! The evictable blocks, least recently used first: a doubly linked list through the blocks.

use super::{Block, NIL};

#[derive(Debug)]
pub(super) struct Lru {
    head: u32,
    tail: u32,
    len: u32,
}

impl Default for Lru {
    fn default() -> Self {
        Self {
            head: NIL,
            tail: NIL,
            len: 0,
        }
    }
}

impl Lru {
    pub(super) const fn len(&self) -> u32 {
        self.len
    }

    /// The block to evict next.
    pub(super) fn head(&self) -> Option<u32> {
        (self.head != NIL).then_some(self.head)
    }

    /// Appends a block: it is evicted last.
    pub(super) fn push(&mut self, blocks: &mut [Block], id: u32) {
        let block = &mut blocks[id as usize];
        block.prev = self.tail;
        block.next = NIL;
        match self.tail {
            NIL => self.head = id,
            tail => blocks[tail as usize].next = id,
        }
        self.tail = id;
        self.len += 1;
    }

    /// Takes a block out, wherever it is.
    pub(super) fn remove(&mut self, blocks: &mut [Block], id: u32) {
        let Block { prev, next, .. } = blocks[id as usize];
        match prev {
            NIL => self.head = next,
            prev => blocks[prev as usize].next = next,
        }
        match next {
            NIL => self.tail = prev,
            next => blocks[next as usize].prev = prev,
        }
        self.len -= 1;
    }
}
