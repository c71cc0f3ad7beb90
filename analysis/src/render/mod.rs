//! Answers as text for a terminal, as Markdown and as HTML, from one description.

pub(crate) mod html;
pub mod number;

use std::fmt::Write as _;

/// A document that is rendered as text, as Markdown or as HTML.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Document {
    blocks: Vec<Block>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Block {
    Heading(String),
    Paragraph(String),
    List(Vec<String>),
    Table(Table),
}

/// A table; every column but the first is set to the right where it holds numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Makes a table with a header; an empty header is not shown in text.
    pub fn new<const N: usize>(header: [&str; N]) -> Self {
        Self {
            header: header.map(str::to_owned).into(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn columns(&self) -> usize {
        self.rows
            .iter()
            .map(Vec::len)
            .chain([self.header.len()])
            .max()
            .unwrap_or(0)
    }

    fn width(&self, column: usize) -> usize {
        let cells = self
            .rows
            .iter()
            .chain([&self.header])
            .filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    }

    /// Whether a column holds numbers: most of its cells begin with a digit or are empty.
    fn is_numeric(&self, column: usize) -> bool {
        let cells = self
            .rows
            .iter()
            .filter_map(|row| row.get(column))
            .filter(|cell| !cell.is_empty());
        let numbers = cells
            .clone()
            .filter(|cell| cell.starts_with(|c: char| c.is_ascii_digit() || "-+<>±".contains(c)));
        column > 0 && numbers.count() * 2 > cells.count()
    }

    fn text(&self, out: &mut String) {
        let columns: Vec<(usize, bool)> = (0..self.columns())
            .map(|at| (self.width(at), self.is_numeric(at)))
            .collect();
        let header = Some(&self.header).filter(|header| header.iter().any(|cell| !cell.is_empty()));
        for row in header.into_iter().chain(&self.rows) {
            let mut line = String::new();
            for (at, (width, numeric)) in columns.iter().enumerate() {
                let cell = row.get(at).map_or("", String::as_str);
                let padding = " ".repeat(width.saturating_sub(cell.chars().count()));
                let gap = if at == 0 { "" } else { "  " };
                line.push_str(gap);
                line.push_str(&if *numeric {
                    format!("{padding}{cell}")
                } else {
                    format!("{cell}{padding}")
                });
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
    }

    fn html(&self, out: &mut String) {
        // A remark that begins with a number is none.
        let has_header = self.header.iter().any(|cell| !cell.is_empty());
        let is_number = |at| self.is_numeric(at) && self.width(at) <= 26 && (has_header || at == 1);
        let columns: Vec<bool> = (0..self.columns()).map(is_number).collect();
        let line = |row: &[String], tag: &str| {
            let cell = |(at, numeric): (usize, &bool)| {
                let text = html::escape(row.get(at).map_or("", String::as_str));
                let class = if *numeric { " class=\"number\"" } else { "" };
                if at == 0 {
                    format!("<th scope=\"row\">{text}</th>")
                } else {
                    format!("<{tag}{class}>{text}</{tag}>")
                }
            };
            let cells: String = columns.iter().enumerate().map(cell).collect();
            format!("<tr>{cells}</tr>\n")
        };
        out.push_str("<div class=\"scroll\"><table>\n");
        if has_header {
            out.push_str(&format!("<thead>{}</thead>\n", line(&self.header, "th")));
        }
        let rows: String = self.rows.iter().map(|row| line(row, "td")).collect();
        out.push_str(&format!("<tbody>{rows}</tbody></table></div>\n"));
    }

    fn markdown(&self, out: &mut String) {
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let cell =
            |row: &[String], at: usize| row.get(at).map_or(String::new(), |cell| cell.replace('|', "\\|"));
        let columns = 0..self.columns();
        out.push_str(&line(columns.clone().map(|at| cell(&self.header, at)).collect()));
        let rule = |at| {
            if self.is_numeric(at) {
                "--:".to_owned()
            } else {
                "---".to_owned()
            }
        };
        out.push_str(&line(columns.clone().map(rule).collect()));
        for row in &self.rows {
            out.push_str(&line(columns.clone().map(|at| cell(row, at)).collect()));
        }
    }
}

impl Document {
    /// Adds a heading.
    pub fn heading(&mut self, text: impl Into<String>) {
        self.blocks.push(Block::Heading(text.into()));
    }

    /// Adds a paragraph.
    pub fn paragraph(&mut self, text: impl Into<String>) {
        self.blocks.push(Block::Paragraph(text.into()));
    }

    /// Adds what limits the figures, under a heading of its own.
    pub fn notes(&mut self, notes: &[String]) {
        if !notes.is_empty() {
            self.heading("Notes");
            self.list(notes.to_vec());
        }
    }

    /// Adds a list; an empty one is left out.
    pub fn list(&mut self, items: Vec<String>) {
        if !items.is_empty() {
            self.blocks.push(Block::List(items));
        }
    }

    /// Adds a table; an empty one is left out.
    pub fn table(&mut self, table: Table) {
        if !table.is_empty() {
            self.blocks.push(Block::Table(table));
        }
    }

    /// Renders it for a terminal.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for (at, block) in self.blocks.iter().enumerate() {
            if at > 0 && matches!(block, Block::Heading(_)) {
                out.push('\n');
            }
            // Writing to a String can't fail.
            let _ = match block {
                Block::Heading(text) | Block::Paragraph(text) => writeln!(out, "{text}"),
                Block::List(items) => items.iter().try_for_each(|item| writeln!(out, "  - {item}")),
                Block::Table(table) => {
                    table.text(&mut out);
                    Ok(())
                }
            };
        }
        out
    }

    /// Renders it as HTML, with headings of this level; nothing in it is taken for markup.
    pub(crate) fn html(&self, level: u8) -> String {
        let mut out = String::new();
        for block in &self.blocks {
            match block {
                Block::Heading(text) => {
                    out.push_str(&format!("<h{level}>{}</h{level}>\n", html::escape(text)));
                }
                Block::Paragraph(text) => out.push_str(&format!("<p>{}</p>\n", html::escape(text))),
                Block::List(items) => {
                    let item = |item: &String| format!("<li>{}</li>\n", html::escape(item));
                    let items: String = items.iter().map(item).collect();
                    out.push_str(&format!("<ul>\n{items}</ul>\n"));
                }
                Block::Table(table) => table.html(&mut out),
            }
        }
        out
    }

    /// Renders it as Markdown.
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        for block in &self.blocks {
            let _ = match block {
                Block::Heading(text) => writeln!(out, "## {text}"),
                Block::Paragraph(text) => writeln!(out, "{text}"),
                Block::List(items) => items.iter().try_for_each(|item| writeln!(out, "- {item}")),
                Block::Table(table) => {
                    table.markdown(&mut out);
                    Ok(())
                }
            };
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_description_two_renderings() {
        let mut table = Table::new(["latency", "p50"]);
        table.row(["ttft".to_owned(), "12 ms".to_owned()]);
        table.row(["e2e".to_owned(), "1.23 s".to_owned()]);
        let mut document = Document::default();
        document.heading("Latencies");
        document.table(table);
        document.list(vec!["a|b".to_owned()]);
        assert_eq!(
            document.text(),
            "Latencies\nlatency     p50\nttft      12 ms\ne2e      1.23 s\n  - a|b\n"
        );
        let markdown = "## Latencies\n\n| latency | p50 |\n| --- | --: |\n| ttft | 12 ms |\n| e2e | 1.23 s |\n\n- a|b\n\n";
        assert_eq!(document.markdown(), markdown);
    }
}
