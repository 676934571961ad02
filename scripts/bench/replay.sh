#!/usr/bin/env bash
# Replays a data file in time order through healml's own commands and tells
# what healing was worth against the model left alone.
#
# usage: replay.sh DATA --target COLUMN --time COLUMN [--every DAYS] [--metric M] [--keep DIR] [--drop A,B]
#
# The first 40 % of the periods train the first model. Then, period by period:
# predict --log, the actuals of the period before, drift, retrain, with --now
# at the period's end.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
if [ -z "${HEALML:-}" ]; then
  make --no-print-directory -C "$top" build >&2
  HEALML=$top/bin/healml
fi
export HEALML
data=$(realpath "$1")
shift
cd "$top"
exec go run ./scripts/bench/replay "$data" "$@"
