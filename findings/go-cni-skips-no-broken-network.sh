#!/usr/bin/env bash
# One broken file in net.d takes the network away from every pod under containerd, and goes unnoticed there under another name.
#
# One would guess: a runtime that looks for its default network passes over a file that it cannot read, as the kubelet's own code did until
# Kubernetes 1.23 (it logged "Error loading CNI config list file" and went on), since the next file is a valid network.
# What happens: containerd's go-cni reads the files of net.d in the order of their names until it has as many networks as it wants, one for
# pods. A broken one before that ends the load with an error, and no network is there, although a valid file follows. A broken one after it
# is never read, so nothing tells of it until the first file is removed.
# Versions: github.com/containerd/go-cni v1.1.14; k8s.io/kubernetes v1.23.17 for the kubelet's code (read). Seen on 2026-11-29.
# Source: go-cni opts.go (loadFromConfDir); kubernetes pkg/kubelet/dockershim/network/cni/cni.go (getDefaultCNINetwork).
# What follows for us: nodes of a cluster of several nodes hide the network of the only node behind /dev/null, so the file that replaces it has
# a name before it: 05-pocdeploy.conflist (build/images/go/network), 10-pocdeploy.conflist.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
valid='{"cniVersion": "0.4.0", "name": "pods", "plugins": [{"type": "ptp"}]}'
mkdir before after
: > before/05-broken.conflist
echo "$valid" > before/10-pods.conflist
echo "$valid" > after/05-pods.conflist
: > after/10-broken.conflist
cat > main.go <<'GO'
package main

import (
	"fmt"
	"strings"

	gocni "github.com/containerd/go-cni"
)

func main() {
	for _, folder := range []string{"before", "after"} {
		network, err := gocni.New(gocni.WithPluginConfDir(folder), gocni.WithPluginMaxConfNum(1))
		if err != nil {
			panic(err)
		}
		said := "loaded"
		if err := network.Load(gocni.WithDefaultConf); err != nil {
			said = strings.SplitN(err.Error(), ":", 2)[0]
		}
		fmt.Printf("broken %s valid: %s; status: %v\n", folder, said, network.Status())
	}
}
GO
go mod init trial 2>/dev/null
go get github.com/containerd/go-cni@v1.1.14 2>/dev/null
go mod tidy 2>/dev/null
seen=$(go run .)
printf '%s\n' "$seen"
[ "$seen" = "broken before valid: cni config load failed; status: cni plugin not initialized
broken after valid: loaded; status: <nil>" ] || { echo CHANGED; exit 1; }
