"""Writes what LightGBM 4.7 says of the contributions to models, beside this file.

NAME.csv        pred_contrib of ../NAME.txt on ../rows.csv, one row a row
deep.txt        a model with paths of many features
deep_rows.csv   rows for it
deep.csv        their contributions; LightGBM's own error here is some 4e-11
deep_exact.csv  those of the first three rows by the definition, over all sets of features
"""
import math
import pathlib
import lightgbm as lgb
import numpy as np

here = pathlib.Path(__file__).parent


def write(name, model, rows):
    m = lgb.Booster(model_file=model)
    out = np.asarray(m.predict(rows, pred_contrib=True, num_threads=1)).reshape(len(rows), -1)
    np.savetxt(here / f"{name}.csv", out, fmt="%.17g", delimiter=",")


rows = np.loadtxt(here.parent / "rows.csv", delimiter=",")
for name in ["binary", "regression", "multiclass", "forest", "dart", "zero_missing", "no_missing", "constant", "l1"]:
    write(name, here.parent / f"{name}.txt", rows)

r = np.random.default_rng(11)
n, f = 4000, 20
x = np.round(r.normal(size=(n, f)), 1)
x[r.random((n, f)) < 0.05] = np.nan
y = sum(np.where(np.nan_to_num(x[:, j]) > 0.5, 2.0 ** -(j / 4), 0) * np.nan_to_num(x[:, (j + 1) % f]) for j in range(f)) + x.shape[1] * np.maximum.reduce(np.nan_to_num(x), axis=1)
p = dict(objective="regression", verbosity=-1, num_threads=1, num_leaves=90, min_data_in_leaf=3, feature_fraction_bynode=0.3, learning_rate=0.5)
m = lgb.train(p, lgb.Dataset(x, y), 2)
m.save_model(here / "deep.txt")
rows = x[:40]
np.savetxt(here / "deep_rows.csv", rows, fmt="%.17g", delimiter=",")
write("deep", here / "deep.txt", rows)


def by_definition(m, row):
    """Shapley values of the mean over training rows of what a set of features leaves open."""
    f = len(row)
    sets = np.arange(1 << f, dtype=np.uint32)
    ones = np.zeros(len(sets), np.int64)
    for j in range(f):
        ones += (sets >> j) & 1
    weights = np.array([1 / (f * math.comb(f - 1, k)) if k < f else 0 for k in range(f + 1)])[ones]
    out = np.zeros(f + 1)
    for t in m.dump_model()["tree_info"]:
        def value(node):
            if "leaf_value" in node:
                return node["leaf_value"], node["leaf_count"]
            (l, nl), (r, nr) = value(node["left_child"]), value(node["right_child"])
            x = row[node["split_feature"]]
            if np.isnan(x):
                left = node["default_left"] if node["missing_type"] == "NaN" else 0 <= node["threshold"]
            else:
                left = x <= node["threshold"]
            known = (sets >> node["split_feature"]) & 1 == 1
            return np.where(known, l if left else r, (l * nl + r * nr) / (nl + nr)), nl + nr
        v, _ = value(t["tree_structure"])
        for j in range(f):
            without = (sets >> j) & 1 == 0
            out[j] += math.fsum(weights[without] * (v[sets[without] | (1 << j)] - v[without]))
        out[f] += v[0]
    return out


np.savetxt(here / "deep_exact.csv", [by_definition(m, row) for row in rows[:3]], fmt="%.17g", delimiter=",")
