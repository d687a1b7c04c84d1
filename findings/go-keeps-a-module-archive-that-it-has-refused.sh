#!/usr/bin/env bash
# Go keeps the archive of a module that it has just refused, under a temporary name, and never removes it.
#
# One would guess: an archive whose hash is not that of go.sum is removed, or is in no file before it has been checked.
# What happens: `go mod download` ends with 1 and "checksum mismatch", and the whole refused archive stays in cache/download/…/@v/, as "v1.0.0.zip",
#   a number and ".tmp", until Go next downloads this version.
# Versions: Go 1.26.8. Seen on 2026-11-30.
# Source: Go 1.26.8, cmd/go/internal/modfetch/fetch.go: the function that downloads defers the removal of its file, and a mismatch ends the whole
#   process before (base.Fatalf in haveModSumLocked), so that nothing deferred runs.
# What follows for us: such a file is removed under Go's own lock of the version (xtask/src/images/packages/verified.rs, keeping_nothing).
set -euo pipefail
dir=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
export GOTOOLCHAIN=go1.26.8 GOFLAGS=-mod=mod GOWORK=off
go version
mkdir -p proxy/own.example/tiny/@v app
cat > make.py <<'PYTHON'
import sys, zipfile
with zipfile.ZipFile("proxy/own.example/tiny/@v/v1.0.0.zip", "w") as archive:
    archive.writestr("own.example/tiny@v1.0.0/go.mod", "module own.example/tiny\n")
    archive.writestr("own.example/tiny@v1.0.0/tiny.go", f"package tiny // {sys.argv[1]}\n")
PYTHON
echo '{"Version": "v1.0.0"}' > proxy/own.example/tiny/@v/v1.0.0.info
echo 'module own.example/tiny' > proxy/own.example/tiny/@v/v1.0.0.mod
printf 'module app\nrequire own.example/tiny v1.0.0\n' > app/go.mod
# From here on, the toolchain is there: every module comes from the folder.
go env GOROOT > /dev/null
export GOPROXY="file://$dir/proxy" GONOSUMDB='*' GOMODCACHE="$dir/first"
python3 make.py right
(cd app && go mod download -x own.example/tiny 2> /dev/null)
python3 make.py other
export GOMODCACHE="$dir/second"
(cd app && go mod download own.example/tiny) > said 2>&1 && { echo "CHANGED: Go takes other bytes"; exit 1; }
grep -q "checksum mismatch" said || { cat said; echo "CHANGED: another reason"; exit 1; }
kept() { find second/cache/download/own.example -name 'v1.0.0.zip*.tmp'; }
(cd app && go mod verify) > /dev/null 2>&1 || true
[ "$(kept | wc -l)" = 1 ] || { echo "CHANGED: $(kept | wc -l) files are left"; exit 1; }
cmp "$(kept)" proxy/own.example/tiny/@v/v1.0.0.zip
echo "refused, and kept: $(basename "$(kept)" | tr -d 0-9)"
python3 make.py right
(cd app && go mod download own.example/tiny)
[ "$(kept | wc -l)" = 0 ] || { echo "CHANGED: it stays after the right archive came"; exit 1; }
echo "as found: it goes when the right archive comes"
