//go:build tools

// Package tools names OpenTofu's program, so that it is built as a dependency: its go.mod has a `replace` line, which only a main module may
// have. The same line is in go.mod here.
package tools

import _ "github.com/opentofu/opentofu/cmd/tofu"
