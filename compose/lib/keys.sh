# shellcheck shell=bash
# The secrets by which the components know each other on the bus. Docker changes no
# secret, so a new key is a secret of another name; which one is in use is what the
# deployed services say, and so stays until compose/rotate changes it. It is sourced,
# never run, and needs engine.sh.
#
# For each component, NATS_X standing for WAGGLE_NATS_PROXY and the like:
#
#   NATS_X_SECRET     the secret that the component has
#   NATS_X_ACCEPTED   the one of it that the listener has
#   NATS_X_OTHER      a further one that the listener accepts, while one is replaced
key_components=(listener proxy monitor scaler)

# key_mounted prints the secret that a deployed service has as a file of that name.
key_mounted() {
  docker_or_die "no such service|not found|not a swarm manager" service inspect "waggle_$1" --format '{{range .Spec.TaskTemplate.ContainerSpec.Secrets}}{{.File.Name}} {{.SecretName}}{{"\n"}}{{end}}' |
    awk -v file="$2" '$1 == file { print $2 }'
}

# key_made prints the secrets of a component that there are, the oldest first.
key_made() {
  docker_or_die "not a swarm manager" secret ls --filter "name=waggle_nats_$1" --format '{{.Name}}' |
    { grep -xE "waggle_nats_$1(_[0-9]{14})?" || true; } | LC_ALL=C sort
}

# key_next prints the secret that was made to take the place of the one that the
# component has, if there is one.
key_next() {
  local own=WAGGLE_NATS_${1^^}_SECRET
  key_made "$1" | LC_ALL=C awk -v own="${!own}" '$0 "" > own "" { newest = $0 } END { print newest }'
}

# The tokens of those who take some over HTTP: TOKEN_X_SECRET is the one that a component
# has, and TOKEN_X_OTHER one that it accepts as well, the same unless one is replaced.
# shellcheck disable=SC2034 # compose/init reads it.
token_variables=(WAGGLE_TOKEN_PROXY_SECRET WAGGLE_TOKEN_PROXY_OTHER WAGGLE_TOKEN_SCALER_SECRET WAGGLE_TOKEN_SCALER_OTHER)

# token_names sets them, unless they are set. The token that both had in former versions is
# accepted as long as it is there.
token_names() {
  local component own other
  for component in proxy scaler; do
    own=WAGGLE_TOKEN_${component^^}_SECRET other=WAGGLE_TOKEN_${component^^}_OTHER
    [ -n "${!own:-}" ] || export "$own=$(key_mounted "$component" token)"
    [ -n "${!own}" ] || export "$own=waggle_token_$component"
    [ -n "${!other:-}" ] || export "$other=$(key_mounted "$component" token_other)"
    [ -n "${!other}" ] || ! docker secret inspect waggle_token >/dev/null 2>&1 || export "$other=waggle_token"
    [ -n "${!other}" ] || export "$other=${!own}"
  done
}

# The secret that seals uploaded certificates, and one that opens them too, the same unless
# one is replaced.
# shellcheck disable=SC2034 # compose/init reads it.
seal_variables=(WAGGLE_SEAL_KEY_SECRET WAGGLE_SEAL_KEY_OTHER)

# seal_names sets them, unless they are set.
seal_names() {
  [ -n "${WAGGLE_SEAL_KEY_SECRET:-}" ] || WAGGLE_SEAL_KEY_SECRET=$(key_mounted proxy seal_key)
  export WAGGLE_SEAL_KEY_SECRET=${WAGGLE_SEAL_KEY_SECRET:-waggle_seal_key}
  [ -n "${WAGGLE_SEAL_KEY_OTHER:-}" ] || WAGGLE_SEAL_KEY_OTHER=$(key_mounted proxy seal_key_other)
  export WAGGLE_SEAL_KEY_OTHER=${WAGGLE_SEAL_KEY_OTHER:-$WAGGLE_SEAL_KEY_SECRET}
}

# alert_password_names sets the name of the secret with the password that Alertmanager asks
# for, unless it is set, and that of the secret with the hash by which it knows it.
alert_password_names() {
  local deployed
  deployed=$(key_mounted monitor alertmanager_password)
  export WAGGLE_ALERT_PASSWORD_SECRET=${WAGGLE_ALERT_PASSWORD_SECRET:-${deployed:-waggle_alert_password}}
  export WAGGLE_ALERT_WEB_SECRET=${WAGGLE_ALERT_PASSWORD_SECRET}_web
}

# key_names sets the three variables of each component, unless they are set.
key_names() {
  local component prefix own accepted other
  for component in "${key_components[@]}"; do
    prefix=WAGGLE_NATS_${component^^}
    own=${prefix}_SECRET accepted=${prefix}_ACCEPTED other=${prefix}_OTHER
    [ -n "${!own:-}" ] || export "$own=$(key_mounted "$component" "nats_$component")"
    # Without services, as after a docker stack rm, the oldest: a new one may not be
    # known yet to servers of the user's.
    [ -n "${!own}" ] || export "$own=$(key_made "$component" | head -n 1)"
    [ -n "${!own}" ] || export "$own=waggle_nats_$component"
    [ -n "${!accepted:-}" ] || export "$accepted=$(key_mounted listener "nats_$component")"
    [ -n "${!accepted}" ] || export "$accepted=${!own}"
    [ -n "${!other+set}" ] || export "$other=$(key_mounted listener "nats_${component}_other")"
  done
}
