"""Writes the fixtures of this folder with pyarrow, duckdb and pandas.

    python generate.py [folder of the real data sets]

small/   one table of every type that is read, as Parquet in all encodings,
         page versions and compressions, and as Arrow IPC; small.json holds
         its values, row by row, as healml formats them
refused/ files with one column "bad" of a type that is not read
real.json  shapes and checksums of the real data sets, by pandas
"""

import datetime as dt
import decimal
import json
import math
import pathlib
import sys

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

here = pathlib.Path(__file__).parent
small, refused = here / "small", here / "refused"
small.mkdir(exist_ok=True)
refused.mkdir(exist_ok=True)

N = 60


def nulls(values, every):
    return [None if every and i % every == 1 else v for i, v in enumerate(values)]


def stamp(i):
    return dt.datetime(1969, 12, 31, 23, 59, 58) + dt.timedelta(seconds=i * 7919, microseconds=250_000 * (i % 4))


def build(every):
    """The columns, with a null at every so many rows (0: none)."""
    utc = dt.timezone.utc
    texts = ["", "a", "NA", "Zoë", 'say "hi"', "x;y,z", "None", "long " * 20]
    times = nulls([stamp(i) for i in range(N)], every)
    whole = nulls([stamp(i).replace(microsecond=0) for i in range(N)], every)
    columns = {}
    for bits in (8, 16, 32, 64):
        top = 2 ** min(bits, 53)
        signed = [(i - N // 2) * (top // (2 * N)) for i in range(N)]
        unsigned = [i * (top // N) for i in range(N)]
        columns[f"int{bits}"] = pa.array(nulls(signed, every), getattr(pa, f"int{bits}")())
        columns[f"uint{bits}"] = pa.array(nulls(unsigned, every), getattr(pa, f"uint{bits}")())
    columns["wide"] = pa.array(nulls([2**63 - 1 - i % 5 for i in range(N)], every), pa.int64())
    columns["uwide"] = pa.array(nulls([2**64 - 1 - i % 5 for i in range(N)], every), pa.uint64())
    columns["float"] = pa.array(nulls([i / 4 - 3 for i in range(N)], every), pa.float32())
    columns["double"] = pa.array(nulls([math.sqrt(i) - 3 for i in range(N)], every), pa.float64())
    columns["inf"] = pa.array(nulls([math.inf, -math.inf, 1e300, 5e-324] * (N // 4), every), pa.float64())
    columns["bool"] = pa.array(nulls([i % 3 == 0 for i in range(N)], every), pa.bool_())
    columns["date"] = pa.array(nulls([dt.date(1969, 12, 1) + dt.timedelta(days=i * 20) for i in range(N)], every), pa.date32())
    columns["string"] = pa.array(nulls([texts[i % len(texts)] for i in range(N)], every), pa.string())
    columns["id"] = pa.array(nulls([f"id-{i * 7919 % 100003:06d}" for i in range(N)], every), pa.string())
    columns["ms"] = pa.array(times, pa.timestamp("ms"))
    columns["us"] = pa.array(times, pa.timestamp("us"))
    columns["us_utc"] = pa.array(nulls([stamp(i).replace(tzinfo=utc) for i in range(N)], every), pa.timestamp("us", "UTC"))
    columns["us_berlin"] = columns["us_utc"].cast(pa.timestamp("us", "Europe/Berlin"))
    columns["s"] = pa.array(whole, pa.timestamp("s"))
    columns["null"] = pa.nulls(N)
    return pa.table(columns)


def more(table, every):
    """Columns that not every format has."""
    rows = [None if v is None else str(v) for v in table["string"].to_pylist()]
    return (
        table.append_column("large", pa.array(rows, pa.large_string()))
        .append_column("level", pa.array(rows, pa.string()).dictionary_encode())
        .append_column("half", pa.array([None if v is None else v for v in np_half(table)], pa.float16()))
        .append_column("ns", table["us"].cast(pa.timestamp("ns")))
    )


def np_half(table):
    return [None if v is None else np.float16(v) for v in table["float"].to_pylist()]


def text(v):
    """v as healml formats it."""
    if v is None or isinstance(v, float) and math.isnan(v):
        return None
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, dt.datetime):
        if v.tzinfo:
            v = v.astimezone(dt.timezone.utc).replace(tzinfo=None)
        if v.time() == dt.time():
            return v.strftime("%Y-%m-%d")
        return v.isoformat(timespec="microseconds" if v.microsecond else "seconds") + "Z"
    if isinstance(v, dt.date):
        return v.isoformat()
    if isinstance(v, (float, np.floating)):
        return {"number": float(v)} if math.isfinite(v) else ("inf" if v > 0 else "-inf")
    if isinstance(v, int):
        return str(v) if abs(v) > 2**53 else {"number": float(v)}
    return str(v)


def expect(table):
    return {
        name: [text(v) for v in (column.cast(pa.timestamp("us")) if pa.types.is_timestamp(column.type) and column.type.unit == "ns" else column).to_pylist()]
        for name, column in zip(table.column_names, table.columns)
    }


def write_small():
    plain, holes = build(0), build(7)
    expected = {"plain": expect(more(plain, 0)), "holes": expect(more(holes, 7))}
    (here / "small.json").write_text(json.dumps(expected, ensure_ascii=False, separators=(",", ":")))
    for kind, every in (("plain", 0), ("holes", 7)):
        table = more(build(every), every)
        for version in ("1.0", "2.0"):
            for compression in ("none", "snappy", "zstd", "gzip", "brotli"):
                for dictionary in (True, False):
                    if compression in ("gzip", "brotli") and dictionary:
                        continue
                    v, d = version[0], "dict" if dictionary else "flat"
                    pq.write_table(
                        table, small / f"{kind}-v{v}-{compression}-{d}.parquet",
                        data_page_version=version, compression=compression, use_dictionary=dictionary,
                        row_group_size=25, data_page_size=64,
                    )
        delta = {n: "DELTA_BINARY_PACKED" for n in ("int32", "int64", "us", "date")}
        delta |= {"string": "DELTA_LENGTH_BYTE_ARRAY", "id": "DELTA_BYTE_ARRAY", "bool": "RLE"}
        delta |= {"float": "BYTE_STREAM_SPLIT", "double": "BYTE_STREAM_SPLIT"}
        for version in ("1.0", "2.0"):
            pq.write_table(
                table, small / f"{kind}-v{version[0]}-delta.parquet", data_page_version=version,
                use_dictionary=False, column_encoding=delta,
            )
        pq.write_table(
            table.select(["ms", "us", "ns", "s"]), small / f"{kind}-int96.parquet", use_deprecated_int96_timestamps=True
        )
        with pa.OSFile(str(small / f"{kind}.arrow"), "wb") as f, pa.ipc.new_file(f, table.schema) as w:
            w.write_table(table, max_chunksize=25)
        for codec in ("lz4", "zstd"):
            options = pa.ipc.IpcWriteOptions(compression=codec)
            with pa.OSFile(str(small / f"{kind}-{codec}.arrow"), "wb") as f:
                with pa.ipc.new_stream(f, table.schema, options=options) as w:
                    w.write_table(table, max_chunksize=25)
        view = table.select(["string", "id"]).cast(pa.schema([("string", pa.string_view()), ("id", pa.string_view())]))
        with pa.OSFile(str(small / f"{kind}-view.arrow"), "wb") as f, pa.ipc.new_file(f, view.schema) as w:
            w.write_table(view)
        write_duckdb(kind, build(every))


def write_duckdb(kind, arrow_table):
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    for version in ("V1", "V2"):
        con.execute(
            f"COPY (SELECT * EXCLUDE (\"null\") FROM arrow_table) TO '{small}/{kind}-duckdb-{version}.parquet' "
            f"(FORMAT parquet, PARQUET_VERSION {version}, COMPRESSION zstd)"
        )


def write_refused():
    bad = {
        "decimal": pa.array([decimal.Decimal("1.5")], pa.decimal128(9, 2)),
        "list": pa.array([[1, 2]], pa.list_(pa.int64())),
        "struct": pa.array([{"a": 1}]),
        "time": pa.array([dt.time(1, 2)], pa.time64("us")),
        "binary": pa.array([b"\xff\xfe"], pa.binary()),
    }
    for kind, column in bad.items():
        table = pa.table({"good": [1.5], "bad": column})
        pq.write_table(table, refused / f"{kind}.parquet", compression="none")
        with pa.OSFile(str(refused / f"{kind}.arrow"), "wb") as f, pa.ipc.new_file(f, table.schema) as w:
            w.write_table(table)


def write_real(data):
    files = {
        "oj/oj_demo_schema.csv": dict(parse_dates=["date"]),
        "bike/hour.csv": dict(parse_dates=["dteday"]),
        "metro/Metro_Interstate_Traffic_Volume.csv": dict(parse_dates=["date_time"]),
        "metro/Metro_Interstate_Traffic_Volume.parquet": None,
        "bank/bank-additional-full.csv": dict(sep=";"),
        "elec2/elec.csv": dict(),
    }
    missing = ["", "NA", "N/A", "NULL", "null", "NaN", "nan", "?"]
    real = {}
    for name, options in files.items():
        if options is None:
            frame = pd.read_parquet(data / name)
        else:
            frame = pd.read_csv(data / name, keep_default_na=False, na_values=missing, float_precision="round_trip", **options)
        columns = []
        for c in frame.columns:
            v = frame[c]
            if pd.api.types.is_numeric_dtype(v):
                got = ["number", math.fsum(v.dropna())]
            elif pd.api.types.is_datetime64_any_dtype(v):
                got = ["time", int((v.dropna().astype("datetime64[us]").astype("int64") // 1_000_000).sum())]
            else:
                got = ["string", int(v.dropna().str.encode("utf-8").str.len().sum())]
            columns.append({"name": c, "type": got[0], "sum": got[1], "distinct": int(v.nunique()), "missing": int(v.isna().sum())})
        real[name] = {"rows": len(frame), "columns": columns}
    (here / "real.json").write_text(json.dumps(real, indent=1))


write_small()
write_refused()
if len(sys.argv) > 1:
    write_real(pathlib.Path(sys.argv[1]))
