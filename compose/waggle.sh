#!/usr/bin/env bash
# Runs the command waggle where the listener runs, inside of its container: no port is opened
# for it, no token is needed, and nothing restarts.
#
#   compose/waggle.sh status [-w]
#   compose/waggle.sh why SERVICE|URL
#   compose/waggle.sh tail [-service NAME]
#   compose/waggle.sh lint FILE...         files below this folder, with the variables of this shell
#   compose/waggle.sh import traefik|caddy FILE
#
# A listener that runs on another node is asked there: run this there, or by
# DOCKER_HOST=ssh://NODE.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=compose/lib/engine.sh
. "$here/lib/engine.sh"

die() {
  printf 'waggle.sh: error: %s\n' "$1" >&2
  shift
  for line in "$@"; do printf 'waggle.sh:   %s\n' "$line" >&2; done
  exit 3
}

[ $# -gt 0 ] || set -- --help
container=$(docker ps --quiet --filter label=com.docker.swarm.service.name=waggle_listener | head -n 1)

# What reads files runs in a container of its own that sees this folder, and no network but the
# listener's, if that is here.
case $1 in
  lint | import)
    image=$(docker_or_die "" service inspect --format '{{.Spec.TaskTemplate.ContainerSpec.Image}}' waggle_listener)
    args=(--rm --interactive --read-only --cap-drop ALL --volume "$PWD:/here:ro" --workdir /here --entrypoint /waggle)
    args+=(--network "${container:+container:}${container:-none}")
    while IFS= read -r name; do
      case $name in
        PATH | HOME | PWD | OLDPWD | SHLVL | _) ;;
        *) args+=(--env "$name") ;;
      esac
    done < <(compgen -e)
    exec docker run "${args[@]}" "$image" "$@"
    ;;
esac

if [ -z "$container" ]; then
  if nodes=$(docker service ps waggle_listener --filter desired-state=running --format '{{.Node}} ({{.CurrentState}})' 2>&1); then
    die "no container of waggle_listener runs on this node; its task is on: ${nodes:-no node}" \
      "run this there, or from here: DOCKER_HOST=ssh://NODE compose/waggle.sh $*"
  fi
  die "no container of waggle_listener runs on this node, and it cannot tell where one does: $(tail -n 1 <<<"$nodes")" \
    "a manager can: docker service ps waggle_listener"
fi
terminal=()
[ -t 0 ] && [ -t 1 ] && terminal=(--tty)
exec docker exec --interactive "${terminal[@]}" "$container" /waggle "$@"
