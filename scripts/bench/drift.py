"""Measures healml's comparison of two files.

    drift.py quality [--healml bin/healml] [--seeds 0:40] [--rows 500,5000,50000]
             how often a table without drift is flagged; how often a changed
             column is found, comes first, and its change is named and dated
    drift.py speed DIR [--healml bin/healml] [--runs 3]
             100,000 rows against 1, 5 and 20 million of ten columns in DIR,
             beside DuckDB (PSI alone), SciPy and, if installed, Evidently

Needs numpy, pandas and pyarrow; speed also duckdb and scipy. Tables have
eight columns: of independent rows, or of days that remember each other
(autoregression .5) and differ by weekday. One column is changed from some day
on. Wall time is from start to exit, memory the peak of the resident set.
"""
import argparse, collections, json, os, statistics, subprocess, sys, tempfile, time

if "speed" not in sys.argv:  # the peak memory of a child is never less than what this process holds
    import numpy as np
    import pandas as pd

DAY = 120


def draw(n, seed, restless):
    r = np.random.default_rng(seed)
    days = n // DAY + 1
    e = np.zeros((6, days))
    if restless:
        e[:, 0] = r.normal(size=6)
        for i in range(1, days):
            e[:, i] = .5 * e[:, i - 1] + np.sqrt(.75) * r.normal(size=6)
        e *= .3
    day = np.arange(n) // DAY
    e = e[:, day]
    week = np.array([0, .1, .1, .2, .6, 1.4, 1.1])[day % 7] * restless
    rare = 200
    return pd.DataFrame(dict(
        date=(np.datetime64("2023-01-02") + day).astype("datetime64[us]"),
        plain=r.normal(size=n) + e[0],
        skewed=np.exp(.8 * r.normal(size=n) + e[1]),
        stock=np.where(r.random(n) < .55, 0, np.round(10 * r.exponential(size=n) * np.exp(e[2]))),
        season=week + .7 * r.normal(size=n) + e[3],
        tenths=np.round(50 + 10 * (r.normal(size=n) + e[4]), 1),
        size=np.array(["xs", "s", "m", "l", "xl"])[np.clip(np.floor(2.5 + 1.2 * r.normal(size=n) + e[5]), 0, 4).astype(int)],
        town=np.array([f"t{i:03d}" for i in range(rare)])[(rare * r.random(n) ** 2.5).astype(int)],
        shop=np.array(list("ABCDEFGH"))[r.integers(0, 8, n)]))


NUMBERS, LEVELS = ["plain", "skewed", "stock", "season", "tenths"], ["size", "town", "shop"]


def change(ref, x, kind, r):
    """The column x changed, and what healml should call it."""
    if kind in ("missing1", "missing5"):
        return x.mask(r.random(len(x)) < float(kind[7:]) / 100), "missing"
    if kind == "renamed":
        top = ref.value_counts().index[1]
        return x.where(x != top, top.upper() + " new"), "renamed"
    if kind == "new level":
        return x.where(r.random(len(x)) >= .01, "never seen"), "new_level"
    if kind == "share":
        return x.where(r.random(len(x)) >= .2, ref.value_counts().index[1]), "share"
    moves = x != 0 if (ref == 0).mean() > .3 else pd.Series(True, x.index)
    mean, sd = ref.mean(), ref.std()
    if kind.startswith("shift"):
        return x + moves * float(kind[5:]) * sd, "shift"
    if kind.startswith("spread"):
        return x.where(~moves, mean + (x - mean) * float(kind[6:])), "scale"
    if kind == "unit":
        return x * 100, "unit"
    return x.clip(*ref.quantile([.1, .9])), "clip"


KINDS = {k: NUMBERS for k in ("shift.1", "shift.25", "shift.5", "spread1.1", "spread1.3", "unit", "clip")}
KINDS |= {k: NUMBERS + LEVELS for k in ("missing1", "missing5")} | {k: LEVELS for k in ("renamed", "new level", "share")}


def drift(healml, ref, cur, root):
    p = subprocess.run([healml, "drift", "--root", root, "--reference", ref, "--current", cur, "--time", "date", "--quiet", "-o", "json"], capture_output=True)
    if p.returncode not in (0, 10):
        sys.exit(p.stderr.decode())
    return json.loads(p.stdout)


def quality(a):
    lo, hi = map(int, a.seeds.split(":"))
    for restless in (0, 1):
        for m in map(int, a.rows.split(",")):
            false, count = 0, collections.Counter()
            for seed in range(lo, hi):
                with tempfile.TemporaryDirectory() as t:
                    d = draw(10_000 + m, seed, restless)
                    ref, cur = d[:10_000], d[10_000:].reset_index(drop=True)
                    ref.to_parquet(f"{t}/ref.parquet", index=False)
                    cur.to_parquet(f"{t}/cur.parquet", index=False)
                    false += drift(a.healml, f"{t}/ref.parquet", f"{t}/cur.parquet", t)["drift"]
                    days = cur.date.unique()
                    for i, (kind, columns) in enumerate(KINDS.items()):
                        name = columns[(seed + i) % len(columns)]
                        r = np.random.default_rng([seed, i])
                        start = days[int(len(days) * [0, .3, .5, .7][seed % 4])]
                        y, want = change(ref[name], cur[name], kind, r)
                        c = cur.copy()
                        c[name] = cur[name].where(cur.date < start, y)
                        c.to_parquet(f"{t}/cur.parquet", index=False)
                        j = drift(a.healml, f"{t}/ref.parquet", f"{t}/cur.parquet", t)
                        count["tried"] += 1
                        if j["columns"][name]["drift"]:
                            got = j["columns"][name]["change"]
                            at = pd.Timestamp(got["since"]["at"]).tz_localize(None)
                            count["found"] += 1
                            count["first"] += j["ranked"][0] == name
                            count["named"] += got["kind"] == want
                            count["dated"] += abs((at.normalize() - pd.Timestamp(start)).days) <= 1
            f = max(count["found"], 1)
            print(f"| {'days alike' if restless else 'independent'} | {m} | {100*false/(hi-lo):.1f} % of {hi-lo} | {100*count['found']/count['tried']:.0f} % of {count['tried']} |"
                  f" {100*count['first']/f:.0f} % | {100*count['named']/f:.0f} % | {100*count['dated']/f:.0f} % |", flush=True)


def ten(n, seed, moved):
    r = np.random.default_rng(seed)
    d = {"n0": r.normal(size=n), "n1": r.normal(.3 * moved, 1, n), "n2": r.lognormal(0, 1, n), "n3": np.where(r.random(n) < .6, 0, r.gamma(2, 2, n)),
         "n4": r.uniform(0, 100, n), "n5": r.poisson(4, n).astype(float), "n6": np.round(r.normal(50, 10, n), 2)}
    for i, k in enumerate((5, 50, 300)):
        p = 1 / np.arange(1, k + 1)
        if moved and i == 1:
            p[:5] *= 1.3
        d[f"c{i}"] = np.array([f"c{j:03d}" for j in range(k)], object)[r.choice(k, n, p=p / p.sum())]
    return pd.DataFrame(d)


DUCKDB = """
import duckdb, json, math, sys
con = duckdb.connect(); ref, cur = sys.argv[1:]
def psi(a, b):
    n, m = sum(a.values()), sum(b.values())
    return sum((max(b.get(k, 0) / m, 1e-4) - max(a.get(k, 0) / n, 1e-4)) * math.log(max(b.get(k, 0) / m, 1e-4) / max(a.get(k, 0) / n, 1e-4)) for k in a.keys() | b.keys())
numbers = [f"n{i}" for i in range(7)]
edges = con.execute("select " + ",".join(f"quantile_cont({k},[.1,.2,.3,.4,.5,.6,.7,.8,.9])" for k in numbers) + f" from '{ref}'").fetchone()
out = {}
for k, e in list(zip(numbers, edges)) + [(f"c{i}", None) for i in range(3)]:
    cell = k if e is None else "+".join(f"({k}>{v!r})::int" for v in sorted(set(e)))
    out[k] = psi(*(dict(con.execute(f"select {cell}, count(*) from '{p}' group by 1").fetchall()) for p in (ref, cur)))
print(json.dumps(out))
"""
SCIPY = """
import pandas as pd, sys
from scipy.stats import ks_2samp
from scipy.spatial.distance import jensenshannon
r, c = (pd.read_parquet(p) for p in sys.argv[1:])
for k in r:
    if r[k].dtype != object: print(k, ks_2samp(r[k], c[k], method="asymp"))
    else: print(k, jensenshannon(*r[k].value_counts(normalize=True).align(c[k].value_counts(normalize=True), fill_value=0), 2))
"""
EVIDENTLY = """
import pandas as pd, sys
from evidently import Report, Dataset
from evidently.presets import DataDriftPreset
r, c = (Dataset.from_pandas(pd.read_parquet(p)) for p in sys.argv[1:])
Report([DataDriftPreset()]).run(c, r).json()
"""


def generate(a):
    import pyarrow as pa, pyarrow.parquet as pq
    os.makedirs(a.dir, exist_ok=True)
    ten(100_000, 7, 0).to_parquet(f"{a.dir}/ref.parquet", index=False)
    ten(1_000_000, 8, 1).to_parquet(f"{a.dir}/1M.parquet", index=False)
    parts = [pa.Table.from_pandas(ten(1_000_000, 9 + i, 1), preserve_index=False) for i in range(5)]
    for name, times in (("5M", 1), ("20M", 4)):
        with pq.ParquetWriter(f"{a.dir}/{name}.parquet", parts[0].schema) as w:
            for _ in range(times):
                for p in parts:
                    w.write_table(p)


def speed(a):
    path = lambda n: f"{a.dir}/{n}.parquet"
    if not os.path.exists(path("20M")):
        subprocess.run([sys.executable, __file__, "generate", a.dir], check=True)
    runs = collections.defaultdict(list)
    def once(name, command):
        with tempfile.TemporaryDirectory() as root:
            s = time.perf_counter()
            p = subprocess.Popen([c.replace("ROOT", root) for c in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            _, status, used = os.wait4(p.pid, 0)
            if os.waitstatus_to_exitcode(status) in (0, 10):
                runs[name].append((time.perf_counter() - s, used.ru_maxrss / 1024))
    for _ in range(a.runs):
        for n in ("1M", "5M", "20M"):
            once(f"healml, {n}", [a.healml, "drift", "--root", "ROOT", "--reference", path("ref"), "--current", path(n), "--quiet", "-o", "json"])
        once("healml --together, 1M", [a.healml, "drift", "--root", "ROOT", "--reference", path("ref"), "--current", path("1M"), "--together", "--quiet", "-o", "json"])
        for n in ("1M", "5M"):
            once(f"DuckDB, PSI alone, {n}", [sys.executable, "-c", DUCKDB, path("ref"), path(n)])
        once("SciPy by hand, 1M", [sys.executable, "-c", SCIPY, path("ref"), path("1M")])
    once("Evidently, 1M", [a.evidently, "-c", EVIDENTLY, path("ref"), path("1M")])
    for name, r in runs.items():
        print(f"| {name} | {statistics.median(x[0] for x in r):.2f} s | {max(x[1] for x in r):.0f} MB |")


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    s = a.add_subparsers(dest="what", required=True)
    q = s.add_parser("quality")
    q.add_argument("--seeds", default="0:40")
    q.add_argument("--rows", default="500,5000,50000")
    g = s.add_parser("generate", help="write the files of speed")
    v = s.add_parser("speed")
    for p in (g, v):
        p.add_argument("dir")
    v.add_argument("--runs", type=int, default=3)
    v.add_argument("--evidently", default=sys.executable, help="a Python that has Evidently")
    for p in (q, v):
        p.add_argument("--healml", default="bin/healml")
    a = a.parse_args()
    {"quality": quality, "generate": generate, "speed": speed}[a.what](a)


if __name__ == "__main__":
    main()
