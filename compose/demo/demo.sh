#!/usr/bin/env bash
# The demo, as 'make demo' and 'make down' call it: Waggle on this machine's own
# swarm, and a story that shows what it does.
#
#   demo.sh up     prepare the swarm, deploy Waggle, tell the story (needs the images)
#   demo.sh down   remove all of it
#
# DEMO_HOST   where ports of this engine are reached, 127.0.0.1
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=compose/setup/common.sh
. "$here/../setup/common.sh"
# shellcheck source=compose/lib/engine.sh
. "$here/../lib/engine.sh"
# shellcheck source=compose/demo/mark.sh
. "$here/mark.sh"

built=${WAGGLE_IMAGES:-waggle}
export WAGGLE_IMAGES=$prefix WAGGLE_TAG=${WAGGLE_TAG:-dev}
# 'make images' has given Alertmanager a name like the others', wherever it came from.
export ALERTMANAGER_IMAGE=$prefix/alertmanager:$WAGGLE_TAG

own=$cache/demo # what 'down' must know

# named gives the images that were built the demo's names, and stops with those that
# are missing, before anything is touched.
named() {
  local name image absent=()
  for name in listener proxy monitor scaler alertmanager demo; do
    image=$built/$name:$WAGGLE_TAG
    docker image inspect "$image" >/dev/null 2>&1 || absent+=("$image")
  done
  [ "${#absent[@]}" = 0 ] || die "these images are not there: ${absent[*]}; 'make images' builds them"
  for name in listener proxy monitor scaler alertmanager demo; do
    docker tag "$built/$name:$WAGGLE_TAG" "$prefix/$name:$WAGGLE_TAG"
  done
}

# fresh gives services the image of today: to Swarm the same tag is the same image.
fresh() {
  local service container has is
  for service in listener proxy monitor alertmanager scaler console; do
    container=$(docker ps -q --filter "label=com.docker.swarm.service.name=waggle_$service" | head -n 1)
    [ -n "$container" ] || continue
    has=$(docker inspect -f '{{.Image}}' "$container")
    is=$(docker image inspect -f '{{.Id}}' "$(docker service inspect -f '{{.Spec.TaskTemplate.ContainerSpec.Image}}' "waggle_$service")")
    [ "$has" = "$is" ] || {
      echo "waggle_$service gets the image that was built since"
      docker service update --detach --force --no-resolve-image "waggle_$service" >/dev/null
    }
  done
}

up() {
  docker version >/dev/null 2>&1 || die "no Docker engine answers; 'make setup' starts one"
  local others
  if [ "$(docker info -f '{{.Swarm.ControlAvailable}}')" = true ]; then
    others=$(unmarked)
    [ -z "$others" ] || die "a stack waggle that the demo has not deployed runs in this swarm ($others); the demo would change it"
  fi
  named
  mkdir -p "$own"
  local start=$EPOCHREALTIME had_swarm
  had_swarm=$(docker info -f '{{.Swarm.LocalNodeState}}')
  # A token of ours, so that requests by hand can be shown; one that is there stays.
  if ! docker secret inspect waggle_token_scaler >/dev/null 2>&1; then
    (umask 077 && head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' >"$own/token")
  fi
  [ ! -e "$own/token" ] || WAGGLE_TOKEN=$(cat "$own/token")
  export WAGGLE_TOKEN=${WAGGLE_TOKEN:-}
  export WAGGLE_FURTHER_PORTS="8081 8082 8083 8084 8085 8404 9090 9093"
  export WAGGLE_LABEL=$mark
  local failed=0
  WAGGLE_INIT_FLAGS=--init-swarm "$here/../deploy" -c "$here/../demo.yml" --resolve-image never 2>&1 |
    grep -v -e '^Since --detach' -e '^In a future release' || failed=1
  # Also after a failure, 'down' must know whose swarm it is.
  if [ "$had_swarm" = inactive ] && [ "$(docker info -f '{{.Swarm.ControlAvailable}}')" = true ]; then
    docker info -f '{{.Swarm.Cluster.ID}}' >"$own/swarm"
  fi
  [ "$failed" = 0 ] || exit 1
  fresh
  echo "deployed in $(since "$start")"
  mkdir -p "$here/../../dist"
  # Compiled as the images' programs are, most of it is there already.
  (cd "$here/../e2e" && CGO_ENABLED=0 GOWORK=off go build -trimpath -o ../../dist/story ./cmd/story)
  "$here/../../dist/story" -host "${DEMO_HOST:-127.0.0.1}" -port "${WAGGLE_HTTP_PORT:-80}" -image "$prefix/demo:$WAGGLE_TAG" \
    -waggle "$here/../waggle.sh" -shots "$(cd "$here/../../dist" && pwd)/screenshots"
  [ ! -e "$own/token" ] ||
    echo "By hand: curl -X POST -H \"Authorization: Bearer \$(cat $own/token)\" 'http://${DEMO_HOST:-127.0.0.1}:8084/v1/scale-service?service=demo&scale=up'"
}

case ${1:-} in
  up) up ;;
  down) exec "$here/down.sh" ;;
  *) die "usage: demo.sh up|down" ;;
esac
