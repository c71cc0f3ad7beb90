//! The recorded look-ups of a run.

use super::curve::{MissRatioCurve, Sampler, ShardsOptions, blocks_of, sizes_up_to};
use crate::error::{AnalysisError, Damage, Result};
use crate::run::Run;
use crate::scan::{Cols, ScanOptions};
use kvlens_core::Table;

/// Points of a curve whose sizes are not given.
const POINTS: usize = 64;

/// What the look-ups of a run came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct AccessSummary {
    /// Look-ups recorded.
    pub accesses: u64,
    /// Those that found the block.
    pub hits: u64,
    /// One content in this many was recorded.
    pub sample_every: u64,
}

/// Counts the look-ups of a run.
///
/// # Errors
/// [`AnalysisError::NoTable`](crate::AnalysisError::NoTable) if the run did not record `accesses`, or what reading it
/// gives.
pub fn access_summary(run: &Run, options: ScanOptions) -> Result<AccessSummary> {
    let scan = run
        .scan(Table::Accesses)?
        .columns(&["hit", "sample_every"])
        .options(options);
    let mut out = AccessSummary {
        sample_every: 1,
        ..AccessSummary::default()
    };
    scan.for_each(|batch| {
        let cols = Cols::new(batch);
        let every = cols.numbers("sample_every")?;
        out.accesses += cols.rows() as u64;
        out.hits += cols.flags("hit")?.map_or(0, |hit| hit.true_count() as u64);
        out.sample_every = out.sample_every.max(every.get(0).unwrap_or(1));
        Ok(())
    })?;
    Ok(out)
}

/// The miss-ratio curve of a run's recorded look-ups at first admission: at the sizes given, or at sizes up to the
/// number of different blocks.
///
/// # Errors
/// [`AnalysisError::NoTable`](crate::AnalysisError::NoTable) if the run did not record `accesses`,
/// [`AnalysisError::TooFewSampled`](crate::AnalysisError::TooFewSampled) if next to none of its contents are followed, or
/// what reading it gives.
pub fn access_curve(
    run: &Run,
    sizes: Option<&[u64]>,
    shards: ShardsOptions,
    options: ScanOptions,
) -> Result<MissRatioCurve> {
    let found = followed(run, shards, options)?;
    let curve = match sizes {
        Some(sizes) => found.sampler.curve(sizes, found.recorded),
        None => found.curve(&[]),
    };
    if curve.is_supported() {
        Ok(curve)
    } else {
        Err(AnalysisError::TooFewSampled {
            run_id: run.id().to_owned(),
            followed: curve.followed,
        })
    }
}

/// Look-ups that were followed.
#[derive(Debug)]
pub(super) struct Followed {
    sampler: Sampler,
    /// The share of contents that were recorded at all.
    recorded: f64,
    pub(super) summary: AccessSummary,
    /// Parts that were passed over.
    pub(super) damage: Vec<Damage>,
}

impl Followed {
    /// The curve at sizes up to the number of different blocks, and at some more.
    pub(super) fn curve(&self, more: &[u64]) -> MissRatioCurve {
        let mut sizes = sizes_up_to(blocks_of(&self.sampler, self.recorded), POINTS);
        sizes.extend(more);
        sizes.sort_unstable();
        sizes.dedup();
        self.sampler.curve(&sizes, self.recorded)
    }
}

/// Follows the look-ups at first admission, and counts them.
pub(super) fn followed(run: &Run, shards: ShardsOptions, options: ScanOptions) -> Result<Followed> {
    let columns = ["prefix_hash", "first_admission", "hit", "sample_every"];
    let scan = run.scan(Table::Accesses)?.columns(&columns).options(options);
    let mut sampler = Sampler::new(shards.rate);
    let mut summary = AccessSummary {
        sample_every: 1,
        ..AccessSummary::default()
    };
    let scanned = scan.for_each(|batch| {
        let cols = Cols::new(batch);
        let (hash, first) = (cols.numbers("prefix_hash")?, cols.flags("first_admission")?);
        let (hit, every) = (cols.flags("hit")?, cols.numbers("sample_every")?);
        summary.sample_every = summary.sample_every.max(every.get(0).unwrap_or(1));
        for row in 0..cols.rows() {
            let counts = first.is_none_or(|first| first.value(row));
            if let (Some(hash), true) = (hash.get(row), counts) {
                sampler.access(hash);
                summary.accesses += 1;
                summary.hits += u64::from(hit.is_some_and(|hit| hit.value(row)));
            }
        }
        Ok(())
    })?;
    Ok(Followed {
        sampler,
        recorded: 1.0 / crate::num::float(summary.sample_every),
        summary,
        damage: scanned.damage,
    })
}
