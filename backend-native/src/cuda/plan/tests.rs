use super::*;

/// A small generator, so that the cases are many and the same in every run.
struct Lengths(u64);

impl Lengths {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        u32::try_from(self.0 >> 33).expect("31 bits") % limit
    }

    fn batch(&mut self) -> Vec<Span> {
        let longest = [70, 700, 40_000][self.below(3) as usize];
        (0..=self.below(40))
            .map(|blocks| Span {
                len: self.below(longest),
                blocks,
            })
            .collect()
    }
}

/// The pieces of a CTA, in the order that it works through them.
fn pieces(plan: &DecodePlan, cta: usize) -> Vec<DecodeWork> {
    let mut found = vec![plan.work[cta]];
    while let Some(&DecodeWork { next: next @ 1.., .. }) = found.last() {
        found.push(plan.work[next as usize]);
    }
    found.retain(|piece| piece.parts > 0);
    found
}

fn check(plan: &DecodePlan, spans: &[Span], heads: u16, ctas: u32) {
    let mut covered = std::collections::BTreeMap::<(u32, u16), Vec<DecodeWork>>::new();
    let mut shares = Vec::new();
    for cta in 0..ctas as usize {
        let mine = pieces(plan, cta);
        assert_eq!(mine.is_empty(), cta >= plan.busy as usize, "busy CTAs come first");
        shares.push(mine.iter().map(|p| units(p.end - p.begin)).sum::<u64>());
        for piece in mine {
            covered.entry((piece.seq, piece.head)).or_default().push(piece);
        }
    }
    let busy = &shares[..plan.busy as usize];
    let spread = busy.iter().max().unwrap_or(&0) - busy.iter().min().unwrap_or(&0);
    assert!(spread <= 1, "shares differ by {spread} units");
    check_cover(&covered, spans, heads, plan.slots);
}

fn check_cover(
    covered: &std::collections::BTreeMap<(u32, u16), Vec<DecodeWork>>,
    spans: &[Span],
    heads: u16,
    slots: u32,
) {
    assert_eq!(covered.len(), spans.len() * usize::from(heads));
    let mut used = std::collections::BTreeSet::new();
    for (&(seq, _), parts) in covered {
        let mut at = 0;
        for (number, piece) in (0..).zip(parts) {
            assert_eq!(
                (piece.begin, piece.begin % UNIT),
                (at, 0),
                "pieces follow each other"
            );
            assert_eq!(usize::from(piece.parts), parts.len());
            assert_eq!(piece.blocks, spans[seq as usize].blocks);
            assert_eq!(piece.slot, piece.first_slot + number);
            assert!(piece.parts == 1 || used.insert(piece.slot), "a slot of its own");
            at = piece.end;
        }
        assert_eq!(at, spans[seq as usize].len, "every token once");
    }
    assert_eq!(used.len(), slots as usize);
    assert!(used.iter().all(|&slot| slot < slots));
}

#[test]
fn every_token_is_dealt_once_and_in_equal_shares() {
    let mut lengths = Lengths(1);
    let mut plan = DecodePlan::default();
    for round in 0..500 {
        let spans = lengths.batch();
        let (heads, ctas) = ([1, 3, 8, 32][round % 4], [1, 7, 132, 264][round / 4 % 4]);
        plan.rebuild(&spans, heads, ctas);
        check(&plan, &spans, heads, ctas);
        let (work, slots) = DecodePlan::capacity(spans.len(), heads, ctas);
        assert!(plan.work.len() <= work && plan.slots as usize <= slots);
    }
}

#[test]
fn an_empty_batch_keeps_nobody_busy() {
    let mut plan = DecodePlan::default();
    plan.rebuild(&[], 8, 132);
    assert_eq!((plan.busy, plan.slots), (0, 0));
    assert!(plan.work.iter().all(|piece| piece.parts == 0));
}

#[test]
fn a_short_sequence_is_not_split_further_than_a_unit() {
    let mut plan = DecodePlan::default();
    plan.rebuild(&[Span { len: 1024, blocks: 0 }], 8, 264);
    assert_eq!((plan.busy, plan.slots), (128, 128));
}

#[test]
fn prefill_tiles_cover_every_row_with_the_longest_first() {
    let chunks = [
        Chunk {
            context: 0,
            tokens: 100,
        },
        Chunk {
            context: 500,
            tokens: 1,
        },
        Chunk {
            context: 7,
            tokens: 33,
        },
    ];
    let mut tiles = Vec::new();
    prefill_tiles(&chunks, &[10, 20, 30], (2, 4), 128, &mut tiles);
    for kv_head in 0..2 {
        for (blocks, chunk) in [10, 20, 30].into_iter().zip(&chunks) {
            let mut rows: Vec<u32> = tiles
                .iter()
                .filter(|t| (t.blocks, t.kv_head) == (blocks, kv_head))
                .map(|t| t.first_row)
                .collect();
            rows.sort_unstable();
            let expected: Vec<u32> = (0..chunk.tokens * 4).step_by(128).collect();
            assert_eq!(rows, expected);
        }
    }
    assert_eq!(
        tiles
            .iter()
            .map(|t| t.first_token)
            .collect::<std::collections::BTreeSet<_>>()
            .len(),
        3
    );
    assert!(tiles.is_sorted_by_key(|t| std::cmp::Reverse(t.context + t.first_row / 4)));
}
