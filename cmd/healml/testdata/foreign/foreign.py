"""Writes small models of LightGBM 4.7 and what they predict, beside this file.

NAME.txt   the model: plain (integer categories), pandas (string categories and
           a space in a name), classes (three classes), v3 (a text of version 3)
NAME.csv   rows: features by name, the target y, and last LightGBM's
           predictions: expected, or expected_<class>
"""
import pathlib
import lightgbm as lgb
import numpy as np
import pandas as pd

here = pathlib.Path(__file__).parent
r = np.random.default_rng(5)
n = 800
x = pd.DataFrame({
    "age": np.where(r.random(n) < 0.1, np.nan, r.integers(18, 90, n)),
    "house income": np.round(r.gamma(2, 20, n), 2),
    "city": r.integers(0, 12, n),
    "plan": r.choice(["basic", "pro", "team", "zen"], n),
})
score = np.nan_to_num(x.age, nan=50) / 20 + np.log(x["house income"] + 1) + (x.city % 3) + x.plan.map({"basic": 0, "pro": 2, "team": -1, "zen": 1})
score += r.normal(size=n) / 4
p = dict(verbosity=-1, num_threads=1, num_leaves=8, min_data_in_leaf=10, min_data_per_group=10, cat_smooth=1)


def write(name, frame, y, rounds=4, edit=None, cats="auto", **params):
    lgb.train({**p, **params}, lgb.Dataset(frame, y, categorical_feature=cats), rounds).save_model(here / f"{name}.txt")
    if edit:
        text = (here / f"{name}.txt").read_text()
        (here / f"{name}.txt").write_text(edit(text))
    m = lgb.Booster(model_file=here / f"{name}.txt")
    rows = frame[:60].copy()
    if "plan" in rows:
        rows.loc[rows.index[5], "plan"] = np.nan
        rows.loc[rows.index[6], "age"] = np.nan
    else:
        rows.loc[rows.index[5], "city"] = 99
    out = np.asarray(m.predict(rows))
    rows["y"] = y[:60]
    if out.ndim == 1:
        rows["expected"] = out
    else:
        for k in range(out.shape[1]):
            rows[f"expected_{k}"] = out[:, k]
    rows.to_csv(here / f"{name}.csv", index=False, float_format="%.17g")


plain = x[["age", "city"]].assign(income=x["house income"])
write("plain", plain, np.round(score, 3), cats=["city"], objective="regression")
pandas = x.assign(plan=x.plan.astype("category"))
write("pandas", pandas, (score > 7).astype(int), objective="binary")
write("classes", plain, pd.cut(score, [-9, 6, 8, 99], labels=False), rounds=2, cats=["city"], objective="multiclass", num_class=3)
write("v3", plain, np.round(score, 3), rounds=2, cats=["city"], objective="poisson", edit=lambda s: s.replace("version=v4", "version=v3", 1))
