# shellcheck shell=bash
# What compose/deploy was given is kept in the swarm, as a Docker config, so that the
# next deployment, on whichever manager, starts from it. It is sourced, never run, and
# needs engine.sh.
#
# Each line of the config is one of
#
#   host NAME            the machine on which it was given
#   variable NAME=TEXT
#   file PATH            a further stack file
#   flag WORDS           a flag of docker stack deploy
#   receiver NAME        the secret with the URL that gets the alerts

# memory_names prints the configs that hold one, the newest last; none before there is a swarm.
memory_names() { docker_or_die "not a swarm manager" config ls --filter name=waggle_deployed_ --format '{{.Name}}' | sort; }

# recall prints the lines of the newest one, nothing if there is none.
recall() {
  local name
  name=$(memory_names | tail -n 1)
  [ -n "$name" ] || return 0
  docker config inspect --format '{{json .Spec.Data}}' "$name" | tr -d '"' | base64 -d
}

# remember keeps the lines on its standard input in place of those of the last time.
remember() {
  local name old
  name=waggle_deployed_$(date -u +%Y%m%dT%H%M%S.%N)
  docker config create --label waggle=deployed ${WAGGLE_LABEL:+--label "$WAGGLE_LABEL"} "$name" - >/dev/null
  for old in $(memory_names); do
    [ "$old" = "$name" ] || docker config rm "$old" >/dev/null
  done
}

# variables_of prints the names of the variables that stack files read.
variables_of() {
  # shellcheck disable=SC2016 # The dollars are meant.
  sed -e 's/^ *#.*//' -e 's/\$\$//g' "$@" | grep -oE '\$\{?[A-Za-z_][A-Za-z0-9_]*' | tr -d '{$' | sort -u
}
