#!/usr/bin/env bash
# Builds healml_VERSION.deb and .rpm around bin/healml: what install.sh puts in
# place, with the socket unit, manual pages and completions beside it.
#
# usage: build.sh NFPM VERSION OUT_DIR
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
checkout=$(cd "$here/../.." && pwd)
nfpm=$(realpath "${1:?usage: build.sh NFPM VERSION OUT_DIR}") version=${2#v} out=${3:?usage: build.sh NFPM VERSION OUT_DIR}
case $version in [0-9]*) ;; *) version=0.0.0+$version ;; esac # packages want a number first
binary=$checkout/bin/healml
mkdir -p "$out"
out=$(cd "$out" && pwd)
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT

"$checkout/scripts/install.sh" --binary "$binary" --destdir "$stage" --prefix /usr >/dev/null
units=$stage/usr/lib/systemd/system
install -d "$units" "$stage/usr/share/man/man1" "$stage/usr/share/bash-completion/completions" "$stage/usr/share/zsh/vendor-completions" \
  "$stage/usr/share/fish/vendor_completions.d" "$stage/usr/share/doc/healml"
mv "$stage/etc/systemd/system/healml.service" "$units/"
rmdir "$stage/etc/systemd/system" "$stage/etc/systemd"
install -m 0644 "$checkout/scripts/systemd/healml.socket" "$units/"
"$binary" --quiet docs man --dir "$stage/usr/share/man/man1"
gzip -9n "$stage"/usr/share/man/man1/*.1
"$binary" completion bash >"$stage/usr/share/bash-completion/completions/healml"
"$binary" completion zsh >"$stage/usr/share/zsh/vendor-completions/_healml"
"$binary" completion fish >"$stage/usr/share/fish/vendor_completions.d/healml.fish"
install -m 0644 "$checkout/LICENSE" "$checkout/README.md" "$stage/usr/share/doc/healml/"
rm -rf "${stage:?}/var"

case $(uname -m) in x86_64) arch=amd64 ;; aarch64) arch=arm64 ;; *) arch=$(uname -m) ;; esac
export HEALML_STAGE=$stage HEALML_VERSION=$version HEALML_ARCH=$arch HEALML_SCRIPTS=$here
for format in deb rpm; do
  (cd "$here" && "$nfpm" package --config nfpm.yaml --packager "$format" --target "$out/") >/dev/null
done
ls "$out"/healml*
