//! What was read, and what was asked for by keys.

use super::screen::{Ending, Screen};
use kvlens_analysis::AnalysisError;
use kvlens_analysis::follow::{Follow, Polled, Selection, View, Window};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The windows to choose from; `None` is the whole run.
pub(super) const WINDOWS: [(Option<Duration>, &str); 6] = [
    (Some(Duration::from_secs(30)), "30 s"),
    (Some(Duration::from_secs(120)), "2 min"),
    (Some(Duration::from_secs(600)), "10 min"),
    (Some(Duration::from_secs(3_600)), "1 h"),
    (Some(Duration::from_secs(6 * 3_600)), "6 h"),
    (None, "run"),
];

/// Columns of the charts that figures are kept for; as many as the widest terminal shows of them.
pub(super) const COLUMNS: usize = 240;

pub(super) type LookError = AnalysisError;

/// The place in [`WINDOWS`] that is nearest to a time.
pub(super) fn nearest_window(text: &str) -> Result<usize, humantime::DurationError> {
    if text == "run" {
        return Ok(WINDOWS.len() - 1);
    }
    let wanted = humantime::parse_duration(text)?.as_secs_f64().max(1.0).ln();
    let distance = |(at, (length, _)): (usize, &(Option<Duration>, &str))| {
        length.map(|length| (at, (length.as_secs_f64().ln() - wanted).abs()))
    };
    let nearest = WINDOWS
        .iter()
        .enumerate()
        .filter_map(distance)
        .min_by(|a, b| a.1.total_cmp(&b.1));
    Ok(nearest.map_or(0, |(at, _)| at))
}

/// What was read, and what was asked for.
#[derive(Debug)]
pub(super) struct State {
    path: PathBuf,
    follow: Option<Follow>,
    polled: Option<Polled>,
    window: usize,
    /// 0 is everything, then the selections there are.
    selected: usize,
    /// What is shown while nothing moves.
    paused: Option<(View, Option<Duration>)>,
    help: bool,
    trouble: Option<String>,
}

impl State {
    pub(super) fn new(path: PathBuf, window: usize) -> Self {
        Self {
            path,
            follow: None,
            polled: None,
            window,
            selected: 0,
            paused: None,
            help: false,
            trouble: None,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is no run yet.
    pub(super) fn is_waiting(&self) -> bool {
        self.follow.is_none()
    }

    /// Whether there is more to read at once.
    pub(super) fn is_behind(&self) -> bool {
        self.polled.is_some_and(|polled| polled.more)
    }

    /// Reads what is new.
    pub(super) fn look(&mut self) -> Result<(), LookError> {
        if self.follow.is_none() {
            self.follow = Follow::open(&self.path)?;
        }
        if let Some(follow) = &mut self.follow {
            self.polled = Some(follow.poll()?);
        }
        Ok(())
    }

    /// Reads what is new, and keeps what goes wrong to be shown.
    pub(super) fn look_and_tell(&mut self) {
        self.trouble = self.look().err().map(|error| chain(&error));
        if self.trouble.is_some() {
            // Not at once again.
            self.polled = None;
        }
    }

    /// Does what a key says; whether that is to end.
    pub(super) fn key(&mut self, key: KeyEvent) -> bool {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if control => return true,
            KeyCode::Char('q' | 'Q') => return true,
            KeyCode::Esc if !self.help => return true,
            KeyCode::Char('h' | '?') => self.help = !self.help,
            KeyCode::Esc => self.help = false,
            KeyCode::Char('p' | ' ') => self.pause(),
            KeyCode::Char('w' | '+') | KeyCode::Right => self.move_window(1),
            KeyCode::Char('W' | '-') | KeyCode::Left => self.move_window(WINDOWS.len() - 1),
            KeyCode::Char('s') | KeyCode::Tab | KeyCode::Down => self.select(1),
            KeyCode::Char('S') | KeyCode::BackTab | KeyCode::Up => self.select(self.choices()),
            _ => {}
        }
        false
    }

    fn pause(&mut self) {
        self.paused = match self.paused.take() {
            Some(_) => None,
            None => self.view().map(|view| (view, self.age())),
        };
    }

    fn move_window(&mut self, by: usize) {
        self.window = (self.window + by) % WINDOWS.len();
        self.paused = None;
    }

    fn select(&mut self, by: usize) {
        self.selected = (self.selected + by) % (self.choices() + 1);
        self.paused = None;
    }

    fn choices(&self) -> usize {
        self.follow
            .as_ref()
            .map_or(0, |follow| follow.live().selections().len())
    }

    fn selection(&self) -> Selection {
        let chosen = self.selected.checked_sub(1);
        let choices = self.follow.as_ref().map(|follow| follow.live().selections());
        chosen
            .and_then(|at| choices?.into_iter().nth(at))
            .unwrap_or_default()
    }

    fn age(&self) -> Option<Duration> {
        self.follow.as_ref().and_then(Follow::age)
    }

    fn view(&self) -> Option<View> {
        let window = match WINDOWS.get(self.window) {
            Some((Some(length), _)) => Window::Recent(u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)),
            _ => Window::Whole,
        };
        let live = self.follow.as_ref()?.live();
        Some(live.view(&self.selection(), window, COLUMNS))
    }

    /// What there is to show now.
    pub(super) fn screen(&self) -> Screen {
        let Some(follow) = &self.follow else {
            return Screen::waiting(&self.path, self.trouble.clone(), self.help);
        };
        let (view, age) = match &self.paused {
            Some((view, age)) => (Some(view.clone()), *age),
            None => (self.view(), self.age()),
        };
        let ending = match (self.polled, follow.run().is_finished()) {
            (Some(polled), true) if polled.ended => Ending::Clean,
            (Some(polled), false) if polled.ended => Ending::Unclean,
            (Some(polled), _) if polled.more => Ending::Behind,
            _ => Ending::Open,
        };
        let mut screen = Screen::of(follow, view, age);
        screen.ending = ending;
        screen.window = WINDOWS.get(self.window).map_or("run", |(_, name)| name);
        screen.selection = self.selection();
        screen.choices = self.choices();
        screen.paused = self.paused.is_some();
        screen.help = self.help;
        screen.trouble = self.trouble.clone().or_else(|| follow.problems().last().cloned());
        screen
    }

    #[cfg(test)]
    pub(super) fn follow(&self) -> Option<&Follow> {
        self.follow.as_ref()
    }
}

/// An error and its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let line = inner.to_string();
        if !text.ends_with(&line) {
            text = format!("{text}: {line}");
        }
        cause = inner.source();
    }
    text
}
