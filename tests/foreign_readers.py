"""pyarrow, DuckDB and Polars read a run in every format and get the totals that the run must have.

    python foreign_readers.py RUN_DIR EXPECTED.json

RUN_DIR is a `run_id=…` directory with Parquet, CSV and Arrow files. EXPECTED.json holds numbers by name; every one of them
is computed from each table that can know it, by each reader from each format, and must come out exactly.
"""

import json
import sys
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.dataset as ds

COUNTERS = ["prompt_tokens", "prefix_cache_queries", "prefix_cache_hits", "generation_tokens"]
REQUEST_COLUMNS = {
    "prompt_tokens": "prompt_tokens",
    "prefix_cache_queries": "prompt_tokens",
    "prefix_cache_hits": "cached_prompt_tokens",
    "generation_tokens": "generation_tokens",
}


def pyarrow_tables(run, fmt):
    for table in ("samples", "steps", "requests"):
        if fmt == "parquet":
            yield table, ds.dataset(str(run / table), format="parquet").to_table()
        elif fmt == "arrow":
            yield table, pa.ipc.open_file(run / f"{table}.arrow").read_all()
        else:
            yield table, pa.csv.read_csv(run / f"{table}.csv")


def polars_tables(run, fmt):
    for table in ("samples", "steps", "requests"):
        if fmt == "parquet":
            yield table, pl.read_parquet(run / table / "*.parquet")
        elif fmt == "arrow":
            yield table, pl.read_ipc(run / f"{table}.arrow")
        else:
            yield table, pl.read_csv(run / f"{table}.csv", infer_schema_length=None)


def total(values):
    return int(values) if values is not None else 0


def check(label, found, expected, failures):
    for name, value in expected.items():
        if name in found and found[name] != value:
            failures.append(f"{label}: {name} is {found[name]:,}, not {value:,}")


def from_pyarrow(tables):
    out = {}
    for table, rows in tables:
        if table == "samples":
            out["samples"] = {c: total(pc.max(rows[c]).as_py()) for c in COUNTERS}
        elif table == "steps":
            out["steps"] = {c: total(pc.sum(rows[c]).as_py()) for c in COUNTERS}
            out["steps"]["requests"] = total(pc.sum(rows["requests_finished"]).as_py())
        else:
            out["requests"] = {c: total(pc.sum(rows[r]).as_py()) for c, r in REQUEST_COLUMNS.items()}
            out["requests"]["requests"] = rows.num_rows
    return out


def from_polars(tables):
    out = {}
    for table, rows in tables:
        if table == "samples":
            out["samples"] = {c: total(rows[c].max()) for c in COUNTERS}
        elif table == "steps":
            out["steps"] = {c: total(rows[c].cast(pl.Int64).sum()) for c in COUNTERS}
            out["steps"]["requests"] = total(rows["requests_finished"].cast(pl.Int64).sum())
        else:
            out["requests"] = {c: total(rows[r].cast(pl.Int64).sum()) for c, r in REQUEST_COLUMNS.items()}
            out["requests"]["requests"] = rows.height
    return out


def from_duckdb(run, fmt):
    connection = duckdb.connect()
    # Arrow's C stream is how DuckDB reads IPC files without an extension.
    for table in ("samples", "steps", "requests"):
        if fmt == "parquet":
            source = f"read_parquet('{run}/{table}/*.parquet', hive_partitioning = true)"
        elif fmt == "csv":
            source = f"read_csv('{run}/{table}.csv', sample_size = -1)"
        else:
            connection.register(f"{table}_arrow", pa.ipc.open_file(run / f"{table}.arrow").read_all())
            source = f"{table}_arrow"
        connection.execute(f"create view {table} as select * from {source}")

    def row(columns, table):
        names = list(columns)
        query = ", ".join(f"{columns[name]} as {name}" for name in names)
        values = connection.execute(f"select {query} from {table}").fetchone()
        return {name: total(value) for name, value in zip(names, values)}

    out = {
        "samples": row({c: f"max({c})" for c in COUNTERS}, "samples"),
        "steps": row({c: f"sum({c})" for c in COUNTERS} | {"requests": "sum(requests_finished)"}, "steps"),
        "requests": row({c: f"sum({r})" for c, r in REQUEST_COLUMNS.items()} | {"requests": "count(*)"}, "requests"),
    }
    if fmt == "parquet":
        ids = connection.execute("select distinct run_id from requests").fetchall()
        assert ids == [(run.name.removeprefix("run_id="),)], ids
    return out


def main():
    run, expected = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
    failures = []
    for fmt in ("parquet", "arrow", "csv"):
        readers = {
            "pyarrow": lambda: from_pyarrow(pyarrow_tables(run, fmt)),
            "polars": lambda: from_polars(polars_tables(run, fmt)),
            "duckdb": lambda: from_duckdb(run, fmt),
        }
        for reader, read in readers.items():
            for table, found in read().items():
                check(f"{reader}, {fmt}, {table}", found, expected, failures)
                print(f"{reader:8} {fmt:8} {table:9} " + " ".join(f"{k}={v:,}" for k, v in found.items()))
    if failures:
        sys.exit("\n".join(failures))
    print("every reader, format and table agree")


if __name__ == "__main__":
    main()
