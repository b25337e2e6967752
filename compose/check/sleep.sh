#!/usr/bin/env bash
# No test sleeps for real. Where the clock is that of testing/synctest, sleeping
# takes no time and is right; a linter cannot tell the two apart.
set -euo pipefail
cd "$(dirname "$0")/../.."
found=$(git ls-files --cached --others --exclude-standard -z '*_test.go' |
  xargs -0r grep -l 'time\.Sleep(' | xargs -r grep -L '"testing/synctest"' || true)
[ -z "$found" ] || {
  printf 'sleep: %s sleeps; wait for a condition instead\n' "$found" >&2
  exit 1
}
