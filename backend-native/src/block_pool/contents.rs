//! What cached blocks hold, token by token: how far a prompt agrees with one that it misses.

use crate::hash::BlockHash;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// A block's tokens and what comes before them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Content {
    /// The name of the block before.
    pub(crate) parent: BlockHash,
    /// What the KV depends on besides the tokens.
    pub(crate) extra_key: u64,
    /// The tokens; a prompt's last ones may be fewer than a block's.
    pub(crate) tokens: Box<[u32]>,
}

/// The contents of all blocks with a name.
///
/// They are in the order of their tokens, block by block after the same beginning, so that those which agree longest with
/// a prompt are its neighbours there.
#[derive(Debug, Default)]
pub(super) struct Contents {
    ordered: BTreeSet<(Arc<Content>, u32)>,
    of_block: HashMap<u32, Arc<Content>>,
}

impl Contents {
    pub(super) fn insert(&mut self, block: u32, content: Content) {
        let content = Arc::new(content);
        self.ordered.insert((Arc::clone(&content), block));
        self.of_block.insert(block, content);
    }

    pub(super) fn remove(&mut self, block: u32) {
        if let Some(content) = self.of_block.remove(&block) {
            self.ordered.remove(&(content, block));
        }
    }

    pub(super) fn clear(&mut self) {
        self.ordered.clear();
        self.of_block.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.ordered.len()
    }

    /// The most tokens that a block agrees in with the wanted ones, from their beginning on.
    pub(super) fn agreeing(&self, wanted: Content) -> usize {
        let wanted = (Arc::new(wanted), 0);
        let before = self.ordered.range(..&wanted).next_back();
        let after = self.ordered.range(&wanted..).next();
        let agree = |(content, _): &(Arc<Content>, u32)| {
            let alike = content.parent == wanted.0.parent && content.extra_key == wanted.0.extra_key;
            let pairs = content.tokens.iter().zip(&wanted.0.tokens);
            if alike {
                pairs.take_while(|(a, b)| a == b).count()
            } else {
                0
            }
        };
        before.into_iter().chain(after).map(agree).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn content() -> impl Strategy<Value = Content> {
        // Few tokens, so that many agree.
        let tokens = prop::collection::vec(0_u32..3, 0..5);
        (0_u32..2, 0_u64..2, tokens).prop_map(|(parent, extra_key, tokens)| Content {
            parent: crate::hash::BlockHasher::new(1).name(BlockHash::NONE, 0, |out| out[0] = parent),
            extra_key,
            tokens: tokens.into(),
        })
    }

    proptest! {
        #[test]
        fn neighbours_agree_as_long_as_the_best_of_all(
            contents in prop::collection::vec(content(), 0..40),
            gone in prop::collection::vec(any::<bool>(), 40),
            wanted in content(),
        ) {
            let mut held = Contents::default();
            for (content, block) in contents.iter().zip(0..) {
                held.insert(block, content.clone());
            }
            for (gone, block) in gone.iter().zip(0..) {
                if *gone {
                    held.remove(block);
                }
            }
            let left = contents.iter().zip(&gone).filter(|(_, gone)| !**gone).map(|(content, _)| content);
            let like = left.clone().filter(|c| c.parent == wanted.parent && c.extra_key == wanted.extra_key);
            let best = like.map(|c| c.tokens.iter().zip(&wanted.tokens).take_while(|(a, b)| a == b).count()).max();
            prop_assert_eq!(held.agreeing(wanted), best.unwrap_or(0));
            prop_assert_eq!(held.len(), left.count());
        }
    }
}
