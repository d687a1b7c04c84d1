//go:build tools

// Package tools names the program, so that `go mod tidy` keeps its module. It is
// never compiled. Versions of its libraries are those of its own go.mod and
// package-lock.json: the program is built in a copy of its source, since its page
// is made by npm before it is compiled in.
package tools

import _ "github.com/axllent/mailpit"
