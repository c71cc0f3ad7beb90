//! What a specialist would point at, each with the figures that it rests on.
//!
//! A threshold is a share of time or of tokens that is worth acting on, not a matter of significance; it stands beside
//! the rule as a constant. Every rule also needs enough to rest on, so that a run of a few requests warns of nothing.

use super::{GaugeSummary, Summary};
use crate::num::{float, ratio};
use crate::overview::Overview;

/// Requests from which rules on latencies apply.
pub const FEWEST_REQUESTS: u64 = 30;
/// Share of block lives whose content an eviction had thrown away, from which a cache thrashes.
pub const THRASH_SHARE: f64 = 0.2;
/// Lives from which thrashing is looked for.
pub const THRASH_LIVES: u64 = 200;
/// Preemptions per finished request from which they are a storm.
pub const PREEMPTION_SHARE: f64 = 0.05;
/// Preemptions from which they can be one.
pub const FEWEST_PREEMPTIONS: u64 = 10;
/// Growth of a queue over the run, in requests, from which it is told.
pub const QUEUE_GROWTH: f64 = 8.0;
/// Share of the time without a step although requests were there, from which a device is idle.
pub const IDLE_SHARE: f64 = 0.1;
/// The shortest halt that is told by itself, if it is also [`STALL_TIMES`] the p99 step time.
pub const STALL_NS: u64 = 1_000_000_000;
/// See [`STALL_NS`].
pub const STALL_TIMES: u64 = 20;
/// Hit rate below which a prefix cache that is on is of no use.
pub const USELESS_HIT_RATE: f64 = 0.01;
/// Share of TTFT spent in the queue from which queueing dominates it.
pub const QUEUE_SHARE: f64 = 0.5;
/// Mean queue time below which nobody minds.
pub const QUEUE_NS: f64 = 20e6;
/// Share of decode time lost to others' prefills from which it is told.
pub const STALLED_SHARE: f64 = 0.25;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WarningKind {
    /// Content is evicted and soon computed again.
    CacheThrash,
    /// Requests are preempted again and again.
    PreemptionStorm,
    /// More requests arrive than are served.
    QueueGrowth,
    /// Nothing runs although requests are there.
    IdleDevice,
    /// The engine stood still once.
    Stall,
    /// Prompts share too little for the prefix cache.
    PrefixCacheUseless,
    /// Most of the time to the first token is spent waiting for admission.
    TtftQueueing,
    /// Decoding requests wait for others' prompts.
    DecodeStalledByPrefill,
}

/// A figure that a warning rests on.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Evidence {
    /// What it is, in words.
    pub what: String,
    /// The figure.
    pub value: f64,
    /// Its unit's symbol, as in the Unified Code for Units of Measure; `1` for a share.
    pub unit: &'static str,
}

/// Something that a specialist would point at.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Warning {
    /// What is wrong.
    pub kind: WarningKind,
    /// One sentence that says it.
    pub message: String,
    /// The figures that it rests on.
    pub evidence: Vec<Evidence>,
    /// What to try.
    pub advice: &'static str,
}

impl Warning {
    fn new(kind: WarningKind, message: &str, advice: &'static str) -> Self {
        Self {
            kind,
            message: message.to_owned(),
            evidence: Vec::new(),
            advice,
        }
    }

    fn with(mut self, what: &str, value: f64, unit: &'static str) -> Self {
        self.evidence.push(Evidence {
            what: what.to_owned(),
            value,
            unit,
        });
        self
    }
}

impl Overview<'_> {
    pub(super) fn warnings(&self, summary: &Summary) -> Vec<Warning> {
        let rules = [
            self.cache_thrash(summary),
            preemption_storm(summary),
            queue_growth(summary),
            self.idle_device(summary),
            self.stall(),
            prefix_cache_useless(summary),
            self.ttft_queueing(),
            self.decode_stalled(),
        ];
        rules.into_iter().flatten().collect()
    }

    fn cache_thrash(&self, summary: &Summary) -> Option<Warning> {
        let found = self.lives.as_ref()?.refetched()?;
        let share = found.share()?;
        if found.lives < THRASH_LIVES || share < THRASH_SHARE {
            return None;
        }
        let mut warning = Warning::new(
            WarningKind::CacheThrash,
            "the KV cache evicts prefixes that are soon needed again",
            "give the KV cache more blocks (the miss-ratio curve tells how many), or route requests that share a prefix \
             to the same engine",
        )
        .with("share of block lives whose content had been evicted before", share, "1")
        .with("block lives that an eviction made necessary", float(found.refetched), "{block}");
        if let Some(hit) = summary.rates.prefix_cache_hit {
            warning = warning.with("prefix-cache hit rate", hit, "1");
        }
        Some(warning)
    }

    fn idle_device(&self, summary: &Summary) -> Option<Warning> {
        let share = summary.utilisation.idle_with_requests?;
        let steps = self
            .steps
            .as_ref()?
            .lanes
            .values()
            .map(|lane| lane.steps)
            .sum::<u64>();
        if share < IDLE_SHARE
            || steps < FEWEST_REQUESTS
            || self.stall().is_some_and(|_| self.one_gap_explains(share))
        {
            return None;
        }
        let warning = Warning::new(
            WarningKind::IdleDevice,
            "no step runs for much of the time although requests are there",
            "look at what the host does between steps: scheduling, tokenisation, output handling",
        );
        Some(warning.with(
            "share of time without a step while requests were there",
            share,
            "1",
        ))
    }

    /// Whether, without its longest gap, the engine was not idle.
    fn one_gap_explains(&self, share: f64) -> bool {
        let lanes = self.steps.iter().flat_map(|steps| steps.lanes.values());
        let (mut idle, mut longest) = (0, 0);
        for lane in lanes {
            idle += lane.idle_ns;
            longest += lane.gaps.first().map_or(0, |gap| gap.gap_ns);
        }
        ratio(float(idle.saturating_sub(longest)), float(idle)).is_some_and(|rest| rest * share < IDLE_SHARE)
    }

    /// A gap between steps, or a step, far longer than any normal step and than what it computed explains.
    fn stall(&self) -> Option<Warning> {
        let mut worst: Option<Warning> = None;
        let mut longest = 0;
        for lane in self.steps.iter().flat_map(|steps| steps.lanes.values()) {
            let p99 = lane
                .step_time
                .ranks(&[crate::stats::quantiles::rank(0.99, lane.step_time.count())]);
            let p99 = p99.first().map_or(0, |rank| rank.middle());
            let limit = STALL_NS.max(p99.saturating_mul(STALL_TIMES));
            let gap = lane
                .gaps
                .first()
                .map(|gap| (gap.gap_ns, gap.start_ns, "no step ran for"));
            let step = lane
                .longest
                .iter()
                .find(|step| !lane.is_explained(step))
                .map(|step| (step.step_time_ns, step.start_ns, "one step took"));
            for (length, start, what) in [gap, step].into_iter().flatten() {
                if lane.steps < FEWEST_REQUESTS || length < limit || length <= longest {
                    continue;
                }
                longest = length;
                let after = start.saturating_sub(lane.start_ns);
                worst = Some(
                    Warning::new(
                        WarningKind::Stall,
                        "the engine stood still while requests were there",
                        "look at what happened then on the host and the device: a blocking call, a memory shortage, a \
                         reset",
                    )
                    .with(what, float(length), "ns")
                    .with("from the start of the run", crate::num::signed(after), "ns")
                    .with("p99 step time", float(p99), "ns"),
                );
            }
        }
        worst
    }

    fn ttft_queueing(&self) -> Option<Warning> {
        let requests = self.requests.as_ref()?;
        let (ttft, queue) = (
            requests.latency("time_to_first_token_ns")?,
            requests.latency("queue_time_ns")?,
        );
        let share = ratio(queue.mean()?, ttft.mean()?)?;
        if ttft.count() < FEWEST_REQUESTS || share < QUEUE_SHARE || queue.mean()? < QUEUE_NS {
            return None;
        }
        let p90 = queue.ranks(&[crate::stats::quantiles::rank(0.9, queue.count())]);
        let warning = Warning::new(
            WarningKind::TtftQueueing,
            "most of the time to the first token is spent waiting for admission",
            "add capacity, shed load, or raise the limits on running requests and step tokens if blocks are free",
        )
        .with("share of TTFT spent in the queue", share, "1")
        .with("mean queue time", queue.mean()?, "ns");
        Some(warning.with(
            "p90 queue time",
            p90.first().map_or(0.0, |rank| float(rank.middle())),
            "ns",
        ))
    }

    fn decode_stalled(&self) -> Option<Warning> {
        let requests = self.requests.as_ref()?;
        let (stalled, decode) = (
            requests.latency("stalled_time_ns")?,
            requests.latency("decode_time_ns")?,
        );
        let share = ratio(stalled.sum(), decode.sum())?;
        if stalled.count() < FEWEST_REQUESTS || share < STALLED_SHARE {
            return None;
        }
        let warning = Warning::new(
            WarningKind::DecodeStalledByPrefill,
            "decoding requests wait for others' prefills",
            "cut prefills into smaller chunks (fewer tokens a step), or prefill on other engines",
        );
        Some(
            warning
                .with("share of decode time lost to others' prefills", share, "1")
                .with("mean time lost per request", stalled.mean()?, "ns"),
        )
    }
}

fn preemption_storm(summary: &Summary) -> Option<Warning> {
    let total = |name: &str| summary.totals.get(name).copied().unwrap_or(0);
    let preemptions = total("preemptions_recompute") + total("preemptions_swap");
    let share = summary.rates.preemptions_per_request?;
    if preemptions < FEWEST_PREEMPTIONS || share < PREEMPTION_SHARE {
        return None;
    }
    let mut warning = Warning::new(
        WarningKind::PreemptionStorm,
        "requests are admitted and then preempted for want of blocks",
        "admit fewer requests at a time, or give the KV cache more blocks",
    )
    .with("preemptions", float(preemptions), "{count}")
    .with("preemptions per finished request", share, "{count}");
    if let Some(again) = summary.rates.recomputed.filter(|again| *again > 0.0) {
        warning = warning.with("share of computed tokens that were computed again", again, "1");
    }
    Some(warning)
}

/// The queue's slope leaves only one direction, it has grown by some requests, and the last third of the run waits
/// more than the first.
fn queue_growth(summary: &Summary) -> Option<Warning> {
    let waiting = gauge(summary, "requests_waiting")?;
    let trend = waiting.trend?;
    let mean = waiting.mean?;
    if trend.low_per_s <= 0.0 || trend.change < QUEUE_GROWTH || trend.change < mean {
        return None;
    }
    let warning = Warning::new(
        WarningKind::QueueGrowth,
        "more requests arrive than are served: the queue grows",
        "add engines or shed load; latencies of this run depend on how long it lasted",
    )
    .with("growth of the queue", trend.slope_per_s * 60.0, "{request}/min")
    .with(
        "lower end of its interval",
        trend.low_per_s * 60.0,
        "{request}/min",
    )
    .with("mean requests waiting", mean, "{request}");
    Some(warning.with("most requests waiting", waiting.high.unwrap_or(mean), "{request}"))
}

fn prefix_cache_useless(summary: &Summary) -> Option<Warning> {
    let queries = *summary.totals.get("prefix_cache_queries")?;
    let finished: u64 = summary.finished.values().sum();
    let hit = summary.rates.prefix_cache_hit?;
    // With the cache off nothing is cached, and there is nothing to say.
    let cached = gauge(summary, "kv_blocks_cached")?.high?;
    if queries == 0 || finished < FEWEST_REQUESTS || hit >= USELESS_HIT_RATE || cached <= 0.0 {
        return None;
    }
    let mut warning = Warning::new(
        WarningKind::PrefixCacheUseless,
        "the prefix cache is on and finds next to nothing",
        "put what prompts share at their beginning, or turn the cache off",
    )
    .with("prefix-cache hit rate", hit, "1")
    .with("tokens looked up", float(queries), "{token}");
    if let Some(almost) = summary.rates.almost_hit {
        warning = warning.with("share of tokens that matched less than a block", almost, "1");
    }
    Some(warning)
}

fn gauge<'a>(summary: &'a Summary, name: &str) -> Option<&'a GaugeSummary> {
    summary.gauges.iter().find(|gauge| gauge.label.name == name)
}
