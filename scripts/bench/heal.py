"""Replays data sets through healml's own commands, and measures what healing was worth.

    heal.py DATA OUT.json [--healml bin/healml] [--worlds oj,oj/poison,bike,metro,bank,elec2] [--policies]
    heal.py --table OUT.json

A world is a set, or one with a fault or another truth: oj/price100, missing,
rename, poison, flip, season, gradual, late. Its first rows train; then, batch by
batch: predict --log, actuals, drift, retrain, with the configuration that
`healml init` writes and the clock at the batch's end. --policies plays LightGBM
left alone, retrained on everything or on the last 4, 8 or 16 batches whenever a
batch has its truth, and by a gate on the newest batch; heal is
(static - healml) / (static - oracle), the oracle taking in each batch the best
of them. Needs lightgbm, numpy and pandas; DATA holds oj, bike, metro, bank, elec2.
"""
import argparse, json, os, subprocess, sys, tempfile, time, warnings

import numpy as np
import pandas as pd

warnings.filterwarnings("ignore")
BATCHES = (8, 9)  # of a fault


class World:
    """Rows in the order of time: x, truth y, labels told (y, unless poisoned), batch (-1: before the first)."""

    def __init__(self, name, data):
        self.name, self.late = name, 0
        set_, _, fault = name.partition("/")
        getattr(self, set_)(data)
        self.x = self.x.reset_index(drop=True)
        self.y = np.asarray(self.y, float)
        self.told = self.y.copy()
        if fault:
            self.bend(fault)
        self.n = int(self.batch.max()) + 1
        self.rows = {b: np.flatnonzero(self.batch == b) for b in range(-1, self.n)}

    def oj(self, data):
        d = pd.read_csv(f"{data}/oj/oj_demo_schema.csv", parse_dates=["date"])
        week = (d.date - d.date.min()).dt.days // 7
        self.x = d[["category", "region", "price", "promo", "feature_ad"]].assign(month=d.date.dt.month, week=d.date.dt.isocalendar().week.astype(int))
        self.y, self.target, self.date = np.log1p(d.sales.astype(float)), "log_sales", d.date
        self.batch = np.where(week < 41, -1, (week - 41) // 4)

    def bike(self, data):
        d = pd.read_csv(f"{data}/bike/hour.csv", parse_dates=["dteday"])
        day = (d.dteday - d.dteday.min()).dt.days
        self.x = d[["season", "mnth", "hr", "holiday", "weekday", "workingday", "weathersit", "temp", "atemp", "hum", "windspeed"]]
        self.y, self.target, self.date = d.cnt, "cnt", d.dteday
        self.batch = np.where(day < 365, -1, (day - 365) // 7)

    def metro(self, data):
        d = pd.read_csv(f"{data}/metro/Metro_Interstate_Traffic_Volume.csv", parse_dates=["date_time"], keep_default_na=False)
        d = d.sort_values("date_time", kind="stable").reset_index(drop=True)
        t = d.date_time
        self.x = d.drop(columns=["traffic_volume", "date_time"]).assign(hour=t.dt.hour, dow=t.dt.dayofweek, month=t.dt.month)
        self.y, self.target, self.date = d.traffic_volume, "traffic_volume", t
        month = (t.dt.year * 12 + t.dt.month - 2012 * 12 - 10).to_numpy()
        later = {m: i for i, m in enumerate(np.unique(month[month >= 12]))}
        self.batch = np.array([later.get(m, -1) for m in month])

    def bank(self, data):
        d = pd.read_csv(f"{data}/bank/bank-additional-full.csv", sep=";")
        self.x, self.y, self.target, self.date = d.drop(columns=["y", "duration"]), d.y == "yes", "y", None
        self.batch = self.thousands(len(d), 8000)

    def elec2(self, data):
        d = pd.read_csv(f"{data}/elec2/elec.csv")
        self.x, self.y, self.target, self.date = d.drop(columns=["class"]), d["class"], "class", None
        self.batch = self.thousands(len(d), 3000)

    @staticmethod
    def thousands(n, first):
        i = np.arange(n)
        return np.where(i < first, -1, (i - first) // 1000)

    def bend(self, fault):
        hit, b = np.isin(self.batch, BATCHES), self.batch
        if fault == "price100":
            self.x.loc[hit, "price"] = self.x.price[hit] * 100
        elif fault == "missing":
            self.x.loc[hit, "price"] = np.nan
        elif fault == "rename":
            self.x.loc[hit, "category"] = self.x.category[hit].str.upper() + " v2"
        elif fault == "poison":  # a fifth of one batch's labels times ten
            k = np.flatnonzero(b == BATCHES[0])
            k = k[np.random.default_rng(7).random(len(k)) < .2]
            self.told[k] = np.log1p(np.expm1(self.told[k]) * 10)
        elif fault == "late":
            self.late = 4
        else:
            if fault == "flip":
                middle = pd.Series(self.y).groupby(self.x.category).transform("mean").to_numpy()
                self.y = np.where(b >= BATCHES[0], 2 * middle - self.y, self.y)
            elif fault == "gradual":
                self.y = self.y + np.clip((b - 4) / 12, 0, 1)
            elif fault == "season":
                self.y = self.y + .7 * ((b >= 0) & (b // 4 % 2 == 1))
            else:
                sys.exit(f"no fault {fault}")
            self.told = self.y.copy()

    @property
    def classes(self):
        return self.name in ("bank", "elec2")

    def loss(self, rows, p):
        y = self.y[rows]
        if not self.classes:
            return np.abs(y - p)
        p = np.clip(p, 1e-6, 1 - 1e-6)
        return -(y * np.log(p) + (1 - y) * np.log(1 - p))


def heal(w, binary):
    """The losses by batch, which batches promoted, and the seconds of each retrain."""
    with tempfile.TemporaryDirectory() as root:
        def run(*args, ok=(0,)):
            p = subprocess.run([binary, "--root", root, "--now", now.strftime("%Y-%m-%dT%H:%M:%SZ"), "--quiet", *args], capture_output=True, text=True)
            if p.returncode not in ok:
                sys.exit(f"{args}: {p.stderr}")
            return p.stdout

        def table(rows, extra=None):
            t = w.x.iloc[rows].copy()
            if w.date is not None:
                t.insert(0, "date", w.date.iloc[rows].dt.strftime("%Y-%m-%d").to_numpy())
            return t.assign(**(extra or {}))

        label = (lambda rows: w.told[rows].astype(int)) if w.classes else (lambda rows: w.told[rows])
        end = (lambda rows: w.date.iloc[rows].max() + pd.Timedelta(days=1)) if w.date is not None else (lambda rows: now + pd.Timedelta(days=1))
        now = pd.Timestamp("2020-01-01")
        if w.date is not None:
            now = end(w.rows[-1])
        file = os.path.join(root, "train.csv")
        table(w.rows[-1], {w.target: label(w.rows[-1])}).to_csv(file, index=False)
        run("init", file, "--target", w.target, *(["--time", "date"] if w.date is not None else []))
        run("train")
        losses, promoted, seconds = [], [], []
        file = os.path.join(root, "batch.csv")
        for b in range(w.n):
            rows = w.rows[b]
            now = end(rows)
            table(rows, {"prediction_id": rows}).to_csv(file, index=False)
            run("predict", file, "--log", "--out", file + ".out.csv")
            p = pd.read_csv(file + ".out.csv")
            losses.append(float(w.loss(rows, p["p_1" if w.classes else f"predicted_{w.target}"].to_numpy(float)).mean()))
            if b >= w.late:
                rows = w.rows[b - w.late]
                pd.DataFrame({"prediction_id": rows, w.target: label(rows)}).to_csv(file, index=False)
                run("actuals", file)
            run("drift", ok=(0, 10))
            t = time.time()
            promoted.append(json.loads(run("retrain", "-o", "json", ok=(0, 11)))["promoted"])
            seconds.append(round(time.time() - t, 2))
    return dict(loss=losses, promoted=promoted, seconds=seconds)


def play(w, policy, cache):
    """LightGBM by a policy that knows nothing but the batches that have their truth."""
    import lightgbm as lgb

    def fit(batches):
        batches = tuple(b for b in batches if b >= -1)
        if batches not in cache:
            rows = np.concatenate([w.rows[b] for b in batches])
            text = [c for c in w.x if w.x[c].dtype == object]
            codes = {c: {v: i for i, v in enumerate(pd.unique(w.x[c].iloc[rows].dropna()))} for c in text}
            encode = lambda r: np.column_stack([w.x[c].iloc[r].map(codes[c]).to_numpy(float) if c in codes else w.x[c].iloc[r].to_numpy(float) for c in w.x])
            p = dict(objective="binary" if w.classes else "regression", learning_rate=.1, num_leaves=31, min_data_in_leaf=20, seed=1, deterministic=True, force_row_wise=True, verbosity=-1)
            m = lgb.train(p, lgb.Dataset(encode(rows), w.told[rows], categorical_feature=[w.x.columns.get_loc(c) for c in text], params=p), 100)
            cache[batches] = lambda r: m.predict(encode(r))
        return cache[batches]

    model, out = fit([-1]), []
    for b in range(w.n):
        out.append(float(w.loss(w.rows[b], model(w.rows[b])).mean()))
        newest = b - w.late
        if newest < 0 or policy == "static":
            continue
        everything = range(-1, newest + 1)
        if policy == "gate":  # what would have been best on the newest batch, learnt without it
            told = World.__new__(World)
            told.__dict__ = {**w.__dict__, "y": w.told}
            score = lambda m: told.loss(w.rows[newest], m(w.rows[newest])).mean()
            best, least = None, score(model) * .98
            for k in (None, 4, 8):
                if newest >= 1 and (k is None or newest >= k):
                    cut = lambda last: range(-1, last + 1) if k is None else range(last - k + 1, last + 1)
                    if (s := score(fit(cut(newest - 1)))) < least:
                        best, least = cut(newest), s
            if best is not None:
                model = fit(best)
        else:
            k = int(policy) if policy.isdigit() else newest + 2
            model = fit(everything if k > newest + 1 else range(newest - k + 1, newest + 1))
    return out


def table(found):
    mean = lambda r, v, of=None: float(np.average(np.array(v)[of] if of is not None else v, weights=np.array(r["rows"])[of] if of is not None else r["rows"]))
    for name, r in found.items():
        h = r["healml"]
        line = f"{name:14s} loss {mean(r, h['loss']):9.4f}  promotions {sum(h['promoted'])}/{len(h['promoted'])}  retrain {np.median(h['seconds']):.1f} s, at most {max(h['seconds']):.1f}"
        if p := r.get("policies"):
            static, oracle = mean(r, p["static"]), mean(r, np.min(list(p.values()), axis=0))
            worth = lambda v: (static - mean(r, v)) / (static - oracle)
            line += f"  heal {worth(h['loss']):.3f}  " + "  ".join(f"{k} {worth(v):.2f}" for k, v in p.items() if k != "static")
        if "/" in name and name.split("/")[0] in found:
            base, n = found[name.split("/")[0]]["healml"]["loss"], len(h["loss"])
            first, last = (BATCHES[0], BATCHES[0]) if name.endswith("poison") else BATCHES
            ratio = lambda of: mean(r, h["loss"], of) / mean(r, base, of)
            line += f"  during x{ratio(range(first, last + 1)):.3f}  after x{ratio(range(last + 1, min(last + 5, n))):.3f}"
        print(line)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("data", nargs="?"), a.add_argument("out"), a.add_argument("--healml", default="bin/healml"), a.add_argument("--table", action="store_true")
    a.add_argument("--worlds", default="oj,oj/price100,oj/missing,oj/rename,oj/poison,oj/late,oj/flip,oj/season,oj/gradual,bike,metro,bank,elec2")
    a.add_argument("--policies", action="store_true")
    a = a.parse_args()
    found = json.load(open(a.out)) if os.path.exists(a.out) else {}
    for name in [] if a.table else a.worlds.split(","):
        w = World(name, a.data)
        r = found.setdefault(name, {"rows": [len(w.rows[b]) for b in range(w.n)]})
        r["healml"] = heal(w, os.path.abspath(a.healml))
        if a.policies:
            cache = {}
            r["policies"] = {p: play(w, p, cache) for p in ("static", "expanding", "4", "8", "16", "gate")}
        json.dump(found, open(a.out, "w"))
        print(name, "done", flush=True)
    table(found)


if __name__ == "__main__":
    main()
