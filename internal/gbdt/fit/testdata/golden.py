"""Trains with LightGBM 4.7 what golden_test.go trains with this package.

    golden.py SHARED   writes golden/*.txt and golden/metrics.json beside this file

SHARED holds data/lightgbm/train (LightGBM's example sets). mixed.csv, also
beside this file, is made here: numbers with and without NaN, zeros, ties, a
category of 3, one of 12 and one of 60 levels, rows' weights.
"""
import json, pathlib, sys
import lightgbm as lgb
import numpy as np

here = pathlib.Path(__file__).parent
shared = pathlib.Path(sys.argv[1]) / "data/lightgbm/train"
BASE = dict(verbosity=-1, num_threads=1, deterministic=True, force_col_wise=True)


def mixed():
    r = np.random.default_rng(11)
    n = 3000
    a = np.round(r.normal(size=n), 2)
    b = np.where(r.random(n) < 0.15, np.nan, np.round(r.normal(size=n), 3))
    c = np.where(r.random(n) < 0.6, 0, np.round(r.exponential(size=n), 2))
    d = r.integers(0, 3, n).astype(float)
    e = np.minimum(r.geometric(0.25, n), 12).astype(float)
    f = r.integers(0, 60, n).astype(float)
    f[r.random(n) < 0.05] = np.nan
    k = np.full(n, 7.0)
    effect = r.normal(size=61)
    signal = a + np.nan_to_num(b, nan=1.5) + 0.5 * np.sin(3 * c) + np.array([0, 1, -1])[d.astype(int)]
    signal += 0.3 * effect[e.astype(int)] + effect[np.nan_to_num(f, nan=60).astype(int)]
    y = np.round(signal + 0.5 * r.normal(size=n), 3)
    w = np.round(r.uniform(0.2, 2, n), 2)
    x = np.column_stack([a, b, c, d, e, f, k])
    np.savetxt(here / "mixed.csv", np.column_stack([x, y, w]), fmt="%g", delimiter=",")
    return x, y, w


def example(name):
    t = [np.loadtxt(shared / f"{name}.{part}") for part in ("train", "test")]
    return t[0][:, 1:], t[0][:, 0], t[1][:, 1:], t[1][:, 0]


metrics = {}


def case(name, params, x, y, vx, vy, w=None, vw=None, cats="auto", rounds=100):
    params = {**BASE, **params}
    ds = lgb.Dataset(x, y, weight=w, categorical_feature=cats)
    vs = lgb.Dataset(vx, vy, weight=vw, reference=ds)
    history = {}
    m = lgb.train(params, ds, rounds, valid_sets=[vs], callbacks=[lgb.record_evaluation(history)])
    (values,) = history["valid_0"].values()
    metrics[name] = {"params": {k: v for k, v in params.items() if k not in BASE and k != "metric"},
                     "loss": values[-1], "first": values[0]}
    per = m.num_model_per_iteration()
    m.save_model(here / f"golden/{name}.txt", num_iteration=max(1, 3 // per))
    print(name, values[0], values[-1])


if __name__ == "__main__":
    x, y, w = mixed()
    h = 2400
    cut = lambda v: (v[:h], v[h:])
    (tx, vx), (ty, vy), (tw, vw) = cut(x), cut(y), cut(w)
    C = [3, 4, 5]
    mse = dict(objective="regression", metric="l2")
    case("mixed_regression", mse, tx, ty, vx, vy, cats=C)
    case("mixed_weighted", {**mse, "lambda_l1": 0.5, "lambda_l2": 2, "min_gain_to_split": 0.1, "max_depth": 5},
         tx, ty, vx, vy, tw, vw, C)
    case("mixed_sampled", {**mse, "bagging_fraction": 0.6, "bagging_freq": 2, "feature_fraction": 0.7, "seed": 5},
         tx, ty, vx, vy, cats=C)
    case("mixed_categories", {**mse, "min_data_per_group": 20, "cat_smooth": 1, "cat_l2": 1, "max_cat_threshold": 8,
                              "max_cat_to_onehot": 12, "min_data_in_leaf": 5}, tx, ty, vx, vy, cats=C)
    case("mixed_leaf_limits", {**mse, "min_data_per_group": 1, "min_data_in_leaf": 60},
         tx, ty, vx, vy, cats=C)
    case("mixed_sqrt", {**mse, "reg_sqrt": True}, tx, ty, vx, vy, cats=C)
    case("mixed_l1", dict(objective="regression_l1", metric="l1"), tx, ty, vx, vy, cats=C)
    counts = np.round(np.exp(ty / 4)), np.round(np.exp(vy / 4))
    case("mixed_poisson", dict(objective="poisson", metric="poisson"), tx, counts[0], vx, counts[1], cats=C)
    case("mixed_binary", dict(objective="binary", metric="binary_logloss", is_unbalance=True, max_bin=63),
         tx, (ty > 1.5) * 1.0, vx, (vy > 1.5) * 1.0, cats=C)
    case("mixed_wide", {**mse, "max_bin": 500, "min_data_in_bin": 1}, tx, ty, vx, vy, cats=C)
    case("mixed_few_sampled", {**mse, "bin_construct_sample_cnt": 500, "data_random_seed": 8}, tx, ty, vx, vy, cats=C)
    case("mixed_average_off", {**mse, "boost_from_average": False}, tx, ty, vx, vy, cats=C)
    case("mixed_huber", dict(objective="huber", metric="huber", alpha=0.7), tx, ty, vx, vy, cats=C)
    case("mixed_fair", dict(objective="fair", metric="fair", fair_c=0.5), tx, ty, vx, vy, tw, vw, cats=C)
    case("mixed_quantile", dict(objective="quantile", metric="quantile", alpha=0.75), tx, ty, vx, vy, cats=C)
    case("mixed_gamma", dict(objective="gamma", metric="gamma"), tx, np.exp(ty / 4), vx, np.exp(vy / 4), cats=C)
    case("mixed_tweedie", dict(objective="tweedie", metric="tweedie", tweedie_variance_power=1.3),
         tx, counts[0], vx, counts[1], cats=C)
    case("mixed_forest", {**mse, "boosting": "rf", "bagging_fraction": 0.6, "bagging_freq": 1, "feature_fraction": 0.8},
         tx, ty, vx, vy, cats=C)
    case("mixed_monotone", {**mse, "monotone_constraints": "1,-1,0,0,0,0,0", "lambda_l2": 1}, tx, ty, vx, vy, cats=C)
    case("mixed_max_delta", {**mse, "max_delta_step": 0.3, "lambda_l1": 0.2}, tx, ty, vx, vy, cats=C)
    both = {**BASE, "objective": "regression", "num_leaves": 15}
    more = lambda: lgb.Dataset(tx, ty, categorical_feature=C, free_raw_data=False)
    base = lgb.train(both, more(), 4)
    base.save_model(here / "golden/base.txt")
    lgb.train(both, more(), 3, init_model=base).save_model(here / "golden/continued.txt")
    base.refit(tx, ty * 2 - 1, decay_rate=0.4).save_model(here / "golden/refitted.txt")
    x, y, vx, vy = example("regression")
    case("regression", mse, x, y, vx, vy)
    x, y, vx, vy = example("binary")
    case("binary", dict(objective="binary", metric="binary_logloss", num_leaves=63, learning_rate=0.1), x, y, vx, vy)
    x, y, vx, vy = example("multiclass")
    case("multiclass", dict(objective="multiclass", metric="multi_logloss", num_class=5), x, y, vx, vy, rounds=50)
    (here / "golden/metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
