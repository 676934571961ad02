"""Looks at an MLflow tracking server that healml told of its versions; see
interop_test.go.

usage: tracking.py URL MODEL VERSION RAW_CSV PREDICTED_CSV
"""
import sys
import warnings

warnings.filterwarnings("ignore")

import mlflow
import numpy as np
import pandas as pd

url, name, version, raw_file, predicted_file = sys.argv[1:]
mlflow.set_tracking_uri(url)
client = mlflow.MlflowClient()
champion = client.get_model_version_by_alias(name, "champion")
assert champion.tags["healml.version"] == version, champion.tags
run = client.get_run(champion.run_id)
assert run.info.status == "FINISHED" and run.data.params["target"] == name and run.data.metrics["mae"] > 0, run
assert run.inputs.dataset_inputs[0].dataset.name, run.inputs
raw = pd.read_csv(raw_file, keep_default_na=False).head(1000)
got = mlflow.pyfunc.load_model(f"models:/{name}@champion").predict(raw)
want = pd.read_csv(predicted_file)["predicted_" + name].to_numpy(float)[: len(raw)]
worst = np.max(np.abs(np.asarray(got, float) - want) / np.maximum(1, np.abs(want)))
assert worst < 1e-12, f"the registered model differs by {worst}"
versions = client.search_model_versions(f"name='{name}'")
print(f"{len(versions)} versions; the champion's {len(raw)} predictions agree")
