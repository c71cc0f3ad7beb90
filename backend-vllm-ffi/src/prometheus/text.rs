//! The text exposition format, read line by line.

use std::borrow::Cow;

/// One sample of a page.
#[derive(Debug, Clone, PartialEq)]
pub struct Line<'a> {
    /// The name, suffixes included.
    pub name: &'a str,
    /// The labels, in the page's order.
    pub labels: Vec<(&'a str, Cow<'a, str>)>,
    /// The value; NaN and infinities are allowed.
    pub value: f64,
}

impl Line<'_> {
    /// A label's value.
    pub fn label(&self, name: &str) -> Option<&str> {
        let found = self.labels.iter().find(|(label, _)| *label == name);
        found.map(|(_, value)| value.as_ref())
    }
}

/// Walks a page's samples; comments and lines that can't be understood are passed over.
///
/// ```
/// let page = "# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{engine=\"0\"} 3.0\n";
/// let lines: Vec<_> = kvlens_vllm_ffi::prometheus::lines(page).collect();
/// assert_eq!(lines[0].name, "vllm:num_requests_running");
/// assert_eq!(lines[0].label("engine"), Some("0"));
/// assert_eq!(lines[0].value, 3.0);
/// ```
pub fn lines(page: &str) -> impl Iterator<Item = Line<'_>> {
    page.lines().filter_map(line)
}

fn line(text: &str) -> Option<Line<'_>> {
    let text = text.trim();
    if text.is_empty() || text.starts_with('#') {
        return None;
    }
    let end = text.find(|c: char| c == '{' || c.is_whitespace())?;
    let (name, rest) = text.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(inside) => labels(inside)?,
        None => (Vec::new(), rest),
    };
    // A time stamp may follow the value, and an exemplar that; neither is of use here.
    let value = rest.split_whitespace().next()?.parse().ok()?;
    (!name.is_empty()).then_some(Line { name, labels, value })
}

type Labels<'a> = Vec<(&'a str, Cow<'a, str>)>;

/// Reads labels up to the closing brace; returns what follows it.
fn labels(mut rest: &str) -> Option<(Labels<'_>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', ',']);
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (name, after) = rest.split_once('=')?;
        let (value, after) = quoted(after.trim_start().strip_prefix('"')?)?;
        labels.push((name.trim(), value));
        rest = after;
    }
}

/// Reads up to the closing quote, undoing `\\`, `\"` and `\n`.
fn quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'\\' if !escaped => escaped = true,
            b'"' if !escaped => {
                let (inside, after) = (text.get(..at)?, text.get(at + 1..)?);
                return Some((unescape(inside), after));
            }
            _ => escaped = false,
        }
    }
    None
}

fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some(other) => out.push(other),
                None => {}
            },
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_labels_and_oddities() {
        let page =
            "a 1\nb{x=\"1,}\\\"\\\\\\n\", y=\"\"} +Inf 1700\n# HELP c d\n\nbroken{ 1\nnovalue\nd{} NaN\n";
        let found: Vec<_> = lines(page).collect();
        assert_eq!(found.len(), 3);
        assert_eq!(found[1].label("x"), Some("1,}\"\\\n"));
        assert!(found[1].value.is_infinite() && found[2].value.is_nan());
    }

    proptest! {
        #[test]
        fn any_text_is_survived(page in "\\PC{0,200}") {
            lines(&page).for_each(drop);
        }

        #[test]
        fn any_label_comes_back(value in "\\PC{0,40}") {
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let page = format!("m{{l=\"{escaped}\"}} 2");
            let found: Vec<_> = lines(&page).collect();
            prop_assert_eq!(found[0].label("l"), Some(value.as_str()));
        }
    }
}
