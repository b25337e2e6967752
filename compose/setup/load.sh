#!/usr/bin/env bash
# Brings wrk, the client with which 'make measure-proxy' loads proxies; tests do
# without it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=compose/setup/common.sh
. "$here/common.sh"

command -v wrk >/dev/null && exit 0
command -v apt-get >/dev/null || die "there is no wrk, and no apt-get to install it; install wrk"
apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
as_root "${apt[@]}" update >/dev/null
as_root "${apt[@]}" install -y --no-install-recommends wrk >/dev/null
