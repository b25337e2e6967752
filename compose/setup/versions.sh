#!/usr/bin/env bash
# Brings further versions of HAProxy, Prometheus and the Docker engine, with which 'make
# versions' repeats the tests: HAProxy 3.0 of Debian's stable line, the newest Prometheus that
# Go's modules have, and the last engine 28.
#
#   versions.sh CACHE     (as root)
set -euo pipefail
# shellcheck source=compose/setup/common.sh
. "$(dirname "$0")/common.sh"

cache=$1
prometheus=v0.316.0
engine=28.5.2
engine_sum=h1:DBX0Y0zAjZbSrm1uzOkdr1onVghKaftjlSWt4AFexzM=

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

# The engine is a module without a go.mod. What it calls vendor.mod and vendor.sum say what it is
# built of, and do so as files of a module whose main part it is not. containerd and runc are
# those of this machine.
engine() {
  local module=$versions/engine-module docker=github.com/docker/docker source
  mkdir -p "$module"
  (
    cd "$module"
    printf 'module versions\n\ngo 1.26\n' >go.mod
    source=$(go mod download -json "$docker@v$engine+incompatible" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
    sed 's/^module .*/module versions/' "$source/vendor.mod" >go.mod
    cp "$source/vendor.sum" go.sum
    # Another sum is an error.
    printf '%s v%s+incompatible %s\n' "$docker" "$engine" "$engine_sum" >>go.sum
    go mod edit -require "$docker@v$engine+incompatible"
    go build -ldflags="-s -w -X $docker/dockerversion.Version=$engine" -tags exclude_graphdriver_btrfs \
      -o "$versions/engine/" "$docker/cmd/dockerd" "$docker/cmd/docker-proxy"
  )
}

if [ ! -e "$versions/.complete" ]; then
  rm -rf "$versions"
  mkdir -p "$versions"
  haproxy >"$cache/log/versions.log" 2>&1 || die "HAProxy 3.0 cannot be had, the end of $cache/log/versions.log: $(tail -n 5 "$cache/log/versions.log")"
  prometheus >>"$cache/log/versions.log" 2>&1 || die "Prometheus $prometheus cannot be had, the end of $cache/log/versions.log: $(tail -n 5 "$cache/log/versions.log")"
  engine >>"$cache/log/versions.log" 2>&1 || die "the engine $engine cannot be had, the end of $cache/log/versions.log: $(tail -n 5 "$cache/log/versions.log")"
  touch "$versions/.complete"
fi
ln -sfn "$versions" "$cache/.versions.new"
mv -T "$cache/.versions.new" "$cache/versions"
for old in "$cache"/versions-*; do
  [ "$old" = "$versions" ] || rm -rf "$old"
done
"$cache/versions/haproxy/haproxy" -v | sed -n 1p
"$cache/versions/prometheus/prometheus" --version 2>&1 | sed -n 1p
"$cache/versions/engine/dockerd" --version
