//go:build tools

// Package tools names the upstream programs that are built by their import
// paths, so that `go mod tidy` keeps their modules. It is never compiled.
package tools

import (
	_ "github.com/cloudnative-pg/cloudnative-pg/cmd/manager"
	_ "go.etcd.io/etcd/server/v3"
	_ "sigs.k8s.io/kind"
)
