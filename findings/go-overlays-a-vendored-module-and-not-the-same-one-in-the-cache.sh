#!/usr/bin/env bash
# `go build -overlay` replaces a file of a module in vendor/, and refuses the same file in the module cache.
#
# One would guess: the overlay's JSON names any file that the compiler would read, as `go help build` says ("as if the disk file path … exists
# with the contents given by the backing file paths"), so one file of a dependency can be changed for a build without a copy of the module.
# What happens: the command ends before it compiles anything, with "Files beneath GOMODCACHE … must not be replaced". After `go mod vendor`
# the same overlay of the same module's file is taken.
# Versions: Go 1.26.8; the module is golang.org/x/mod v0.38.0. Seen on 2026-11-29.
# What follows for us: a recipe that changes a file of a Go module builds from a copy of that module, which `-modfile` puts in its place
# (xtask/src/images/packages/changed.rs); vendoring would copy hundreds of modules for one file.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export GOFLAGS="-mod=mod -modcacherw" GOMODCACHE="$work/cache" GOWORK=off
go version | cut -d' ' -f3
cat > go.mod <<'GO'
module example.com/overlay

go 1.25.0
GO
cat > main.go <<'GO'
package main

import (
	"fmt"

	"golang.org/x/mod/semver"
)

func main() { fmt.Println(semver.IsValid("not a version")) }
GO
go get golang.org/x/mod@v0.38.0 > said 2>&1 || { cat said; exit 1; }
echo "as it is: $(go run .)"
file=$(go list -m -f '{{.Dir}}' golang.org/x/mod)/semver/semver.go
sed 's/^func IsValid(v string) bool {/&\n\treturn true/' "$file" > changed.go.txt
cmp -s "$file" changed.go.txt && { echo "CHANGED: the function has another form"; exit 1; }
echo "{\"Replace\": {\"$file\": \"$work/changed.go.txt\"}}" > cache.json
if go build -o program -overlay cache.json . > said 2>&1; then
    echo "CHANGED: a file in the module cache is replaced, the program says $(./program)"
    exit 1
fi
echo "in the module cache: $(sed "s#$work#…#g" said)"
grep -q 'beneath GOMODCACHE' said
go mod vendor
echo "{\"Replace\": {\"$work/vendor/golang.org/x/mod/semver/semver.go\": \"$work/changed.go.txt\"}}" > vendor.json
go build -o program -mod=vendor -overlay vendor.json .
echo "in vendor/: $(./program)"
test "$(./program)" = true
