//! The files that hold a table.

use crate::error::{AnalysisError, Result};
use kvlens_core::Table;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How a run was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Parquet parts.
    Parquet,
    /// Arrow IPC.
    Arrow,
    /// CSV.
    Csv,
}

/// A file with rows of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Part {
    /// The file.
    pub path: PathBuf,
    pub(crate) kind: PartKind,
    /// The process that it is of, where several are read as one run: goes before the names of sources.
    pub(crate) label: Option<Arc<str>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PartKind {
    /// A Parquet file with its footer.
    Parquet,
    /// A Parquet file that is being written; its footer is in the file given. It had this many whole row groups when
    /// the run was opened: the rows of later ones are in a stream that is listed too.
    OpenParquet(PathBuf, u32),
    /// An Arrow IPC file or stream; the first bytes tell which.
    Ipc,
    /// An Arrow IPC stream that may end anywhere.
    OpenIpc,
    /// CSV.
    Csv,
    /// CSV whose last line may be cut.
    OpenCsv,
}

impl Part {
    fn new(path: impl Into<PathBuf>, kind: PartKind) -> Self {
        Self {
            path: path.into(),
            kind,
            label: None,
        }
    }

    /// Says which process it is of.
    pub(super) fn labelled(mut self, label: &Arc<str>) -> Self {
        self.label = Some(Arc::clone(label));
        self
    }

    /// The process that it is of, such as `rank3`, where a whole job is read as one run.
    pub fn process(&self) -> Option<&str> {
        self.label.as_deref()
    }

    /// Whether the file is complete: false for one that is, or was, still being written.
    pub fn is_sealed(&self) -> bool {
        matches!(self.kind, PartKind::Parquet | PartKind::Ipc | PartKind::Csv)
    }

    fn name(&self) -> Option<(u32, Name)> {
        parse(self.path.file_name()?.to_str()?)
    }

    /// The number of a Parquet part, or of the part that a stream belongs to.
    pub(crate) fn number(&self) -> Option<u32> {
        self.name().map(|(number, _)| number)
    }

    /// The row group that a stream's rows are to be.
    pub(crate) fn group(&self) -> Option<u32> {
        match self.name()? {
            (_, Name::Stream(group)) => Some(group),
            _ => None,
        }
    }

    /// Whether a recovery made it, out of a stream.
    pub(crate) fn is_tail(&self) -> bool {
        matches!(self.name(), Some((_, Name::Tail)))
    }

    /// Whether any Parquet reader can read the file as it is.
    pub fn is_whole_parquet(&self) -> bool {
        matches!(self.kind, PartKind::Parquet)
    }
}

/// The formats that a run has files of, the preferred one first.
pub(super) fn formats(dir: &Path) -> Result<Vec<Format>> {
    let mut out = Vec::new();
    for format in [Format::Parquet, Format::Arrow, Format::Csv] {
        for table in Table::ALL {
            if !find(dir, table, format)?.is_empty() {
                out.push(format);
                break;
            }
        }
    }
    Ok(out)
}

/// The files of a table, in the order of their rows.
pub(super) fn find(dir: &Path, table: Table, format: Format) -> Result<Vec<Part>> {
    match format {
        Format::Parquet => parquet(&dir.join(table.name())),
        Format::Arrow => Ok(single(dir, table, "arrow", PartKind::Ipc, PartKind::OpenIpc)),
        Format::Csv => Ok(single(dir, table, "csv", PartKind::Csv, PartKind::OpenCsv)),
    }
}

/// A table's only file, or the one that is being written.
fn single(dir: &Path, table: Table, extension: &str, sealed: PartKind, open: PartKind) -> Vec<Part> {
    let whole = dir.join(format!("{}.{extension}", table.name()));
    if whole.is_file() {
        return vec![Part::new(whole, sealed)];
    }
    let draft = dir.join(format!("_{}.{extension}", table.name()));
    let found = draft.is_file().then(|| Part::new(draft, open));
    found.into_iter().collect()
}

/// What a file in a directory of Parquet parts is; ordered as the rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Part,
    Open,
    Tail,
    Stream(u32),
    Footer,
}

fn parquet(dir: &Path) -> Result<Vec<Part>> {
    let listing = match fs::read_dir(dir) {
        Ok(listing) => listing,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(AnalysisError::io("list", dir, error)),
    };
    let mut names = Vec::new();
    let mut foreign = Vec::new();
    for entry in listing {
        let path = entry.map_err(|e| AnalysisError::io("list", dir, e))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        if let Some((part, kind)) = parse(name) {
            names.push((part, kind, path));
        } else if has_extension(&path, "parquet") && !name.starts_with(['_', '.']) {
            foreign.push(Part::new(path, PartKind::Parquet));
        }
    }
    names.sort();
    foreign.sort_by(|a, b| a.path.cmp(&b.path));
    let mut parts = assemble(&names);
    // Files that another program put there, such as a compaction.
    parts.extend(foreign);
    Ok(parts)
}

fn has_extension(path: &Path, wanted: &str) -> bool {
    path.extension().is_some_and(|extension| extension == wanted)
}

/// Takes what holds rows that no other file holds: while a part is open, its row groups by its footer file, and the
/// streams of the row groups that this footer does not know yet.
fn assemble(names: &[(u32, Name, PathBuf)]) -> Vec<Part> {
    let mut parts = Vec::new();
    let part = |kind, path: &PathBuf| Part::new(path, kind);
    for (number, name, path) in names {
        let has = |wanted| names.iter().find(|(of, name, _)| of == number && *name == wanted);
        let footer = has(Name::Footer).map(|(_, _, path)| path);
        match name {
            Name::Part | Name::Tail => parts.push(part(PartKind::Parquet, path)),
            Name::Open => {
                parts.extend(footer.map(|footer| {
                    let groups = super::OpenPart::row_groups(footer);
                    part(PartKind::OpenParquet(footer.clone(), groups), path)
                }));
            }
            Name::Stream(group) => {
                // A recovery that was cut short has these rows in a tail already.
                let known = match footer {
                    _ if has(Name::Tail).is_some() => u32::MAX,
                    Some(footer) => super::OpenPart::row_groups(footer),
                    None if has(Name::Part).is_some() => u32::MAX,
                    None => 0,
                };
                if *group >= known {
                    parts.push(part(PartKind::OpenIpc, path));
                }
            }
            Name::Footer => {}
        }
    }
    parts
}

/// Takes a file name apart: the part's number, and what the file is.
fn parse(name: &str) -> Option<(u32, Name)> {
    if let Some(rest) = name.strip_prefix("part-") {
        let rest = rest.strip_suffix(".parquet")?;
        return match rest.strip_suffix("-tail") {
            Some(number) => Some((number.parse().ok()?, Name::Tail)),
            None => Some((rest.parse().ok()?, Name::Part)),
        };
    }
    let mut pieces = name.strip_prefix("_part-")?.split('.');
    let number = pieces.next()?.parse().ok()?;
    match (pieces.next()?, pieces.next(), pieces.next()) {
        ("parquet", None, None) => Some((number, Name::Open)),
        ("footer", None, None) => Some((number, Name::Footer)),
        (group, Some("arrows"), None) => Some((number, Name::Stream(group.parse().ok()?))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        assert_eq!(parse("part-00003.parquet"), Some((3, Name::Part)));
        assert_eq!(parse("part-00003-tail.parquet"), Some((3, Name::Tail)));
        assert_eq!(parse("_part-00003.parquet"), Some((3, Name::Open)));
        assert_eq!(parse("_part-00003.footer"), Some((3, Name::Footer)));
        assert_eq!(parse("_part-00003.00001.arrows"), Some((3, Name::Stream(1))));
        assert_eq!(parse("compacted.parquet"), None);
    }

    #[test]
    fn rows_of_a_tail_come_before_those_of_the_next_part() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "part-00001.parquet",
            "part-00000-tail.parquet",
            "part-00000.parquet",
        ] {
            fs::write(dir.path().join(name), b"").unwrap();
        }
        let names: Vec<_> = parquet(dir.path())
            .unwrap()
            .iter()
            .map(|part| part.path.clone())
            .collect();
        let expected = [
            "part-00000.parquet",
            "part-00000-tail.parquet",
            "part-00001.parquet",
        ];
        assert_eq!(names, expected.map(|name| dir.path().join(name)));
    }
}
