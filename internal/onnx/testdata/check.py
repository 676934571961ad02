"""Predicts with ONNX Runtime and compares; see onnx_test.go.

usage: check.py BASE…   (BASE.onnx and BASE.csv)
"""
import json
import os
import sys

import numpy as np
import onnx
import onnxruntime
import pandas as pd

kinds = {"tensor(string)": object, "tensor(int64)": np.int64, "tensor(double)": np.float64}
for base in sys.argv[1:]:
    onnx.checker.check_model(onnx.load(base + ".onnx"), full_check=False)
    session = onnxruntime.InferenceSession(base + ".onnx", providers=["CPUExecutionProvider"])
    rows = pd.read_csv(base + ".csv", dtype=str, keep_default_na=False)
    feed = {i.name: rows[i.name].replace("NaN", "nan").to_numpy(object).astype(kinds[i.type]).reshape(-1, 1) for i in session.get_inputs()}
    want = rows[[c for c in rows if c.startswith("want")]].astype(float).to_numpy()
    *labels, got = session.run(None, feed)
    assert got.dtype == np.float64 and got.shape == want.shape, f"{base}: {got.dtype} {got.shape}, expected {want.shape}"
    same = (got == want) | (np.abs(got - want) <= 1e-12 * np.maximum(1, np.abs(want)))
    assert same.all(), f"{base}: row {np.argmin(same.all(axis=1))} is {got[np.argmin(same.all(axis=1))]}, expected {want[np.argmin(same.all(axis=1))]}; {np.sum(~same.all(axis=1))} rows differ"
    if labels:
        classes = json.loads(dict((p.key, p.value) for p in onnx.load(base + ".onnx").metadata_props)["healml_template"])["classes"]
        assert (labels[0] == np.array(classes, object)[want.argmax(axis=1)]).all(), base
    print(os.path.basename(base), len(want), "rows agree")
