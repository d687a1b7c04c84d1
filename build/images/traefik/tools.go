//go:build tools

// Package tools names the program and the objects of the Gateway API, so that
// `go mod tidy` keeps their modules. It is never compiled.
package tools

import (
	_ "github.com/traefik/traefik/v3/cmd/traefik"
	_ "sigs.k8s.io/gateway-api/apis/v1"
)
