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

# in_root runs a command inside the root $1.
in_root() { LC_ALL=C DEBIAN_FRONTEND=noninteractive chroot "$@"; }

# base makes the smallest root $2 of Debian's line $1, in which packages can be installed.
base() {
  # What a crash leaves half done is made anew, so dpkg need not wait for the disk; slim does.
  mkdir -p "$2/etc/dpkg/dpkg.cfg.d"
  echo force-unsafe-io >"$2/etc/dpkg/dpkg.cfg.d/unsafe-io"
  # No mirror is named: the default of debootstrap is right everywhere.
  debootstrap --variant=minbase --include=ca-certificates "$1" "$2"
  # Packages must not start their services while they are installed.
  printf '#!/bin/sh\nexit 101\n' >"$2/usr/sbin/policy-rc.d"
  chmod 755 "$2/usr/sbin/policy-rc.d"
  mount -t proc proc "$2/proc"
}

# slim ends what base began in the root $1, and removes what no program reads.
slim() {
  find "$1/usr/share" -mindepth 1 -maxdepth 1 \( -name doc -o -name man -o -name locale -o -name info \
    -o -name lintian -o -name bash-completion \) -exec rm -rf {} +
  umount "$1/proc"
  find "$1/var/lib/apt/lists" "$1/var/cache/apt" "$1/var/log" -type f -delete
  sync -f "$1"
}

# wrap makes wrappers in the folder $2 for the programs NAME:PATH of the root $1. They run
# with the root's own libraries, and are given their own absolute path as argv[0], because
# the HAProxy master executes argv[0] again when it reloads, and must find the wrapper there.
wrap() {
  local root=$1 bin=$2 tool name path ld libs
  shift 2
  ld=$(loader "$root")
  libs=$(library_path "$root")
  mkdir -p "$bin"
  for tool in "$@"; do
    name=${tool%%:*} path=${tool#*:}
    {
      printf '#!/bin/sh\n'
      printf "exec '%s' --argv0 '%s' --library-path '%s' '%s' \"\$@\"\n" "$ld" "$bin/$name" "$libs" "$root$path"
    } >"$bin/.$name.new"
    chmod 755 "$bin/.$name.new"
    mv "$bin/.$name.new" "$bin/$name"
  done
}
