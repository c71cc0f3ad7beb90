//! From a content's name to a block that holds it.

use super::Block;
use crate::hash::BlockHash;
use hashbrown::HashTable;

/// A hash table of block numbers: five bytes a block, since the names stay in the blocks.
#[derive(Debug, Default)]
pub(super) struct Index(HashTable<u32>);

impl Index {
    pub(super) fn find(&self, blocks: &[Block], hash: BlockHash) -> Option<u32> {
        self.0
            .find(hash.low(), |&id| blocks[id as usize].hash == hash)
            .copied()
    }

    /// Adds a block under its name, beside others with the same.
    pub(super) fn insert(&mut self, blocks: &[Block], id: u32) {
        let name = |&id: &u32| blocks[id as usize].hash.low();
        self.0.insert_unique(name(&id), id, name);
    }

    pub(super) fn remove(&mut self, blocks: &[Block], id: u32) {
        let hash = blocks[id as usize].hash.low();
        if let Ok(entry) = self.0.find_entry(hash, |&other| other == id) {
            entry.remove();
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.iter().copied()
    }
}
