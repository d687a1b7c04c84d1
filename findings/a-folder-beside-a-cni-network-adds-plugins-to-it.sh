#!/usr/bin/env bash
# A folder that has the name of a CNI network adds plugins to the network, which the network's own bytes do not show.
#
# One would guess: a *.conflist is all of a network, as CNI always had it, and what is in subfolders of net.d is not looked at (so a folder
# is a safe place for a configuration that is put aside).
# What happens: libcni 1.3 appends the *.conf files of net.d/NAME to the plugins of the network NAME, also where the list says
# cniVersion 0.4.0, which knows no such thing; `loadOnlyInlinedPlugins` is false unless the list says otherwise. It is the network's name
# that counts, not the file's. Read from the same bytes instead of from the file (ConfListFromBytes) the network has its own plugins
# only; and `Bytes` of the loaded list, which runtimes log and store, does not name the added one.
# Versions: github.com/containernetworking/cni v1.3.1 and v1.2.3. Seen on 2026-11-27.
# Source: SPEC.md 1.1.0 (loadOnlyInlinedPlugins); libcni/conf.go (ConfListFromFile).
# What follows for us: the node images have one list and no folder beside it (build/images/node/paths.toml, 10-pocdeploy.conflist).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir -p net.d/pods
cat > net.d/10-main.conflist <<'JSON'
{"cniVersion": "0.4.0", "name": "pods", "plugins": [{"type": "ptp"}, {"type": "portmap"}]}
JSON
echo '{"type": "tuning"}' > net.d/pods/aside.conf
cat > main.go <<'GO'
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/containernetworking/cni/libcni"
)

func show(how string, list *libcni.NetworkConfigList, err error) {
	if err != nil {
		panic(err)
	}
	var plugins []string
	for _, it := range list.Plugins {
		plugins = append(plugins, it.Network.Type)
	}
	fmt.Printf("%s: %s; its bytes name tuning: %v\n", how, strings.Join(plugins, " "), strings.Contains(string(list.Bytes), "tuning"))
}

func main() {
	list, err := libcni.LoadConfList("net.d", "pods")
	show("by the name", list, err)
	list, err = libcni.ConfListFromFile("net.d/10-main.conflist")
	show("from the file", list, err)
	text, _ := os.ReadFile("net.d/10-main.conflist")
	list, err = libcni.ConfListFromBytes(text)
	show("from the file's bytes", list, err)
}
GO
check() {
    rm -f go.mod go.sum
    go mod init trial 2>/dev/null
    go get "github.com/containernetworking/cni/libcni@$1" 2>/dev/null
    echo "libcni $1"
    seen=$(go run .)
    printf '%s\n' "$seen" | sed 's/^/    /'
    [ "$seen" = "by the name: $2
from the file: $2
from the file's bytes: ptp portmap; its bytes name tuning: false" ] || { echo CHANGED; exit 1; }
}
check v1.2.3 "ptp portmap; its bytes name tuning: false"
check v1.3.1 "ptp portmap tuning; its bytes name tuning: false"
