#!/usr/bin/env bash
# A strategic merge patch with `$patch: replace` inside a list's element loses that element and all others of the list.
#
# One would guess: as `$patch: delete` beside a name deletes the element of that name, `$patch: replace` beside a name replaces it.
# What happens: the directive is about the whole list wherever it stands. The list becomes the patch's elements without a directive; the
# one that carries it is dropped, with what it says. A patch of one container thus leaves a pod without containers, and no error says so.
# `$patch: delete` beside a name, in the same list, is about that element alone.
# Versions: k8s.io/apimachinery@v0.36.0 and k8s.io/api@v0.36.0 (kubectl patch and kustomize's built-in kinds go through it). Seen on 2026-11-27.
# Source: `mergeSliceWithSpecialElements` of k8s.io/apimachinery/pkg/util/strategicpatch/patch.go.
# What follows for us: such an element is an error that says where to write the directive: `elements` of xtask/src/deploy/merge.rs.
set -euo pipefail
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work"
cat > go.mod <<'MOD'
module finding

go 1.26.0

require (
	k8s.io/api v0.36.0
	k8s.io/apimachinery v0.36.0
)
MOD
cat > main.go <<'GO'
package main

import (
	"fmt"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

const pod = `{"spec": {"containers": [{"name": "web", "image": "one"}, {"name": "log", "image": "two"}]}}`

func main() {
	for _, element := range []string{
		`{"name": "web", "$patch": "delete"}`,
		`{"name": "web", "$patch": "replace", "image": "new"}`,
		`{"$patch": "replace"}, {"name": "web", "image": "new"}`,
	} {
		patch := `{"spec": {"containers": [` + element + `]}}`
		out, err := strategicpatch.StrategicMergePatch([]byte(pod), []byte(patch), core.Pod{})
		fmt.Println(element, "->", string(out), err)
	}
}
GO
go mod tidy > said 2>&1 || { cat said; exit 1; }
go run . | tee out
grep -qF '"delete"} -> {"spec":{"containers":[{"image":"two","name":"log"}]}} <nil>' out
grep -qF '"image": "new"} -> {"spec":{"containers":[]}} <nil>' out || { echo "CHANGED: the element is kept"; exit 1; }
grep -qF '"replace"}, {"name": "web", "image": "new"} -> {"spec":{"containers":[{"image":"new","name":"web"}]}} <nil>' out
