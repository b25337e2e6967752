#!/usr/bin/env bash
# Builds the images: static binaries on this host, then one docker build each.
#
#   images.sh [NAME ...]     listener proxy monitor scaler demo alertmanager; all if none is named
#   images.sh --binaries     only compile what goes into them, which needs no engine
#   images.sh --compiled     all, of what --binaries has compiled
#
# WAGGLE_IMAGES  the prefix of the names, waggle
# WAGGLE_TAG     the tag, dev
# WAGGLE_BASES   where HAProxy, Prometheus and Alertmanager come from:
#                official   the official images, or nothing is built; this is the default
#                stand-in   images made of Debian's unstable, for tests on machines
#                           without a way out; never for production
#                any        the official ones if they can be had, else the stand-ins
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=compose/setup/common.sh
. "$here/../setup/common.sh"
# shellcheck source=compose/lib/engine.sh
. "$here/../lib/engine.sh"
cd "$here/../.."

prefix=${WAGGLE_IMAGES:-waggle}
tag=${WAGGLE_TAG:-dev}
version=${WAGGLE_VERSION:-$(git describe --tags --always --dirty 2>/dev/null || echo unknown)}
start=$EPOCHREALTIME

mode=
case ${1:-} in
  --binaries | --compiled) mode=$1 && shift ;;
esac
names=("$@")
[ "${#names[@]}" -gt 0 ] || names=(listener proxy monitor scaler demo alertmanager)

# These are the defaults of the Dockerfiles too. Prometheus 3.5 is the line
# with long support.
declare -A official=([proxy]=haproxy:3.4 [monitor]=prom/prometheus:v3.5.3 [alertmanager]=prom/alertmanager:v0.33.1)
declare -A stand_in=([proxy]=haproxy:3.4 [monitor]=prometheus:v3.5.3 [alertmanager]=alertmanager:v0.33.1)

# Those whose digest is known are taken by it.
while read -r image digest; do
  for name in "${!official[@]}"; do
    [ "${official[$name]}" != "$image" ] || official[$name]=$image@$digest
  done
done < <(grep -v '^#' "$here/digests.txt")

present() { docker image inspect "$1" >/dev/null 2>&1; }

# hub_answers tries the smallest image there is; a machine without a way out
# says so at once, and one behind a silent firewall after ten seconds.
hub_answers() {
  local had=1 answer=0
  present hello-world && had=0
  timeout 10 docker pull -q hello-world >/dev/null 2>&1 || answer=1
  [ "$had" = 0 ] || docker rmi hello-world >/dev/null 2>&1 || true
  return "$answer"
}

# source_of_bases decides where any may come from, once for all of them, and without
# asking the network when one kind is complete.
source_of_bases() {
  local name from=official
  for name in "${based[@]}"; do present "${official[$name]}" || from=; done
  if [ -z "$from" ]; then
    from=stand-in
    for name in "${based[@]}"; do present "waggle-local/${stand_in[$name]}" || from=; done
  fi
  if [ -z "$from" ]; then
    if hub_answers; then from=official; else from=stand-in; fi
  fi
  echo "$from"
}

# bases sets where each image's base comes from, and makes them be there.
bases() {
  local name image from=${WAGGLE_BASES:-official} wanted=()
  case $from in
    any) from=$(source_of_bases) ;;
    official | stand-in) ;;
    *) die "WAGGLE_BASES is '$from'; it can be official, stand-in or any" ;;
  esac
  if [ "$from" = official ]; then
    for name in "${based[@]}"; do
      base[$name]=${official[$name]}
      present "${base[$name]}" || docker_within 600 pull -q "${base[$name]}" >/dev/null ||
        die "the official image ${base[$name]} is not here and cannot be pulled, see above, so nothing is built;" \
          "pull or load it, or, for tests and the demo alone, let images of Debian's unstable stand in: WAGGLE_BASES=stand-in make images"
    done
    return
  fi
  for name in "${based[@]}"; do
    base[$name]=waggle-local/${stand_in[$name]}
    wanted+=("${stand_in[$name]}")
  done
  for image in "${wanted[@]}"; do
    echo "images: NOT FOR PRODUCTION: in place of the official $image stands one made of Debian's unstable" >&2
  done
  as_root "$here/bases.sh" "$cache" "${wanted[@]}"
}

binary() {
  local name=$1 module=$1 command=cmd/$1
  [ "$name" = demo ] && module=compose/demo command=app
  mkdir -p "dist/$name/empty"
  (cd "$module" && CGO_ENABLED=0 GOWORK=off go build -trimpath -ldflags "-s -w -X main.version=$version" \
    -o "$OLDPWD/dist/$name/waggle-$name" "./$command") || die "$name does not build, see above"
  # The command waggle comes with the listener, which it asks.
  [ "$name" != listener ] || (cd compose/waggle && CGO_ENABLED=0 GOWORK=off go build -trimpath -ldflags "-s -w -X main.version=$version" \
    -o "$OLDPWD/dist/listener/waggle" ./cmd/waggle) || die "waggle does not build, see above"
}

image() {
  local name=$1 args=() output
  [ -n "${base[$name]:-}" ] && args=(--build-arg "BASE=${base[$name]}")
  local dockerfile=$name/Dockerfile
  [ "$name" = demo ] && dockerfile=compose/demo/Dockerfile
  # The context is the one binary, so that little has to be sent and compared.
  output=$(docker_within 600 build -q -t "$prefix/$name:$tag" -f "$dockerfile" "${args[@]}" "dist/$name" 2>&1) ||
    die "docker build of $name failed: $output"
}

based=() built=()
for name in "${names[@]}"; do
  [ -n "${official[$name]:-}" ] && based+=("$name")
  [ "$name" = alertmanager ] || built+=("$name")
done

if [ "$mode" = --binaries ]; then
  for name in "${built[@]}"; do binary "$name"; done
  exit
fi
docker version >/dev/null 2>&1 || die "no Docker engine answers; 'make setup' starts one"

declare -A base=()
jobs=()
if [ "$mode" != --compiled ] && [ "${#built[@]}" -gt 0 ]; then
  (for name in "${built[@]}"; do binary "$name"; done) &
  jobs+=($!)
fi
if [ "${#based[@]}" -gt 0 ]; then
  bases
fi
failed=0
for job in "${jobs[@]}"; do wait "$job" || failed=1; done
[ "$failed" = 0 ] || exit 1

jobs=()
for name in "${built[@]}"; do
  image "$name" &
  jobs+=($!)
done
for job in "${jobs[@]}"; do wait "$job" || failed=1; done
[ "$failed" = 0 ] || exit 1
# Alertmanager is taken as it is, under a name like the others.
[[ " ${names[*]} " != *" alertmanager "* ]] || docker tag "${base[alertmanager]}" "$prefix/alertmanager:$tag"

for name in "${names[@]}"; do
  printf 'images: %s (%d MB)\n' "$prefix/$name:$tag" $(($(docker image inspect -f '{{.Size}}' "$prefix/$name:$tag") / 1000000))
done
echo "images: version $version, in $(since "$start")"
