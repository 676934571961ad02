"""Asks a server with the clients that others use; see interop_test.go.

usage: clients.py URL VERSION_DIR RAW_CSV TARGET
"""
import io
import json
import sys
import urllib.request
import warnings

warnings.filterwarnings("ignore")

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import tritonclient.http
from mlflow.pyfunc.scoring_server.client import ScoringServerClient

url, version, raw_file, target = sys.argv[1:]
host, port = url.removeprefix("http://").split(":")
raw = pd.read_csv(raw_file, keep_default_na=False).head(1000)
want = np.asarray(mlflow.pyfunc.load_model(version).predict(raw), float)


def agree(who, got):
    worst = np.max(np.abs(np.asarray(got, float).ravel() - want) / np.maximum(1, np.abs(want)))
    assert worst < 1e-12, f"{who} differs by {worst}"
    print(f"{who}: {len(want)} rows agree")


scoring = ScoringServerClient(host, port)
scoring.ping()
assert scoring.get_version()
agree("MLflow", scoring.invoke(raw).get_predictions())


def tensors(client, binary):
    for t in client.get_model_metadata(target)["inputs"]:
        kind = {"BYTES": object, "BOOL": bool, "FP64": float}[t["datatype"]]
        column = raw[t["name"]].astype(str) if kind is object else raw[t["name"]]
        tensor = tritonclient.http.InferInput(t["name"], [len(raw)], t["datatype"])
        tensor.set_data_from_numpy(column.to_numpy(kind), binary_data=binary)
        yield tensor


triton = tritonclient.http.InferenceServerClient(f"{host}:{port}")
assert triton.is_server_live() and triton.is_server_ready() and triton.is_model_ready(target)
for binary in True, False:
    answer = triton.infer(target, list(tensors(triton, binary)))
    agree(f"Triton, binary {binary}", answer.as_numpy("predicted_" + target))


def post(body, media):
    request = urllib.request.Request(url + "/predict", body, {"Content-Type": media})
    return urllib.request.urlopen(request).read()


sink = io.BytesIO()
batch = pa.RecordBatch.from_pandas(raw, preserve_index=False)
with pa.ipc.new_stream(sink, batch.schema) as w:
    w.write_batch(batch)
table = pa.ipc.open_stream(post(sink.getvalue(), "application/vnd.apache.arrow.stream")).read_all()
agree("Arrow", table["predicted_" + target])
agree("CSV", pd.read_csv(io.BytesIO(post(raw.to_csv(index=False).encode(), "text/csv")))["predicted_" + target])
lines = post(raw.to_json(orient="records", lines=True).encode(), "application/x-ndjson").splitlines()
agree("lines", [json.loads(line)["predicted_" + target] for line in lines])
