#!/usr/bin/env bash
# Checks that each module stands on its own: the workspace hides a missing
# requirement and lifts versions.
set -euo pipefail
cd "$(dirname "$0")/../.."
mapfile -t modules < <(go list -m -f '{{.Dir}}')
status=0

for module in "${modules[@]}"; do
  name=${module#"$PWD/"}
  # A module with one command would leave its program behind.
  (cd "$module" && GOWORK=off go build -o /dev/null ./...) || {
    echo "modules: $name does not build without the workspace" >&2
    status=1
  }
  (cd "$module" && GOWORK=off go mod tidy -diff) || {
    echo "modules: $name is not tidy; run 'GOWORK=off go mod tidy' in it" >&2
    status=1
  }
done

# 'go work sync' knows no dry run, so what it changes is put back.
saved=$(mktemp -d)
trap 'rm -rf "$saved"' EXIT
sync=()
for file in go.work go.work.sum "${modules[@]/%//go.mod}" "${modules[@]/%//go.sum}"; do
  file=${file#"$PWD/"}
  sync+=("$file")
  [ ! -e "$file" ] || install -D -p -m 644 "$file" "$saved/$file"
done
go work sync
for file in "${sync[@]}"; do
  # go.work.sum and go.sum may be absent on either side.
  [ -e "$file" ] || [ -e "$saved/$file" ] || continue
  if ! cmp -s "$file" "$saved/$file"; then
    echo "modules: 'go work sync' would change $file; run it and commit the result" >&2
    status=1
    if [ -e "$saved/$file" ]; then cp -p "$saved/$file" "$file"; else rm "$file"; fi
  fi
done
exit "$status"
