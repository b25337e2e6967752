#!/usr/bin/env bash
# Brings further versions of HAProxy, Prometheus and the Docker engine, with which 'make
# versions' repeats the tests: HAProxy 3.0 of Debian's stable line, the newest Prometheus that
# Go's modules have, the last engine 28 and a late engine 29.
#
#   versions.sh CACHE     (as root)
set -euo pipefail
# shellcheck source=compose/setup/common.sh
. "$(dirname "$0")/common.sh"

cache=$1
prometheus=v0.316.0
engine28=28.5.2
engine28_sum=h1:DBX0Y0zAjZbSrm1uzOkdr1onVghKaftjlSWt4AFexzM=
# Engine 29 is a module whose versions are counted otherwise; this one is of September 2026.
engine29=v2.0.0-beta.24
# Engine 29 asks runc for a namespace that older ones do not know.
runc=v1.3.4

# What is built here are modules of their own.
export GOWORK=off GOFLAGS=-mod=mod CGO_ENABLED=0

# Mounts that debootstrap makes must die with this script, whatever happens.
if [ "${2:-}" != inside ]; then
  exec unshare --mount --propagation private "$0" "$cache" inside
fi
# The name contains the hash of this recipe, so that a change of it makes everything anew.
versions=$cache/versions-$(sha256sum "$0" | cut -c 1-12)

haproxy() {
  local root=$versions/trixie
  base trixie "$root"
  in_root "$root" apt-get -o Acquire::Check-Valid-Until=false -o Acquire::Retries=3 update
  in_root "$root" apt-get -o Acquire::Retries=3 install -y --no-install-recommends haproxy
  slim "$root"
  wrap "$root" "$versions/haproxy" haproxy:/usr/sbin/haproxy
}

# The module has replace directives, with which 'go install' builds nothing; as a tool of
# another module it can be built. Discoveries that nobody uses here are left out.
prometheus() {
  local module=$versions/module number
  number=3.${prometheus#v0.3}
  mkdir -p "$module"
  (
    cd "$module"
    printf 'module versions\n\ngo 1.26\n' >go.mod
    go get -tool "github.com/prometheus/prometheus/cmd/prometheus@$prometheus" "github.com/prometheus/prometheus/cmd/promtool@$prometheus"
    go build -ldflags="-s -w -X github.com/prometheus/common/version.Version=$number" -tags remove_all_sd,enable_moby_sd,enable_dns_sd \
      -o "$versions/prometheus/" github.com/prometheus/prometheus/cmd/prometheus github.com/prometheus/prometheus/cmd/promtool
  )
}

# Engine 28 is a module without a go.mod. Its vendor.mod and vendor.sum say what it is built of,
# as files of a module that has it as a part. containerd and runc are those of this machine.
engine28() {
  local module=$versions/engine28-module docker=github.com/docker/docker source
  mkdir -p "$module"
  (
    cd "$module"
    printf 'module versions\n\ngo 1.26\n' >go.mod
    source=$(go mod download -json "$docker@v$engine28+incompatible" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
    sed 's/^module .*/module versions/' "$source/vendor.mod" >go.mod
    # Another sum is an error.
    { cat "$source/vendor.sum" && printf '%s v%s+incompatible %s\n' "$docker" "$engine28" "$engine28_sum"; } >go.sum
    go mod edit -require "$docker@v$engine28+incompatible"
    go build -ldflags="-s -w -X $docker/dockerversion.Version=$engine28" -tags exclude_graphdriver_btrfs \
      -o "$versions/engine28/" "$docker/cmd/dockerd" "$docker/cmd/docker-proxy"
  )
}

engine29() {
  local moby=github.com/moby/moby/v2
  GOBIN=$versions/engine29 GOFLAGS='' go install -ldflags="-s -w -X $moby/dockerversion.Version=29-${engine29##*-}" -tags exclude_graphdriver_btrfs \
    "$moby/cmd/dockerd@$engine29" "$moby/cmd/docker-proxy@$engine29"
}

# runc is linked with libseccomp, as the engine's default profile needs it; its files for builders
# are unpacked, not installed.
runc() {
  local seccomp=$versions/seccomp
  mkdir -p "$seccomp"
  (
    cd "$seccomp"
    apt-get -q -o APT::Sandbox::User=root download libseccomp-dev
    dpkg -x libseccomp-dev_*.deb .
    # shellcheck disable=SC2016 # It is a script.
    printf '#!/bin/sh\ncase " $* " in *--cflags*) echo -I%s/usr/include ;; *--libs*) echo %s ;; esac\n' \
      "$seccomp" "$(find "$seccomp" -name libseccomp.a)" >pkg-config
    chmod 755 pkg-config
  )
  PKG_CONFIG=$seccomp/pkg-config CGO_ENABLED=1 GOFLAGS='' GOBIN=$versions/engine29 go install -tags seccomp -ldflags '-s -w' "github.com/opencontainers/runc@$runc"
}

# have runs one of these, with its output in the log. In the background, because a function whose
# end is looked at goes on after a failure in it.
have() {
  local name=$1 said=$2
  "$name" >>"$cache/log/versions.log" 2>&1 &
  wait $! || die "$said cannot be had, the end of $cache/log/versions.log: $(tail -n 5 "$cache/log/versions.log")"
}

if [ ! -e "$versions/.complete" ]; then
  rm -rf "$versions"
  mkdir -p "$versions"
  : >"$cache/log/versions.log"
  have haproxy 'HAProxy 3.0'
  have prometheus "Prometheus $prometheus"
  have engine28 "the engine $engine28"
  have engine29 "the engine of moby $engine29"
  have runc "runc $runc"
  touch "$versions/.complete"
fi
ln -sfn "$versions" "$cache/.versions.new"
mv -T "$cache/.versions.new" "$cache/versions"
for old in "$cache"/versions-*; do
  [ "$old" = "$versions" ] || rm -rf "$old"
done
"$cache/versions/haproxy/haproxy" -v | sed -n 1p
"$cache/versions/prometheus/prometheus" --version 2>&1 | sed -n 1p
"$cache/versions/engine28/dockerd" --version
"$cache/versions/engine29/dockerd" --version
