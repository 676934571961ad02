"""Writes twosample.json: what reference implementations make of the same samples.

Statistics and p-values are SciPy's, statsmodels' and Evidently's where these
follow the same definition. Where they do not, or lose digits, the formula is
written down here and SciPy is asserted to agree as far as it goes. The limits of
Cramer-von Mises and Anderson-Darling are summed by mpmath from the series of
Csorgo & Faraway (1996) and of Anderson & Darling (1954). With ties their
p-values stand on the covariances that the ties leave, summed over all pairs of
values.

    pip install numpy scipy statsmodels mpmath "evidently==0.7.*"
    NML_DISABLE_USAGE_LOGGING=1 python twosample.py
"""
import json
import math
import warnings
from fractions import Fraction

import mpmath as mp
import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint, proportions_ztest

warnings.simplefilter("ignore")
mp.mp.dps = 30
r = np.random.default_rng(11)
inf = math.inf
pairs = {
    "normal": (r.normal(size=90), r.normal(.4, 1.2, 70)),
    "same law": (r.normal(size=60), r.normal(size=80)),
    "lognormal": (r.lognormal(0, 1, 80), r.lognormal(.2, 1.3, 60)),
    "zero-inflated": (np.where(r.random(90) < .6, 0, r.lognormal(0, 1, 90)), np.where(r.random(70) < .5, 0, r.lognormal(0, 1, 70))),
    "integers": (r.poisson(3, 100).astype(float), r.poisson(4, 70).astype(float)),
    "binary": ((r.random(60) < .3).astype(float), (r.random(50) < .5).astype(float)),
    "tiny": (np.array([.5, 1.5, 2.25]), np.array([1., 3., 4., 8.])),
    "two and three": (np.array([0., 1.]), np.array([.25, 2., 7.])),
    "small": (np.round(np.random.default_rng(3).normal(size=9), 2), np.round(np.random.default_rng(4).normal(1, 2, 12), 2)),
    "uneven": (r.normal(size=8), r.normal(.5, 1, 150)),
    "heavy tails": (r.standard_cauchy(80), r.standard_cauchy(70) * 2 + .5),
    "spread": (r.uniform(-1, 1, 70), r.uniform(-2, 2, 80)),
    "apart": (r.normal(size=30), r.normal(50, 1, 25)),
    "constant": (np.ones(40), np.ones(30)),
    "other constant": (np.ones(20), np.full(25, 2.)),
    "frozen": (r.normal(size=50), np.zeros(40)),
    "infinities": (np.append(r.normal(size=40), [inf, inf, -inf]), np.append(r.normal(.5, 1, 50), [inf, -inf, -inf, -inf])),
    "huge": (r.normal(size=40) * 4e307, r.normal(.5, 1, 30) * 4e307),
    "minute": (r.normal(size=40) * 1e-305, r.normal(.5, 1, 30) * 1e-305),
}


def cvm_limit(x):
    """P(W2 > x)."""
    if x < .003:
        return 1.
    x = mp.mpf(x)
    term = lambda k: mp.gamma(k + .5) / mp.gamma(k + 1) * mp.sqrt(4 * k + 1) * mp.exp(-(4 * k + 1) ** 2 / (16 * x)) * mp.besselk(.25, (4 * k + 1) ** 2 / (16 * x))
    mp.mp.dps = 30 + int(2 * 5 * x)  # p is of the order exp(-pi^2 x / 2)
    p = 1 - sum(term(mp.mpf(k)) for k in range(40 + int(40 * x))) / (mp.pi ** 1.5 * mp.sqrt(x))
    mp.mp.dps = 30
    return float(p)


def ad_limit(z):
    """P(A2 > z)."""
    if z < .02:
        return 1.
    mp.mp.dps = 30 + int(z)
    z, total = mp.mpf(z), mp.mpf(0)
    for j in range(30 + int(8 * z)):
        c = (4 * j + 1) ** 2 * mp.pi ** 2 / (8 * z)
        scale = 1 / mp.sqrt(c)
        inner = mp.quad(lambda w: mp.exp(z / (8 * (w * w + 1)) - c * w * w), [0, scale, 3 * scale, 6 * scale, 14 * scale])
        part = mp.binomial(-.5, j) * (4 * j + 1) * mp.exp(-c) * inner
        total += part
        if abs(part) < mp.mpf(10) ** (-25 - z):
            break
    p = 1 - mp.sqrt(2 * mp.pi) / z * total
    mp.mp.dps = 30
    return float(p)


def cells(a, b):
    """Share of each distinct value, share below and at it, and up to its middle."""
    _, counts = np.unique(np.concatenate([a, b]), return_counts=True)
    p = counts / counts.sum()
    return p, np.cumsum(p), np.cumsum(p) - p / 2


def cvm(a, b):
    n, m = len(a), len(b)
    z = np.concatenate([a, b])
    d = [Fraction(int(x), n) - Fraction(int(y), m) for x, y in zip((a[:, None] <= z).sum(0), (b[:, None] <= z).sum(0))]
    t = Fraction(n * m, (n + m) ** 2) * sum(x * x for x in d)
    k, N = n * m, n + m
    mean, var = Fraction(N + 1, 6 * N), Fraction((N + 1) * (4 * k * N - 3 * (n * n + m * m) - 2 * k), 180 * N * N * k)
    p, up, _ = cells(a, b)
    if len(p) < N:  # the moments of a Brownian bridge at the ties
        t, mean = float(t), (p * up * (1 - up)).sum() * N / (N - 1)
        cov = np.minimum.outer(up, up) * (1 - np.maximum.outer(up, up))
        var = float(var) * 45 * 2 * (np.outer(p, p) * cov ** 2).sum()
    p_value = cvm_limit(1 / 6 + float(t - mean) / math.sqrt(45 * var)) if var else 1.
    if len(p) == N:
        ref = stats.cramervonmises_2samp(a, b, method="asymptotic")
        assert abs(ref.statistic - float(t)) < 1e-9 and abs(ref.pvalue - p_value) < 1e-9, (ref, t, p_value)
    return float(t), p_value


def anderson(a, b):
    p, _, mid = cells(a, b)
    if len(p) < 2:
        return None, 1.
    ref, limit = stats.anderson_ksamp([a, b], variant="midrank"), 2 * (math.pi ** 2 - 9) / 3
    if len(p) == len(a) + len(b):
        p_value = ad_limit(1 + ref.statistic * math.sqrt(limit))
        assert not .00101 < ref.pvalue < .2499 or abs(ref.pvalue / p_value - 1) < .06, (ref.pvalue, p_value)
        return ref.statistic, p_value
    v = mid * (1 - mid) - p / 4
    z = np.unique(np.concatenate([a, b]))
    f, g = (((x[:, None] < z).mean(0) + (x[:, None] <= z).mean(0)) / 2 for x in (a, b))
    n, m = len(a), len(b)
    a2 = (n + m - 1) / (n + m) ** 2 * n * m * (p * (f - g) ** 2 / v).sum()
    cov = np.minimum.outer(mid, mid) * (1 - np.maximum.outer(mid, mid))
    np.fill_diagonal(cov, v)
    var = 2 * (np.outer(p / v, p / v) * cov ** 2).sum()
    return ref.statistic, ad_limit(1 + (a2 - 1) / math.sqrt(var) * math.sqrt(limit))


def kernel_mean(x, y, w):
    with np.errstate(all="ignore"):
        d = x[:, None] - y
        return np.where(x[:, None] == y, 1, np.exp(-(d / w) ** 2)).mean()


def mmd(a, b, n, m):
    z = np.concatenate([a, b])
    z = z[np.isfinite(z)]
    d = np.abs(z[:, None] - z)[np.triu_indices(len(z), 1)]
    d = d[d > 0]
    w = np.percentile(d, 50, method="lower") if len(d) else 1
    return (n * kernel_mean(a, a, w) - 1) / (n - 1) + (m * kernel_mean(b, b, w) - 1) / (m - 1) - 2 * kernel_mean(a, b, w)


def thin(x, k):
    x = np.sort(x)
    return x if len(x) <= k else x[(2 * np.arange(k) + 1) * len(x) // (2 * k)]


def clean(x):
    """Texts for infinities, null for what the reference cannot tell."""
    if isinstance(x, dict):
        return {k: clean(v) for k, v in x.items()}
    if isinstance(x, (list, tuple, np.ndarray)):
        return [clean(v) for v in x]
    if isinstance(x, (float, np.floating)):
        return None if math.isnan(x) else str(x) if math.isinf(x) else float(x)
    return int(x) if isinstance(x, np.integer) else x


def order_interval(x, q, level=.95):
    x, n, tail = np.sort(x), len(x), (1 - level) / 2
    low, high = int(stats.binom.ppf(tail, n, q)), int(stats.binom.ppf(1 - tail, n, q)) + 1
    return (x[low - 1] if low >= 1 else -inf), (x[high - 1] if high <= n else inf)


def quantile_shift(a, b, q):
    with np.errstate(all="ignore"):
        qa, qb = np.quantile(a, q), np.quantile(b, q)
        (la, ha), (lb, hb) = order_interval(a, q), order_interval(b, q)
        low, high = math.hypot(max(qb - lb, 0), max(ha - qa, 0)), math.hypot(max(hb - qb, 0), max(qa - la, 0))
        return [q, qb - qa, qb - qa - low, qb - qa + high]


numbers = []
for name, (a, b) in pairs.items():
    n, m = len(a), len(b)
    fa, fb = a[np.isfinite(a)], b[np.isfinite(b)]
    u = {"huge": 2.**-1020, "minute": 2.**1010}.get(name, 1.)  # exact; scipy overflows
    c = {}
    c["cvm"], c["cvm_p"] = cvm(a, b)
    c["ad"], c["ad_p"] = anderson(a, b)
    c["ks"] = stats.ks_2samp(a, b, method="asymp").statistic
    if np.isfinite(a).all():
        c["wasserstein"] = stats.wasserstein_distance(a * u, b * u) / u
        c["energy"] = stats.energy_distance(a * u, b * u) / math.sqrt(u)
    c["mmd"] = mmd(a * u, b * u, n, m)
    c["mmd20"] = mmd(thin(a, 20) * u, thin(b, 20) * u, n, m)
    if name != "constant":
        ref = stats.mannwhitneyu(b, a, method="asymptotic", use_continuity=False)
        c["auc"], c["mw_p"] = ref.statistic / (n * m), ref.pvalue
    ref = stats.mood(a, b)
    c["mood"], c["mood_p"] = -ref.statistic, ref.pvalue
    ref = stats.ttest_ind(fb * u, fa * u, equal_var=False)
    c["welch"], c["welch_df"], c["welch_p"] = ref.statistic, ref.df if fa.var() or fb.var() else math.nan, ref.pvalue
    ref = stats.ttest_ind(fb * u, fa * u)
    c["student"], c["student_p"] = ref.statistic, ref.pvalue
    if min(len(fa), len(fb)) >= 5:
        with np.errstate(all="ignore"):
            scale = stats.iqr(np.concatenate([fa * u, fb * u]))
        if scale > 0 and (fa.var() or fb.var()):
            c["es"], c["es_p"] = stats.epps_singleton_2samp(fa * u, fb * u)
    ref = stats.levene(fa * u, fb * u, center="median")
    c["bf"], c["bf_p"] = ref.statistic, ref.pvalue
    c["mean"], c["std"] = (fa * u).mean() / u, (fa * u).std() / u
    quantiles = [quantile_shift(a, b, q) for q in (.05, .25, .5, .9)] if u == 1 else []
    numbers.append(dict(name=name, a=a, b=b, statistics=c, quantiles=quantiles))

levels = []
for a, b in (([40, 30, 20, 10], [30, 30, 25, 25]), ([100, 50, 8], [300, 200, 40]), ([500, 400, 0], [200, 300, 90]), ([50, 50], [50, 50]),
             ([20, 0, 30], [0, 20, 40]), ([1000, 999], [500, 700]), ([7, 900, 33, 61, 15], [20, 800, 30, 70, 25])):
    g, p, df, expected = stats.chi2_contingency([a, b], correction=False, lambda_="log-likelihood")
    assert expected.min() >= 5
    lift = lambda v: np.clip(np.array(v) / sum(v), 1e-4, None)
    levels.append(dict(a=a, b=b, g=g, df=df, p=p, kl=stats.entropy(lift(a), lift(b)), lk=stats.entropy(lift(b), lift(a))))

proportions = []
for a, n, b, m in ((30, 100, 45, 100), (0, 40, 3, 50), (5, 5, 7, 9), (900, 1000, 4600, 5000), (1, 1000000, 9, 1000000), (56, 70, 48, 80), (0, 10, 0, 20), (20, 20, 10, 10), (3, 12, 9, 12), (40, 400, 300, 500), (7, 10, 7, 10)):
    z, p = proportions_ztest([b, a], [m, n])
    lo, hi = confint_proportions_2indep(b, m, a, n, method="newcomb", compare="diff")
    wilson = proportion_confint(a, n, method="wilson")
    proportions.append(dict(counts=[a, n, b, m], z=z, p=p if z == z else math.nan, fisher=stats.fisher_exact([[a, n - a], [b, m - b]])[1], lo=lo, hi=hi, wilson=wilson))

limits = dict(cvm=[[x, cvm_limit(x)] for x in (.002, .01, .02, .05, .1, .2, .34730, .46136, .74346, 1.16786, 2, 5, 12)],
              ad=[[x, ad_limit(x)] for x in (.01, .1, .2, .5, 1, 1.933, 2.492, 3.878, 6, 10, 25)],
              binomial=[[k, n, q, stats.binom.cdf(k, n, q)] for k, n, q in ((3, 10, .5), (0, 7, .1), (480, 1000, .5), (99000, 10**6, .1), (6, 6, .3))],
              student=[[t, df, 2 * stats.t.sf(t, df)] for t, df in ((1e-3, 1e6), (.5, 3), (.99, 2.5), (1.5, 1e6), (5, 1e6))])


def evidently():
    from evidently.legacy.calculations.stattests import energy_distance, hellinger_distance, jensenshannon, kl_div, mmd_stattest, psi, wasserstein_distance_norm, z_stattest
    from evidently.legacy.core import ColumnType
    out = dict(levels=[], numbers=[])
    for a, b in (([40, 30, 20, 10], [30, 30, 25, 25]), ([500, 300, 150], [200, 300, 90]), ([60, 40], [90, 110])):
        x, y = (pd.Series(np.repeat([chr(97 + i) for i in range(len(v))], v)) for v in (a, b))
        get = lambda f: float(f(x, y, ColumnType.Categorical, .1)[0])
        c = dict(a=a, b=b, psi=get(psi._psi), kl=get(kl_div._kl_div), js=get(jensenshannon._jensenshannon), hellinger=get(hellinger_distance._hellinger_distance))
        if len(a) == 2:
            c["z_p"] = get(z_stattest._z_stat_test)
        out["levels"].append(c)
    for name in ("normal", "lognormal", "integers", "heavy tails"):
        a, b = pairs[name]
        x, y = pd.Series(a), pd.Series(b)
        col = lambda v: v.reshape(-1, 1)
        k = mmd_stattest.kernel_matrix(col(a), col(b))
        sigma = mmd_stattest.sigma_median(mmd_stattest.squared_paired_dist(col(a), col(a)))
        out["numbers"].append(dict(
            name=name, energy=energy_distance._energy_dist(x, y, ColumnType.Numerical, .1)[0],
            wasserstein=wasserstein_distance_norm._wasserstein_distance_norm(x, y, ColumnType.Numerical, .1)[0],
            width=sigma * math.sqrt(2), mmd=mmd_stattest.mmd_2samp(k - np.diag(np.diagonal(k)), len(b))))
    return out


json.dump(clean(dict(numbers=numbers, levels=levels, proportions=proportions, limits=limits, evidently=evidently())),
          open(__file__.replace(".py", ".json"), "w"))
