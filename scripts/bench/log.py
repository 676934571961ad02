#!/usr/bin/env python3
"""Times the prediction log beside what does the same: a bare file with group
commit, and DuckDB. In turn, in one run; every figure is of a process of its own.

usage: log.py append|seal|join|large DIR [--rows N] [--runs K]

  append  durable appends of 1, 64 and 256 writers; the reference writes 200
          bytes a row and one fsync for what waits
  seal    N rows of segments into Parquet by day, read back; the reference is
          DuckDB's COPY of the same rows from its own table, not read back
  join    N predictions with N shuffled actuals into one Parquet file; the
          reference is the same join by DuckDB over the same files
  large   N rows over 100 days: sealing, healml's stat, the last day, the join

DIR must be on the disk that is meant and not in memory. Needs go and, but for
append and large, duckdb.
"""
import argparse
import glob
import json
import os
import shutil
import statistics
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DUCK = """
import resource, sys, time, duckdb
c = duckdb.connect(sys.argv[1] or ':memory:')
c.execute("set threads=2; set enable_progress_bar=false")
t = time.time()
c.execute(sys.argv[2])
print(time.time() - t, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


class Bench:
    def __init__(self, a):
        self.a = a
        self.tool = os.path.join(a.dir, "predlog")
        os.makedirs(a.dir, exist_ok=True)
        subprocess.run(["go", "build", "-o", self.tool, "./scripts/bench/predlog"], cwd=TOP, check=True)

    def path(self, name):
        return os.path.join(self.a.dir, name)

    def run(self, job, name, *flags):
        out = subprocess.run([self.tool, job, self.path(name), *map(str, flags)], check=True, capture_output=True, text=True)
        return json.loads(out.stdout)

    def fresh(self, name, source=None):
        shutil.rmtree(self.path(name), ignore_errors=True)
        if source:
            shutil.copytree(self.path(source), self.path(name))
        os.sync()

    def duck(self, sql, db=""):
        out = subprocess.run([sys.executable, "-c", DUCK, db and self.path(db), sql], check=True, capture_output=True, text=True)
        seconds, rss = map(float, out.stdout.split())
        return {"seconds": seconds, "rss_mb": rss}

    def fill(self):
        if not os.path.exists(self.path("p")):
            self.run("fill", "p", "-rows", self.a.rows, "-days", self.a.days)
            self.run("truth", "a", "-rows", self.a.rows, "-days", self.a.days)

    def sealed(self):
        self.fill()
        for name in ("p", "a"):
            if not os.path.exists(self.path(name + "-sealed")):
                self.fresh(name + "-sealed", name)
                self.run("seal", name + "-sealed")


def load():
    return f"load {os.getloadavg()[0]:.1f}"


def report(what, ours, theirs, better=min):
    """Medians, and the ratio of each pair."""
    ratios = sorted(o / t for o, t in zip(ours, theirs))
    print(f"{what}: healml {statistics.median(ours):.4g}, reference {statistics.median(theirs):.4g}, "
          f"ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}), {load()}", flush=True)


def append(b):
    for writers in (1, 64, 256):
        ours, theirs = [], []
        for _ in range(b.a.runs):
            for flags, to in ((["-floor"], theirs), ([], ours)):
                b.fresh("append")
                to.append(b.run("append", "append", "-writers", writers, "-for", "3s", *flags)["result"]["rows_per_s"])
        report(f"durable appends, {writers} writers, rows/s", ours, theirs)
    shutil.rmtree(b.path("append"))


def seal(b):
    b.sealed()
    if not os.path.exists(b.path("log.duckdb")):
        b.duck(f"create table p as select * from read_parquet('{b.path('p-sealed')}/date=*/*.parquet', hive_partitioning=false); checkpoint", "log.duckdb")
    ours, theirs, rss = [], [], []
    for _ in range(b.a.runs):
        os.sync()
        theirs.append(b.duck(f"copy p to '{b.path('copy.parquet')}' (format parquet)", "log.duckdb")["seconds"])
        b.fresh("sealing", "p")
        r = b.run("seal", "sealing")
        assert r["result"]["rows"] == b.a.rows, r
        ours.append(r["seconds"])
        rss.append(r["rss_mb"])
    report(f"seal {b.a.rows} rows, s", ours, theirs)
    print(f"  speed over the reference's {statistics.median(t / o for o, t in zip(ours, theirs)):.2f}; peak memory {max(rss):.0f} MB")
    b.fresh("sealing")


JOIN = """copy (select p.* exclude (log_segment), a.actual, a.actual_time from read_parquet('{p}/date=*/*.parquet', hive_partitioning=false) p
left join (select prediction_id, arg_max(cast(actual as double), actual_time) actual, max(actual_time) actual_time
           from read_parquet('{a}/date=*/*.parquet', hive_partitioning=false) group by 1) a
using (prediction_id)) to '{out}' (format parquet)"""
DIFFER = """select count(*) from '{0}' x full join '{1}' y using (prediction_id)
where x.actual is distinct from y.actual or x.actual_time is distinct from y.actual_time or x.price is distinct from y.price"""


def join(b):
    b.sealed()
    ours, theirs, rss, duck_rss = [], [], [], []
    for _ in range(b.a.runs):
        r = b.duck(JOIN.format(p=b.path("p-sealed"), a=b.path("a-sealed"), out=b.path("theirs.parquet")))
        theirs.append(r["seconds"])
        duck_rss.append(r["rss_mb"])
        r = b.run("join", "p-sealed", "-actuals", b.path("a-sealed"), "-out", b.path("ours.parquet"))
        assert r["result"]["matched"] == b.a.rows, r
        ours.append(r["seconds"])
        rss.append(r["rss_mb"])
    report(f"join {b.a.rows} rows, s", ours, theirs)
    print(f"  peak memory {max(rss):.0f} MB, DuckDB {max(duck_rss):.0f} MB")
    import duckdb
    differ = duckdb.sql(DIFFER.format(b.path("ours.parquet"), b.path("theirs.parquet"))).fetchall()[0][0]
    print(f"  rows that differ: {differ}")


def large(b):
    b.fill()
    b.fresh("p-sealed")
    b.fresh("a-sealed")
    for name in ("p", "a"):
        if not os.path.exists(self := b.path(name + "-sealed")) or not glob.glob(self + "/date=*"):
            os.rename(b.path(name), self)
        r = b.run("seal", name + "-sealed")
        print(f"seal {name}: {r['seconds']:.1f} s, {r['rss_mb']:.0f} MB, {load()}", flush=True)
    for job, flags in (("stat", []), ("day", []), ("join", ["-actuals", b.path("a-sealed"), "-out", b.path("ours.parquet")])):
        r = b.run(job, "p-sealed", *flags)
        print(f"{job}: {r['seconds']:.2f} s, {r['rss_mb']:.0f} MB, {r['result']}, {load()}", flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("job", choices=["append", "seal", "join", "large"])
    p.add_argument("dir")
    p.add_argument("--rows", type=int, default=10_000_000)
    p.add_argument("--days", type=int, default=10)
    p.add_argument("--runs", type=int, default=3)
    a = p.parse_args()
    begin = time.time()
    {"append": append, "seal": seal, "join": join, "large": large}[a.job](Bench(a))
    print(f"took {time.time() - begin:.0f} s")


if __name__ == "__main__":
    main()
