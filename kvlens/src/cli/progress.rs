//! What is shown while a replay runs: on a terminal only, and never on stdout.

use super::number::{grouped, percent};
use indicatif::{ProgressBar, ProgressStyle};
use kvlens_native::replay::ReplayStep;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Time between two looks at the bar.
const EVERY: Duration = Duration::from_millis(100);
/// Steps between two looks at the clock: a step can be shorter than reading it.
const STEPS: u32 = 256;

/// A bar, or nothing.
#[derive(Debug)]
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    steps: u32,
    shown: Instant,
    started: Instant,
}

impl Progress {
    /// Starts a bar of so many requests; a spinner if their number is not known.
    pub(super) fn new(requests: Option<u64>, quiet: bool) -> Self {
        let wanted = !quiet && std::io::stderr().is_terminal();
        let bar = wanted.then(|| {
            let bar = requests.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
            let template = "{spinner} {pos}/{len} requests {wide_bar} {msg}";
            // The template is a constant, so a bad one shows in the first run and not in a user's.
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar
        });
        Self {
            bar,
            steps: 0,
            shown: Instant::now(),
            started: Instant::now(),
        }
    }

    #[inline]
    pub(super) fn after_step(&mut self, step: &ReplayStep<'_>) {
        self.steps = self.steps.wrapping_add(1);
        if self.bar.is_some() && (self.steps.is_multiple_of(STEPS) || step.step.finished > 0) {
            self.show(step);
        }
    }

    #[cold]
    fn show(&mut self, step: &ReplayStep<'_>) {
        let Some(bar) = &self.bar else { return };
        if self.shown.elapsed() < EVERY {
            return;
        }
        self.shown = Instant::now();
        let state = step.engine.state();
        let usage = f64::from(state.kv_blocks_used) / f64::from(state.kv_blocks_total.max(1));
        let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let per_second = step.totals.generation_tokens.saturating_mul(1000) / millis.max(1);
        bar.set_position(step.totals.finished);
        bar.set_message(format!(
            "{} running, KV {} used, {} tokens/s",
            step.in_flight,
            percent(usage),
            grouped(per_second)
        ));
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
