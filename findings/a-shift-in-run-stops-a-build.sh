#!/usr/bin/env bash
# `RUN ulimit -v $(( 1 << 20 ))` builds with BuildKit 0.21 and not with 0.22, which takes the shift for a heredoc.
#
# One would guess: a heredoc of a Dockerfile is found as the shell finds it, so an arithmetic expansion or a comment holds none.
# What happens: the parser splits the line in words and looks at each one. Up to BuildKit 0.21 (Dockerfile 1.15) a blank after `<<` saved the
# shift, and `$(( 1 <<20 ))` was a heredoc already. From 0.22 (Dockerfile 1.16, "Allow whitespace in heredocs") blanks are read over, so
# `<< 20` opens one, too: "unterminated heredoc", or, with a line `20` further down, the instructions up to there are text. `<<- EOF` with
# a blank is still none. A comment behind a command counts. `# syntax=docker/dockerfile:1` brings the newer parser to an older engine.
# Versions: github.com/moby/buildkit v0.21.1, v0.22.0 and v0.34.2. Seen on 2026-11-27.
# Source: frontend/dockerfile/parser (reHeredoc), frontend/dockerfile/shell/lex.go (processPossibleHeredoc); moby/buildkit pull request 5817.
# What follows for us: xtask/src/dockerfile/parse.rs reads both forms, and what has no end opens nothing: test
# `a_heredoc_may_have_blanks_before_its_name_and_one_without_an_end_is_a_shift_or_a_comment`.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export GOFLAGS=-mod=mod GOWORK=off
cat > "$work/main.go" <<'GO'
package main

import (
	"fmt"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

func main() {
	for _, text := range []string{
		"RUN ulimit -v $((1<<20))", "RUN ulimit -v $(( 1 <<20 ))", "RUN ulimit -v $(( 1 << 20 ))", "RUN make # see <<EOF",
		"RUN cat << EOF > /f\nRUN b\nEOF", "RUN cat <<- EOF > /f\nRUN b\nEOF", "RUN ulimit -v $(( 1 << 20 ))\nRUN b\n20",
	} {
		read, err := parser.Parse(strings.NewReader("FROM a\n" + text + "\nCOPY a b\n"))
		fmt.Printf("%q: ", text)
		if err != nil {
			fmt.Println(err)
			continue
		}
		var names []string
		for _, it := range read.AST.Children[1:] {
			names = append(names, it.Value)
		}
		fmt.Println(strings.Join(names, " "))
	}
}
GO
seen() {
    mkdir "$work/$1"
    cp "$work/main.go" "$work/$1"
    (cd "$work/$1" && go mod init trial 2>/dev/null && go get "github.com/moby/buildkit/frontend/dockerfile/parser@$1" 2>/dev/null && go run .) > "$work/$1.out"
    echo "BuildKit $1"
    sed 's/^/    /' "$work/$1.out"
}
check() { diff -u - "$work/$1.out" || { echo "CHANGED: BuildKit $1"; exit 1; }; }
seen v0.21.1
check v0.21.1 <<'OUT'
"RUN ulimit -v $((1<<20))": RUN COPY
"RUN ulimit -v $(( 1 <<20 ))": unterminated heredoc
"RUN ulimit -v $(( 1 << 20 ))": RUN COPY
"RUN make # see <<EOF": unterminated heredoc
"RUN cat << EOF > /f\nRUN b\nEOF": RUN RUN EOF COPY
"RUN cat <<- EOF > /f\nRUN b\nEOF": RUN RUN EOF COPY
"RUN ulimit -v $(( 1 << 20 ))\nRUN b\n20": RUN RUN 20 COPY
OUT
for version in v0.22.0 v0.34.2; do
    seen $version
    check $version <<'OUT'
"RUN ulimit -v $((1<<20))": RUN COPY
"RUN ulimit -v $(( 1 <<20 ))": unterminated heredoc
"RUN ulimit -v $(( 1 << 20 ))": unterminated heredoc
"RUN make # see <<EOF": unterminated heredoc
"RUN cat << EOF > /f\nRUN b\nEOF": RUN COPY
"RUN cat <<- EOF > /f\nRUN b\nEOF": RUN RUN EOF COPY
"RUN ulimit -v $(( 1 << 20 ))\nRUN b\n20": RUN COPY
OUT
done
