//go:build tools

// Package tools names the program, so that `go mod tidy` keeps its module. It is
// never compiled: the program itself is built by its import path.
package tools

import _ "sigs.k8s.io/kube-network-policies/cmd/kube-network-policies/standard"
