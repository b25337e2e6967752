#!/usr/bin/env bash
# Removes what the demo brought: its services, Waggle's stack with volumes, secrets
# and configs, the network, and the swarm if the demo made it and nothing else is in it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=compose/setup/common.sh
. "$here/../setup/common.sh"
own=$cache/demo

docker version >/dev/null 2>&1 || die "no Docker engine answers; 'make setup' starts one"
if [ "$(docker info -f '{{.Swarm.ControlAvailable}}')" != true ]; then
  echo "down: this engine manages no swarm, so nothing of the demo is here"
  exit
fi

# within waits for a condition up to $1 seconds.
within() {
  local until=$((SECONDS + $1))
  shift
  while ! "$@"; do
    [ "$SECONDS" -lt "$until" ] || return 1
    sleep 0.2
  done
}

start=$EPOCHREALTIME
for service in demo demo-broken; do docker service rm "$service" >/dev/null 2>&1 || true; done
docker stack rm waggle >/dev/null 2>&1 || true

# shellcheck disable=SC2317 # It is called through within.
containers_gone() {
  local label
  for label in stack.namespace=waggle swarm.service.name=demo swarm.service.name=demo-broken; do
    [ -z "$(docker ps -aq --filter "label=com.docker.$label")" ] || return 1
  done
}
within 90 containers_gone || die "containers of the demo still run: $(docker ps --filter label=com.docker.stack.namespace=waggle --format '{{.Names}}' | tr '\n' ' ')"

docker volume ls -q --filter label=com.docker.stack.namespace=waggle | xargs -r docker volume rm >/dev/null
docker config ls --format '{{.Name}}' | { grep '^waggle_alertmanager_' || true; } | xargs -r docker config rm >/dev/null
docker secret ls --format '{{.Name}}' | { grep -E '^waggle_(token|seal_key|nats_(listener|proxy|monitor|scaler)|alert_webhook_.*)$' || true; } | xargs -r docker secret rm >/dev/null

# shellcheck disable=SC2317 # It is called through within.
network_gone() {
  docker network rm "$1" >/dev/null 2>&1 || ! docker network inspect "$1" >/dev/null 2>&1
}
for network in waggle_control waggle; do
  within 30 network_gone "$network" || die "the network $network is in use by services of yours: remove it from them, and run this again"
done

if [ -e "$own/swarm" ]; then
  if [ "$(docker info -f '{{.Swarm.Cluster.ID}}')" = "$(cat "$own/swarm")" ] &&
    [ "$(docker node ls -q | wc -l)" = 1 ] && [ -z "$(docker service ls -q)" ]; then
    docker swarm leave --force >/dev/null
    echo "down: the swarm of this node, which the demo had made, is dissolved"
  fi
fi
rm -rf "$own"
echo "down: all of the demo is gone, in $(since "$start")"
