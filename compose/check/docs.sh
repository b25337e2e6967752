#!/usr/bin/env bash
# Checks that the generated pages are what the code would generate now, and that all
# pages name what is there.
set -euo pipefail
cd "$(dirname "$0")/../.."
pages=(docs/labels.md docs/metrics.md docs/settings.md docs/flow.svg docs/waggle.1 listener/internal/known/labels.txt compose/grafana.yml compose/grafana/{cluster,service,proxy,scaling,waggle}.json docs/schema/v2/{service,node,tasks,list,event,status,instance,decision}.schema.json)
saved=$(mktemp -d)
trap 'rm -rf "$saved"' EXIT
for page in "${pages[@]}"; do
  [ -e "$page" ] || {
    echo "docs: $page is missing; 'make docs' makes it" >&2
    exit 1
  }
  cp -p "$page" "$saved/$(basename "$page")"
done
go run ./compose/tools/cmd/gendocs
status=0
for page in "${pages[@]}"; do
  if ! cmp -s "$page" "$saved/$(basename "$page")"; then
    diff -u "$saved/$(basename "$page")" "$page" | head -n 20 >&2 || true
    echo "docs: $page was out of date and has just been written anew; commit it" >&2
    status=1
  fi
done
# Go takes a former result for good when only files of other modules have changed.
go test -count=1 ./compose/tools/docs || status=1
exit "$status"
