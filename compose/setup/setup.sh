#!/usr/bin/env bash
# Brings a fresh Debian or Ubuntu with make and Go to where everything in this
# repository can be built and tested, or, by 'setup.sh demo', to where the demo
# runs, which needs no tools of checks and tests. It may be run at any time, again
# and again; what is there already is left alone.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=compose/setup/common.sh
. "$here/common.sh"

golangci_lint=v2.15.0
gotestsum=v1.13.0

# Each line: a command, and the package that brings it.
commands=(
  debootstrap:debootstrap
  ip:iproute2
  nsenter:util-linux
  unshare:util-linux
  ps:procps
  iptables:iptables
  gcc:gcc
  git:git
  openssl:openssl
  shellcheck:shellcheck
  chromium:chromium
  dockerd:docker.io
  docker:docker.io
)
# Files that no command stands for: the race detector links against libc, and
# debootstrap checks Debian's signature with the keyring.
files=(
  /usr/include/stdlib.h:libc6-dev
  /etc/ssl/certs/ca-certificates.crt:ca-certificates
  /usr/share/keyrings/debian-archive-keyring.gpg:debian-archive-keyring
)

missing() {
  local entry
  for entry in "${commands[@]}"; do
    command -v "${entry%%:*}" >/dev/null || echo "${entry#*:}"
  done
  for entry in "${files[@]}"; do
    [ -e "${entry%%:*}" ] || echo "${entry#*:}"
  done
}

packages() {
  local wanted
  mapfile -t wanted < <(missing | sort -u)
  [ "${#wanted[@]}" -gt 0 ] || return 0
  command -v apt-get >/dev/null || die "these are missing, and there is no apt-get to install them: ${wanted[*]}"
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
  as_root "${apt[@]}" update
  # Newer releases have the client in a package of its own.
  if [[ " ${wanted[*]} " == *" docker.io "* ]] && apt-cache show docker-cli >/dev/null 2>&1; then
    wanted+=(docker-cli)
  fi
  as_root "${apt[@]}" install -y --no-install-recommends "${wanted[@]}"
  mapfile -t wanted < <(missing | sort -u)
  [ "${#wanted[@]}" = 0 ] || die "installed, but still not found: ${wanted[*]}; install what provides them and run 'make setup' again"
}

engine_answers() { as_root docker version --format '{{.Server.Version}}' 2>/dev/null; }

# engine_within waits for the engine up to $1 seconds.
engine_within() {
  local until=$((SECONDS + $1))
  while [ "$SECONDS" -lt "$until" ]; do
    engine_answers >/dev/null && return 0
    sleep 0.2
  done
  return 1
}

# plain_engine starts dockerd without a service manager, as in a container.
plain_engine() {
  local log=$cache/log/dockerd.log
  echo "starting dockerd $*"
  # The lock's file descriptor must not live on in the daemon.
  as_root setsid dockerd "$@" </dev/null >>"$log" 2>&1 9>&- &
  local pid=$! until=$((SECONDS + 30))
  while [ "$SECONDS" -lt "$until" ]; do
    engine_answers >/dev/null && return 0
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.2
  done
  kill "$pid" 2>/dev/null && wait "$pid"
  tail -n 5 "$log"
  return 1
}

engine() {
  if engine_answers; then return; fi
  if [ -n "${DOCKER_HOST:-}" ]; then
    die "the Docker engine at DOCKER_HOST=$DOCKER_HOST does not answer; unset DOCKER_HOST to use this machine's own"
  fi
  if [ -d /run/systemd/system ]; then
    as_root systemctl start docker && engine_within 30 && engine_answers && return
  elif [ -e /etc/init.d/docker ]; then
    as_root service docker start 9>&- && engine_within 10 && engine_answers && return
  fi
  # The engine's own choice of a storage driver fails where the data folder
  # lies on a file system that cannot carry it; vfs works everywhere.
  local driver
  plain_engine && engine_answers && return
  for driver in overlay2 fuse-overlayfs vfs; do
    plain_engine --storage-driver "$driver" && engine_answers && return
  done
  die "no Docker engine could be started; its own words are in $cache/log/dockerd.log"
}

root() {
  as_root "$here/sidroot.sh" "$cache"
}

# go_tool builds MODULE/PATH at VERSION unless that very version is there,
# built with the present Go.
go_tool() {
  local package=$1 version=$2 module=$3 name
  name=$(basename "$package")
  if go version -m "$cache/bin/$name" 2>/dev/null |
    awk -v go="$(go env GOVERSION)" -v module="$module" -v version="$version" '
      NR == 1 && $NF == go { same++ }
      $1 == "mod" && $2 == module && $3 == version { same++ }
      END { exit same != 2 }'; then
    return
  fi
  GOBIN=$cache/bin GOWORK=off GOFLAGS='' go install "$package@$version"
}

linter() { go_tool github.com/golangci/golangci-lint/v2/cmd/golangci-lint "$golangci_lint" github.com/golangci/golangci-lint/v2; }
testsum() { go_tool gotest.tools/gotestsum "$gotestsum" gotest.tools/gotestsum; }

# binaries compiles what goes into the images while the other parts wait for the network.
binaries() { "$here/../images/images.sh" --binaries; }

# part runs a function with its output in a log, and prints one line about it.
part() {
  local name=$1 start=$EPOCHREALTIME
  if ("$name") >"$cache/log/$name.log" 2>&1; then
    printf 'setup: %-10s ready in %s\n' "$name" "$(since "$start")"
  else
    printf 'setup: %-10s FAILED after %s, the end of %s:\n' "$name" "$(since "$start")" "$cache/log/$name.log" >&2
    tail -n 15 "$cache/log/$name.log" >&2
    return 1
  fi
}

command -v go >/dev/null || die "there is no 'go' command; install Go 1.26 or later first"
if [ "$(id -u)" != 0 ]; then
  { command -v sudo && sudo -n true; } >/dev/null 2>&1 ||
    die "this needs root (packages, the Docker engine, a Debian root); run it as root, or with sudo that asks for no password"
fi

start=$EPOCHREALTIME
mkdir -p "$cache/bin" "$cache/log"
exec 9>"$cache/setup.lock"
if ! flock -n 9; then
  echo "setup: waiting for another set-up of the same cache"
  flock -w 900 9 || die "another set-up has held $cache/setup.lock for 15 minutes; look what it does"
fi

# The subshells below report by exit status, and -e does not reach into them
# when they are tested; hence each function ends with its own result.
jobs=()
parts=(linter testsum)
[ "${1:-}" != demo ] || parts=(binaries)
for name in "${parts[@]}"; do
  part "$name" &
  jobs+=($!)
done
failed=0
if part packages; then
  part engine &
  jobs+=($!)
  part root &
  jobs+=($!)
else
  failed=1
fi
for job in "${jobs[@]}"; do
  wait "$job" || failed=1
done
[ "$failed" = 0 ] || die "set-up is not complete; the parts that failed are named above, and 'make setup' goes on where it stopped"
printf 'setup: all        ready in %s, tools in %s\n' "$(since "$start")" "$cache/bin"
