//! One pass over `steps`.

use super::bins::{Bins, GaugeBin};
use crate::error::Result;
use crate::num::{float, ratio, signed};
use crate::scan::{Cols, Numbers};
use crate::stats::Values;
use arrow_array::{RecordBatch, UInt32Array};
use arrow_select::take::take_record_batch;
use std::collections::BTreeMap;
use std::ops::Range;

/// Gauges at the end of a step.
pub(crate) const GAUGES: [&str; 7] = [
    "requests_running",
    "requests_waiting",
    "requests_swapped",
    "kv_blocks_used",
    "kv_blocks_cached",
    "kv_blocks_free",
    "kv_tokens_used",
];

/// Counts of a step.
pub(crate) const COUNTERS: [&str; 19] = [
    "requests_finished",
    "requests_admitted",
    "prefill_tokens",
    "decode_tokens",
    "prompt_tokens",
    "generation_tokens",
    "recomputed_tokens",
    "prefix_cache_queries",
    "prefix_cache_hits",
    "kv_blocks_allocated",
    "kv_blocks_evicted",
    "kv_blocks_swapped_out",
    "kv_blocks_swapped_in",
    "preemptions_recompute",
    "preemptions_swap",
    "step_time_ns",
    "device_time_ns",
    "energy_mj",
    "schedule_time_ns",
];

/// Every column that the pass reads.
pub(crate) fn columns() -> Vec<&'static str> {
    let mut columns = vec!["timestamp", "source", "engine_index", "step", "kv_blocks_total"];
    columns.extend(GAUGES);
    columns.extend(COUNTERS);
    columns
}

/// How many of the longest steps and gaps are kept.
const KEPT_LONGEST: usize = 5;

/// A step that took long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct LongStep {
    /// How long.
    pub step_time_ns: u64,
    /// The step's number; `None` where steps have none.
    pub step: Option<u64>,
    /// When it began, in UTC.
    pub start_ns: i64,
    /// Tokens computed by prefill.
    pub prefill_tokens: u64,
    /// Tokens computed by decoding requests.
    pub decode_tokens: u64,
}

/// A time without a step although requests were there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct IdleGap {
    /// How long.
    pub gap_ns: u64,
    /// When it began, in UTC.
    pub start_ns: i64,
    /// Requests in the running batch.
    pub requests_running: u64,
    /// Requests that waited.
    pub requests_waiting: u64,
}

/// What one engine's steps came to.
#[derive(Debug, Clone)]
pub(crate) struct Lane {
    pub(crate) bins: Bins,
    pub(crate) steps: u64,
    pub(crate) totals: [Option<u64>; COUNTERS.len()],
    pub(crate) step_time: Values,
    pub(crate) blocks_total: Option<u64>,
    pub(crate) start_ns: i64,
    pub(crate) end_ns: i64,
    /// Time without a step although requests were there.
    pub(crate) idle_ns: u64,
    /// Time without a step and without requests.
    pub(crate) empty_ns: u64,
    pub(crate) gaps: Vec<IdleGap>,
    pub(crate) longest: Vec<LongStep>,
    first_end: i64,
    last: Option<State>,
}

/// What holds from the end of a step on.
#[derive(Debug, Clone, Copy)]
struct State {
    end: i64,
    /// Whether the step's time is known, and so its end.
    is_timed: bool,
    gauges: [Option<f64>; GAUGES.len()],
}

impl State {
    fn requests(&self) -> [u64; 3] {
        let count = |at: usize| {
            self.gauges
                .get(at)
                .copied()
                .flatten()
                .map_or(0, crate::num::rounded)
        };
        [count(0), count(1), count(2)]
    }
}

/// All engines' steps, by source and engine.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    pub(crate) lanes: BTreeMap<(String, u64), Lane>,
}

impl Steps {
    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let cols = Cols::new(batch);
        let rows = cols.rows();
        if rows == 0 {
            return Ok(());
        }
        let (source, engine) = (cols.strings("source")?, cols.numbers("engine_index")?);
        let one_engine = match engine.extremes(0..rows) {
            Some((low, high)) => low >= high,
            None => true,
        };
        if let (Some(name), true) = (source.constant(rows), one_engine) {
            let key = (name.unwrap_or_default().to_owned(), engine.get(0).unwrap_or(0));
            return self.lanes.entry(key).or_insert_with(Lane::new).add(batch);
        }
        let mut places: BTreeMap<(String, u64), Vec<u32>> = BTreeMap::new();
        for (place, row) in (0_u32..).zip(0..rows) {
            let key = (
                source.get(row).unwrap_or_default().to_owned(),
                engine.get(row).unwrap_or(0),
            );
            places.entry(key).or_default().push(place);
        }
        for (key, places) in places {
            let part = take(batch, places)?;
            self.lanes.entry(key).or_insert_with(Lane::new).add(&part)?;
        }
        Ok(())
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for (key, lane) in other.lanes {
            match self.lanes.get_mut(&key) {
                Some(mine) => mine.merge(lane),
                None => drop(self.lanes.insert(key, lane)),
            }
        }
    }
}

/// Some rows of a batch.
pub(crate) fn take(batch: &RecordBatch, places: Vec<u32>) -> Result<RecordBatch> {
    take_record_batch(batch, &UInt32Array::from(places)).map_err(|error| crate::AnalysisError::ColumnType {
        column: error.to_string(),
        found: "rows that can't be told apart".to_owned(),
        expected: "rows of several engines",
    })
}

impl Lane {
    fn new() -> Self {
        Self {
            bins: Bins::new(GAUGES.len(), COUNTERS.len()),
            steps: 0,
            totals: [None; COUNTERS.len()],
            step_time: Values::default(),
            blocks_total: None,
            start_ns: i64::MAX,
            end_ns: i64::MIN,
            idle_ns: 0,
            empty_ns: 0,
            gaps: Vec::new(),
            longest: Vec::new(),
            first_end: i64::MAX,
            last: None,
        }
    }

    /// Adds steps of this engine.
    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let cols = Cols::new(batch);
        let (starts, ends) = times(cols)?;
        if !ends.is_sorted() {
            let mut places: Vec<u32> = (0_u32..).take(cols.rows()).collect();
            places.sort_by_key(|place| ends.get(*place as usize).copied());
            return self.add_sorted(&take(batch, places)?);
        }
        self.add_rows(cols, &starts, &ends)
    }

    fn add_sorted(&mut self, batch: &RecordBatch) -> Result<()> {
        let cols = Cols::new(batch);
        let (starts, ends) = times(cols)?;
        self.add_rows(cols, &starts, &ends)
    }

    fn add_rows(&mut self, cols: Cols<'_>, starts: &[i64], ends: &[i64]) -> Result<()> {
        let (Some(&first), Some(&last)) = (ends.first(), ends.last()) else {
            return Ok(());
        };
        let columns = Columns::new(cols)?;
        self.steps += starts.len() as u64;
        self.first_end = self.first_end.min(first);
        self.start_ns = self
            .start_ns
            .min(starts.iter().copied().min().unwrap_or(i64::MAX));
        self.end_ns = self.end_ns.max(last);
        let held = self.last.map_or(first, |state| state.end);
        let begun = starts.iter().copied().min().unwrap_or(first);
        self.bins.reserve(held.min(first).min(begun), held.max(last));
        if let Some(state) = self.last {
            self.between(&state, starts.first().copied().unwrap_or(first), first);
        }
        for (counter, numbers) in columns.counters.iter().enumerate() {
            if !numbers.is_missing() {
                let total = self.totals[counter].get_or_insert(0);
                *total = total.saturating_add(numbers.sum());
            }
        }
        self.segments(&columns, starts, ends);
        self.inner_gaps(&columns, starts, ends);
        self.remember(&columns, starts, cols)?;
        self.last = Some(columns.state(ends.len() - 1, last));
        Ok(())
    }

    /// Adds rows bin by bin: what lies within a bin in one go, what crosses its end by itself.
    fn segments(&mut self, columns: &Columns<'_>, starts: &[i64], ends: &[i64]) {
        let weights: Vec<f64> = ends
            .windows(2)
            .map(|pair| signed(pair[1] - pair[0]).max(0.0))
            .collect();
        let mut at = 0;
        while at < ends.len() {
            let next = at + self.bins.run(ends.get(at..).unwrap_or(&[])).max(1);
            let bin = self.bins.bin(ends[at]);
            for (counter, numbers) in columns.counters.iter().enumerate() {
                let from = if matches!(counter, STEP_TIME | DEVICE_TIME) {
                    self.crossing(counter, *numbers, (starts, ends), at..next)
                } else {
                    at
                };
                let sum = numbers.sum_of(from..next);
                self.bins.count(counter, bin, sum);
            }
            let inside = at..next - 1;
            let weights = weights.get(inside.clone()).unwrap_or(&[]);
            for (gauge, numbers) in columns.gauges.iter().enumerate() {
                if let Some(value) = within(*numbers, at..next, inside.clone(), weights) {
                    self.bins.gauge(gauge, bin, &value);
                }
            }
            if let (Some(from), Some(to)) = (ends.get(next - 1), ends.get(next)) {
                let state = columns.state(next - 1, *from);
                self.bins.hold(&state.gauges, *from, *to);
            }
            at = next;
        }
    }

    /// Spreads the time of steps that end in a bin and began before it over the bins that they cover; gives the first row
    /// that needs none of that.
    fn crossing(
        &mut self,
        counter: usize,
        times: Numbers<'_>,
        (starts, ends): (&[i64], &[i64]),
        rows: Range<usize>,
    ) -> usize {
        let Some(bin) = ends.get(rows.start).map(|end| self.bins.bin(*end)) else {
            return rows.start;
        };
        let begin = self.bins.start_of(bin);
        for row in rows.clone() {
            let (Some(start), Some(end)) = (starts.get(row), ends.get(row)) else {
                return row;
            };
            if *start >= begin {
                return row;
            }
            if let Some(time) = times.get(row) {
                self.bins.spread(counter, *start, *end, time);
            }
        }
        rows.end
    }

    /// What held between a step and the next one.
    fn between(&mut self, state: &State, next_start: i64, next_end: i64) {
        self.bins.hold(&state.gauges, state.end, next_end);
        if state.is_timed {
            self.gap(next_start.saturating_sub(state.end), state.end, state.requests());
        }
    }

    fn gap(&mut self, gap: i64, start_ns: i64, [running, waiting, swapped]: [u64; 3]) {
        let Some(gap_ns) = u64::try_from(gap).ok().filter(|gap| *gap > 0) else {
            return;
        };
        if running + waiting + swapped == 0 {
            self.empty_ns += gap_ns;
            return;
        }
        self.idle_ns += gap_ns;
        let shortest = self.gaps.last().map_or(0, |gap| gap.gap_ns);
        if self.gaps.len() < KEPT_LONGEST || gap_ns > shortest {
            self.gaps.push(IdleGap {
                gap_ns,
                start_ns,
                requests_running: running,
                requests_waiting: waiting,
            });
            self.gaps.sort_by_key(|gap| std::cmp::Reverse(gap.gap_ns));
            self.gaps.truncate(KEPT_LONGEST);
        }
    }

    fn inner_gaps(&mut self, columns: &Columns<'_>, starts: &[i64], ends: &[i64]) {
        let later = starts.get(1..).unwrap_or(&[]);
        for (row, (start, end)) in later.iter().zip(ends).enumerate() {
            if start > end && columns.counters[STEP_TIME].get(row).is_some() {
                let requests = [0, 1, 2].map(|gauge| columns.gauges[gauge].get(row).unwrap_or(0));
                self.gap(start - end, *end, requests);
            }
        }
    }

    /// Keeps step times, the pool's size and the longest steps.
    fn remember(&mut self, columns: &Columns<'_>, starts: &[i64], cols: Cols<'_>) -> Result<()> {
        let mut times = Vec::with_capacity(starts.len());
        let step_time = columns.counters[STEP_TIME];
        step_time.append_to(&mut times);
        self.step_time.extend(&times);
        let blocks = cols.numbers("kv_blocks_total")?.extremes(0..starts.len());
        self.blocks_total = self
            .blocks_total
            .max(blocks.map(|(_, high)| crate::num::rounded(high)));
        let numbers = cols.numbers("step")?;
        let floor = self
            .longest
            .get(KEPT_LONGEST - 1)
            .map_or(0, |step| step.step_time_ns);
        if times.iter().all(|time| *time <= floor) {
            return Ok(());
        }
        for (row, start_ns) in starts.iter().enumerate() {
            let Some(step_time_ns) = step_time.get(row).filter(|time| *time > floor) else {
                continue;
            };
            self.longest.push(LongStep {
                step_time_ns,
                step: numbers.get(row),
                start_ns: *start_ns,
                prefill_tokens: columns.counters[PREFILL_TOKENS].get(row).unwrap_or(0),
                decode_tokens: columns.counters[DECODE_TOKENS].get(row).unwrap_or(0),
            });
            if self.longest.len() > 64 * KEPT_LONGEST {
                keep_longest(&mut self.longest);
            }
        }
        keep_longest(&mut self.longest);
        Ok(())
    }

    /// Whether a step was long because of the prompts that it computed: it took no longer than this engine's steps take
    /// on average, all of them together, for as many prompt tokens.
    pub(crate) fn is_explained(&self, step: &LongStep) -> bool {
        let total = |counter: usize| self.totals.get(counter).copied().flatten().map(float);
        let (Some(time), Some(tokens)) = (total(STEP_TIME), total(PREFILL_TOKENS)) else {
            return false;
        };
        ratio(time * float(step.prefill_tokens), tokens)
            .is_some_and(|expected| float(step.step_time_ns) <= expected)
    }

    /// Adds what came later.
    fn merge(&mut self, other: Self) {
        if let (Some(state), false) = (self.last, other.bins.len() == 0) {
            self.bins.reserve(state.end, other.first_end);
            self.between(&state, other.start_ns, other.first_end);
        }
        self.bins.merge(other.bins);
        self.steps += other.steps;
        for (mine, theirs) in self.totals.iter_mut().zip(other.totals) {
            *mine = match (*mine, theirs) {
                (Some(mine), Some(theirs)) => Some(mine.saturating_add(theirs)),
                (mine, theirs) => mine.or(theirs),
            };
        }
        self.step_time.merge(other.step_time);
        self.blocks_total = self.blocks_total.max(other.blocks_total);
        self.start_ns = self.start_ns.min(other.start_ns);
        self.end_ns = self.end_ns.max(other.end_ns);
        self.first_end = self.first_end.min(other.first_end);
        self.idle_ns += other.idle_ns;
        self.empty_ns += other.empty_ns;
        self.gaps.extend(other.gaps);
        self.gaps.sort_by_key(|gap| std::cmp::Reverse(gap.gap_ns));
        self.gaps.truncate(KEPT_LONGEST);
        self.longest.extend(other.longest);
        keep_longest(&mut self.longest);
        self.last = other.last.or(self.last);
    }
}

fn keep_longest(steps: &mut Vec<LongStep>) {
    steps.sort_by_key(|step| std::cmp::Reverse(step.step_time_ns));
    steps.truncate(KEPT_LONGEST);
}

/// Places in [`COUNTERS`].
const PREFILL_TOKENS: usize = 2;
const DECODE_TOKENS: usize = 3;
const STEP_TIME: usize = 15;
const DEVICE_TIME: usize = 16;

/// A gauge over rows that lie in one bin; the last of them weighs nothing yet.
fn within(
    numbers: Numbers<'_>,
    rows: Range<usize>,
    inside: Range<usize>,
    weights: &[f64],
) -> Option<GaugeBin> {
    let (low, high) = numbers.extremes(rows)?;
    let (sum, weight) = numbers.weighted(inside, weights);
    Some(GaugeBin {
        sum,
        weight,
        low,
        high,
    })
}

/// Start and end of each step, in UTC.
pub(crate) fn times(cols: Cols<'_>) -> Result<(Vec<i64>, Vec<i64>)> {
    let (start, length) = (cols.numbers("timestamp")?, cols.numbers("step_time_ns")?);
    let rows = cols.rows();
    let starts: Vec<i64> = match start {
        Numbers::Time(array) => array.values().to_vec(),
        Numbers::I64(array) => array.values().to_vec(),
        other => (0..rows)
            .map(|row| other.get(row).and_then(|at| i64::try_from(at).ok()).unwrap_or(0))
            .collect(),
    };
    let ends = starts.iter().enumerate().map(|(row, start)| {
        let length = i64::try_from(length.get(row).unwrap_or(0)).unwrap_or(i64::MAX);
        start.saturating_add(length)
    });
    let ends = ends.collect();
    Ok((starts, ends))
}

struct Columns<'a> {
    gauges: [Numbers<'a>; GAUGES.len()],
    counters: [Numbers<'a>; COUNTERS.len()],
}

impl<'a> Columns<'a> {
    fn new(cols: Cols<'a>) -> Result<Self> {
        let mut out = Self {
            gauges: [Numbers::Missing; GAUGES.len()],
            counters: [Numbers::Missing; COUNTERS.len()],
        };
        for (slot, name) in out.gauges.iter_mut().zip(GAUGES) {
            *slot = cols.numbers(name)?;
        }
        for (slot, name) in out.counters.iter_mut().zip(COUNTERS) {
            *slot = cols.numbers(name)?;
        }
        Ok(out)
    }

    fn state(&self, row: usize, end: i64) -> State {
        State {
            end,
            is_timed: self.counters[STEP_TIME].get(row).is_some(),
            gauges: self.gauges.map(|numbers| numbers.float(row)),
        }
    }
}
