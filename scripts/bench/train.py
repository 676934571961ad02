"""Trains healml and LightGBM on one file, turn by turn, and prints medians.

    train.py FILE.parquet --target y [--objective binary] [--leaves 31]
             [--trees 100] [--categorical a,b] [--runs 5] [--threads 2]
             [--quantized] [--healml bin/healml]

FILE holds numbers only. LightGBM (4.7 or later, with numpy, pandas, pyarrow)
runs in a process of its own each time. Times are seconds: reading the file,
binning, boosting; "process" is from start to the model on disk, which takes
Python's imports in. Use an idle machine: OpenMP's threads wait for one another.
"""
import argparse, json, os, statistics, subprocess, sys, tempfile, time


def lightgbm(a):
    import lightgbm as lgb
    import pandas as pd
    s = time.perf_counter()
    t = pd.read_parquet(a.file)
    y, x = t.pop(a.target), t
    loaded = time.perf_counter()
    p = dict(objective=a.objective, num_leaves=a.leaves, num_threads=a.threads, verbosity=-1,
             use_quantized_grad=a.quantized)
    d = lgb.Dataset(x, y, categorical_feature=a.categorical.split(",") if a.categorical else "auto")
    d.params = p
    d.construct()
    binned = time.perf_counter()
    m = lgb.train(p, d, a.trees)
    trained = time.perf_counter()
    m.save_model(a.out)
    print("BENCH", json.dumps({"load_s": loaded - s, "bin_s": binned - loaded, "train_s": trained - binned}))


def once(command):
    s = time.perf_counter()
    p = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "HEALML_BENCH": "1"})
    out = p.stdout.read()
    _, status, used = os.wait4(p.pid, 0)
    if status:
        sys.exit(f"{command[0]} failed")
    line = next(l for l in out.splitlines() if l.startswith("BENCH "))
    return {**json.loads(line[6:]), "process_s": time.perf_counter() - s, "rss_mb": used.ru_maxrss / 1024}


def main():
    a = argparse.ArgumentParser()
    a.add_argument("file")
    a.add_argument("--target", default="y")
    a.add_argument("--objective", default="binary")
    a.add_argument("--leaves", type=int, default=31)
    a.add_argument("--trees", type=int, default=100)
    a.add_argument("--categorical", default="")
    a.add_argument("--runs", type=int, default=5)
    a.add_argument("--threads", type=int, default=2)
    a.add_argument("--quantized", action="store_true", help="LightGBM with quantized gradients")
    a.add_argument("--healml", default="bin/healml")
    a.add_argument("--out", help=argparse.SUPPRESS)
    a = a.parse_args()
    if a.out:
        return lightgbm(a)
    with tempfile.TemporaryDirectory() as d:
        ours = [a.healml, "train", a.file, "--target", a.target, f"--categorical={a.categorical}",
                "--threads", str(a.threads), "--set", f"objective={a.objective}", "--set", f"num_leaves={a.leaves}",
                "--set", f"num_iterations={a.trees}", "--out", os.path.join(d, "a.txt")]
        theirs = [sys.executable, *sys.argv, "--out", os.path.join(d, "b.txt")]
        runs = [(once(ours), once(theirs)) for _ in range(a.runs)]
    for key in runs[0][0]:
        x, y = (statistics.median(r[i][key] for r in runs) for i in (0, 1))
        ratios = sorted(r[0][key] / r[1][key] for r in runs)
        print(f"{key:10} healml {x:8.2f}  LightGBM {y:8.2f}  ratio {x / y:.2f}  pairs {ratios[0]:.2f} to {ratios[-1]:.2f}")
    x, y = (statistics.median(r[i]["bin_s"] + r[i]["train_s"] for r in runs) for i in (0, 1))
    print(f"{'bin+train':10} healml {x:8.2f}  LightGBM {y:8.2f}  ratio {x / y:.2f}")


if __name__ == "__main__":
    main()
