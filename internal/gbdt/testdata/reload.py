"""Loads models in LightGBM as they were and as healml wrote them again.

usage: reload.py ORIGINAL WRITTEN ROWS OUT …   (four arguments a model)

Both must predict the same bits. ROWS gets random rows, OUT what LightGBM says
of them: raw scores, leaf indices, contributions, one row a row.
"""
import sys
import lightgbm as lgb
import numpy as np

for original, written, rows, out in zip(*[iter(sys.argv[1:])] * 4):
    a, b = lgb.Booster(model_file=original), lgb.Booster(model_file=written)
    assert a.feature_name() == b.feature_name(), written
    assert a.num_trees() == b.num_trees(), written
    r = np.random.default_rng(9)
    f = a.num_feature()
    scale = 10.0 ** r.integers(-2, 4, f)
    x = r.normal(size=(60, f)) * scale
    whole = r.random((60, f)) < 0.3
    x[whole] = np.round(x[whole])
    x[r.random((60, f)) < 0.08] = np.nan
    x[r.random((60, f)) < 0.08] = 0
    x[r.random((60, f)) < 0.02] = np.inf
    shape = lambda v: np.asarray(v).reshape(len(x), -1)
    result = []
    for m in a, b:
        raw, leaf = shape(m.predict(x, raw_score=True, num_threads=1)), shape(m.predict(x, pred_leaf=True, num_threads=1))
        contributions = shape(m.predict(x, pred_contrib=True, num_threads=1))
        result.append(np.column_stack([raw, leaf, contributions]))
    assert np.array_equal(result[0], result[1], equal_nan=True), f"{written} predicts otherwise than {original}"
    assert np.array_equal(a.predict(x), b.predict(x), equal_nan=True), written
    np.savetxt(rows, x, fmt="%.17g", delimiter=",")
    np.savetxt(out, result[1], fmt="%.17g", delimiter=",")
