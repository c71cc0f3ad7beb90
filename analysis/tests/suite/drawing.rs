//! Plots as single files: everything drawn, named, inside the picture and legible.

use crate::made;
use crate::report::full;
use kvlens_analysis::report::{Body, PNG_SCALE, Plot, Quantity, Report, Size};
use kvlens_analysis::{Run, ScanOptions};
use kvlens_core::record::Opt32;
use tiny_skia::Pixmap;

const EVIL: &str = "</text><script>alert(1)</script>";

/// A report of one run, and one of two runs of which one has a name that is long and markup.
fn reports() -> [Report; 2] {
    let out = tempfile::tempdir().unwrap();
    let dirs = ["a", "b"].map(|name| {
        let mut made = full(4_000, 3);
        made.steps[100].preemptions_recompute = Opt32::some(2);
        made::parquet(out.path(), name, &made)
    });
    let manifest = std::fs::read_to_string(dirs[1].join("run.json")).unwrap();
    let mut manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    manifest["run_id"] = format!("{EVIL}{}", "-long".repeat(40)).into();
    std::fs::write(dirs[1].join("run.json"), manifest.to_string()).unwrap();
    let runs = dirs.map(|dir| Run::open(dir).unwrap());
    let report = |runs: &[&Run]| Report::read(runs, ScanOptions::default()).unwrap();
    [report(&[&runs[0]]), report(&[&runs[0], &runs[1]])]
}

/// A text of an SVG: its words, its left, right and bottom.
#[derive(Debug)]
struct Label {
    words: String,
    left: f64,
    right: f64,
    baseline: f64,
    size: f64,
}

fn unescaped(text: &str) -> String {
    let entities = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&amp;", "&"),
    ];
    entities
        .into_iter()
        .fold(text.to_owned(), |text, (entity, letter)| {
            text.replace(entity, letter)
        })
}

/// What a letter is about as wide as at least, for a size of 1.
fn least_width(letter: char) -> f64 {
    match letter {
        'f' | 'i' | 'j' | 'l' | 'r' | 't' | 'I' => 0.22,
        letter if letter.is_alphanumeric() => 0.45,
        _ => 0.2,
    }
}

fn labels(svg: &str) -> Vec<Label> {
    let attribute = |element: &str, name: &str| {
        let (_, rest) = element.split_once(&format!("{name}=\"")).unwrap();
        rest.split('"').next().unwrap().to_owned()
    };
    let label = |element: &str| {
        let (attributes, words) = element.split_once('>').unwrap();
        let words = unescaped(words.split("</text>").next().unwrap());
        let number = |name: &str| attribute(attributes, name).parse::<f64>().unwrap();
        let (x, size) = (number(" x"), number("font-size"));
        let width = size * words.chars().map(least_width).sum::<f64>();
        let left = match attribute(attributes, "text-anchor").as_str() {
            "start" => x,
            "middle" => x - width / 2.0,
            _ => x - width,
        };
        Label {
            words,
            left,
            right: left + width,
            baseline: number(" y"),
            size,
        }
    };
    svg.split("<text").skip(1).map(label).collect()
}

fn well_drawn(plot: &Plot, size: (f64, f64), svg: &str) {
    let id = &plot.id;
    assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"), "{id}");
    assert!(
        !svg.contains("NaN") && !svg.contains("inf\""),
        "{id} has no numbers"
    );
    assert!(!svg.contains("<script"), "{id} takes text for markup");
    let labels = labels(svg);
    // What does not fit is cut.
    let title = labels[0].words.trim_end_matches('…');
    assert!(plot.title.starts_with(title) && title.len() > 8, "{id}: {title}");
    let words = |text: &str| {
        labels
            .iter()
            .any(|label| label.words.replace("&#39;", "'") == text)
    };
    assert!(
        words(&plot.x.title()) && words(&plot.y.title()),
        "{id}: {labels:?}"
    );
    for axis in [&plot.x, &plot.y] {
        let units: &[&str] = match axis.quantity {
            Quantity::Share => &[" %"],
            Quantity::Duration => &[" ns", " µs", " ms", " s", " min", " h"],
            _ => continue,
        };
        let has = labels
            .iter()
            .any(|label| units.iter().any(|unit| label.words.ends_with(unit)));
        assert!(has, "{id}: no tick of {} has a unit", axis.name);
    }
    for (at, label) in labels.iter().enumerate() {
        let inside = label.left >= 0.0 && label.right <= size.0 && label.baseline <= size.1 - 2.0;
        assert!(inside, "{id}: {label:?} is cut off");
        for other in &labels[at + 1..] {
            let apart = label.right <= other.left
                || other.right <= label.left
                || (label.baseline - other.baseline).abs() >= 0.7 * label.size.min(other.size);
            assert!(apart, "{id}: {label:?} and {other:?} overlap");
        }
    }
    let drawn = match &plot.body {
        Body::Heat(heat) => svg.matches('M').count() >= heat.cells.len(),
        Body::Lines(lines) => lines
            .series
            .iter()
            .all(|series| svg.matches(&colour(series.colour.0)).count() > 0),
        other => panic!("{other:?}"),
    };
    assert!(drawn, "{id}: something is not drawn");
}

fn colour(at: usize) -> String {
    [
        "#0072b2", "#e69f00", "#009e73", "#d55e00", "#b8578d", "#56b4e9", "#7a6a00", "#8b95a3",
    ][at % 8]
        .to_owned()
}

#[test]
fn every_plot_is_drawn_as_svg() {
    let sizes = [
        Size::DEFAULT,
        Size::new(400, 300).unwrap(),
        Size::new(1_600, 500).unwrap(),
    ];
    for report in reports() {
        for plot in report.plots() {
            for (size, sides) in sizes
                .into_iter()
                .zip([(680.0, 380.0), (400.0, 300.0), (1_600.0, 500.0)])
            {
                well_drawn(plot, sides, &plot.svg(size));
            }
        }
    }
}

#[test]
fn every_plot_is_drawn_as_png() {
    let size = Size::new(240, 200).unwrap();
    let scale = u32::from(PNG_SCALE);
    let [one, several] = reports();
    for plot in one.plots().iter().chain(several.plots().iter().take(6)) {
        let picture = Pixmap::decode_png(&plot.png(size).unwrap()).unwrap();
        assert_eq!((picture.width(), picture.height()), (240 * scale, 200 * scale));
        let inked = picture
            .pixels()
            .iter()
            .filter(|pixel| (pixel.red(), pixel.green(), pixel.blue()) != (255, 255, 255));
        assert!(inked.count() > 8_000, "{}: hardly anything is drawn", plot.id);
    }
}
