#!/usr/bin/env bash
# Runs every fuzz test of the repository for a while, one after the other.
#
#   fuzz.sh DURATION
set -euo pipefail
cd "$(dirname "$0")/../.."
found=0
while IFS=: read -r file name; do
  found=1
  echo "fuzz: $name in $(dirname "$file") for $1"
  go test -run '^$' -fuzz "^$name\$" -fuzztime "$1" "./$(dirname "$file")"
done < <(git ls-files --cached --others --exclude-standard -z '*_test.go' | xargs -0r grep -HoE '^func Fuzz[A-Za-z0-9_]*' | sed 's/:func /:/')
[ "$found" = 1 ] || echo "fuzz: there are no fuzz tests"
