#!/usr/bin/env bash
# Runs a command and says how long it took.
#
#   timed.sh NAME COMMAND ...
#
# WAGGLE_TIMES  a file that collects the lines
set -euo pipefail
# shellcheck source=compose/setup/common.sh
. "$(dirname "$0")/../setup/common.sh"
name=$1
shift
start=$EPOCHREALTIME result=ok status=0
"$@" || { status=$? result=FAILED; }
printf '%-14s %-6s %s\n' "$name" "$result" "$(since "$start")" | tee -a "${WAGGLE_TIMES:-/dev/null}"
exit "$status"
