#!/usr/bin/env bash
# Builds the cached Debian root from which HAProxy, Prometheus and Alertmanager
# come, and the wrappers that run them on this host.
#
#   sidroot.sh CACHE     (as root)
#
# Debian's unstable line is the one distribution that carries all of them in
# the versions we support, with HAProxy 3.4 in experimental.
set -euo pipefail
# shellcheck source=compose/setup/common.sh
. "$(dirname "$0")/common.sh"

cache=$1

# Mounts that debootstrap makes must die with this script, whatever happens.
if [ "${2:-}" != inside ]; then
  exec unshare --mount --propagation private "$0" "$cache" inside
fi

# The name contains the hash of this recipe, so that a change of it makes a new
# root, while programs of the old one go on running undisturbed.
version=$(sha256sum "$0" | cut -c 1-12)
root=$cache/sid-$version

tools=(
  haproxy:/usr/sbin/haproxy
  prometheus:/usr/bin/prometheus
  promtool:/usr/bin/promtool
  alertmanager:/usr/bin/prometheus-alertmanager
  amtool:/usr/bin/amtool
)

build() {
  base sid "$new"
  sed 's/ sid / experimental /' "$new/etc/apt/sources.list" >"$new/etc/apt/sources.list.d/experimental.list"
  # The index of unstable counts as expired on a machine whose clock is ahead.
  in_root "$new" apt-get -o Acquire::Check-Valid-Until=false -o Acquire::Retries=3 update
  in_root "$new" apt-get -o Acquire::Retries=3 install -y --no-install-recommends -t experimental haproxy
  in_root "$new" apt-get -o Acquire::Retries=3 install -y --no-install-recommends prometheus prometheus-alertmanager
  slim "$new"
}

if [ ! -e "$root/.complete" ]; then
  rm -rf "$cache"/sid-*.new
  new=$root.new
  mkdir -p "$new"
  build
  for tool in "${tools[@]}"; do
    [ -x "$new${tool#*:}" ] || die "the Debian packages did not bring ${tool#*:}; the recipe in $0 needs a look"
  done
  touch "$new/.complete"
  rm -rf "$root"
  mv "$new" "$root"
fi

if [ "$(readlink "$cache/sid" || true)" != "$root" ] || [ ! -x "$cache/bin/amtool" ]; then
  wrap "$root" "$cache/bin" "${tools[@]}"
  ln -sfn "$root" "$cache/.sid.new"
  mv -T "$cache/.sid.new" "$cache/sid"
fi

for old in "$cache"/sid-*; do
  [ "$old" = "$root" ] || rm -rf "$old"
done

# Debian's Alertmanager reads its default templates from a fixed path, also when
# it runs outside the root.
templates=/usr/share/prometheus/alertmanager
for name in default.tmpl email.tmpl; do
  [ -e "$templates/$name" ] || install -D -m 644 "$root$templates/$name" "$templates/$name"
done

# Running each proves that the wrappers and the libraries fit. The lines are read
# to the end, so that no program dies of a closed pipe.
"$cache/bin/haproxy" -v | sed -n 1p
"$cache/bin/prometheus" --version 2>&1 | sed -n 1p
"$cache/bin/alertmanager" --version 2>&1 | sed -n 1p
