#!/bin/sh
# After the files are gone. /var/lib/healml, with data and models, and the user
# that owns it stay, also at a purge: nobody loses a log by removing a program.
set -e

if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
fi
