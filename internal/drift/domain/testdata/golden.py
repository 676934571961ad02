#!/usr/bin/env python3
"""Writes golden.json: areas with their variances, and measures of dependence, by scikit-learn, SciPy and definition."""
import json, pathlib
import numpy as np
from scipy import stats
from sklearn.metrics import roc_auc_score

r = np.random.default_rng(11)

def curve(n, m, shift, digits):
    zero, one = np.round(r.normal(size=n), digits), np.round(r.normal(size=m) + shift, digits)
    y = np.r_[np.zeros(n), np.ones(m)]
    s = np.r_[zero, one]
    u = stats.mannwhitneyu(one, zero, method="asymptotic", use_continuity=False)
    auc = roc_auc_score(y, s)
    z = stats.norm.isf(u.pvalue / 2)                       # SciPy's variance corrects for ties
    null = ((auc - .5) / z) ** 2
    psi = (one[:, None] > zero[None]) + .5 * (one[:, None] == zero[None])
    own = psi.mean(1).var(ddof=1) / m + psi.mean(0).var(ddof=1) / n   # DeLong, DeLong and Clarke-Pearson 1988
    return dict(zero=zero.tolist(), one=one.tolist(), auc=auc, null=null, own=own)

def pair():
    n = 200
    x = np.round(r.normal(size=n), 1)
    y = np.round(.5 * x + r.normal(size=n), 1)
    a = np.clip(np.floor(x + r.normal(size=n)) + 2, 0, 4).astype(int)
    b = np.clip(np.floor(y + r.normal(size=n)) + 1, 0, 2).astype(int)
    t = stats.contingency.crosstab(a, b).count
    R, C = t.shape
    phi2 = stats.chi2_contingency(t, correction=False).statistic / n
    rt, ct = R - (R - 1) ** 2 / (n - 1), C - (C - 1) ** 2 / (n - 1)
    v = np.sqrt(max(0, phi2 - (R - 1) * (C - 1) / (n - 1)) / (min(rt, ct) - 1))   # Bergsma 2013
    k = stats.rankdata(x)
    groups = [k[a == l] for l in np.unique(a)]
    eta2 = sum(len(g) * (g.mean() - k.mean()) ** 2 for g in groups) / ((k - k.mean()) ** 2).sum()
    eps2 = 1 - (n - 1) / (n - len(groups)) * (1 - eta2)                            # Kelley 1935
    return dict(x=x.tolist(), y=y.tolist(), a=a.tolist(), b=b.tolist(),
                spearman=stats.spearmanr(x, y).statistic, cramers_v=v, correlation_ratio=np.sqrt(max(0, eps2)))

out = dict(curves=[curve(40, 25, .3, 3), curve(30, 60, 1, 0), curve(9, 7, 0, 1)], pairs=[pair(), pair()])
pathlib.Path(__file__).with_name("golden.json").write_text(json.dumps(out))
