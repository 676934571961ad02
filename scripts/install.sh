#!/usr/bin/env bash
# Installs healml on one machine with systemd and cron (Debian, Ubuntu, Amazon
# Linux): the binary, a system user, the state directory, the service and the
# cron jobs. Safe to run again; an upgrade is a second run with a new binary.
#
# The state directory's content (data, models, healml.yaml) is never touched,
# and a crontab that was edited on the machine is kept.
set -euo pipefail

usage() {
  cat <<'END'
usage: install.sh [--binary FILE] [--prefix DIR] [--root DIR] [--destdir DIR] [--dry-run] [--uninstall]

  --binary FILE    binary to install (default: bin/healml of this checkout)
  --prefix DIR     where bin/healml goes (default: /usr/local)
  --root DIR       state directory (default: /var/lib/healml)
  --destdir DIR    install below DIR, without user, service manager or cron:
                   for packages and tests (default: $DESTDIR)
  --dry-run        print each step, do none
  --uninstall      remove all but the state directory and the user
END
}

fail() {
  echo "install.sh: $*" >&2
  exit 1
}

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
binary=$checkout/bin/healml prefix=/usr/local root=/var/lib/healml
destdir=${DESTDIR:-} dry_run='' uninstall=''
user=healml

while [ $# -gt 0 ]; do
  case $1 in
    --binary | --prefix | --root | --destdir)
      [ $# -ge 2 ] || fail "$1 needs a value"
      declare "${1#--}=$2"
      shift
      ;;
    --dry-run) dry_run=yes ;;
    --uninstall) uninstall=yes ;;
    -h | --help) usage && exit ;;
    *) usage >&2 && exit 2 ;;
  esac
  shift
done
for path in "$prefix" "$root" ${destdir:+"$destdir"}; do
  [[ $path =~ ^/[A-Za-z0-9._/-]+$ ]] || fail "$path: expected an absolute path of letters, digits and . _ / -"
done

program=$prefix/bin/healml
unit=/etc/systemd/system/healml.service
cron=/etc/cron.d/healml

# run CMD… does a step, or prints it.
run() {
  if [ -n "$dry_run" ]; then
    printf 'would run: %s\n' "$*"
  else
    "$@"
  fi
}

# here reports whether a tool of this machine may be used: not with --destdir.
here() { [ -z "$destdir" ] && command -v "$1" >/dev/null; }

# has_systemd reports whether systemd runs this machine.
has_systemd() { here systemctl && [ -d /run/systemd/system ]; }

# place TEXT FILE writes a file, by rename, when its text changes.
place() {
  local file=$destdir$2
  if [ -f "$file" ] && printf '%s\n' "$1" | cmp -s - "$file"; then
    echo "unchanged: $2"
  elif [ -n "$dry_run" ]; then
    echo "would write: $2"
  else
    install -d "$(dirname "$file")"
    printf '%s\n' "$1" >"$file.new"
    chmod 0644 "$file.new"
    mv "$file.new" "$file"
    echo "wrote: $2"
  fi
}

# adapted FILE prints a shipped file with the paths of this installation.
adapted() { sed -e "s#/usr/local/bin/healml#$program#g" -e "s#/var/lib/healml#$root#g" "$checkout/$1"; }

create_user() {
  here useradd || return 0
  if ! id "$user" >/dev/null 2>&1; then
    run useradd --system --home-dir "$root" --no-create-home --shell /usr/sbin/nologin "$user"
  fi
}

install_files() {
  run install -d "$destdir$prefix/bin"
  run install -m 0755 "$binary" "$destdir$program.new"
  run mv "$destdir$program.new" "$destdir$program"
  if [ -z "$destdir" ]; then
    run install -d -m 0750 -o "$user" -g "$user" "$root"
  else
    run install -d -m 0750 "$destdir$root"
  fi
  place "$unit_text" "$unit"
  if [ -f "$destdir$cron" ] && ! adapted crontab | cmp -s - "$destdir$cron"; then
    echo "kept: $cron, which differs from the shipped crontab (remove it first to have the shipped one)"
  else
    place "$(adapted crontab)" "$cron"
  fi
}

start() {
  if has_systemd; then
    run systemctl daemon-reload
    run systemctl enable --quiet healml.service
    if [ -e "$root/exported_model/CURRENT" ]; then
      run systemctl restart healml.service
    fi
  fi
  if [ -z "$destdir" ] && ! command -v cron >/dev/null && ! command -v crond >/dev/null; then
    echo "warning: there is no cron on this machine, so nothing will notice drift or heal:" >&2
    echo "         apt-get install cron   or   dnf install cronie && systemctl enable --now crond" >&2
  fi
}

next_steps() {
  [ -z "$destdir" ] && [ ! -e "$root/exported_model/CURRENT" ] || return 0
  cat <<END

healml is installed, and has no model yet:
  sudo -u $user $program --root $root init DATA.csv --target COLUMN --time COLUMN
  sudo -u $user $program --root $root train
  sudo systemctl start healml
  sudo -u $user $program --root $root doctor
END
}

remove() {
  if has_systemd && [ -e "$unit" ]; then
    run systemctl disable --now --quiet healml.service
  fi
  run rm -f "$destdir$cron" "$destdir$unit" "$destdir$program"
  if has_systemd; then
    run systemctl daemon-reload
  fi
  echo "kept: $root and the user $user"
}

if [ -z "$destdir" ] && [ -z "$dry_run" ] && [ "$(id -u)" != 0 ]; then
  fail "run as root: sudo $0 (or look first: $0 --dry-run)"
fi
if [ -n "$uninstall" ]; then
  remove
  exit
fi
[ -x "$binary" ] || fail "$binary is not there: make build, or name one with --binary"

unit_text=$(adapted scripts/systemd/healml.service)
if [ "$root" != /var/lib/healml ]; then # systemd makes StateDirectory below /var/lib only
  unit_text=${unit_text//StateDirectory=healml$'\n'StateDirectoryMode=0750/ReadWritePaths=$root}
fi

create_user
install_files
start
next_steps
