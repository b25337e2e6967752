# shellcheck shell=bash
# Calls to the Docker engine, each with a time limit: an engine that hangs, as one does
# that lost its swarm's leader, must not hang a script without a word. It is sourced by
# the scripts that speak to an engine, never run.
#
# WAGGLE_DOCKER_LIMIT   seconds that an ordinary call may take, 20
docker_limit=${WAGGLE_DOCKER_LIMIT:-20}

# What is said about a call that did not answer must be seen, wherever the call's own
# words go, and must end the script, wherever the call stands in it.
exec {docker_words}>&2
trap 'exit 1' TERM

# docker is the command of that name, within the limit.
docker() { docker_within "$docker_limit" "$@"; }

# docker_within is docker with $1 seconds, for what takes long by its nature.
docker_within() {
  local limit=$1 answer=0
  shift
  timeout --foreground --kill-after 2 "$limit" docker "$@" {docker_words}>&- || answer=$?
  case $answer in
    124 | 137)
      printf '%s: error: %s did not answer within %s s\n' "$(basename "$0")" "$(docker_call "$@")" "$limit" >&"$docker_words"
      printf '%s:   is the engine%s well, and has the swarm a leader? WAGGLE_DOCKER_LIMIT=SECONDS waits longer\n' \
        "$(basename "$0")" "${DOCKER_HOST:+ at $DOCKER_HOST}" >&"$docker_words"
      kill -TERM $$
      ;;
  esac
  return "$answer"
}

# docker_or_die prints what the call prints, and ends the script if it fails: what is not known
# must not count as what is not there. A failure with the words "$1", which may be none, is an
# empty answer.
docker_or_die() {
  local but=$1 said
  shift
  if said=$(docker "$@" 2>&1); then
    [ -z "$said" ] || printf '%s\n' "$said"
    return
  fi
  [ -z "$but" ] || ! grep -qiE "$but" <<<"$said" || return 0
  printf '%s: error: %s failed: %s\n' "$(basename "$0")" "$(docker_call "$@")" "$(tail -n 1 <<<"$said")" >&"$docker_words"
  kill -TERM $$
  return 1
}

# docker_call names a call by its words before the first flag.
docker_call() {
  local word words=docker
  for word in "$@"; do
    [[ $word != -* ]] || break
    words+=" $word"
  done
  echo "$words"
}
