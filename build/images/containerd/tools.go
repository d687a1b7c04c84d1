//go:build tools

// Package tools names the programs of containerd that a node runs, so that
// `go mod tidy` keeps their modules. It is never compiled. They have a module
// of their own because their libraries and those of Kubernetes do not agree.
package tools

import (
	_ "github.com/containerd/containerd/v2/cmd/containerd"
	_ "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2"
	_ "github.com/containerd/containerd/v2/cmd/ctr"
)
