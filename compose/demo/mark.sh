# shellcheck shell=bash
# How the demo knows its own. It is sourced, never run, and needs compose/lib/engine.sh.

# mark is the label of all that the demo makes; compose/demo.yml has it too.
# shellcheck disable=SC2034 # The scripts that source this file use it.
mark=waggle.demo=true

# prefix is that of the names under which the demo deploys the images of this machine:
# no registry answers to it, so nobody can put other images in their place.
# shellcheck disable=SC2034 # The scripts that source this file use it.
prefix=waggle.invalid

# unmarked prints the services of the stack waggle that the demo has not deployed.
unmarked() {
  docker service ls --filter label=com.docker.stack.namespace=waggle --format '{{.Name}}' |
    grep -vxF -e '' -e "$(docker service ls --filter "label=$mark" --format '{{.Name}}')" | tr '\n' ' ' || true
}
