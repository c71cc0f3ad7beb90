//! Plots of the KV cache: what its size gives, and how long blocks live.

use super::plot::{Axis, Body, Colour, Lines, Made, Mark, Plot, Section, Series};
use super::time::{Frame, lines, missing};
use crate::kv::Residency;
use crate::num::float;
use crate::render::number::{grouped, percent};

pub(super) fn plots(frame: &Frame<'_, '_>) -> Vec<Made> {
    vec![miss_ratio(frame), residency(frame), super::time::turnover(frame)]
}

fn colour(frame: &Frame<'_, '_>, run: usize) -> Colour {
    if frame.runs.len() == 1 {
        Colour::BLUE
    } else {
        Colour::of_run(run)
    }
}

fn miss_ratio(frame: &Frame<'_, '_>) -> Made {
    let (id, title) = ("miss_ratio", "Hit rate against cache size (miss-ratio curve)");
    let (mut series, mut marks, mut kinds) = (Vec::new(), Vec::new(), Vec::new());
    for (place, run) in frame.runs.iter().enumerate() {
        let Some(curve) = run.kv.curve.as_ref().filter(|curve| curve.accesses > 0) else {
            continue;
        };
        let points = || curve.points.iter().filter(|point| point.blocks > 0);
        let line = points().map(|point| (float(point.blocks), point.hit_rate));
        let mut one = Series::of_points(run.name.clone(), colour(frame, place), line);
        if curve.rate < 1.0 {
            let low = points().map(|point| Some((point.hit_rate - point.error).max(0.0)));
            let high = points().map(|point| Some((point.hit_rate + point.error).min(1.0)));
            one = one.banded(low.collect(), high.collect());
        }
        series.push(one);
        kinds.push(if curve.rate < 1.0 {
            format!(
                "sampled at {} of the contents, the band is the error at 95 %",
                percent(curve.rate)
            )
        } else {
            "exact".to_owned()
        });
        if let Some(pool) = run.kv.blocks_total.filter(|blocks| *blocks > 0) {
            marks.push(Mark {
                label: format!("this pool, {} blocks", grouped(pool)),
                colour: colour(frame, place),
                x: float(pool),
            });
        }
    }
    if series.is_empty() {
        let reason = frame.runs.first().map_or(String::new(), |run| run.kv.no_curve());
        return Err(missing(id, title, Section::Cache, &reason));
    }
    kinds.dedup();
    let note = format!(
        "an LRU cache of each size over the look-ups as they were; {}",
        kinds.join("; ")
    );
    Ok(Plot {
        id: id.to_owned(),
        title: title.to_owned(),
        note,
        section: Section::Cache,
        x: Axis::new("cache size", "blocks").log(),
        y: Axis::share("hit rate"),
        over_time: false,
        body: Body::Lines(Lines {
            marks,
            ..lines(series)
        }),
    })
}

fn residency(frame: &Frame<'_, '_>) -> Made {
    let (id, title) = ("residency", "How long blocks live (Kaplan-Meier)");
    let mut series = Vec::new();
    let (mut events, mut censored) = (0, 0);
    for (place, run) in frame.runs.iter().enumerate() {
        let Some(found) = &run.kv.residency else { continue };
        (events, censored) = (events + found.events, censored + found.censored);
        series.extend(survival(found).map(|one| Series {
            name: run.name.clone(),
            colour: colour(frame, place),
            ..one
        }));
    }
    if series.is_empty() {
        let reason = if events + censored > 0 {
            "no block's life ended while the run was recorded"
        } else {
            "the run holds no table `blocks`, or no length of a block's life"
        };
        return Err(missing(id, title, Section::Cache, reason));
    }
    let note = format!(
        "share of blocks that live longer, with its 95 % interval; {} lives ended, {} outlived the recording",
        grouped(events),
        grouped(censored)
    );
    Ok(Plot {
        id: id.to_owned(),
        title: title.to_owned(),
        note,
        section: Section::Cache,
        x: Axis::duration("life of a block"),
        y: Axis::share("share that lives longer").whole(),
        over_time: false,
        body: Body::Lines(lines(series)),
    })
}

fn survival(found: &Residency) -> Option<Series> {
    let points = || found.points.iter();
    let first = points().next()?;
    // Until the first life ends, all live.
    let start = (float(first.time_ns.max(1)) / 2.0, 1.0);
    let line = points().map(|point| (float(point.time_ns.max(1)), point.share));
    let low = std::iter::once(Some(1.0)).chain(points().map(|point| Some(point.low)));
    let high = std::iter::once(Some(1.0)).chain(points().map(|point| Some(point.high)));
    let series = Series::of_points("", Colour::BLUE, std::iter::once(start).chain(line));
    Some(series.stepped().banded(low.collect(), high.collect()))
}
