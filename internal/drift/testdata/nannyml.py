"""Writes nannyml.json: the univariate drift methods of NannyML 0.13 on the samples of twosample.json.

    pip install nannyml
    NML_DISABLE_USAGE_LOGGING=1 python nannyml.py
"""
import json
import os
import sys

here = os.path.dirname(os.path.abspath(__file__))
sys.path = [p for p in sys.path if p not in ("", here)]  # this file is no module
import numpy as np
import pandas as pd
from nannyml.chunk import SizeBasedChunker
from nannyml.drift.univariate import methods
from nannyml.thresholds import ConstantThreshold


def value(cls, a, b):
    method = cls(chunker=SizeBasedChunker(100), threshold=ConstantThreshold(upper=1))
    method._fit(pd.Series(a))
    return float(method._calculate(pd.Series(b)))


numbers = []
for c in json.load(open(here + "/twosample.json"))["numbers"]:
    if c["name"] in ("normal", "lognormal", "zero-inflated", "integers", "heavy tails", "uneven"):
        numbers.append(dict(name=c["name"], ks=value(methods.KolmogorovSmirnovStatistic, c["a"], c["b"]),
                            wasserstein=value(methods.WassersteinDistance, c["a"], c["b"])))
levels = []
for a, b in (([40, 30, 20, 10], [30, 30, 25, 25]), ([100, 50, 8], [300, 200, 40]), ([500, 400, 0], [200, 300, 90])):
    x, y = (np.repeat([chr(97 + i) for i in range(len(v))], v) for v in (a, b))
    levels.append(dict(a=a, b=b, js=value(methods.CategoricalJensenShannonDistance, x, y), hellinger=value(methods.CategoricalHellingerDistance, x, y),
                       linf=value(methods.LInfinityDistance, x, y), chi2=value(methods.Chi2Statistic, x, y)))
json.dump(dict(numbers=numbers, levels=levels), open(here + "/nannyml.json", "w"))
