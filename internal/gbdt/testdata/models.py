"""Writes small LightGBM 4.7 models and what they predict, beside this file.

rows.csv            rows to predict, with NaN, infinities, unseen and negative categories
NAME.txt            the model
NAME.csv            raw scores, then predictions, then leaf indices, one row a row
"""
import pathlib
import lightgbm as lgb
import numpy as np

here = pathlib.Path(__file__).parent
r = np.random.default_rng(3)
n = 1500
x = np.column_stack([
    np.round(r.normal(size=n), 2),
    np.where(r.random(n) < 0.2, np.nan, np.round(r.normal(size=n), 2)),
    np.where(r.random(n) < 0.5, 0, np.round(r.normal(size=n), 2)),
    r.integers(0, 3, n),
    r.integers(0, 70, n),
])
effect = r.normal(size=70)
y = x[:, 0] + np.nan_to_num(x[:, 1], nan=2) * x[:, 2] + np.array([0, 2, -1])[x[:, 3].astype(int)] + effect[x[:, 4].astype(int)]

rows = x[:60].copy()
odd = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-36, -1e-36, 1e-34, 1e308, -1e308, 5e-324]
for i, v in enumerate(odd):
    rows[i, i % 3] = v
    rows[i + 11, :3] = v
rows[25:40, 3] = [-1, -0.5, 0.5, 2.9, 3, 1e9, 2**31, 2**40, np.nan, np.inf, -np.inf, -7, 1.0, 2, 0]
rows[40:55, 4] = [-1, -0.5, 69, 70, 71, 1e9, 2**31, 2**40, np.nan, np.inf, -np.inf, 31, 32, 33, 64]
np.savetxt(here / "rows.csv", rows, fmt="%.17g", delimiter=",")


def write(name, label, rounds=6, **params):
    p = dict(verbosity=-1, num_threads=1, num_leaves=9, min_data_in_leaf=15, min_data_per_group=20, cat_smooth=2, cat_l2=1, **params)
    m = lgb.train(p, lgb.Dataset(x, label, categorical_feature=[3, 4]), rounds)
    m.save_model(here / f"{name}.txt")
    m = lgb.Booster(model_file=here / f"{name}.txt")
    shape = lambda a: np.asarray(a).reshape(len(rows), -1)
    out = np.column_stack([shape(m.predict(rows, raw_score=True)), shape(m.predict(rows)), shape(m.predict(rows, pred_leaf=True))])
    np.savetxt(here / f"{name}.csv", out, fmt="%.17g", delimiter=",")


classes = np.digitize(y, [-1.5, 0, 2])
write("regression", y, objective="regression")
write("sqrt", y * 10, objective="regression", reg_sqrt=True)
write("l1", y, objective="regression_l1")
write("huber", y, objective="huber")
write("quantile", y, objective="quantile", alpha=0.8)
write("mape", y + 20, objective="mape")
write("fair", y, objective="fair")
write("poisson", np.round(np.exp(y / 3)), objective="poisson")
write("gamma", np.exp(y / 3), objective="gamma")
write("tweedie", np.maximum(y, 0), objective="tweedie")
write("binary", (y > 0.5) * 1.0, objective="binary", sigmoid=1.7)
write("cross_entropy", 1 / (1 + np.exp(-y)), objective="cross_entropy")
write("cross_entropy_lambda", 1 / (1 + np.exp(-y)), objective="cross_entropy_lambda")
write("multiclass", classes, objective="multiclass", num_class=4, rounds=3)
write("multiclassova", classes, objective="multiclassova", num_class=4, rounds=3)
write("dart", y, objective="regression", boosting="dart", drop_rate=0.5)
write("forest", (y > 0.5) * 1.0, objective="binary", boosting="rf", bagging_freq=1, bagging_fraction=0.6)
write("zero_missing", y, objective="regression", zero_as_missing=True)
write("no_missing", y, objective="regression", use_missing=False)
write("monotone", y, objective="regression", monotone_constraints=[1, 0, -1, 0, 0])
write("constant", np.full(n, 2.5), objective="regression")
