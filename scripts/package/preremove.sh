#!/bin/sh
# Before the files go. Not at an upgrade, when the first argument says so:
# "upgrade" of dpkg, 1 of rpm.
set -e

case ${1:-} in upgrade | 1) exit 0 ;; esac
if [ -d /run/systemd/system ]; then
  systemctl disable --now --quiet healml.socket healml.service || true
fi
