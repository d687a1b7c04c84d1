#!/usr/bin/env bash
# cert-manager's command cannot be had as a Go module, and its controllers can.
#
# One would guess: what a repository has at a tag is in its module, so that `go install …/cmd/controller@v1.21.2` builds the controller, as
# for most programs of Kubernetes. That is how programs are had where module proxies answer and image registries do not.
# What happens: cmd/controller is a module of its own, with a path of another name (…/controller-binary) and no tags, so that neither
# module has the package: the main one leaves it out, and the other has no version. All controllers are packages of the main module, which
# register themselves when they are imported; a main function of sixty lines runs the ones that it imports. Without those of ACME, none of
# the SDKs of DNS providers are linked.
# Version: github.com/cert-manager/cert-manager v1.21.2. Seen on 2026-11-29.
# Source: cmd/controller/go.mod at that tag; pkg/controller/register.go.
# What follows for us: the test of clusters that have cert-manager brings such a main function (tests/e2e/cert-manager).
set -euo pipefail
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work"
export GOFLAGS=-modcacherw GOBIN="$work/bin"
module=github.com/cert-manager/cert-manager
said=$(go install "$module/cmd/controller@v1.21.2" 2>&1 || true)
printf '%s\n' "$said" | tail -1
folder=$(go mod download -json "$module@v1.21.2" | python3 -c 'import json, sys; print(json.load(sys.stdin)["Dir"])')
commands=$(find "$folder" -path "$folder/cmd/*" -name '*.go' | wc -l)
registered=$(find "$folder/pkg/controller" -name '*.go' ! -name '*_test.go' -exec grep -lE '(controllerpkg|controller)\.Register\(' {} + | wc -l)
echo "Go files below cmd: $commands; packages that register controllers: $registered"
case "$said" in
    *"found, but does not contain package $module/cmd/controller"*) ;;
    *) echo CHANGED; exit 1 ;;
esac
[ "$commands" = 0 ] && [ "$registered" -ge 15 ] || { echo CHANGED; exit 1; }
