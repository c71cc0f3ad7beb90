"""Writes the same rows as `export` does, with pyarrow, Polars and DuckDB, one process a case, interleaved with ours.

usage: export_peers.py EXPORT_BINARY [--rows N] [--threads T] [--ids number|random] [--table requests|samples]
                       [--reps R] [--formats parquet,csv,arrow] [--only SUBSTRING]

Needs pyarrow, polars and duckdb (`pip install -r exporters/bench/requirements.txt`). Peers get their input as Arrow
batches in memory, so conversion is not in their time; ours starts at typed rows, and it is. Output goes to /dev/shm.
"""
import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import time

OUT = "/dev/shm/kvlens-export-peers"
INPUT = "/dev/shm/kvlens-export-input"


def parse():
    p = argparse.ArgumentParser()
    p.add_argument("binary")
    p.add_argument("--rows", type=int, default=10_000_000)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--ids", default="number")
    p.add_argument("--table", default="requests")
    p.add_argument("--reps", type=int, default=3)
    p.add_argument("--formats", default="parquet,csv,arrow")
    p.add_argument("--only", default="")
    p.add_argument("--case", help=argparse.SUPPRESS)
    return p.parse_args()


def tuned(names, encodings):
    """Ours, as pyarrow's arguments: read from a Parquet file that we wrote."""
    dictionary, encoding, compression = [], {}, {}
    for name, (enc, codec) in encodings.items():
        compression[name] = codec
        if enc == "DICTIONARY":
            dictionary.append(name)
        else:
            encoding[name] = enc
    return {"use_dictionary": dictionary, "column_encoding": encoding, "compression": compression}


def encodings_of(path):
    import pyarrow.parquet as pq

    group = pq.ParquetFile(path).metadata.row_group(0)
    found = {}
    for i in range(group.num_columns):
        column = group.column(i)
        name = column.path_in_schema
        special = [e for e in column.encodings if e not in ("PLAIN", "RLE", "RLE_DICTIONARY", "PLAIN_DICTIONARY", "BIT_PACKED")]
        has_dictionary = column.has_dictionary_page
        enc = "DICTIONARY" if has_dictionary else (special[0] if special else "PLAIN")
        found[name] = (enc, "none" if column.compression == "UNCOMPRESSED" else "zstd")
    return found


CASES = {
    "parquet": ["pyarrow default zstd", "pyarrow default snappy", "pyarrow tuned as ours", "polars default zstd", "duckdb zstd"],
    "csv": ["pyarrow csv", "polars csv", "duckdb csv"],
    "arrow": ["pyarrow ipc", "polars ipc"],
}


def run_case(args):
    """In a process of its own: prints wall seconds, bytes, peak MB above the input."""
    os.environ["POLARS_MAX_THREADS"] = os.environ["OMP_NUM_THREADS"] = str(args.threads)
    import pyarrow as pa
    import pyarrow.ipc as ipc

    pa.set_cpu_count(args.threads)
    pa.set_io_thread_count(args.threads)
    table = ipc.open_file(f"{INPUT}/{args.table}.arrow").read_all()
    out = f"{OUT}/peer.out"
    os.makedirs(OUT, exist_ok=True)
    case = args.case
    if case.startswith("pyarrow"):
        import pyarrow.csv as pacsv
        import pyarrow.parquet as pq

        if "tuned" in case:
            options = tuned(table.schema.names, encodings_of(f"{INPUT}/ours.parquet"))
            job = lambda: pq.write_table(table, out, compression_level={c: 1 for c, v in options["compression"].items() if v == "zstd"}, row_group_size=131_072, **options)
        elif "zstd" in case:
            job = lambda: pq.write_table(table, out, compression="zstd")
        elif "snappy" in case:
            job = lambda: pq.write_table(table, out)
        elif "csv" in case:
            job = lambda: pacsv.write_csv(table, out)
        else:
            def job():
                with ipc.new_file(out, table.schema) as writer:
                    writer.write_table(table, 65_536)
    elif case.startswith("polars"):
        import polars as pl

        frame = pl.from_arrow(table)
        if "csv" in case:
            job = lambda: frame.write_csv(out)
        elif "ipc" in case:
            job = lambda: frame.write_ipc(out, compression="uncompressed")
        else:
            job = lambda: frame.write_parquet(out)
    else:
        import duckdb

        con = duckdb.connect()
        con.execute(f"SET threads={args.threads}")
        kind = "FORMAT csv, HEADER" if "csv" in case else "FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION V2"
        job = lambda: con.execute(f"COPY (SELECT * FROM table) TO '{out}' ({kind})".replace("table)", "input)"))
        con.register("input", table)
    try:
        with open("/proc/self/clear_refs", "w") as f:
            f.write("5")
    except OSError:
        pass
    before = status("VmRSS")
    began = time.perf_counter()
    job()
    wall = time.perf_counter() - began
    print(f"CASE {wall} {os.path.getsize(out)} {status('VmHWM') - before}")
    os.remove(out)


def status(key):
    with open("/proc/self/status") as f:
        for line in f:
            if line.startswith(key):
                return int(line.split()[1]) / 1024
    return float("nan")


def pinned(args, command):
    return ["taskset", "-c", "1" if args.threads == 1 else "0,1", *command]


def ours(args, fmt, keep=False):
    env = dict(os.environ, **({"KEEP": "1"} if keep else {}))
    command = [args.binary, fmt, str(args.rows), str(args.threads), args.ids, args.table, "/dev/shm/kvlens-export"]
    text = subprocess.run(pinned(args, command), env=env, check=True, capture_output=True, text=True).stdout
    wall = float(re.search(r"wall\s+([\d.]+) s", text)[1])
    size = float(re.search(r"([\d.]+) MB  ", text)[1]) * 1e6
    peak = float(re.search(r"peak\s+([\d.]+)", text)[1])
    return wall, size, peak


def peer(args, case):
    command = [sys.executable, __file__, *sys.argv[1:], "--case", case]
    done = subprocess.run(pinned(args, command), capture_output=True, text=True)
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        return None
    return tuple(float(x) for x in re.search(r"CASE (\S+) (\S+) (\S+)", done.stdout).groups())


def main():
    args = parse()
    if args.case:
        return run_case(args)
    shutil.rmtree(INPUT, ignore_errors=True)
    subprocess.run([args.binary, "arrow-table", str(args.rows), "1", args.ids, args.table, INPUT], check=True, stdout=subprocess.DEVNULL)
    formats = args.formats.split(",")
    if "parquet" in formats:
        ours(args, "parquet", keep=True)
        parts = f"/dev/shm/kvlens-export/run_id=bench/{args.table}/part-00000.parquet"
        shutil.copy(parts, f"{INPUT}/ours.parquet")
    results = {}
    for _ in range(args.reps):
        for fmt in formats:
            plain = ["plain arrow-rs"] if fmt != "parquet" else []
            for case in ["kvlens", *plain, *CASES[fmt]]:
                if args.only not in f"{fmt} {case}":
                    continue
                if case == "kvlens":
                    found = ours(args, fmt)
                elif case == "plain arrow-rs":
                    found = ours(args, f"plain-{fmt}")
                else:
                    found = peer(args, case)
                if found:
                    results.setdefault((fmt, case), []).append(found)
    print(f"{args.table}, {args.rows} rows, {args.threads} thread(s), ids: {args.ids}; median of {args.reps}")
    print(f"{'format':<8} {'writer':<24} {'s':>7} {'min':>7} {'Mrows/s':>8} {'MB':>8} {'B/row':>7} {'peak+MB':>8}")
    for (fmt, case), runs in results.items():
        wall, least = statistics.median(r[0] for r in runs), min(r[0] for r in runs)
        size, peak = runs[0][1], max(r[2] for r in runs)
        print(f"{fmt:<8} {case:<24} {wall:7.2f} {least:7.2f} {args.rows / wall / 1e6:8.3f} {size / 1e6:8.1f} {size / args.rows:7.2f} {peak:8.0f}")
    for d in (INPUT, OUT, "/dev/shm/kvlens-export"):
        shutil.rmtree(d, ignore_errors=True)


main()
