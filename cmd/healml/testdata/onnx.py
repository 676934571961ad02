"""Predicts from raw columns with ONNX Runtime; see interop_test.go.

usage: onnx.py GRAPH RAW_CSV PREDICTED_CSV TARGET
"""
import sys

import numpy as np
import onnxruntime
import pandas as pd

graph, raw_file, predicted_file, target = sys.argv[1:]
session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
raw = pd.read_csv(raw_file, keep_default_na=False)
feed = {}
for i in session.get_inputs():
    column = raw[i.name]
    if i.type == "tensor(int64)":
        column = pd.to_datetime(column).astype("datetime64[us]").astype("int64")
    feed[i.name] = column.to_numpy({"tensor(string)": object, "tensor(int64)": np.int64}.get(i.type, float)).reshape(-1, 1)
got = session.run(["predicted_" + target], feed)[0].ravel()
want = pd.read_csv(predicted_file)["predicted_" + target].to_numpy(float)
worst = np.max(np.abs(got - want) / np.maximum(1, np.abs(want)))
assert worst < 1e-12, f"ONNX Runtime differs by {worst}"
print(f"ONNX Runtime: {len(want)} rows agree to {worst:.1e}")
