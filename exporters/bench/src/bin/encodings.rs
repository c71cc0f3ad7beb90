//! Prints what every way of writing a column costs: `encodings [rows] [requests|samples] [number|random]`.
//!
//! Bytes a row and nanoseconds a row, for every encoding that a column's type allows, without compression and with zstd
//! 1 and 3; then what the exporter picks. The table of `docs/parquet-encoding.md` comes from here.

use arrow_array::RecordBatch;
use arrow_schema::Schema;
use kvlens_core::{Batch, SourceIndex, Table};
use kvlens_export_bench::{Counters, Ids, Requests, Samples, run_schema};
use kvlens_parquet::ParquetOptions;
use kvlens_parquet::encoding::{ColumnEncoding, PAGE_ROWS, Plan};
use kvlens_schema::TableBuilder;
use parquet::arrow::{ArrowSchemaConverter, ArrowWriter};
use parquet::basic::{Compression, Encoding, Type, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use std::error::Error;
use std::sync::Arc;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let arg = |place: usize, default: &str| args.get(place).cloned().unwrap_or_else(|| default.to_owned());
    let rows = arg(0, "131072").parse()?;
    let table = Table::from_name(&arg(1, "requests")).unwrap_or(Table::Requests);
    let ids = if arg(2, "number") == "random" {
        Ids::Random
    } else {
        Ids::Number
    };
    let chunks = chunks(table, ids, rows)?;
    let Some(first) = chunks.first() else {
        return Ok(());
    };
    let plan = Plan::measure(&first.schema(), &chunks, &ParquetOptions::default())?;
    let codecs = [Compression::UNCOMPRESSED, zstd(1)?, zstd(3)?];
    println!(
        "| column | encoding | B/row | zstd 1 | zstd 3 | ns/row | zstd 1 | zstd 3 | picked |\n|---|---|---|---|---|---|---|---|---|"
    );
    for (place, field) in first.schema().fields().iter().enumerate() {
        let schema = Schema::new(vec![field.as_ref().clone()]);
        let leaves = ArrowSchemaConverter::new().convert(&schema)?;
        let [leaf] = leaves.columns() else { continue };
        for encoding in ways(leaf.physical_type()) {
            let column = chunks
                .iter()
                .map(|chunk| chunk.project(&[place]))
                .collect::<Result<Vec<_>, _>>()?;
            let costs = codecs.iter().map(|codec| trial(&column, encoding, *codec, rows));
            let costs = costs.collect::<Result<Vec<_>, _>>()?;
            let picked = plan
                .columns()
                .iter()
                .find(|(path, _)| path == leaf.path())
                .map(|(_, picked)| *picked);
            print_row(field.name(), encoding, &costs, picked);
        }
    }
    Ok(())
}

fn zstd(level: i32) -> Result<Compression, Box<dyn Error>> {
    Ok(Compression::ZSTD(ZstdLevel::try_new(level)?))
}

fn ways(ty: Type) -> Vec<Option<Encoding>> {
    let mut ways = ColumnEncoding::candidates(ty).to_vec();
    ways.push(Some(Encoding::PLAIN));
    ways.dedup();
    ways
}

fn chunks(table: Table, ids: Ids, rows: usize) -> Result<Vec<RecordBatch>, Box<dyn Error>> {
    let schema = run_schema("bench");
    let mut builder = TableBuilder::new(&schema, table);
    let batch = match table {
        Table::Samples => Batch::Samples(Samples::new(2, &schema).batch(rows)),
        _ => Batch::Requests(SourceIndex(0), Requests::new(1, ids).batch(rows)),
    };
    let (mut chunks, mut at) = (Vec::new(), 0);
    while at < batch.len() {
        at += builder.append(&batch, at);
        chunks.push(builder.finish()?);
    }
    Ok(chunks)
}

/// Bytes and nanoseconds a row; the fastest of five.
fn trial(
    column: &[RecordBatch],
    encoding: Option<Encoding>,
    codec: Compression,
    rows: usize,
) -> Result<(f64, f64), Box<dyn Error>> {
    let mut builder = WriterProperties::builder()
        .set_compression(codec)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_write_batch_size(8_192)
        .set_dictionary_enabled(encoding.is_none());
    if let Some(encoding) = encoding {
        builder = builder.set_encoding(encoding);
    }
    let properties = builder.build();
    let (mut bytes, mut seconds) = (0, f64::INFINITY);
    for _ in 0..5 {
        let mut counters = Counters::default();
        let mut out = Vec::with_capacity(1 << 24);
        let mut writer = ArrowWriter::try_new(
            &mut out,
            Arc::clone(&column[0].schema()),
            Some(properties.clone()),
        )?;
        counters.count(|| column.iter().try_for_each(|chunk| writer.write(chunk)))?;
        counters.count(|| writer.flush())?;
        bytes = writer
            .flushed_row_groups()
            .iter()
            .map(parquet::file::metadata::RowGroupMetaData::compressed_size)
            .sum();
        seconds = seconds.min(counters.measured().seconds);
    }
    #[expect(clippy::cast_precision_loss, reason = "figures to print")]
    Ok((bytes as f64 / rows as f64, seconds * 1e9 / rows as f64))
}

fn print_row(name: &str, encoding: Option<Encoding>, costs: &[(f64, f64)], picked: Option<ColumnEncoding>) {
    let encoding_name = encoding.map_or("dictionary".to_owned(), |encoding| encoding.to_string());
    let mark = match picked {
        Some(picked) if picked.encoding == encoding && picked.zstd => "zstd",
        Some(picked) if picked.encoding == encoding => "plain",
        _ => "",
    };
    print!("| {name} | {encoding_name} ");
    costs.iter().for_each(|(bytes, _)| print!("| {bytes:.2} "));
    costs.iter().for_each(|(_, ns)| print!("| {ns:.1} "));
    println!("| {mark} |");
}
