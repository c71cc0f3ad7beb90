//! Properties of what a recorder's histograms hold: exact totals, quantiles within the stated error, the layout of the
//! crate `histogram`.

mod recorder_sink;

use kvlens_core::histogram::{Config, SparseHistogram};
use kvlens_core::recorder::Recorder;
use kvlens_core::{Kind, MetricDesc, SourceInfo, StatsSource, Unit};
use proptest::prelude::*;
use recorder_sink::Kept;

static TIME: MetricDesc = MetricDesc::new("time_ns", Kind::Histogram, Unit::Nanoseconds, "Time.");

/// Values of every magnitude, with some at the ends.
fn value() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => (0_u32..46, any::<u64>()).prop_map(|(bits, value)| value & ((1 << bits) - 1)),
        1 => 0_u64..300,
        1 => Just(u64::MAX),
    ]
}

fn sparse(values: &[u64]) -> SparseHistogram {
    let mut all = SparseHistogram::default();
    values.iter().for_each(|value| all.record(*value));
    all
}

proptest! {
    #[test]
    fn deltas_and_totals_hold_exactly_what_was_recorded(intervals in prop::collection::vec(prop::collection::vec((value(), any::<bool>()), 0..60), 1..8)) {
        let recorder = Recorder::new(SourceInfo::new("engine-0", "test"));
        let shared = recorder.histogram(&TIME).unwrap();
        let mut alone = recorder.histogram_writer(&TIME).unwrap();
        let mut source = recorder.source().unwrap();
        let (mut kept, mut all) = (Kept::default(), vec![]);
        for interval in &intervals {
            let values: Vec<u64> = interval.iter().map(|(value, _)| *value).collect();
            for (value, through_shared) in interval {
                if *through_shared { shared.record(*value) } else { alone.record(*value) }
            }
            source.sample(&mut kept).unwrap();
            prop_assert_eq!(wrapped(&kept.last_delta[&0]), wrapped(&sparse(&values)));
            all.extend(values);
        }
        let mut now = SparseHistogram::default();
        shared.snapshot(&mut now);
        prop_assert_eq!(wrapped(&now), wrapped(&sparse(&all)));
    }

    #[test]
    fn quantiles_are_within_the_stated_error(mut values in prop::collection::vec(value(), 1..300), pick: prop::sample::Index) {
        let recorder = Recorder::new(SourceInfo::new("engine-0", "test"));
        let shared = recorder.histogram(&TIME).unwrap();
        values.iter().for_each(|value| shared.record(*value));
        values.sort_unstable();
        let rank = pick.index(values.len());
        let share = |rank: usize| (f64::from(u32::try_from(rank).unwrap()) + 0.5) / f64::from(u32::try_from(values.len()).unwrap());
        let qs = [share(rank / 2), share(rank)];

        let (mut live, mut stored, mut now) = ([None; 2], [None; 2], SparseHistogram::default());
        let summary = shared.quantiles(&qs, &mut live);
        shared.snapshot(&mut now);
        now.quantiles(&qs, &mut stored);
        prop_assert_eq!(live, stored, "both ways of asking agree");
        prop_assert_eq!((summary.count, summary.min, summary.max), (now.count(), now.min(), now.max()));
        let last_bucket = Config::DEFAULT.range(usize::MAX).0;
        for (rank, answer) in [rank / 2, rank].into_iter().zip(live) {
            let (truth, answer) = (values[rank], answer.unwrap());
            prop_assert!(answer.low <= truth && truth <= answer.high, "{answer:?} holds {truth}");
            // 1 in 256 is less than 0.4 %. The last bucket is open above and has no bound.
            if truth < last_bucket {
                prop_assert!(u128::from(answer.value.abs_diff(truth)) * 256 <= u128::from(truth), "{answer:?} for {truth}");
            }
        }
    }

    #[test]
    fn merging_is_commutative_and_associative_and_keeps_counts(
        a in prop::collection::vec(value(), 0..300),
        b in prop::collection::vec(value(), 0..300),
        c in prop::collection::vec(1_u64..400, 0..400),
    ) {
        let merged = |parts: &[&SparseHistogram]| {
            let mut sum = SparseHistogram::default();
            parts.iter().for_each(|part| sum.merge(part).unwrap());
            sum
        };
        let (x, y, z) = (sparse(&a), sparse(&b), sparse(&c));
        let sum = merged(&[&x, &y, &z]);
        prop_assert_eq!(&sum, &merged(&[&z, &y, &x]));
        prop_assert_eq!(&sum, &merged(&[&x, &merged(&[&y, &z])]));
        let all: Vec<u64> = a.iter().chain(&b).chain(&c).copied().collect();
        prop_assert_eq!(&sum, &sparse(&all));
        let mut twice = sum.clone();
        twice.merge(&sum).unwrap();
        prop_assert!(twice.buckets().map(|(_, count)| count).eq(sum.buckets().map(|(_, count)| 2 * count)));
    }

    #[test]
    fn the_layout_is_that_of_the_crate_histogram(
        values in prop::collection::vec(any::<u64>(), 1..200),
        grouping in 0_u8..=12,
        above in 1_u8..=52,
    ) {
        let power = (grouping + above).min(64);
        let mut theirs = histogram::Histogram::new(grouping, power).unwrap();
        let config = Config::new(grouping, power).unwrap();
        let mut ours = SparseHistogram::new(config);
        for value in values {
            let value = (value >> (value % 64)).min(config.max_value());
            theirs.increment(value).unwrap();
            ours.record(value);
        }
        let sparse = histogram::SparseHistogram::from(&theirs);
        let expected = sparse.index().iter().copied().zip(sparse.count().iter().copied());
        prop_assert!(ours.buckets().eq(expected));
        for (bucket, (index, _)) in sparse.iter().zip(ours.buckets()) {
            prop_assert_eq!((bucket.start(), bucket.end()), config.range(index as usize));
        }
    }
}

/// What can be compared where sums wrap around in a recorder and saturate in a sparse histogram.
fn wrapped(h: &SparseHistogram) -> Parts {
    let sum = (h.max() < Some(1 << 50)).then_some(h.sum());
    (h.count(), sum, [h.min(), h.max()], h.buckets().collect())
}

type Parts = (u64, Option<u64>, [Option<u64>; 2], Vec<(u32, u64)>);

#[test]
fn a_counts_overflow_saturates() {
    let mut most = SparseHistogram::default();
    most.record_n(5, u64::MAX);
    let mut sum = most.clone();
    sum.merge(&most).unwrap();
    sum.merge(&sparse(&[5, 7])).unwrap();
    assert_eq!(sum.buckets().collect::<Vec<_>>(), [(5, u64::MAX), (7, 1)]);
    assert_eq!(sum.count(), u64::MAX);
}

proptest! {
    #[test]
    fn a_few_values_merged_into_many_are_recorded_in_all(
        many in prop::collection::vec(0_u64..1_000_000, 500..2_000),
        few in prop::collection::vec(0_u64..1_100_000, 1..8),
    ) {
        let of = |values: &[u64]| {
            let mut histogram = SparseHistogram::new(Config::DEFAULT);
            values.iter().for_each(|value| histogram.record(*value));
            histogram
        };
        let mut merged = of(&many);
        merged.merge(&of(&few)).unwrap();
        prop_assert_eq!(merged, of(&[many, few].concat()));
    }
}

#[test]
fn extremes_that_contradict_the_buckets_are_mended() {
    let config = Config::DEFAULT;
    let one = |min, max| SparseHistogram::from_parts(config, 1_000, min, max, [(300, 1)]);
    let (low, high) = config.range(300);
    assert_eq!(
        (one(u64::MAX, 0).min(), one(u64::MAX, 0).max()),
        (Some(low), Some(high))
    );
    assert_eq!(
        (one(0, u64::MAX).min(), one(0, u64::MAX).max()),
        (Some(low), Some(high))
    );
    let p50 = one(u64::MAX, 0).quantile(0.5).unwrap();
    assert_eq!((p50.low, p50.high), (low, high));
}
