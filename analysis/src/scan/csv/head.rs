//! What the columns of a CSV file are, from its header and its first lines.

use super::column::{Looks, type_of};
use super::decoder::Records;
use crate::error::DamageCause;
use crate::scan::Scan;
use arrow_schema::{DataType, Field};
use kvlens_core::Table;
use kvlens_core::metric::{Kind, MetricDesc};
use std::io::Read;

/// The columns that a histogram is flattened to.
const HISTOGRAM: [&str; 6] = ["_count", "_sum", "_p50", "_p90", "_p99", "_max"];
/// How many records are looked at for what the values of an unknown column are.
const LOOKED_AT: usize = 64;
/// Bytes read at a time.
const PIECE: u64 = 16_384;

/// The columns of a CSV file.
#[derive(Debug)]
pub(crate) struct Head {
    pub(super) fields: Vec<Field>,
}

impl Head {
    /// Reads the beginning of a file. Standard names have the standard types, others what their first values look like.
    pub(crate) fn read(file: impl Read, scan: &Scan<'_>) -> Result<Self, DamageCause> {
        let (names, looks) = look(file)?;
        let run = scan.run.schema();
        let standard = kvlens_schema::table_schema(&run, scan.table);
        let metrics: &[MetricDesc] = if scan.table == Table::Samples {
            &run.metrics
        } else {
            &[]
        };
        let looks = looks.into_iter().chain(std::iter::repeat(Looks::Nothing));
        let field = |(name, looks): (String, Looks)| {
            let known = standard.field_with_name(&name).ok();
            let ty = if is_histogram_part(metrics, &name) {
                DataType::UInt64
            } else {
                type_of(known.map(Field::data_type), looks)
            };
            Field::new(name, ty, true)
        };
        Ok(Self {
            fields: names.into_iter().zip(looks).map(field).collect(),
        })
    }
}

/// The names of the header, and what the values of the first records look like.
fn look(mut file: impl Read) -> Result<(Vec<String>, Vec<Looks>), DamageCause> {
    let mut records = Records::new();
    let (mut names, mut looks) = (None, Vec::new());
    let mut seen = 0;
    let mut piece = Vec::new();
    while seen < LOOKED_AT {
        piece.clear();
        file.by_ref().take(PIECE).read_to_end(&mut piece)?;
        let mut bytes = piece.as_slice();
        while records.read(&mut bytes) {
            let fields = records.take();
            if names.is_none() {
                let texts = fields
                    .iter()
                    .map(|name| String::from_utf8_lossy(name).into_owned());
                names = Some(texts.collect::<Vec<_>>());
                looks = fields.iter().map(|_| Looks::Nothing).collect();
            } else {
                let both = looks.iter_mut().zip(fields.iter());
                both.for_each(|(looks, field)| *looks = looks.and(field));
                seen += 1;
            }
            // No bytes are the end of the file, which is told once.
            if bytes.is_empty() {
                break;
            }
        }
        if piece.is_empty() {
            break;
        }
    }
    Ok((names.unwrap_or_default(), looks))
}

fn is_histogram_part(metrics: &[MetricDesc], name: &str) -> bool {
    let histograms = metrics.iter().filter(|metric| metric.kind == Kind::Histogram);
    HISTOGRAM.iter().any(|part| {
        let metric = name.strip_suffix(part);
        metric.is_some_and(|metric| histograms.clone().any(|known| known.name == metric))
    })
}
