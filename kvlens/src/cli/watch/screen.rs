//! What there is to show.

use kvlens_analysis::follow::{Follow, Selection, View};
use std::path::Path;
use std::time::Duration;

/// How far the run, and the reading of it, is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// It is being written, or was killed.
    Open,
    /// There is more to read at once.
    Behind,
    /// Its owner ended it.
    Clean,
    /// It ended, but not as its owner wanted.
    Unclean,
}

/// What there is to show.
#[derive(Debug, Clone)]
pub(super) struct Screen {
    /// The run's identifier, or what is waited for.
    pub(super) title: String,
    /// Engine, model, device.
    pub(super) facts: String,
    pub(super) view: Option<View>,
    /// Time from the first row to the last.
    pub(super) length: Option<Duration>,
    pub(super) age: Option<Duration>,
    /// How long a run that samples so rarely may be without new data.
    pub(super) quiet_after: Duration,
    pub(super) rows: u64,
    pub(super) ending: Ending,
    pub(super) window: &'static str,
    pub(super) selection: Selection,
    /// How many engines or sources there are to choose from.
    pub(super) choices: usize,
    pub(super) paused: bool,
    pub(super) help: bool,
    pub(super) keys: bool,
    pub(super) trouble: Option<String>,
}

impl Screen {
    /// The screen before there is a run.
    pub(super) fn waiting(path: &Path, trouble: Option<String>, help: bool) -> Self {
        Self {
            title: format!("waiting for a run in {}", path.display()),
            facts: String::new(),
            view: None,
            length: None,
            age: None,
            quiet_after: Duration::ZERO,
            rows: 0,
            ending: Ending::Open,
            window: "",
            selection: Selection::All,
            choices: 0,
            paused: false,
            help,
            keys: true,
            trouble,
        }
    }

    pub(super) fn of(follow: &Follow, view: Option<View>, age: Option<Duration>) -> Self {
        let span = follow.live().span();
        let length = span.map(|(start, end)| Duration::from_nanos(end.abs_diff(start)));
        Self {
            title: follow.run().id().to_owned(),
            facts: facts(follow),
            view: view.filter(|_| span.is_some()),
            length,
            age,
            quiet_after: Duration::from_nanos(follow.run().manifest().interval_ns).saturating_mul(3),
            rows: follow.live().rows().iter().sum(),
            ..Self::waiting(Path::new(""), None, false)
        }
    }

    /// The same for a reader who can't press keys.
    pub(super) fn without_keys(mut self) -> Self {
        self.keys = false;
        self
    }
}

/// What runs: of the first source that says more than its name.
fn facts(follow: &Follow) -> String {
    let sources = &follow.run().manifest().sources;
    let Some(source) = sources
        .iter()
        .find(|source| source.model.is_some())
        .or(sources.first())
    else {
        return String::new();
    };
    let engine = match &source.engine_version {
        Some(version) => format!("{} {version}", source.engine),
        None => source.engine.clone(),
    };
    let parts = [Some(engine), source.model.clone(), source.device.clone()];
    let parts: Vec<String> = parts
        .into_iter()
        .flatten()
        .filter(|part| !part.is_empty())
        .collect();
    parts.join(", ")
}
