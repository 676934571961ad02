"""Writes golden.json: what scikit-learn and LightGBM say of the same rows.

    python golden.py > golden.json      (numpy, scikit-learn, lightgbm)
"""
import json
import lightgbm as lgb
import numpy as np
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import auc, brier_score_loss, log_loss, roc_auc_score

rng = np.random.default_rng(7)


def iso(x, y):
    return IsotonicRegression(out_of_bounds="clip", y_min=None, y_max=None).fit(x, y)


def expected_auc(p, c):
    """Area under the ROC curve of expected counts, a point a threshold."""
    tp, fp = [0.0], [0.0]
    for t in np.unique(p)[::-1]:
        tp.append(c[p >= t].sum())
        fp.append((1 - c)[p >= t].sum())
    return auc(np.array(fp) / fp[-1], np.array(tp) / tp[-1])


def isotonic():
    x = np.round(rng.uniform(0, 1, 120), 2)
    y = (rng.uniform(0, 1, 120) < x**2).astype(float)
    at = np.linspace(-0.1, 1.1, 50)
    return {"x": x, "y": y, "at": at, "want": iso(x, y).predict(at)}


def binary():
    def draw(n, shift):
        z = rng.normal(shift, 1.2, n)
        p = np.round(1 / (1 + np.exp(-1.8 * z)), 3).clip(0.001, 0.999)  # too sure of itself
        return p, (rng.uniform(0, 1, n) < 1 / (1 + np.exp(-z))).astype(float)

    p, y = draw(600, 0)
    q, _ = draw(300, 0.7)
    c = iso(p, y).predict(q)
    two = np.column_stack([1 - q, q])
    return {
        "p": p, "y": y, "now": q,
        "logloss": float(np.mean(-c * np.log(q) - (1 - c) * np.log(1 - q))),
        "brier": float(np.mean(c * (1 - q) ** 2 + (1 - c) * q**2)),
        "accuracy": float(np.mean(np.where(two.argmax(1) == 1, c, 1 - c))),
        "auc": expected_auc(q, c),
        "holdout": {"logloss": log_loss(y, p), "brier": brier_score_loss(y, p), "auc": roc_auc_score(y, p),
                    "accuracy": float(np.mean((p > 0.5) == (y == 1)))},
        "auc_variance": delong(p, y),
    }


def delong(p, y):
    a, b = p[y == 1], p[y == 0]
    psi = (a[:, None] > b).astype(float) + 0.5 * (a[:, None] == b)
    return float(psi.mean(1).var() / len(a) + psi.mean(0).var() / len(b))


def multiclass():
    def draw(n, shift):
        z = rng.normal(0, 1, (n, 3)) + [shift, 0, -0.3]
        e = np.exp(z)
        y = np.array([rng.choice(3, p=r / r.sum()) for r in e])
        s = np.exp(1.9 * z)
        return np.round(s / s.sum(1, keepdims=True), 6), y

    p, y = draw(900, 0)
    q, _ = draw(200, 0.8)
    c = np.column_stack([iso(p[:, k], (y == k).astype(float)).predict(q[:, k]) for k in range(3)])
    c = c / c.sum(1, keepdims=True)
    onehot = np.eye(3)
    return {
        "p": p.ravel(), "y": y.astype(float), "now": q.ravel(),
        "logloss": float(np.mean((-c * np.log(q.clip(1e-15, 1 - 1e-15))).sum(1))),
        "accuracy": float(np.mean(c[np.arange(len(q)), q.argmax(1)])),
        "brier": float(np.mean(sum(c[:, k] * ((q - onehot[k]) ** 2).sum(1) for k in range(3)))),
    }


def numbers():
    def draw(n, lo, hi):
        x = np.round(rng.uniform(lo, hi, n), 4)
        g = rng.integers(0, 4, n).astype(float)
        f = np.round(2 * x + g, 4)
        y = np.round(f + rng.normal(0, 1, n) * (0.5 + x * (1 + g)), 4)
        return x, g, f, y

    x, g, f, y = draw(1500, 0, 1)
    u, h, e, _ = draw(400, 0.6, 1)
    out = {"x": x, "g": g, "f": f, "y": y, "now": {"x": u, "g": h, "f": e}, "want": {}}
    for name, loss in {"mae": np.abs(y - f), "rmse": (y - f) ** 2, "mae_log1p": np.abs(np.log1p(y.clip(0)) - np.log1p(f.clip(0)))}.items():
        d = lgb.Dataset(np.column_stack([x, g, f]), loss, categorical_feature=[1])
        m = lgb.train(dict(objective="regression", num_leaves=8, learning_rate=0.1, min_data_in_leaf=20, verbosity=-1,
                           num_threads=1, deterministic=True, force_row_wise=True), d, 40)
        want = {}
        for k in (0, 5, 10, 20, 40):
            if k == 0:
                v = loss.mean()
            else:
                said = m.predict(np.column_stack([x, g, f]), num_iteration=k).clip(0)
                v = m.predict(np.column_stack([u, h, e]), num_iteration=k).clip(0).mean() * loss.mean() / said.mean()
            want[str(k)] = float(np.sqrt(v) if name == "rmse" else v)
        out["want"][name] = want
    return out


def line(binary):
    n = 500
    step = np.repeat(np.arange(20), 25)
    x = rng.normal(0, 1.2, n)
    shift = np.repeat(rng.normal(0, 0.3, 20), 25)
    if binary:
        p = 1 / (1 + np.exp(-x))
        y = (rng.uniform(0, 1, n) < 1 / (1 + np.exp(-(0.6 * x + 0.4 + shift)))).astype(float)
        x = np.log(p / (1 - p))
        m = LogisticRegression(penalty=None, tol=1e-12, max_iter=1000).fit(x[:, None], y)
        slope, a = m.coef_[0, 0], m.intercept_[0]
        q = 1 / (1 + np.exp(-(a + slope * x)))
        g, hess = y - q, q * (1 - q)
    else:
        p = x
        y = 0.8 * x + 0.5 + shift + rng.normal(0, 0.7, n)
        design = np.column_stack([np.ones(n), x])
        (a, slope), *_ = np.linalg.lstsq(design, y, rcond=None)
        g, hess = y - a - slope * x, np.ones(n)
    centre = float(x.mean())
    design = np.column_stack([np.ones(n), x - centre])
    bread = np.linalg.inv(design.T @ (design * hess[:, None]))
    meat = sum(np.outer(s, s) for s in (design[step == k].T @ g[step == k] for k in range(20)))
    v = bread @ meat @ bread * 20 / 19
    return {"p": p, "y": y, "step": step, "centre": centre, "slope": slope,
            "intercept": a + slope * centre - centre, "variance": v.ravel()}


def plain(v):
    if isinstance(v, dict):
        return {k: plain(w) for k, w in v.items()}
    return v.tolist() if isinstance(v, np.ndarray) else v


print(json.dumps(plain({"isotonic": isotonic(), "binary": binary(), "multiclass": multiclass(), "numbers": numbers(),
                        "logistic": line(True), "linear": line(False)})))
