"""Reads a run with pyarrow, Polars and DuckDB, in every format that is there, and checks that all agree.

usage: foreign_readers.py OUT EXPECTED_JSON

OUT holds one or more `run_id=…` directories. EXPECTED_JSON maps a table to {"rows": n, "sums": {column: total}}, and
where wanted "above": {column: [bound, rows above it]} and "histograms": {column: [count, sum]}.
"""
import glob
import json
import sys

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.dataset as ds
import pyarrow.ipc as ipc

out, expected = sys.argv[1], json.loads(sys.argv[2])
con = duckdb.connect()
checks = 0


def check(what, found, wanted):
    global checks
    checks += 1
    if found != wanted:
        sys.exit(f"{what}: found {found}, expected {wanted}")


def check_arrow(what, table, wanted):
    check(f"{what} rows", table.num_rows, wanted["rows"])
    for column, total in wanted["sums"].items() if table.num_rows else ():
        found = pc.sum(table[column]).as_py() or 0
        check(f"{what} sum({column})", int(found), total)


def check_polars(what, frame, wanted):
    check(f"{what} rows", frame.height, wanted["rows"])
    # Without rows a CSV column has no type that could be added up.
    for column, total in wanted["sums"].items() if frame.height else ():
        check(f"{what} sum({column})", int(frame[column].sum() or 0), total)


def check_duckdb(what, source, wanted):
    rows = con.execute(f"SELECT count(*) FROM {source}").fetchall()[0][0]
    check(f"{what} rows", rows, wanted["rows"])
    for column, total in wanted["sums"].items() if rows else ():
        found = con.execute(f'SELECT sum("{column}") FROM {source}').fetchall()[0][0]
        check(f"{what} sum({column})", int(found or 0), total)
    # A filter makes the reader trust the statistics of row groups.
    for column, (bound, above) in wanted.get("above", {}).items():
        found = con.execute(f'SELECT count(*) FROM {source} WHERE "{column}" > {bound}').fetchall()[0][0]
        check(f"{what} {column} > {bound}", found, above)


for table, wanted in expected.items():
    pattern = f"{out}/run_id=*/{table}/*.parquet"
    files = sorted(glob.glob(pattern))
    if files:
        data = ds.dataset(files, format="parquet", partitioning="hive", partition_base_dir=out).to_table()
        check_arrow(f"pyarrow parquet {table}", data, wanted)
        check(f"pyarrow parquet {table} sees run_id", "run_id" in data.column_names, True)
        check(f"pyarrow parquet {table} timestamp", str(data.schema.field("timestamp").type), "timestamp[ns, tz=UTC]")
        frame = pl.read_parquet(pattern, hive_partitioning=True)
        check_polars(f"polars parquet {table}", frame, wanted)
        for column, (bound, above) in wanted.get("above", {}).items():
            found = pl.scan_parquet(pattern).filter(pl.col(column) > bound).collect().height
            check(f"polars parquet {table} {column} > {bound}", found, above)
            found = ds.dataset(files, format="parquet").count_rows(filter=ds.field(column) > bound)
            check(f"pyarrow parquet {table} {column} > {bound}", found, above)
        check(f"polars parquet {table} sees run_id", "run_id" in frame.columns, True)
        source = f"read_parquet('{pattern}', hive_partitioning = true)"
        check_duckdb(f"duckdb parquet {table}", source, wanted)
        runs = con.execute(f"SELECT count(DISTINCT run_id) FROM {source}").fetchall()[0][0]
        check(f"duckdb parquet {table} runs", runs, min(1, wanted["rows"]))
        for column in wanted.get("histograms", []):
            counts, sums = wanted["histograms"][column]
            row = con.execute(f"SELECT sum({column}.count), sum({column}.sum), max({column}.p99) FROM {source}").fetchall()[0]
            check(f"duckdb {column} count and sum", (int(row[0]), int(row[1])), (counts, sums))
            buckets = con.execute(f"SELECT sum(b.count) FROM (SELECT unnest({column}.buckets) AS b FROM {source})").fetchall()[0]
            check(f"duckdb {column} buckets", int(buckets[0]), counts)
            struct = frame[column].struct
            check(f"polars {column} count", struct.field("count").sum(), counts)
            inner = pc.struct_field(data[column], "buckets")
            total = pc.sum(pc.struct_field(pc.list_flatten(inner), "count")).as_py()
            check(f"pyarrow {column} buckets", total, counts)
    for path in glob.glob(f"{out}/run_id=*/{table}.arrow"):
        with pa.memory_map(path) as source:
            check_arrow(f"pyarrow arrow {table}", ipc.open_file(source).read_all(), wanted)
        check_polars(f"polars arrow {table}", pl.read_ipc(path), wanted)
        mapped = ipc.open_file(path).read_all()
        con.register("mapped", mapped)
        check_duckdb(f"duckdb arrow {table}", "mapped", wanted)
        con.unregister("mapped")
    for path in glob.glob(f"{out}/run_id=*/{table}.csv"):
        # Newlines within quotes are legal; readers want to be told.
        data = pacsv.read_csv(path, parse_options=pacsv.ParseOptions(newlines_in_values=True))
        check_arrow(f"pyarrow csv {table}", data, wanted)
        if wanted["rows"]:
            check(f"pyarrow csv {table} timestamp", str(data.schema.field("timestamp").type), "timestamp[ns, tz=UTC]")
        check_polars(f"polars csv {table}", pl.read_csv(path, infer_schema_length=None, try_parse_dates=True), wanted)
        check_duckdb(f"duckdb csv {table}", f"read_csv('{path}', header = true)", wanted)
print(f"{checks} checks passed: pyarrow {pa.__version__}, polars {pl.__version__}, duckdb {duckdb.__version__}")
