//! Record batches of a table's layout into parts: for tools that rewrite runs, not for recording.

use crate::columns::choose;
use crate::encoding::{MEASURED_ROWS, Plan};
use crate::error::ParquetError;
use crate::names::Name;
use crate::options::ParquetOptions;
use crate::part::Part;
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use std::fs;
use std::path::{Path, PathBuf};

/// Writes record batches of one schema as sealed parts, `part-00000.parquet` and so on.
///
/// Every batch becomes a row group of its own, with statistics, so batches should be large. What is written is not safe
/// against a crash: give it a directory that is renamed when all is there.
///
/// ```
/// use kvlens_core::{Batch, RunInfo, RunSchema, SourceIndex, SourceInfo, StepRow};
/// use kvlens_parquet::{BatchWriter, ParquetOptions, row_count};
/// # let dir = tempfile::tempdir()?;
/// let run = RunSchema::new(RunInfo::new("demo"), vec![SourceInfo::new("engine-0", "mine")], vec![]);
/// let batch = kvlens_schema::to_record_batch(&run, &Batch::Steps(SourceIndex(0), vec![StepRow::default(); 3]))?;
/// let mut writer = BatchWriter::create(dir.path().join("steps"), batch.schema(), ParquetOptions::default())?;
/// writer.write(&batch)?;
/// let parts = writer.finish()?;
/// assert_eq!(row_count(&parts[0])?, 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "parts are whole once it is finished"]
pub struct BatchWriter {
    dir: PathBuf,
    schema: SchemaRef,
    options: ParquetOptions,
    plan: Option<Plan>,
    part: Option<Part>,
    parts: Vec<PathBuf>,
}

impl BatchWriter {
    /// Makes the directory, in which no part may be.
    ///
    /// # Errors
    /// [`ParquetError::NotEmpty`] for a directory with something in it, [`ParquetError::Schema`] when it can't be made.
    pub fn create(
        dir: impl Into<PathBuf>,
        schema: SchemaRef,
        options: ParquetOptions,
    ) -> Result<Self, ParquetError> {
        let dir = dir.into();
        fs::create_dir_all(&dir).map_err(|e| ParquetError::io("make the directory", &dir, e))?;
        let mut listing = fs::read_dir(&dir).map_err(|e| ParquetError::io("list", &dir, e))?;
        if listing.next().is_some() {
            return Err(ParquetError::NotEmpty { path: dir });
        }
        Ok(Self {
            dir,
            schema,
            options,
            plan: None,
            part: None,
            parts: Vec::new(),
        })
    }

    /// Writes a batch as a row group.
    ///
    /// # Errors
    /// [`ParquetError::Encode`] for a batch of another schema, [`ParquetError::Schema`] when the disk refuses.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), ParquetError> {
        let chunk = std::slice::from_ref(batch);
        let part = match &mut self.part {
            Some(part) => part,
            None => {
                let opened = open(
                    &self.dir,
                    self.parts.len(),
                    &self.schema,
                    &mut self.plan,
                    chunk,
                    &self.options,
                )?;
                self.part.insert(opened)
            }
        };
        part.append(chunk, self.options.threads())?;
        part.end_group(self.options.threads())?;
        part.checkpoint(false)?;
        if part.rows() >= self.options.part_rows() as u64 {
            self.seal()?;
        }
        Ok(())
    }

    /// Seals the last part; there is at least one then, be it empty.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn finish(mut self) -> Result<Vec<PathBuf>, ParquetError> {
        if self.part.is_none() && self.parts.is_empty() {
            self.write(&RecordBatch::new_empty(self.schema.clone()))?;
        }
        self.seal()?;
        Ok(self.parts)
    }

    fn seal(&mut self) -> Result<(), ParquetError> {
        let Some(mut part) = self.part.take() else {
            return Ok(());
        };
        part.seal(true)?;
        let number = number(self.parts.len());
        let footer = Name::Footer(number).path(&self.dir);
        fs::remove_file(&footer).map_err(|e| ParquetError::io("remove", footer, e))?;
        self.parts.push(Name::Part(number).path(&self.dir));
        Ok(())
    }
}

fn number(parts: usize) -> u32 {
    u32::try_from(parts).unwrap_or(u32::MAX)
}

fn open(
    dir: &Path,
    parts: usize,
    schema: &SchemaRef,
    plan: &mut Option<Plan>,
    chunks: &[RecordBatch],
    options: &ParquetOptions,
) -> Result<Part, ParquetError> {
    let rows: usize = chunks.iter().map(RecordBatch::num_rows).sum();
    // A choice that rests on few rows is made anew once there are more.
    let chosen = match plan.take() {
        Some(plan) if rows.min(MEASURED_ROWS) < plan.rows().saturating_mul(2) => plan,
        _ => choose(schema, chunks, options, dir)?,
    };
    let opened = Part::create(dir, number(parts), schema, &chosen, options);
    *plan = Some(chosen);
    opened
}
