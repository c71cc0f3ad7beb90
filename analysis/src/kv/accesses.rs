//! The recorded look-ups of a run.

use super::curve::{MissRatioCurve, Sampler, ShardsOptions, blocks_of, sizes_up_to};
use crate::error::Result;
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
/// [`AnalysisError::NoTable`](crate::AnalysisError::NoTable) if the run did not record `accesses`, or what reading it
/// gives.
pub fn access_curve(
    run: &Run,
    sizes: Option<&[u64]>,
    shards: ShardsOptions,
    options: ScanOptions,
) -> Result<MissRatioCurve> {
    let columns = ["prefix_hash", "first_admission", "sample_every"];
    let scan = run.scan(Table::Accesses)?.columns(&columns).options(options);
    let mut sampler = Sampler::new(shards.rate);
    let mut every = 1;
    scan.for_each(|batch| {
        let cols = Cols::new(batch);
        let (hash, first) = (cols.numbers("prefix_hash")?, cols.flags("first_admission")?);
        every = every.max(cols.numbers("sample_every")?.get(0).unwrap_or(1));
        for row in 0..cols.rows() {
            let counts = first.is_none_or(|first| first.value(row));
            if let (Some(hash), true) = (hash.get(row), counts) {
                sampler.access(hash);
            }
        }
        Ok(())
    })?;
    let recorded = 1.0 / crate::num::float(every);
    let own = sizes_up_to(blocks_of(&sampler, recorded), POINTS);
    Ok(sampler.curve(sizes.unwrap_or(&own), recorded))
}
