//! Lines: typed records in, bytes out.

use crate::field;
use crate::options::Timestamps;
use crate::time::Rfc3339;
use kvlens_core::Batch;
use kvlens_core::clock::ClockAnchor;
use kvlens_core::metric::{Kind, MetricDesc};
use kvlens_core::record::{
    AccessRow, BlockRow, ColumnDesc, ColumnType, ColumnVisitor, RequestRow, Row, Sample, StepRow, Table,
    Value,
};
use kvlens_core::run::{RunSchema, SourceIndex};
use kvlens_schema::histogram::QUANTILES;
use kvlens_schema::{float_of, integer_of};

/// The columns that a histogram becomes.
const HISTOGRAM: [&str; 6] = ["count", "sum", "p50", "p90", "p99", "max"];

/// Turns records of a run into lines.
#[derive(Debug)]
pub(crate) struct Lines {
    run: RunSchema,
    timestamps: Timestamps,
    time: Rfc3339,
}

impl Lines {
    pub(crate) fn new(run: &RunSchema, timestamps: Timestamps) -> Self {
        Self {
            run: run.clone(),
            timestamps,
            time: Rfc3339::default(),
        }
    }

    /// Appends a table's header.
    pub(crate) fn header(&self, out: &mut Vec<u8>, table: Table) {
        let mut names: Vec<String> = ["timestamp", "monotonic_ns", "source"].map(str::to_owned).into();
        match table {
            Table::Samples => {
                names.extend(["served_by", "interval_ns", "overshoot_ns", "merged"].map(str::to_owned));
                names.extend(self.run.metrics.iter().flat_map(metric_names));
            }
            Table::Steps => names.extend(row_names::<StepRow>()),
            Table::Requests => names.extend(row_names::<RequestRow>()),
            Table::Blocks => names.extend(row_names::<BlockRow>()),
            Table::Accesses => names.extend(row_names::<AccessRow>()),
        }
        out.extend_from_slice(names.join(",").as_bytes());
        out.push(b'\n');
    }

    /// Appends the records of a batch.
    pub(crate) fn batch(&mut self, out: &mut Vec<u8>, batch: &Batch) {
        match batch {
            Batch::Samples(samples) => samples.iter().for_each(|sample| self.sample(out, sample)),
            Batch::Steps(source, rows) => self.rows(out, *source, rows),
            Batch::Requests(source, rows) => self.rows(out, *source, rows),
            Batch::Blocks(source, rows) => self.rows(out, *source, rows),
            Batch::Accesses(source, rows) => self.rows(out, *source, rows),
            // A table of a later version has no file here.
            _ => {}
        }
    }

    fn rows<R: Row>(&mut self, out: &mut Vec<u8>, source: SourceIndex, rows: &[R]) {
        let mut name = Vec::new();
        field::text(&mut name, self.run.source_name(source));
        let clock = self.run.clock_of(source);
        for row in rows {
            let mut line = Line {
                out,
                row,
                lines: (self.timestamps, &mut self.time),
                clock,
                source: Some(&name),
            };
            R::visit(&mut line);
            end(out);
        }
    }

    fn sample(&mut self, out: &mut Vec<u8>, sample: &Sample) {
        let clock = self.run.clock_of(sample.source);
        time(
            out,
            (self.timestamps, &mut self.time),
            clock.to_wall(sample.monotonic_ns),
        );
        out.push(b',');
        number(out, sample.monotonic_ns);
        field::text(out, self.run.source_name(sample.source));
        out.push(b',');
        if let Some(member) = &sample.served_by {
            field::text(out, member);
        }
        out.push(b',');
        number(out, sample.interval_ns);
        number(out, sample.overshoot_ns);
        number(out, u64::from(sample.merged));
        let mut values = sample.values.iter();
        for metric in &self.run.metrics {
            value(out, metric, values.next().unwrap_or(&Value::Missing));
        }
        end(out);
    }
}

fn row_names<R: Row>() -> impl Iterator<Item = String> {
    R::COLUMNS.iter().skip(1).map(|column| column.name.to_owned())
}

fn metric_names(metric: &MetricDesc) -> Vec<String> {
    match metric.kind {
        Kind::Histogram => HISTOGRAM
            .iter()
            .map(|part| format!("{}_{part}", metric.name))
            .collect(),
        Kind::Counter | Kind::Gauge => vec![metric.name.to_string()],
    }
}

fn number(out: &mut Vec<u8>, value: u64) {
    field::integer(out, value);
    out.push(b',');
}

fn optional(out: &mut Vec<u8>, value: Option<u64>) {
    match value {
        Some(value) => number(out, value),
        None => out.push(b','),
    }
}

fn time(out: &mut Vec<u8>, (timestamps, format): (Timestamps, &mut Rfc3339), wall_ns: u64) {
    match timestamps {
        Timestamps::Rfc3339 => format.write(out, wall_ns),
        Timestamps::Nanoseconds => field::integer(out, wall_ns),
    }
}

/// Turns the comma after the last field into the line's end.
fn end(out: &mut [u8]) {
    if let Some(last) = out.last_mut() {
        *last = b'\n';
    }
}

fn value(out: &mut Vec<u8>, metric: &MetricDesc, value: &Value) {
    match metric.kind {
        Kind::Histogram => histogram(value).into_iter().for_each(|part| optional(out, part)),
        Kind::Gauge if !metric.unit.is_integer() => {
            if let Some(now) = float_of(value) {
                field::float(out, now);
            }
            out.push(b',');
        }
        Kind::Counter | Kind::Gauge => optional(out, integer_of(value)),
    }
}

fn histogram(value: &Value) -> [Option<u64>; HISTOGRAM.len()] {
    match value {
        Value::Histogram(histogram) => {
            let mut quantiles = [None; QUANTILES.len()];
            histogram.quantiles(&QUANTILES, &mut quantiles);
            let [p50, p90, p99] = quantiles.map(|quantile| quantile.map(|q| q.value));
            [
                Some(histogram.count()),
                Some(histogram.sum()),
                p50,
                p90,
                p99,
                histogram.max(),
            ]
        }
        Value::Fixed(histogram) => {
            let [p50, p90, p99] = QUANTILES.map(|q| histogram.quantile(q).map(|quantile| quantile.value));
            [
                Some(histogram.count()),
                Some(histogram.sum()),
                p50,
                p90,
                p99,
                None,
            ]
        }
        _ => [None; HISTOGRAM.len()],
    }
}

/// Writes one row, each field with a comma after it.
struct Line<'a, R> {
    out: &'a mut Vec<u8>,
    row: &'a R,
    lines: (Timestamps, &'a mut Rfc3339),
    clock: ClockAnchor,
    /// The source's name, until the leading columns are written.
    source: Option<&'a [u8]>,
}

impl<R> Line<'_, R> {
    fn wall(&mut self, monotonic_ns: u64) {
        let wall_ns = self.clock.to_wall(monotonic_ns);
        time(self.out, (self.lines.0, self.lines.1), wall_ns);
        self.out.push(b',');
    }
}

impl<R> ColumnVisitor<R> for Line<'_, R> {
    fn time(&mut self, _: &'static ColumnDesc, get: impl Fn(&R) -> u64) {
        let at = get(self.row);
        self.wall(at);
        if let Some(source) = self.source.take() {
            number(self.out, at);
            self.out.extend_from_slice(source);
            self.out.push(b',');
        }
    }

    fn opt_time(&mut self, _: &'static ColumnDesc, get: impl Fn(&R) -> Option<u64>) {
        match get(self.row) {
            Some(at) => self.wall(at),
            None => self.out.push(b','),
        }
    }

    fn u64(&mut self, _: &'static ColumnDesc, get: impl Fn(&R) -> u64) {
        number(self.out, get(self.row));
    }

    fn opt_u64(&mut self, _: &'static ColumnDesc, get: impl Fn(&R) -> Option<u64>) {
        optional(self.out, get(self.row));
    }

    fn u32(&mut self, _: &'static ColumnDesc, get: impl Fn(&R) -> u32) {
        field::integer(self.out, get(self.row));
        self.out.push(b',');
    }

    fn opt_u32(&mut self, _: &'static ColumnDesc, get: impl Fn(&R) -> Option<u32>) {
        if let Some(value) = get(self.row) {
            field::integer(self.out, value);
        }
        self.out.push(b',');
    }

    fn text(&mut self, _: &'static ColumnDesc, get: impl for<'a> Fn(&'a R) -> &'a str) {
        field::text(self.out, get(self.row));
        self.out.push(b',');
    }

    fn code(&mut self, column: &'static ColumnDesc, get: impl Fn(&R) -> Option<u8>) {
        if let (Some(code), ColumnType::Code(names)) = (get(self.row), column.ty) {
            // Names are identifiers of this crate: none needs quotes.
            self.out
                .extend_from_slice(names.get(usize::from(code)).unwrap_or(&"").as_bytes());
        }
        self.out.push(b',');
    }

    fn flag(&mut self, _: &'static ColumnDesc, get: impl Fn(&R) -> bool) {
        self.out
            .extend_from_slice(if get(self.row) { b"true," } else { b"false," });
    }
}
