#!/usr/bin/env bash
# Installs what tests and measurements need from the system: Debian packages of programs that are missing. A package is
# named like its program, or given as PACKAGE:FILE. No service of theirs starts, now or with the system.
set -euo pipefail

# Debian puts servers where only root looks.
PATH=$PATH:/usr/sbin
policy=/usr/sbin/policy-rc.d

missing=()
for program in "$@"; do
    test -e "${program#*:}" || command -v "$program" >/dev/null || missing+=("${program%%:*}")
done
test ${#missing[@]} -gt 0 || exit 0

echo "installing ${missing[*]}"
sudo=
test "$(id -u)" = 0 || sudo=sudo
# Asked by packages whether to start their services; 101 is no.
if ! test -e $policy; then
    trap '$sudo rm -f $policy' EXIT
    printf '#!/bin/sh\nexit 101\n' | $sudo tee $policy >/dev/null
    $sudo chmod +x $policy
fi
{ $sudo apt-get update -qq && $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >/dev/null \
    || { echo "this needs ${missing[*]}: run 'apt-get install ${missing[*]}' as root, then this again" >&2; exit 1; }
if test -d /run/systemd/system; then
    for package in "${missing[@]}"; do
        # Not each has a service.
        $sudo systemctl disable --quiet "$package.service" 2>/dev/null || true
    done
fi
