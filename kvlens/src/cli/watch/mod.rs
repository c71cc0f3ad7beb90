//! `kvlens watch`: a run in the terminal while it is being written.
//!
//! `state` keeps what was read and what was asked for by keys, `screen` is what there is to show, `draw` draws it.

mod draw;
mod screen;
mod state;
#[cfg(test)]
mod tests;

use super::args::WatchArgs;
use super::error::CliError;
use super::{Outcome, print};
use draw::{Palette, draw};
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use ratatui::{DefaultTerminal, Terminal};
use state::{State, nearest_window};
use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The least time between two looks at the files.
const FASTEST: Duration = Duration::from_millis(50);
/// The size of what `--once` prints, where no terminal says another.
const PLAIN: (u16, u16) = (80, 24);

/// Set when the process is asked to end.
static ASKED_TO_END: AtomicBool = AtomicBool::new(false);

pub(super) fn run(args: &WatchArgs) -> Result<Outcome, CliError> {
    let refresh = humantime::parse_duration(&args.refresh)
        .map_err(|error| CliError::usage("refresh", &args.refresh, error))?;
    let window =
        nearest_window(&args.window).map_err(|error| CliError::usage("window", &args.window, error))?;
    let mut state = State::new(args.dir.clone(), window);
    if args.once {
        return once(&mut state);
    }
    if !io::stdout().is_terminal() {
        let source = "stdout is no terminal; `--once` prints what is known now as text";
        return Err(CliError::failed("can't watch", source));
    }
    // A path that can't become a run is told before the screen is taken.
    state
        .look()
        .map_err(|error| CliError::failed("can't watch", error))?;
    ctrlc::set_handler(|| ASKED_TO_END.store(true, Ordering::Relaxed))
        .map_err(|error| CliError::failed("can't listen for signals", error))?;
    let mut terminal =
        ratatui::try_init().map_err(|error| CliError::failed("can't use the terminal", error))?;
    let watched = watch(&mut terminal, &mut state, refresh.max(FASTEST));
    // Whatever happened, the terminal is given back first; nothing can be done about one that is gone.
    let _ = ratatui::try_restore();
    watched.map_err(|error| CliError::failed("can't watch", error))?;
    Ok(Outcome::Well)
}

/// Looks, draws and listens, until the user has enough.
fn watch(terminal: &mut DefaultTerminal, state: &mut State, refresh: Duration) -> io::Result<()> {
    let palette = Palette::from_environment();
    loop {
        let next = Instant::now() + refresh;
        // What goes wrong from here on is shown: a run may be removed, and another one come.
        state.look_and_tell();
        loop {
            let screen = state.screen();
            terminal.draw(|frame| draw(frame, &screen, palette))?;
            if ASKED_TO_END.load(Ordering::Relaxed) {
                return Ok(());
            }
            let wait = if state.is_behind() {
                Duration::ZERO
            } else {
                next.saturating_duration_since(Instant::now())
            };
            if !event::poll(wait)? {
                break;
            }
            match event::read()? {
                Event::Key(key) if key.kind != KeyEventKind::Release && state.key(key) => return Ok(()),
                _ => {}
            }
        }
    }
}

/// Prints one frame as text.
fn once(state: &mut State) -> Result<Outcome, CliError> {
    let failed = |error: state::LookError| CliError::failed("can't watch", error);
    state.look().map_err(failed)?;
    while state.is_behind() {
        state.look().map_err(failed)?;
    }
    if state.is_waiting() {
        let path = state.path().display();
        let source = format!("there is no run under {path}; name a run, or a directory that holds one");
        return Err(CliError::failed("can't watch", source));
    }
    let size = ratatui::crossterm::terminal::size()
        .ok()
        .filter(|_| io::stdout().is_terminal());
    let (width, height) = size.unwrap_or(PLAIN);
    print(&text(state, width, height.min(PLAIN.1)).map_err(|error| CliError::failed("can't print", error))?)
}

/// A frame as text.
fn text(state: &State, width: u16, height: u16) -> io::Result<String> {
    // The test backend can't fail: it is memory.
    let mut terminal = Terminal::new(TestBackend::new(width, height)).map_err(io::Error::other)?;
    let screen = state.screen().without_keys();
    terminal
        .draw(|frame| draw(frame, &screen, Palette::PLAIN))
        .map_err(io::Error::other)?;
    let cells = terminal.backend().buffer();
    let mut out = String::new();
    for y in 0..height {
        let line: String = (0..width).map(|x| cells[(x, y)].symbol()).collect();
        out.push_str(line.trim_end());
        out.push('\n');
    }
    Ok(format!("{}\n", out.trim_end()))
}
