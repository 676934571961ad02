"""Golden values of SequentialMean: the evidence by quadrature over the prior,
the interval by root finding. Writes sequential.json beside this file."""
import json, pathlib
import numpy as np
from scipy import integrate, optimize, stats

G = 0.25


def effective(v):
    n, d = len(v), v - v.mean()
    rho = ((d[1:] * d[:-1]).sum() / (d * d).sum() + 1 / n) / (1 - 3 / n) + 0.5 / np.sqrt(n)
    rho = min(max(rho, 0), 0.9)
    return n * (1 - rho) / (1 + rho)


def evidence(v, m):
    """Ratio of the noncentral t density, mixed over effect ~ N(0, G), to the
    central one; the noncentrality is effect * sqrt(n)."""
    n = effective(v)
    nu = max(n - 1, 1)
    t = (v.mean() - m) / np.sqrt(v.var(ddof=1) / n)
    mixed = lambda d: stats.nct.pdf(t, nu, d * np.sqrt(nu + 1)) * stats.norm.pdf(d, scale=np.sqrt(G * n / (nu + 1)))
    at = t / np.sqrt(nu + 1)
    top, _ = integrate.quad(mixed, -8, 8, points=[0, at], limit=500, epsabs=1e-14, epsrel=1e-10)
    return top / stats.t.pdf(t, nu)


cases = []
for seed, (n, mu, rho) in enumerate([(8, 0, 0), (12, 1, 0), (30, 0.5, 0.5), (60, -0.4, 0), (25, 2, 0.2)]):
    rng = np.random.default_rng(seed)
    v = [rng.normal()]
    for _ in range(n - 1):
        v.append(rho * v[-1] + np.sqrt(1 - rho * rho) * rng.normal())
    v = np.round(np.array(v) + mu, 6)
    alpha = 0.05
    f = lambda m: np.log(evidence(v, m) * alpha)
    c, step = v.mean(), v.std()
    try:
        hi = optimize.brentq(f, c, c + 6 * step, xtol=1e-10)
        lo = optimize.brentq(f, c - 6 * step, c, xtol=1e-10)
    except ValueError:
        continue  # open
    cases.append(dict(values=v.tolist(), alpha=alpha, effective=effective(v), evidence=evidence(v, 0), mean=c, lo=lo, hi=hi))
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(cases))
print(len(cases), [(c["evidence"], c["lo"], c["hi"]) for c in cases])
