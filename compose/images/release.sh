#!/usr/bin/env bash
# Makes a release of this commit in dist/release: archives of binaries, images as OCI
# layouts, lists of what they are made of (CycloneDX), and checksums.
#
#   release.sh [-base NAME=SOURCE ...] [-only NAME,NAME] [-push PREFIX]
#
#   -base   an image below that of a component, beside or in place of the official one:
#           archive:FILE (of docker save), oci:FOLDER, or a name in a registry
#   -only   these programs of listener, proxy, monitor, scaler and waggle alone
#   -push   copy the images to names with this prefix
#
# The version is that of the tag v1.2.0 on this commit; without one it is that of the last
# tag, the number of commits since, and this commit.
#
# WAGGLE_BASES=stand-in   let the images of Debian's unstable that this engine has stand in,
#                         for tests; such images are called VERSION-stand-in and go nowhere
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=compose/setup/common.sh
. "$here/../setup/common.sh"
# shellcheck source=compose/lib/engine.sh
. "$here/../lib/engine.sh"
cd "$here/../.."

described=$(git describe --tags --match 'v[0-9]*' --dirty 2>/dev/null || true)
if [ -z "$described" ]; then
  described=v0.0.0-$(git rev-list --count HEAD)-g$(git rev-parse --short HEAD)
  git diff --quiet HEAD || described+=-dirty
fi
version=${described#v}
[[ " $* " != *" -push "* ]] || [[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+(-(alpha|beta|rc)[.0-9]*)?$ ]] ||
  die "this commit is $version, and only a tag such as v1.2.0 on a clean tree is pushed"

out=dist/release
rm -rf "$out"
mkdir -p "$out"
bases=()
case ${WAGGLE_BASES:-official} in
  official) ;;
  stand-in)
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    for pair in proxy=haproxy:3.4 monitor=prometheus:v3.5.3; do
      image=waggle-local/${pair#*=}
      docker image inspect "$image" >/dev/null 2>&1 || die "there is no $image; make it: WAGGLE_BASES=stand-in make images"
      docker_within 600 save -o "$scratch/${pair%%=*}.tar" "$image"
      bases+=(-base "${pair%%=*}=archive:$scratch/${pair%%=*}.tar")
    done
    ;;
  *) die "WAGGLE_BASES is '$WAGGLE_BASES'; for a release it can be official or stand-in" ;;
esac
go run ./compose/tools/cmd/release -version "$version" -revision "$(git rev-parse HEAD)" \
  -time "$(git log -1 --format=%ct)" -out "$out" "${bases[@]}" "$@"
echo "release: $version in $out"
