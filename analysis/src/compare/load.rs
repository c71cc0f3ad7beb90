//! Latencies of a run, request by request.

use crate::error::Result;
use crate::num::{float, len};
use crate::run::Run;
use crate::scan::{Cols, ScanOptions};
use arrow_array::RecordBatch;
use kvlens_core::Table;
use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

/// Latencies that are compared: short name and column.
pub(super) const LATENCIES: [(&str, &str); 7] = [
    ("ttft", "time_to_first_token_ns"),
    ("tpot", "time_per_output_token_ns"),
    ("itl_max", "inter_token_latency_max_ns"),
    ("e2e", "e2e_latency_ns"),
    ("queue", "queue_time_ns"),
    ("prefill", "prefill_time_ns"),
    ("decode", "decode_time_ns"),
];

/// Requests that are kept; with more, every second one is left out, by a hash of its identifier, so that pairs stay
/// pairs.
const KEPT: usize = 1 << 20;

/// A request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    arrival: u64,
    /// Hash of the identifier.
    id: u64,
    prompt_tokens: u64,
    latencies: [Option<u64>; LATENCIES.len()],
}

/// A run's requests, in the order of arrival.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    requests: Vec<Request>,
    /// Requests whose hash has this many zeros at the end are kept.
    left_out: u32,
}

impl Loaded {
    pub(super) fn read(run: &Run, options: ScanOptions) -> Result<Self> {
        if !run.has(Table::Requests) {
            return Ok(Self::default());
        }
        let mut columns = vec!["arrival", "request_id", "prompt_tokens", "finish_reason"];
        columns.extend(LATENCIES.map(|(_, column)| column));
        let scan = run.scan(Table::Requests)?.columns(&columns).options(options);
        let mut out = scan.fold(Self::default, Self::add, Self::merge)?.value;
        out.requests.sort_by_key(|request| (request.arrival, request.id));
        Ok(out)
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let cols = Cols::new(batch);
        let (arrival, id) = (cols.numbers("arrival")?, cols.strings("request_id")?);
        let (prompt, reason) = (cols.numbers("prompt_tokens")?, cols.strings("finish_reason")?);
        let columns = LATENCIES
            .iter()
            .map(|(_, column)| cols.numbers(column))
            .collect::<Result<Vec<_>>>()?;
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        for row in 0..cols.rows() {
            if matches!(reason.get(row), Some("abort" | "error")) {
                continue;
            }
            let id = hasher.hash_one(id.get(row).unwrap_or_default());
            let mut latencies = [None; LATENCIES.len()];
            for (slot, column) in latencies.iter_mut().zip(&columns) {
                *slot = column.get(row);
            }
            let (arrival, prompt_tokens) = (arrival.get(row).unwrap_or(0), prompt.get(row).unwrap_or(0));
            self.push(Request {
                arrival,
                id,
                prompt_tokens,
                latencies,
            });
        }
        Ok(())
    }

    fn push(&mut self, request: Request) {
        if request.id.trailing_zeros() < self.left_out {
            return;
        }
        self.requests.push(request);
        if self.requests.len() > KEPT {
            self.thin(self.left_out + 1);
        }
    }

    fn thin(&mut self, left_out: u32) {
        self.left_out = self.left_out.max(left_out);
        self.requests
            .retain(|request| request.id.trailing_zeros() >= left_out);
    }

    fn merge(&mut self, other: Self) {
        self.thin(other.left_out);
        other.requests.into_iter().for_each(|request| self.push(request));
    }

    /// A latency, in the order of arrival.
    pub(super) fn values(&self, latency: usize) -> Vec<f64> {
        let values = self
            .requests
            .iter()
            .filter_map(|request| request.latencies.get(latency).copied().flatten());
        values.map(float).collect()
    }

    /// The requests that both runs served, if they are nearly all of both: the same identifier, once in each, and the
    /// same number of prompt tokens.
    pub(super) fn pairs(&self, other: &Self) -> Option<Vec<(Request, Request)>> {
        let left_out = self.left_out.max(other.left_out);
        let kept = |loaded: &Self| -> Vec<Request> {
            let kept = loaded
                .requests
                .iter()
                .filter(|request| request.id.trailing_zeros() >= left_out);
            kept.copied().collect()
        };
        let (mine, theirs) = (kept(self), kept(other));
        let mut by_id: HashMap<u64, Option<Request>> = HashMap::with_capacity(theirs.len());
        for request in &theirs {
            // An identifier that comes twice names nothing.
            by_id
                .entry(request.id)
                .and_modify(|known| *known = None)
                .or_insert(Some(*request));
        }
        let mut pairs = Vec::with_capacity(mine.len());
        for request in &mine {
            // Taking it out leaves a second request of this identifier without a partner.
            let partner = by_id.get_mut(&request.id).and_then(Option::take);
            pairs.extend(
                partner
                    .filter(|other| other.prompt_tokens == request.prompt_tokens)
                    .map(|other| (*request, other)),
            );
        }
        let needed = super::PAIRED_SHARE * len(mine.len().max(theirs.len()));
        (!pairs.is_empty() && len(pairs.len()) >= needed).then_some(pairs)
    }

    /// A latency of pairs that both have.
    pub(super) fn paired_values(pairs: &[(Request, Request)], latency: usize) -> Vec<(f64, f64)> {
        let value = |request: &Request| request.latencies.get(latency).copied().flatten().map(float);
        pairs
            .iter()
            .filter_map(|(a, b)| Some((value(a)?, value(b)?)))
            .collect()
    }
}
