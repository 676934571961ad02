#!/usr/bin/env bash
# Puts what the tests need beyond Go below DIR: a Python environment
# (DIR/venv) and, where apt is at hand, promtool (DIR/prometheus). Nothing is
# installed on the system.
#
# usage: tools.sh DIR
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tools=${1:?usage: tools.sh DIR}
mkdir -p "$tools"

python_environment() {
  local requirements=$here/requirements.txt
  if cmp -s "$requirements" "$tools/venv/requirements.txt"; then
    return
  fi
  if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "make test needs python3, version 3.11 or newer" >&2
    exit 1
  fi
  if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
    echo "make test needs Python's venv module: sudo apt-get install python3-venv" >&2
    exit 1
  fi
  rm -rf "$tools/venv"
  python3 -m venv "$tools/venv"
  "$tools/venv/bin/pip" install --quiet --disable-pip-version-check -r "$requirements"
  cp "$requirements" "$tools/venv/requirements.txt"
}

# Unpacks Debian's package instead of installing it: that would start a server.
unpack_promtool() {
  if [ -x "$tools/prometheus/usr/bin/promtool" ] || command -v promtool >/dev/null || ! command -v apt-get >/dev/null; then
    return
  fi
  local unpack
  unpack=$(mktemp -d)
  (
    cd "$unpack"
    { apt-get download prometheus || { [ "$(id -u)" = 0 ] && apt-get update && apt-get download prometheus; }; } >&2
    dpkg-deb --extract prometheus_*.deb "$tools/prometheus"
  ) || echo "promtool cannot be had: the one test that needs it is skipped" >&2
  rm -rf "$unpack"
}

python_environment
unpack_promtool
