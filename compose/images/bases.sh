#!/usr/bin/env bash
# Makes equivalents of the third-party images from the cached Debian root, for
# machines that cannot pull: the same paths, users and volumes as in the
# official images, so that our Dockerfiles fit both. Each holds the programs,
# the libraries they need, and nothing else.
#
#   bases.sh CACHE NAME:TAG ...     (as root)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=compose/setup/common.sh
. "$here/../setup/common.sh"
# shellcheck source=compose/lib/engine.sh
. "$here/../lib/engine.sh"

cache=$1
shift
[ -e "$cache/sid/.complete" ] || die "the Debian root is not there; run 'make setup' first"
root=$(readlink -f "$cache/sid")
ld=$(loader "$root")
libs=$(library_path "$root")
recipe=$(cat "$root/.complete" "$0" <(echo "$root") | sha256sum | cut -c 1-12)

# program copies a binary of the root with its libraries into the tree.
program() {
  local from=$root$1 to=$tree$2 library
  install -D -m 755 "$from" "$to"
  while read -r library; do
    [ -e "$tree${library#"$root"}" ] || install -D -m 644 "$library" "$tree${library#"$root"}"
  done < <("$ld" --library-path "$libs" --list "$from" | awk -v root="$root/" '$2 == "=>" && index($3, root) == 1 { print $3 }' | grep -v "^$ld\$")
  # The loader's path is written in every binary.
  [ -e "$tree${ld#"$root"}" ] || install -D -m 755 "$ld" "$tree${ld#"$root"}"
}

# assets copies a folder of the root as it is: Debian's programs read from disk
# what the official ones carry inside.
assets() {
  mkdir -p "$tree$1"
  cp -RL "$root$1/." "$tree$1"
}

skeleton() {
  mkdir -p "$tree"/{etc/ssl/certs,tmp,run,usr/bin,usr/sbin,usr/lib,usr/lib64,var/lib}
  for folder in bin sbin lib lib64; do ln -s "usr/$folder" "$tree/$folder"; done
  chmod 1777 "$tree/tmp"
  cp -L "$root/etc/ssl/certs/ca-certificates.crt" "$tree/etc/ssl/certs/"
  printf 'hosts: files dns\n' >"$tree/etc/nsswitch.conf"
  printf 'root:x:0:0:root:/root:/sbin/nologin\nhaproxy:x:99:99::/var/lib/haproxy:/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n' >"$tree/etc/passwd"
  printf 'root:x:0:\nhaproxy:x:99:\nnogroup:x:65534:\n' >"$tree/etc/group"
}

haproxy() {
  program /usr/sbin/haproxy /usr/local/sbin/haproxy
  install -d -o 99 -g 99 "$tree/var/lib/haproxy" "$tree/usr/local/etc/haproxy"
  changes=('USER haproxy' 'WORKDIR /var/lib/haproxy' 'CMD ["/usr/local/sbin/haproxy", "-f", "/usr/local/etc/haproxy/haproxy.cfg"]')
}

prometheus() {
  program /usr/bin/prometheus /bin/prometheus
  program /usr/bin/promtool /bin/promtool
  assets /usr/share/prometheus/web/no-ui
  install -d -o 65534 -g 65534 "$tree/prometheus" "$tree/etc/prometheus"
  printf 'global:\n  scrape_interval: 15s\n' >"$tree/etc/prometheus/prometheus.yml"
  changes=('USER nobody' 'EXPOSE 9090' 'VOLUME /prometheus' 'WORKDIR /prometheus' 'ENTRYPOINT ["/bin/prometheus"]'
    'CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]')
}

alertmanager() {
  program /usr/bin/prometheus-alertmanager /bin/alertmanager
  program /usr/bin/amtool /bin/amtool
  # The official image has a shell, which its health check in the stack file needs.
  program /usr/bin/dash /bin/sh
  program /usr/bin/sleep /bin/sleep
  assets /usr/share/prometheus/alertmanager
  install -d -o 65534 -g 65534 "$tree/alertmanager" "$tree/etc/alertmanager"
  printf 'route:\n  receiver: none\nreceivers:\n  - name: none\n' >"$tree/etc/alertmanager/alertmanager.yml"
  changes=('USER nobody' 'EXPOSE 9093' 'VOLUME /alertmanager' 'WORKDIR /alertmanager' 'ENTRYPOINT ["/bin/alertmanager"]'
    'CMD ["--config.file=/etc/alertmanager/alertmanager.yml", "--storage.path=/alertmanager"]')
}

scratch=$(mktemp -d "$cache/bases.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
for image in "$@"; do
  name=${image%%:*}
  if [ "$(docker image inspect -f '{{index .Config.Labels "waggle.recipe"}}' "waggle-local/$image" 2>/dev/null)" = "$recipe" ]; then
    continue
  fi
  tree=$scratch/$name
  skeleton
  "$name"
  options=(--change "LABEL waggle.recipe=$recipe")
  for change in "${changes[@]}"; do options+=(--change "$change"); done
  tar -C "$tree" --numeric-owner -c . | docker_within 600 import "${options[@]}" - "waggle-local/$image" >/dev/null
  rm -rf "$tree"
done
