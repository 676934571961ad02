"""Predicts with real MLflow and LightGBM what mlflow_test.go compares.

Usage: mlflow_predict.py WORK VERSION_DIR…

WORK holds raw.csv and, beside each version called like its task,
features-<task>.csv. Prints one JSON object: by task, the predictions of every
way in which the rows can be handed over.
"""

import json
import logging
import os
import sys
import warnings

import lightgbm
import mlflow
import numpy
import pandas
from mlflow.pyfunc import scoring_server

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)


def listed(out):
    """Predictions as rows of JSON values."""
    if isinstance(out, pandas.DataFrame):
        return {name: out[name].tolist() for name in out.columns}
    return numpy.asarray(out).tolist()


def ways(raw):
    """The raw rows as users hold them."""
    texts = pandas.read_csv(raw, dtype=str, keep_default_na=False)
    yield "inferred", pandas.read_csv(raw)
    yield "texts", texts
    yield "arrow", pandas.read_csv(raw, dtype_backend="pyarrow")
    dates = pandas.read_csv(raw)
    dates["date"] = pandas.to_datetime(dates["date"], utc=True, format="ISO8601").dt.tz_convert("Asia/Tokyo")
    dates["promo"] = dates["promo"].astype("boolean")
    yield "typed", dates
    yield "shuffled", texts[sorted(texts.columns)].assign(extra="x").set_index(texts.index * 7)
    yield "records", json.loads(pandas.read_csv(raw).to_json(orient="records"))


def serve(model, body):
    """The answer of MLflow's own scoring server to POST /invocations."""
    answer = scoring_server.invocations(body, "application/json", model, model.metadata.get_input_schema())
    assert answer.status == 200, answer.response
    return json.loads(answer.response)["predictions"]


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as f:
        return f.read()


def main(work, *versions):
    result = {}
    for path in versions:
        model = mlflow.pyfunc.load_model(path)
        task = os.path.basename(os.path.dirname(path))
        out = {}
        for name, rows in ways(os.path.join(work, "raw.csv")):
            frame = pandas.DataFrame(rows)
            out[name] = listed(model.predict(frame))
            if task != "regression":
                out[name + "+p"] = listed(model.predict(frame, params={"probabilities": True}))
        for orient in ("split", "records"):
            rows = pandas.read_csv(os.path.join(work, "raw.csv")).to_json(orient=orient, double_precision=15)
            out["served " + orient] = serve(model, f'{{"dataframe_{orient}": {rows}}}')
        empty = listed(model.predict(pandas.read_csv(os.path.join(work, "raw.csv")).iloc[:0]))
        features = pandas.read_csv(os.path.join(work, f"features-{task}.csv")).to_numpy(dtype=float)
        booster = mlflow.lightgbm.load_model(path)
        assert isinstance(booster, lightgbm.Booster)
        result[task] = {
            "ways": out,
            "booster": booster.predict(features).tolist(),
            "empty": empty,
            "example": serve(model, read(path, "serving_input_example.json")),
            "signature": [str(c.name) for c in model.metadata.get_input_schema()],
        }
    json.dump(result, sys.stdout)


main(*sys.argv[1:])
