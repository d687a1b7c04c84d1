#!/usr/bin/env bash
# Docker's library for .dockerignore has two matchers, "the functionality is the same", that disagree on the same file.
#
# One would guess: MatchesOrParentMatches(path) and MatchesUsingParentResults(path, what matched the parents) give one answer, since the
# second is documented as an optimization of the first; so a tool may take the simpler one.
# What happens: with the patterns `*/a` and `!b`, the first says that b/a belongs to the context (its folder is excepted), the second that
# it is excluded: an exception is not looked at for a folder that nothing has excluded, and what was not looked at counts as "does not
# match" for everything below. BuildKit's client and the classic client walk with the second; fsutil's Open asks the first.
# Versions: github.com/moby/patternmatcher v0.6.1 (patternmatcher.go), github.com/tonistiigi/fsutil v0.0.0-20261103091533-a72de9dcf763
# (filter.go: Walk and Open). Seen on 2026-11-27.
# What follows for us: the walk of dockerfile/ignore.rs carries the parents' results along; tests/fixtures/dockerignore holds its answers
# beside fsutil's.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat > go.mod <<'MOD'
module trial

go 1.21
MOD
cat > main.go <<'GO'
package main

import (
	"fmt"
	"os"

	"github.com/moby/patternmatcher"
)

func main() {
	patterns, err := patternmatcher.New([]string{"*/a", "!b"})
	if err != nil {
		panic(err)
	}
	simple, _ := patterns.MatchesOrParentMatches("b/a")
	_, folder, _ := patterns.MatchesUsingParentResults("b", patternmatcher.MatchInfo{})
	walked, _, _ := patterns.MatchesUsingParentResults("b/a", folder)
	fmt.Printf("patterns `*/a`, `!b`; is b/a excluded? MatchesOrParentMatches: %v, MatchesUsingParentResults: %v\n", simple, walked)
	if simple || !walked {
		os.Exit(1)
	}
}
GO
go get github.com/moby/patternmatcher@v0.6.1 >/dev/null 2>&1
go list -m github.com/moby/patternmatcher
go run . || { echo "the two agree now: dockerfile/ignore.rs may follow the simpler one"; exit 1; }
