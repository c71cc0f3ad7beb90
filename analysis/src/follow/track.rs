//! Figures by time, finer for the recent past.

use crate::overview::Merged;
use kvlens_core::Value;
use std::collections::VecDeque;

/// The widths of bins, in nanoseconds: 250 ms, and eight times that for every further track.
pub(super) const WIDTHS_NS: [i64; 5] = [
    250_000_000,
    2_000_000_000,
    16_000_000_000,
    128_000_000_000,
    1_024_000_000_000,
];
/// Bins of a track: 75 s of the finest, three and a half days of the coarsest.
pub(super) const BINS: usize = 300;

/// A gauge's place in a bin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gauge {
    Running,
    Waiting,
    BlocksTotal,
    BlocksUsed,
    BlocksCached,
    BlocksFree,
}

pub(super) const GAUGES: usize = 6;

/// A count's place in a bin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Count {
    Steps,
    PromptTokens,
    GenerationTokens,
    Queries,
    Hits,
    Preemptions,
    Finished,
}

pub(super) const COUNTS: usize = 7;

/// A latency, and which table says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Spread {
    RequestFirstToken,
    RequestPerToken,
    RequestEndToEnd,
    RequestQueue,
    SampledFirstToken,
    SampledInterToken,
    SampledEndToEnd,
    SampledQueue,
}

/// Latencies; most bins have none.
pub(super) type Spreads = Vec<(Spread, Merged)>;

/// The latency of a kind, made where it is not there.
pub(super) fn spread(spreads: &mut Spreads, kind: Spread) -> &mut Merged {
    let at = spreads
        .iter()
        .position(|(known, _)| *known == kind)
        .unwrap_or_else(|| {
            spreads.push((kind, Merged::default()));
            spreads.len() - 1
        });
    &mut spreads[at].1
}

/// The figures of a stretch of time.
#[derive(Debug, Clone, Default)]
pub(super) struct Bin {
    /// Sum and number of readings.
    pub(super) gauges: [(f64, u32); GAUGES],
    pub(super) counts: [u64; COUNTS],
    pub(super) spreads: Spreads,
}

/// Bins of one width.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) width_ns: i64,
    /// The first bin's number: its beginning in units of the width.
    pub(super) first: i64,
    pub(super) bins: VecDeque<Bin>,
}

impl Track {
    fn new(width_ns: i64) -> Self {
        Self {
            width_ns,
            first: 0,
            bins: VecDeque::new(),
        }
    }

    /// The bin of a time; `None` if that is too long ago.
    fn bin(&mut self, at_ns: i64) -> Option<&mut Bin> {
        let number = at_ns.div_euclid(self.width_ns);
        if self.bins.is_empty() {
            self.first = number;
        }
        let most = i64::try_from(BINS).unwrap_or(i64::MAX);
        let last = self.first + i64::try_from(self.bins.len()).unwrap_or(0) - 1;
        if number > last.saturating_add(most) {
            self.bins.clear();
            self.first = number;
        }
        if number < self.first {
            let missing = usize::try_from(self.first - number).unwrap_or(usize::MAX);
            if missing > BINS - self.bins.len().min(BINS) {
                return None;
            }
            (0..missing).for_each(|_| self.bins.push_front(Bin::default()));
            self.first = number;
        }
        let at = usize::try_from(number - self.first).ok()?;
        while self.bins.len() <= at {
            self.bins.push_back(Bin::default());
        }
        let over = self.bins.len().saturating_sub(BINS);
        self.bins.drain(..over);
        self.first += i64::try_from(over).unwrap_or(0);
        self.bins.get_mut(at - over)
    }
}

/// One engine, or one source: its figures now, by time and in all.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) tracks: Vec<Track>,
    /// The last reading of each gauge, and when it was.
    pub(super) last: [Option<(i64, f64)>; GAUGES],
    pub(super) totals: [u64; COUNTS],
    pub(super) spreads: Spreads,
    pub(super) start_ns: i64,
}

impl Engine {
    pub(super) fn new(start_ns: i64) -> Self {
        Self {
            tracks: WIDTHS_NS.map(Track::new).into(),
            last: [None; GAUGES],
            totals: [0; COUNTS],
            spreads: Vec::new(),
            start_ns,
        }
    }

    /// Takes a reading of the gauges that are known, and what was counted since the one before.
    pub(super) fn add(&mut self, at_ns: i64, gauges: &[Option<f64>; GAUGES], counts: &[u64; COUNTS]) {
        for (last, value) in self.last.iter_mut().zip(gauges) {
            if let Some(value) = value
                && last.is_none_or(|(before, _)| before <= at_ns)
            {
                *last = Some((at_ns, *value));
            }
        }
        for (total, count) in self.totals.iter_mut().zip(counts) {
            *total = total.saturating_add(*count);
        }
        for bin in self.tracks.iter_mut().filter_map(|track| track.bin(at_ns)) {
            for ((sum, readings), value) in bin.gauges.iter_mut().zip(gauges) {
                *sum += value.unwrap_or(0.0);
                *readings = readings.saturating_add(u32::from(value.is_some()));
            }
            for (sum, count) in bin.counts.iter_mut().zip(counts) {
                *sum = sum.saturating_add(*count);
            }
        }
    }

    pub(super) fn spread(&mut self, at_ns: i64, kind: Spread, value: &Value) {
        spread(&mut self.spreads, kind).add(value.clone());
        for bin in self.tracks.iter_mut().filter_map(|track| track.bin(at_ns)) {
            spread(&mut bin.spreads, kind).add(value.clone());
        }
    }
}
