#!/bin/sh
# After the files are in place, at the first installation and at an upgrade.
set -e

if ! id healml >/dev/null 2>&1; then
  useradd --system --home-dir /var/lib/healml --no-create-home --shell /usr/sbin/nologin healml
fi
chown healml:healml /var/lib/healml
chmod 0750 /var/lib/healml

if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  systemctl enable --quiet healml.service
  # The server drains; with healml.socket not one connection is refused.
  systemctl try-restart healml.service
  if [ -e /var/lib/healml/exported_model/CURRENT ]; then
    systemctl start healml.service
  fi
fi

if [ ! -e /var/lib/healml/exported_model/CURRENT ]; then
  cat <<'END'
healml is installed, and has no model yet:
  sudo -u healml healml --root /var/lib/healml init DATA.csv --target COLUMN --time COLUMN
  sudo -u healml healml --root /var/lib/healml train
  sudo systemctl start healml
  sudo -u healml healml --root /var/lib/healml doctor
END
fi
