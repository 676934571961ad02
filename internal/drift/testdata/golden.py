"""Writes golden.json: what SciPy and NumPy make of the same samples."""
import json
import numpy as np
from scipy import special, stats
from scipy.spatial.distance import jensenshannon

r = np.random.default_rng(5)
pairs = {
    "normal": (r.normal(size=150), r.normal(.3, 1.2, 120)),
    "ties": (np.round(r.gamma(2, 2, 200)), np.round(r.gamma(2.5, 2, 90))),
    "zero-inflated": (np.where(r.random(180) < .6, 0, r.lognormal(0, 1, 180)), np.where(r.random(140) < .5, 0, r.lognormal(0, 1, 140))),
    "apart": (r.normal(size=60), r.normal(50, 1, 50)),
    "constant": (np.ones(40), np.ones(30)),
}
numbers = []
for name, (a, b) in pairs.items():
    d = stats.ks_2samp(a, b).statistic
    en = len(a) * len(b) / (len(a) + len(b))
    numbers.append(dict(name=name, a=a.tolist(), b=b.tolist(), ks=d, ks_p=float(special.kolmogorov(d * np.sqrt(en))), wasserstein=stats.wasserstein_distance(a, b),
                        mean=a.mean(), std=a.std(), quantiles=np.quantile(a, [0, .01, .25, .5, .9, 1]).tolist()))
levels = []
for a, b in (([40, 30, 20, 10], [30, 30, 25, 25]), ([100, 50, 8], [300, 200, 40]), ([500, 400, 0], [200, 300, 90])):
    x, p, df, _ = stats.chi2_contingency([a, b], correction=False)
    p1, q1 = np.array(a) / sum(a), np.array(b) / sum(b)
    pc, qc = np.clip(p1, 1e-4, None), np.clip(q1, 1e-4, None)
    levels.append(dict(a=a, b=b, chi2=x, p=p, df=df, js=float(jensenshannon(p1, q1, 2)), psi=float(((qc - pc) * np.log(qc / pc)).sum()),
                       hellinger=float(np.sqrt(((np.sqrt(p1) - np.sqrt(q1)) ** 2).sum() / 2)), tv=float(abs(p1 - q1).sum() / 2), linf=float(abs(p1 - q1).max())))
tails = dict(
    kolmogorov=[[x, float(special.kolmogorov(x))] for x in (.05, .2, .3, .5, .8, .99, 1, 1.2, 2, 4)],
    student=[[t, df, float(2 * stats.t.sf(t, df))] for t, df in ((.5, 3), (2, 9.5), (5, 9.5), (6, 40))],
    fresh=[[a, n, b, m, float(stats.nbinom.sf(b - 1, a + 1, n / (n + m)))] for a, n, b, m in ((0, 10000, 5, 500), (3, 1000, 10, 1000), (7, 500, 1, 50))],
    normal=[[z, float(2 * stats.norm.sf(z))] for z in (0, .5, 2, 5, 12)],
)
json.dump(dict(numbers=numbers, levels=levels, tails=tails), open(__file__.replace("golden.py", "golden.json"), "w"))
