"""Writes golden.json: what scikit-learn makes of the same labels and outputs."""
import json
import numpy as np
from sklearn import metrics

r = np.random.default_rng(3)
n = 400
out = {}
y = np.round(r.gamma(2, 3, n), 2)
p = y * np.exp(r.normal(0, .3, n)) - .5
out["regression"] = dict(label=y.tolist(), pred=p.tolist(), rmse=float(np.sqrt(metrics.mean_squared_error(y, p))),
                         mae=metrics.mean_absolute_error(y, p), mae_log1p=metrics.mean_absolute_error(np.log1p(y), np.log1p(np.maximum(p, 0))))
y = (r.random(n) < .3).astype(int)
p = np.round(np.clip(.3 + .4 * (y - .3) + r.normal(0, .25, n), 0, 1), 2)  # ties, and 0 and 1 themselves
q = np.clip(np.column_stack([1 - p, p]), 1e-15, 1 - 1e-15)
b = np.clip(np.ceil(p * 10) - 1, 0, 9).astype(int)
out["binary"] = dict(label=y.tolist(), prob=p.tolist(), auc=metrics.roc_auc_score(y, p), logloss=metrics.log_loss(y, q),
                     accuracy=metrics.accuracy_score(y, p > .5), brier=metrics.brier_score_loss(y, p),
                     ece=float(sum(abs((y - p)[b == k].sum()) for k in range(10)) / n))
y = r.integers(0, 3, n)
p = r.dirichlet([1, 1, 1], n) * .6 + .4 * np.eye(3)[y]
out["multiclass"] = dict(label=y.tolist(), prob=p.ravel().tolist(), logloss=metrics.log_loss(y, p), accuracy=metrics.accuracy_score(y, p.argmax(1)),
                         brier=float(((p - np.eye(3)[y]) ** 2).sum(1).mean()))
json.dump(out, open(__file__.replace("golden.py", "golden.json"), "w"))
