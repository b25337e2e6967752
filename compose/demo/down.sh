#!/usr/bin/env bash
# Removes what the demo brought and nothing else: all that has its label, and the swarm
# if the demo made it and nothing else is in it. A stack that the demo has not deployed
# is refused.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=compose/setup/common.sh
. "$here/../setup/common.sh"
# shellcheck source=compose/lib/engine.sh
. "$here/../lib/engine.sh"
# shellcheck source=compose/demo/mark.sh
. "$here/mark.sh"
own=$cache/demo

docker version >/dev/null 2>&1 || die "no Docker engine answers; 'make setup' starts one"
if [ "$(docker info -f '{{.Swarm.ControlAvailable}}')" != true ]; then
  echo "down: this engine manages no swarm, so nothing of the demo is here"
  exit
fi
others=$(unmarked)
[ -z "$others" ] || die "the stack waggle of this swarm was not deployed by the demo ($others), so nothing was removed; compose/uninstall removes a stack that is meant to go"

start=$EPOCHREALTIME
for service in $(docker service ls --filter "label=$mark" --format '{{.Name}}'); do
  # Those of the stack go with all that belongs to them.
  [[ $service == waggle_* ]] || docker service rm "$service" >/dev/null
done
"$here/../uninstall" --yes --label "$mark"
for image in $(docker image ls --format '{{.Repository}}:{{.Tag}}' "$prefix/*"); do docker image rm "$image" >/dev/null; done

if [ -e "$own/swarm" ]; then
  if [ "$(docker info -f '{{.Swarm.Cluster.ID}}')" = "$(cat "$own/swarm")" ] &&
    [ "$(docker node ls -q | wc -l)" = 1 ] && [ -z "$(docker service ls -q)" ]; then
    docker swarm leave --force >/dev/null
    echo "down: the swarm of this node, which the demo had made, is dissolved"
  fi
fi
rm -rf "$own"
echo "down: all of the demo is gone, in $(since "$start")"
