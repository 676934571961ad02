"""Reads what healml wrote with the tools that others use; see interop_test.go.

usage: interop.py VERSION_DIR RAW_CSV PREDICTED_CSV TARGET PARQUET…
"""
import json
import sys
import warnings

warnings.filterwarnings("ignore")

import duckdb
import lightgbm
import mlflow
import numpy as np
import pandas as pd
import pyarrow.parquet

version, raw_file, predicted_file, target, *parquets = sys.argv[1:]
raw = pd.read_csv(raw_file, keep_default_na=False)
want = pd.read_csv(predicted_file)["predicted_" + target].to_numpy(float)

got = mlflow.pyfunc.load_model(version).predict(raw)
got = got["predicted_" + target] if hasattr(got, "columns") else got
worst = np.max(np.abs(np.asarray(got, float) - want) / np.maximum(1, np.abs(want)))
assert worst < 1e-12, f"MLflow differs by {worst}"


template = json.load(open(version + "/template.json"))
columns = {c["name"]: c for c in template["columns"]}
booster = lightgbm.Booster(model_file=version + "/model.lgb")
features = []
for f in template["features"]:
    values = raw[f["source"]]
    if f["op"] == "level":
        codes = {level: i for i, level in enumerate(columns[f["source"]]["levels"])}
        values = values.map(lambda v: codes.get(v, -1))
    elif f["op"] != "value":
        day = pd.to_datetime(values).dt
        values = {"weekday": (day.dayofweek + 1) % 7, "day": day.day, "month": day.month, "yearday": day.dayofyear, "hour": day.hour}[f["op"]]
    features.append(np.asarray(values, float))
worst = np.max(np.abs(booster.predict(np.column_stack(features)) - want) / np.maximum(1, np.abs(want)))
assert worst < 1e-12, f"LightGBM differs by {worst}"

for path in parquets:
    rows = pyarrow.parquet.read_table(path).num_rows
    (count,), = duckdb.sql(f"select count(*) from '{path}'").fetchall()
    assert rows == count and rows > 0, f"{path}: {rows} rows in pyarrow, {count} in DuckDB"
    print(path, rows)
print("rows", len(raw))
