# shellcheck shell=bash
# What the scripts of compose/ have in common. It is sourced, never run.

# The daemons live in the sbin folders, which are not in every user's PATH.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

# Everything that is built or fetched lies outside the tree, so that a clean
# checkout and several worktrees share it.
# shellcheck disable=SC2034 # The scripts that source this file use it.
cache=${WAGGLE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/waggle}

die() {
  printf 'waggle: error: %s\n' "$*" >&2
  exit 1
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# since prints the seconds that passed after a moment taken from EPOCHREALTIME.
since() {
  local us=$((${EPOCHREALTIME//[!0-9]/} - ${1//[!0-9]/}))
  printf '%d.%d s' $((us / 1000000)) $((us / 100000 % 10))
}

# loader prints the path of the dynamic loader inside the root $1.
loader() {
  local found
  found=$(find "$1"/lib64/ "$1"/lib/ -maxdepth 1 -name 'ld-linux*.so.*' 2>/dev/null | head -n 1)
  [ -n "$found" ] || die "no dynamic loader in $1; remove that folder and run 'make setup' again"
  printf '%s\n' "$found"
}

# library_path prints where the libraries of the root $1 lie.
library_path() {
  local folder
  folder=$(dirname "$(find "$1/usr/lib/" -maxdepth 2 -name libc.so.6 | head -n 1)")
  printf '%s\n' "$folder"
}
