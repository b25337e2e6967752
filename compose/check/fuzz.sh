#!/usr/bin/env bash
# Runs every fuzz test of the repository for a while, one after the other, and fails at
# the end if one of them failed.
#
#   fuzz.sh DURATION
set -euo pipefail
cd "$(dirname "$0")/../.."
found=0
failed=()
while IFS=: read -r file name; do
  found=1
  echo "fuzz: $name in $(dirname "$file") for $1"
  go test -run '^$' -fuzz "^$name\$" -fuzztime "$1" "./$(dirname "$file")" || failed+=("$name in $(dirname "$file")")
done < <(git ls-files --cached --others --exclude-standard -z '*_test.go' | xargs -0r grep -HoE '^func Fuzz[A-Za-z0-9_]*' | sed 's/:func /:/')
[ "$found" = 1 ] || echo "fuzz: there are no fuzz tests"
for name in "${failed[@]}"; do
  echo "fuzz: $name failed" >&2
done
[ "${#failed[@]}" = 0 ]
