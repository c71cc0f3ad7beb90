//! Draws a screen, on any size of terminal.

use super::screen::{Ending, Screen};
use kvlens_analysis::follow::{Latency, Quantiles, Selection, View};
use kvlens_analysis::render::number::{duration, grouped, percent, significant, with_unit};
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::widgets::{Block, Borders, Clear, Paragraph, Sparkline, Widget};
use std::time::Duration;

/// Without new data for this long, or for three intervals of samples, a run is no longer called live.
pub(super) const QUIET_AFTER: Duration = Duration::from_secs(10);
/// Lines of a chart at most.
const TALLEST: u16 = 5;
const LABEL: u16 = 16;
const VALUE: u16 = 10;
const PEAK: u16 = 14;
/// The width from which latencies of the whole run stand beside those of the window.
const BOTH: u16 = 115;
/// Columns of a latency's name.
const NAME: u16 = 22;
/// Charts are drawn in thousandths of their peak.
const FULL: u64 = 1_000;

const KEYS: &str = " q quit  p pause  w/W window  s/S engine  h help";
const HELP: &str = "q, Esc, Ctrl-C   quit
p, space         pause: nothing moves, reading goes on
w, W (+, -)      longer, shorter window
s, S (Tab)       next, previous engine; all of them first
h, ?             this

used     KV blocks pinned by live requests
cached   evictable, holding a reusable prefix
free     holding nothing reusable
hit rate prefix-cache hits / tokens looked up
n<29     so few values say nothing of this quantile";

/// Colours, or none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Palette {
    strong: Style,
    dim: Style,
    used: Style,
    cached: Style,
    chart: Style,
    alarm: Style,
}

impl Palette {
    /// No colour and nothing else.
    pub(super) const PLAIN: Self = Self {
        strong: Style::new(),
        dim: Style::new(),
        used: Style::new(),
        cached: Style::new(),
        chart: Style::new(),
        alarm: Style::new(),
    };

    const COLOURS: Self = Self {
        strong: Style::new().add_modifier(Modifier::BOLD),
        dim: Style::new().fg(Color::DarkGray),
        used: Style::new().fg(Color::Yellow),
        cached: Style::new().fg(Color::Cyan),
        chart: Style::new().fg(Color::Green),
        alarm: Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
    };

    /// No colour where `NO_COLOR` is set to anything (<https://no-color.org>).
    pub(super) fn from_environment() -> Self {
        let set = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if set { Self::PLAIN } else { Self::COLOURS }
    }
}

/// Writes lines from top to bottom while there is room.
struct Page<'a> {
    cells: &'a mut Buffer,
    left: Rect,
    palette: Palette,
}

impl Page<'_> {
    /// The next lines, if there are as many.
    fn take(&mut self, lines: u16) -> Option<Rect> {
        if self.left.height < lines || lines == 0 {
            return None;
        }
        let taken = Rect {
            height: lines,
            ..self.left
        };
        self.left.y += lines;
        self.left.height -= lines;
        Some(taken)
    }

    fn put(&mut self, at: Rect, x: u16, text: &str, style: Style) {
        if x < at.width && at.height > 0 {
            self.cells
                .set_stringn(at.x + x, at.y, text, usize::from(at.width - x), style);
        }
    }

    /// Text that ends at a column.
    fn put_right(&mut self, at: Rect, end: u16, text: &str, style: Style) {
        let length = u16::try_from(text.chars().count()).unwrap_or(u16::MAX);
        self.put(at, end.saturating_sub(length), text, style);
    }

    fn rule(&mut self, title: &str) {
        if let Some(at) = self.take(1) {
            let dim = self.palette.dim;
            self.put(at, 0, &"─".repeat(usize::from(at.width)), dim);
            self.put(at, 1, &format!(" {title} "), self.palette.strong);
        }
    }
}

/// Draws a screen.
pub(super) fn draw(frame: &mut Frame, screen: &Screen, palette: Palette) {
    let area = frame.area();
    let foot = u16::from(screen.keys) + u16::from(note(screen).is_some());
    let mut page = Page {
        left: Rect {
            height: area
                .height
                .saturating_sub(foot.min(area.height.saturating_sub(1))),
            ..area
        },
        cells: frame.buffer_mut(),
        palette,
    };
    head(&mut page, screen);
    if let Some(view) = &screen.view {
        blocks(&mut page, view);
        let fixed = 2 + u16::try_from(view.latencies.len()).unwrap_or(0);
        charts(&mut page, screen, view, fixed);
        latencies(&mut page, screen, &view.latencies);
    }
    let y = area.height.saturating_sub(foot).max(1);
    page.left = Rect::new(
        area.x,
        area.y + y.min(area.height),
        area.width,
        area.height.saturating_sub(y),
    );
    self::foot(&mut page, screen);
    if screen.help {
        help(frame);
    }
}

fn head(page: &mut Page<'_>, screen: &Screen) {
    let (strong, dim) = (page.palette.strong, page.palette.dim);
    if let Some(at) = page.take(1) {
        page.put(at, 0, &format!(" {}", screen.title), strong);
        let (text, alarm) = status(screen);
        let style = if alarm { page.palette.alarm } else { strong };
        page.put_right(at, at.width.saturating_sub(1), &format!("  {text}"), style);
    }
    let mut facts: Vec<String> = Vec::new();
    if !screen.facts.is_empty() {
        facts.push(screen.facts.clone());
    }
    facts.extend(screen.length.map(|length| format!("{} of run", ns(length))));
    facts.extend((screen.rows > 0).then(|| format!("{} rows", grouped(screen.rows))));
    facts.extend(selected(screen));
    if let Some(at) = page.take(1) {
        page.put(at, 0, &format!(" {}", facts.join(" · ")), dim);
    }
}

fn selected(screen: &Screen) -> Option<String> {
    match &screen.selection {
        Selection::All if screen.choices > 0 => Some(format!("all {} engines", screen.choices)),
        Selection::All => None,
        Selection::Source(name) => Some(name.clone()),
        Selection::Engine(source, index) => Some(format!("{source} [{index}]")),
    }
}

fn ns(time: Duration) -> String {
    duration(time.as_secs_f64() * 1e9)
}

/// How it stands, in a few words; whether that is bad.
fn status(screen: &Screen) -> (String, bool) {
    let age = screen.age.map_or_else(String::new, ns);
    match (screen.ending, is_quiet(screen)) {
        _ if screen.paused => ("paused".to_owned(), false),
        (Ending::Behind, _) => (format!("reading: {} rows", grouped(screen.rows)), false),
        (Ending::Clean, _) => ("ended".to_owned(), false),
        (Ending::Unclean, _) => ("ended, not by its owner".to_owned(), true),
        (Ending::Open, true) => (format!("no new data for {age}"), true),
        (Ending::Open, false) if screen.age.is_some() => (format!("live, data {age} ago"), false),
        (Ending::Open, false) => ("waiting".to_owned(), false),
    }
}

fn is_quiet(screen: &Screen) -> bool {
    screen
        .age
        .is_some_and(|age| age >= QUIET_AFTER.max(screen.quiet_after))
}

/// What the user should know beside the figures.
fn note(screen: &Screen) -> Option<String> {
    let quiet = (screen.ending == Ending::Open && is_quiet(screen))
        .then(|| "idle, or killed? `kvlens recover` makes a killed run whole".to_owned());
    screen.trouble.clone().or(quiet)
}

fn blocks(page: &mut Page<'_>, view: &View) {
    let Some(total) = view.now.blocks_total.filter(|total| *total > 0.0) else {
        return;
    };
    page.rule("KV blocks");
    let (used, cached) = (
        view.now.blocks_used.unwrap_or(0.0),
        view.now.blocks_cached.unwrap_or(0.0),
    );
    if let Some(at) = page.take(1) {
        let width = at.width.saturating_sub(2);
        let cells = |blocks: f64| share_of(width, blocks / total);
        let (pinned, held) = (cells(used), cells(used + cached));
        let pieces = [
            ("█", 0, pinned, page.palette.used),
            ("▒", pinned, held, page.palette.cached),
            ("░", held, width, page.palette.dim),
        ];
        for (symbol, from, to, style) in pieces {
            page.put(
                at,
                1 + from,
                &symbol.repeat(usize::from(to.saturating_sub(from))),
                style,
            );
        }
    }
    let part = |name: &str, blocks: Option<f64>| {
        blocks.map(|blocks| format!("{name} {} {}", whole(blocks), percent(blocks / total)))
    };
    let parts = [
        part("█ used", view.now.blocks_used),
        part("▒ cached", view.now.blocks_cached),
        part("░ free", view.now.blocks_free),
        Some(format!("of {}", whole(total))),
    ];
    if let Some(at) = page.take(1) {
        let text = parts.into_iter().flatten().collect::<Vec<_>>().join("  ");
        page.put(at, 1, &text, Style::new());
    }
}

/// A share of a width, in whole cells.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the width of a terminal"
)]
fn share_of(width: u16, share: f64) -> u16 {
    (f64::from(width) * share.clamp(0.0, 1.0)).round() as u16
}

/// A count; a mean of counts is shown as the nearest one.
fn whole(value: f64) -> String {
    with_unit(value.round(), "{count}")
}

/// A line of the charts.
struct Chart<'a> {
    label: &'static str,
    value: String,
    series: &'a [Option<f64>],
    /// What full height stands for, where it is not the largest value.
    full: Option<f64>,
    write: fn(f64) -> String,
}

fn all_charts(view: &View) -> Vec<Chart<'_>> {
    let (now, rates, series) = (&view.now, &view.rates, &view.series);
    let gauge = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), whole);
    let share = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), percent);
    let used = now
        .blocks_used
        .zip(now.blocks_total)
        .map(|(used, total)| used / total.max(1.0));
    let chart = |label, value, series, full, write: fn(f64) -> String| Chart {
        label,
        value,
        series,
        full,
        write,
    };
    vec![
        chart("running", gauge(now.running), &series.running, None, whole),
        chart("waiting", gauge(now.waiting), &series.waiting, None, whole),
        chart(
            "tokens/s",
            significant(rates.generation_tokens),
            &series.generation_tokens,
            None,
            significant,
        ),
        chart(
            "prompt tokens/s",
            significant(rates.prompt_tokens),
            &series.prompt_tokens,
            None,
            significant,
        ),
        chart("KV blocks used", share(used), &series.used, Some(1.0), percent),
        chart(
            "hit rate",
            share(rates.hit_rate),
            &series.hit_rate,
            Some(1.0),
            percent,
        ),
        chart(
            "preemptions",
            grouped(rates.preemptions),
            &series.preemptions,
            None,
            whole,
        ),
    ]
}

fn charts(page: &mut Page<'_>, screen: &Screen, view: &View, below: u16) {
    page.rule(&match screen.window {
        "run" => format!(
            "the whole run: {} steps/s, {} requests/s",
            significant(view.rates.steps),
            significant(view.rates.finished)
        ),
        window => format!(
            "last {window}: {} steps/s, {} requests/s",
            significant(view.rates.steps),
            significant(view.rates.finished)
        ),
    });
    let charts = all_charts(view);
    let count = u16::try_from(charts.len()).unwrap_or(1);
    let spare = page.left.height.saturating_sub(count + below);
    for (at, chart) in (0..count).zip(charts) {
        // What is left over goes to the first charts.
        let extra = spare / count + u16::from(at < spare % count);
        if let Some(area) = page.take((1 + extra).min(TALLEST)) {
            draw_chart(page, area, &chart);
        }
    }
}

fn draw_chart(page: &mut Page<'_>, at: Rect, chart: &Chart<'_>) {
    page.put(at, 1, chart.label, Style::new());
    page.put_right(at, LABEL + VALUE, &chart.value, page.palette.strong);
    let peak = chart.series.iter().flatten().copied().fold(0.0, f64::max);
    let full = chart.full.unwrap_or(peak);
    let start = LABEL + VALUE + 2;
    let peaks = if at.width >= start + PEAK + 10 { PEAK } else { 0 };
    let width = at.width.saturating_sub(start + peaks + 1);
    if peaks > 0 && chart.series.iter().any(Option::is_some) {
        let text = format!("max {}", (chart.write)(peak));
        page.put_right(at, at.width.saturating_sub(1), &text, page.palette.dim);
    }
    if width < 4 {
        return;
    }
    let bars = resample(chart.series, usize::from(width))
        .into_iter()
        .map(|value| {
            value.map(|value| u64::from(share_of(1_000, if full > 0.0 { value / full } else { 0.0 })))
        });
    Sparkline::default()
        .data(bars)
        .max(FULL)
        .absent_value_symbol(" ")
        .style(page.palette.chart)
        .render(Rect::new(at.x + start, at.y, width, at.height), page.cells);
}

/// Brings a series to a number of columns: means where it has more values, the same value again where it has fewer.
fn resample(series: &[Option<f64>], columns: usize) -> Vec<Option<f64>> {
    let of = |column: usize| {
        let from = column * series.len() / columns.max(1);
        let to = ((column + 1) * series.len())
            .div_ceil(columns.max(1))
            .max(from + 1);
        let values = series
            .get(from..to.min(series.len()))
            .unwrap_or_default()
            .iter()
            .flatten();
        let count = u32::try_from(values.clone().count()).unwrap_or(u32::MAX);
        (count > 0).then(|| values.sum::<f64>() / f64::from(count))
    };
    (0..columns).map(of).collect()
}

fn latencies(page: &mut Page<'_>, screen: &Screen, latencies: &[Latency]) {
    if latencies.is_empty() {
        return;
    }
    // Both times where they fit side by side, else the window alone.
    let both = screen.window != "run" && page.left.width >= BOTH;
    let window = match screen.window {
        "run" => "over the whole run".to_owned(),
        window => format!("last {window}"),
    };
    page.rule(&format!(
        "latency, {window}{}",
        if both { ", and over the whole run" } else { "" }
    ));
    let width: u16 = if both { 9 } else { 11 };
    let columns = ["n", "p50", "p90", "p99", "max"];
    let groups = if both { 2 } else { 1 };
    let end = |group: u16, column: u16| NAME + group * (5 * width + 2) + (column + 1) * width;
    if let Some(at) = page.take(1) {
        for group in 0..groups {
            for (column, name) in (0..).zip(columns) {
                page.put_right(at, end(group, column), name, page.palette.dim);
            }
        }
    }
    for latency in latencies {
        let Some(at) = page.take(1) else { return };
        page.put(at, 1, latency.name, Style::new());
        let values = if screen.window == "run" {
            &latency.whole
        } else {
            &latency.recent
        };
        for (group, values) in (0..groups).zip([values, &latency.whole]) {
            for (column, text) in (0..).zip(quantiles(values)) {
                page.put_right(at, end(group, column), &text, Style::new());
            }
        }
    }
}

fn quantiles(values: &Quantiles) -> [String; 5] {
    let time = |value: Option<u64>, needed: &str| match value {
        #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
        Some(ns) => duration(ns as f64),
        None if values.count == 0 => "-".to_owned(),
        None => needed.to_owned(),
    };
    [
        grouped(values.count),
        time(values.p50, "n<5"),
        time(values.p90, "n<29"),
        time(values.p99, "n<299"),
        time(values.max, "-"),
    ]
}

fn foot(page: &mut Page<'_>, screen: &Screen) {
    if let Some(note) = note(screen)
        && let Some(at) = page.take(1)
    {
        page.put(at, 0, &format!(" {note}"), page.palette.alarm);
    }
    if screen.keys
        && let Some(at) = page.take(1)
    {
        page.put(at, 0, KEYS, page.palette.dim);
    }
}

fn help(frame: &mut Frame) {
    let (lines, area) = (u16::try_from(HELP.lines().count()).unwrap_or(0), frame.area());
    let widest = HELP.lines().map(|line| line.chars().count()).max().unwrap_or(0);
    let (width, height) = (u16::try_from(widest).unwrap_or(0) + 4, lines + 2);
    let (width, height) = (width.min(area.width), height.min(area.height));
    let at = Rect::new(
        area.x + (area.width - width) / 2,
        area.y + (area.height - height) / 2,
        width,
        height,
    );
    frame.render_widget(Clear, at);
    let block = Block::new().borders(Borders::ALL).title(" help ");
    frame.render_widget(Paragraph::new(HELP).block(block), at);
}
