//! Answers: on the terminal, as text that programs read, or in a file.

use super::super::error::CliError;
use clap::ValueEnum;
use comfy_table::{CellAlignment, Table, presets};
use futures::StreamExt;
use kvlens_core::BoxError;
use kvlens_sql::datafusion::arrow::array::RecordBatch;
use kvlens_sql::datafusion::arrow::csv;
use kvlens_sql::datafusion::arrow::datatypes::{DataType, SchemaRef};
use kvlens_sql::datafusion::arrow::ipc;
use kvlens_sql::datafusion::arrow::json;
use kvlens_sql::datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use kvlens_sql::datafusion::common::DataFusionError;
use kvlens_sql::datafusion::parquet::arrow::ArrowWriter;
use kvlens_sql::datafusion::parquet::basic::{Compression, ZstdLevel};
use kvlens_sql::datafusion::parquet::file::properties::WriterProperties;
use kvlens_sql::datafusion::physical_plan::SendableRecordBatchStream;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// A table for people.
    Table,
    /// A list of objects.
    Json,
    Csv,
    Markdown,
    Parquet,
    Arrow,
}

impl Form {
    fn of_file(path: &Path) -> Option<Self> {
        Some(match path.extension()?.to_str()? {
            "txt" => Self::Table,
            "json" => Self::Json,
            "csv" => Self::Csv,
            "md" => Self::Markdown,
            "parquet" => Self::Parquet,
            "arrow" => Self::Arrow,
            _ => return None,
        })
    }
}

/// Where answers go.
#[derive(Debug)]
pub(super) struct Destination {
    form: Form,
    file: Option<PathBuf>,
    /// The most rows of a table for people.
    rows: usize,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) rows: u64,
    /// Whether there were more than are shown.
    pub(super) cut: bool,
}

impl Destination {
    pub(super) fn new(form: Option<Form>, file: Option<PathBuf>, rows: usize) -> Result<Self, CliError> {
        let by_name = file.as_deref().and_then(Form::of_file);
        let form = match (form, &file, by_name) {
            (Some(form), ..) | (None, Some(_), Some(form)) => form,
            (None, Some(path), None) => {
                let error = "the name must end in .parquet, .arrow, .csv, .json, .md or .txt, or say --csv, --json, --markdown";
                return Err(CliError::usage("output", path.display(), error));
            }
            (None, None, _) => Form::Table,
        };
        Ok(Self { form, file, rows })
    }

    /// Writes an answer.
    pub(super) async fn write(
        &self,
        first: Option<RecordBatch>,
        mut rest: SendableRecordBatchStream,
        told: impl Fn(DataFusionError) -> BoxError,
    ) -> Result<Written, BoxError> {
        let schema = rest.schema();
        if schema.fields().is_empty() {
            return Ok(Written { rows: 0, cut: false });
        }
        let out: Box<dyn Write + Send> = match &self.file {
            Some(path) => Box::new(BufWriter::new(
                File::create(path).map_err(|e| format!("can't write {}: {e}", path.display()))?,
            )),
            None => Box::new(BufWriter::new(std::io::stdout())),
        };
        let mut writer = Writer::new(self.form, out, &schema, self.rows)?;
        let mut written = Written { rows: 0, cut: false };
        let mut next = first;
        while let Some(batch) = next {
            if let Written { cut: true, .. } = writer.write(&batch, &mut written)? {
                break;
            }
            next = rest.next().await.transpose().map_err(&told)?;
        }
        match writer.finish() {
            // Whoever read, such as `head`, wanted no more.
            Err(error) if is_closed(error.as_ref()) => Ok(written),
            finished => finished.map(|()| written),
        }
    }
}

fn is_closed(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error
            .downcast_ref::<std::io::Error>()
            .is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
        {
            return true;
        }
        cause = error.source();
    }
    false
}

type Out = Box<dyn Write + Send>;

enum Writer {
    Grid(Grid, Out),
    Json(json::ArrayWriter<Out>),
    Csv(Box<csv::Writer<Out>>),
    Parquet(Box<ArrowWriter<Out>>),
    Arrow(Box<ipc::writer::FileWriter<Out>>),
}

impl Writer {
    fn new(form: Form, out: Out, schema: &SchemaRef, rows: usize) -> Result<Self, BoxError> {
        Ok(match form {
            Form::Table => Self::Grid(Grid::new(schema, rows, false), out),
            Form::Markdown => Self::Grid(Grid::new(schema, usize::MAX, true), out),
            Form::Json => Self::Json(json::WriterBuilder::new().with_explicit_nulls(true).build(out)),
            Form::Csv => {
                let nested = schema.fields().iter().find(|field| field.data_type().is_nested());
                if let Some(field) = nested {
                    let name = field.name();
                    return Err(format!(
                        "CSV can't hold column `{name}`, which has parts: select some, such as {name}.p99, or write Parquet or JSON"
                    )
                    .into());
                }
                Self::Csv(Box::new(csv::Writer::new(out)))
            }
            Form::Parquet => {
                let properties =
                    WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?));
                Self::Parquet(Box::new(ArrowWriter::try_new(
                    out,
                    schema.clone(),
                    Some(properties.build()),
                )?))
            }
            Form::Arrow => Self::Arrow(Box::new(ipc::writer::FileWriter::try_new(out, schema)?)),
        })
    }

    /// Adds rows, and to the count of what was written.
    fn write(&mut self, batch: &RecordBatch, written: &mut Written) -> Result<Written, BoxError> {
        let mut rows = batch.num_rows();
        match self {
            Self::Grid(grid, _) => {
                let shown = grid.add(batch)?;
                written.cut = shown < rows;
                rows = shown;
            }
            Self::Json(writer) => writer.write(batch)?,
            Self::Csv(writer) => writer.write(batch)?,
            Self::Parquet(writer) => writer.write(batch)?,
            Self::Arrow(writer) => writer.write(batch)?,
        }
        written.rows += u64::try_from(rows)?;
        Ok(*written)
    }

    fn finish(self) -> Result<(), BoxError> {
        match self {
            Self::Grid(grid, mut out) => {
                writeln!(out, "{}", grid.table)?;
                out.flush()?;
            }
            Self::Json(mut writer) => {
                writer.finish()?;
                let mut out = writer.into_inner();
                writeln!(out)?;
                out.flush()?;
            }
            Self::Csv(writer) => writer.into_inner().flush()?,
            Self::Parquet(writer) => writer.into_inner()?.flush()?,
            Self::Arrow(mut writer) => {
                writer.finish()?;
                writer.into_inner()?.flush()?;
            }
        }
        Ok(())
    }
}

/// Rows that are laid out together.
struct Grid {
    table: Table,
    left: usize,
}

impl Grid {
    fn new(schema: &SchemaRef, rows: usize, markdown: bool) -> Self {
        let mut table = Table::new();
        table.load_style(if markdown {
            presets::ASCII_MARKDOWN
        } else {
            presets::NOTHING
        });
        table.set_header(schema.fields().iter().map(|field| field.name().clone()));
        for (column, field) in table.column_iter_mut().zip(schema.fields()) {
            if is_number(field.data_type()) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        Self { table, left: rows }
    }

    /// Adds as many rows as may be shown, and says how many.
    fn add(&mut self, batch: &RecordBatch) -> Result<usize, BoxError> {
        let options = FormatOptions::default().with_null("");
        let columns = batch.columns().iter();
        let columns: Vec<_> = columns
            .map(|array| ArrayFormatter::try_new(array, &options))
            .collect::<Result<_, _>>()?;
        let rows = batch.num_rows().min(self.left);
        for row in 0..rows {
            self.table
                .add_row(columns.iter().map(|column| column.value(row).to_string()));
        }
        self.left -= rows;
        Ok(rows)
    }
}

fn is_number(ty: &DataType) -> bool {
    ty.is_numeric()
}
