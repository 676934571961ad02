"""Reads values as the loader does, for loader_test.go.

Usage: loader_read.py FOLDER < REQUEST. FOLDER holds healml_model.py. The
request is {"texts": […], "numbers": ["1.5", …]}; the answer tells for each text
what it is as a number, a truth value and a time (microseconds), with "missing"
or "refused" where it is not one, and for each number the category it names.
"""

import json
import sys

sys.path.insert(0, sys.argv[1])

import healml_model
import numpy
import pandas


def read(kind, text):
    try:
        v = healml_model._raw({"kind": kind, "name": "x"}, pandas.Series([text], dtype=object))[0]
    except ValueError:
        return "refused"
    if pandas.isna(v):
        return "missing"
    return str(v.astype(numpy.int64)) if kind == "time" else repr(float(v))


request = json.load(sys.stdin)
json.dump(
    {
        "numeric": [read("numeric", s) for s in request["texts"]],
        "boolean": [read("boolean", s) for s in request["texts"]],
        "time": [read("time", s) for s in request["texts"]],
        "category": [healml_model._text(float(v)) for v in request["numbers"]],
    },
    sys.stdout,
)
