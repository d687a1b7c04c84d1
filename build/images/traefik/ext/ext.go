// Package ext is where a vendor's build of Traefik adds keys to its configuration.
// Upstream's own is a module inside the main one, which Go's proxy does not serve.
// This one adds no keys either.
package ext

// HTTP has no further keys.
type HTTP struct{}

// Router has no further keys.
type Router struct{}
