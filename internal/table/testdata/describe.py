"""Prints as JSON what pyarrow and duckdb read from the files named.

For every file and reader: the columns with their types, rows, nulls, and the
values of every row, or every step-th row of many. Numbers and booleans come as
numbers, times in microseconds, missing values as null.
"""

import datetime as dt
import json
import sys

import duckdb
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)


def plain(v):
    if isinstance(v, dt.datetime):
        return (v.astimezone(dt.timezone.utc) - EPOCH) // dt.timedelta(microseconds=1)
    return float(v) if isinstance(v, bool) else v


def describe(table):
    step = max(table.num_rows // 3000, 1)
    sample = table.take(pa.array(range(0, table.num_rows, step), pa.int64()))
    return [
        {
            "name": n, "type": str(c.type), "rows": len(c), "nulls": c.null_count, "step": step,
            "values": [plain(v) for v in sample[n].to_pylist()],
        }
        for n, c in zip(table.column_names, table.columns)
    ]


result = {}
for path in sys.argv[1:]:
    if path.endswith(".parquet"):
        meta = pq.ParquetFile(path).metadata
        for g in range(meta.num_row_groups):
            for c in range(meta.num_columns):
                stats = meta.row_group(g).column(c).statistics
                assert stats is None or stats.null_count is None or 0 <= stats.null_count <= meta.row_group(g).num_rows
        result[path + " pyarrow"] = describe(pq.read_table(path))
        con = duckdb.connect()
        con.execute("SET TimeZone = 'UTC'")
        result[path + " duckdb"] = describe(con.execute("SELECT * FROM read_parquet(?)", [path]).to_arrow_table())
    else:
        result[path + " pyarrow"] = describe(pa.ipc.open_file(path).read_all())
json.dump(result, sys.stdout)
