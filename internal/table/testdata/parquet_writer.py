"""Compares a Parquet file as pyarrow and DuckDB read it with a CSV file of the same table.

usage: parquet_writer.py FILE.parquet FILE.csv
"""
import csv
import datetime as dt
import sys

import duckdb
import pyarrow.parquet as pq

path, text = sys.argv[1:]
rows = list(csv.DictReader(open(text, encoding="utf-8")))
arrow = pq.read_table(path).to_pydict()
query = duckdb.connect().execute("set timezone='UTC'").execute(f"select * from '{path}'")
names = [d[0] for d in query.description]
duck = dict(zip(names, map(list, zip(*query.fetchall()))))
assert list(arrow) == list(duck) == list(rows[0]), (list(arrow), list(duck))


def value(name, s):
    if s == "":
        return None
    if name in ("id", "city"):
        return s
    if name == "flag":
        return s in ("true", "1")
    if name == "at":
        t = dt.datetime.fromisoformat(s.replace("Z", "+00:00"))
        return t if t.tzinfo else t.replace(tzinfo=dt.timezone.utc)
    return float(s)


for got in (arrow, duck):
    for name in rows[0]:
        want = [value(name, r[name]) for r in rows]
        if name == "at":
            have = [None if v is None else v.replace(tzinfo=dt.timezone.utc) if v.tzinfo is None else v for v in got[name]]
        else:
            have = got[name]
        assert have == want, (name, next((i, a, b) for i, (a, b) in enumerate(zip(have, want)) if a != b))
meta = pq.ParquetFile(path).metadata
assert meta.num_rows == len(rows) and meta.num_row_groups == 2
for g in range(meta.num_row_groups):
    group = meta.row_group(g)
    part = pq.ParquetFile(path).read_row_group(g).to_pydict()
    for k in range(group.num_columns):
        c = group.column(k)
        present = [v for v in part[c.path_in_schema] if v is not None]
        assert c.statistics.null_count == group.num_rows - len(present)
        if c.path_in_schema in ("num", "few", "at"):
            assert c.statistics.has_min_max and c.statistics.min == min(present) and c.statistics.max == max(present), c.statistics
lo = duckdb.connect().execute(f"select count(*) from '{path}' where num < 100").fetchone()[0]
assert lo == sum(1 for r in rows if r["num"] and float(r["num"]) < 100)
print("same")
