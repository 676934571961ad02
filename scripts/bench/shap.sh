#!/usr/bin/env bash
# Times contributions (TreeSHAP) beside LightGBM's pred_contrib: same model,
# same rows, one after the other.
#
# usage: shap.sh MODEL.txt ROWS.f32   (rows as float32, row-major)
#
# HEALML_PYTHON names a Python with lightgbm and numpy.
set -euo pipefail

export HEALML_BENCH_MODEL HEALML_BENCH_ROWS
HEALML_BENCH_MODEL="$(realpath "$1")"
HEALML_BENCH_ROWS="$(realpath "$2")"
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
"${HEALML_PYTHON:-python3}" - <<'PYTHON'
import os
import time
import lightgbm
import numpy

model = lightgbm.Booster(model_file=os.environ["HEALML_BENCH_MODEL"])
rows = numpy.fromfile(os.environ["HEALML_BENCH_ROWS"], numpy.float32).reshape(-1, model.num_feature()).astype(float)
for threads in 1, 2:
    n, best = 100, 0.0
    for _ in range(4):
        start = time.perf_counter()
        model.predict(rows[:n], pred_contrib=True, num_threads=threads)
        rate = n / (time.perf_counter() - start)
        best = max(best, rate)
        n = int(min(max(rate, 50), len(rows)))
    print(f"LightGBM {lightgbm.__version__} threads={threads}: {best:.0f} rows/s")
PYTHON
go test -run '^$' -bench 'BenchmarkContributions' -benchtime 2s ./internal/gbdt | grep Benchmark
