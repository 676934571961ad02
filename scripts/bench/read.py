"""Reads data files with healml, pyarrow, pandas and DuckDB in turn, each in a process of its own.

    read.py DIR [--data DATA] [--files FILE ...] [--runs 5]

makes 1,000,000 rows of 28 numbers as CSV, plain and packed, and 5,000,000 rows of
five floats as Parquet in DIR, once, and reads them and the sets of DATA (oj, bank)
into typed columns with two threads. Seconds are the median of the runs, of the
reading alone, memory the peak of the process. healml reads part by part, and,
"kept", into columns that stay. Needs go, numpy, pyarrow, pandas and duckdb.
"""
import argparse, gzip, json, os, statistics, subprocess, sys

PYTHON = """
import json, resource, sys, time
path, columns = sys.argv[1], sys.argv[2].split(",") if sys.argv[2] else None
{setup}
t = time.perf_counter()
{read}
print(json.dumps(dict(seconds=time.perf_counter() - t, values=int(values), mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)))
"""
DELIMITER = 'open(path, "rb").readline().count(b";") > 3'
WAYS = {
    "pyarrow": ("import pyarrow as pa, pyarrow.csv as pc, pyarrow.parquet as pq; pa.set_cpu_count(2)\n" + f"o = pc.ParseOptions(delimiter=';' if path.endswith('.csv') and {DELIMITER} else ',')",
                "x = pq.read_table(path, columns=columns) if path.endswith('.parquet') else pc.read_csv(path, parse_options=o); values = x.num_rows * x.num_columns"),
    "pandas": ("import pandas as pd\n" + f"sep = ';' if path.endswith('.csv') and {DELIMITER} else ','",
               "x = pd.read_parquet(path, columns=columns) if path.endswith('.parquet') else pd.read_csv(path, sep=sep); values = x.size"),
    "DuckDB": ("import duckdb; c = duckdb.connect(); c.execute('set threads = 2; set preserve_insertion_order = true')\nwhat = ', '.join(columns) if columns else '*'",
               "c.execute(f\"create table x as select {what} from '{path}'\"); values = c.execute('select count(*) from x').fetchone()[0] * len(c.execute('describe x').fetchall())"),
}


def paths(folder):
    return os.path.join(folder, "numbers.csv"), os.path.join(folder, "floats.parquet")


def make(folder):
    import numpy as np, pyarrow as pa, pyarrow.csv as pc, pyarrow.parquet as pq
    os.makedirs(folder, exist_ok=True)
    r = np.random.default_rng(1)
    path, floats = paths(folder)
    if not os.path.exists(path):
        n = 1_000_000
        t = pa.table({f"c{i}": r.normal(size=n).round(6) if i % 3 else r.integers(0, 1000, n) for i in range(28)})
        pc.write_csv(t, path)
    if not os.path.exists(path + ".gz"):
        with open(path, "rb") as f, gzip.open(path + ".gz", "wb", 6) as z:
            while b := f.read(1 << 22):
                z.write(b)
    if not os.path.exists(path + ".zst"):
        with open(path, "rb") as f, pa.output_stream(path + ".zst", compression="zstd") as z:
            while b := f.read(1 << 22):
                z.write(b)
    if not os.path.exists(floats):
        n = 5_000_000
        pq.write_table(pa.table({f"c{i}": r.normal(size=n) for i in range(12)}), floats, row_group_size=131072)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("folder"), a.add_argument("--data"), a.add_argument("--make", action="store_true", help="only make the files"), a.add_argument("--files", nargs="*", default=[]), a.add_argument("--runs", type=int, default=5)
    a = a.parse_args()
    if a.make:
        return make(a.folder)
    # The peak memory of a child is never less than what this process holds.
    subprocess.run([sys.executable, os.path.abspath(__file__), a.folder, "--make"], check=True)
    numbers, floats = paths(a.folder)
    top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    binary = os.path.join(a.folder, "read")
    subprocess.run(["go", "build", "-o", os.path.abspath(binary), "./scripts/bench/read"], cwd=top, check=True)
    files = [(numbers, ""), (numbers + ".gz", ""), (numbers + ".zst", ""), (floats, "c1,c3,c5,c7,c9")]
    if a.data:
        files += [(f"{a.data}/oj/oj_demo_schema.csv", ""), (f"{a.data}/bank/bank-additional-full.csv", "")]
    files += [(f, "") for f in a.files]
    for path, columns in files:
        ways = {"healml": [binary, "--columns", columns, path], "healml kept": [binary, "--keep", "--columns", columns, path]}
        for name, (setup, read) in WAYS.items():
            ways[name] = [sys.executable, "-c", PYTHON.format(setup=setup, read=read), path, columns]
        found = {name: [] for name in ways}
        for _ in range(a.runs):
            for name, command in ways.items():
                p = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "GOMAXPROCS": "2"})
                if p.returncode:
                    print(f"{name}: {p.stderr.strip().splitlines()[-1]}", file=sys.stderr)
                    continue
                found[name].append(json.loads(p.stdout))
        print(f"{os.path.basename(path)} ({os.path.getsize(path) / 1e6:.0f} MB)")
        base = statistics.median(r["seconds"] for r in found["healml"]) if found["healml"] else float("nan")
        for name, rs in found.items():
            if rs:
                s = statistics.median(r["seconds"] for r in rs)
                print(f"  {name:12s} {s:7.3f} s  {s / base:5.2f} x healml  {max(r['mb'] for r in rs):5d} MB  {rs[0]['values']:,} values")


if __name__ == "__main__":
    main()
