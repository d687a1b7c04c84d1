#!/usr/bin/env bash
# In a manifest, `{replicas: 9, <<: *base}` has the replicas of the base under kubectl, and 9 under every other YAML reader.
#
# One would guess: a merge key only adds what is not there ("each of its key/value pairs is inserted into the current mapping, unless the
# key already exists in it", yaml.org/type/merge.html), wherever it stands.
# What happens: kubectl's decoder inserts as it goes. A merge key takes the place of every key that stands before it; keys behind it win.
# Nothing is said. The same decoder reads 08 as the number 8 and 010 as 8 too, the key `y` as `true` (so that `{x: 1, y: 2}` under an
# anchor becomes {"true": 2, "x": 1}), 1e400 as text, and drops what follows a `...` line without a `---` line.
# Versions: k8s.io/apimachinery v0.36.0 with sigs.k8s.io/yaml v1.6.0 and go.yaml.in/yaml/v2 v2.4.3, which kubectl 1.36 is made of;
# for comparison PyYAML 6.0.3 and go.yaml.in/yaml/v3 v3.0.4. Seen on 2026-11-27.
# Source: decode.go (`mappingMap`, `merge`) and resolve.go of go.yaml.in/yaml/v2, YAMLReader.Read of k8s.io/apimachinery/pkg/util/yaml.
# What follows for us: xtask/src/deploy/yaml.rs reads the same, and refuses what would be dropped; tests/fixtures/kubectl_yaml holds it.
set -eu
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work"
cat > main.go <<'GO'
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	yaml3 "go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/util/yaml"
)

func main() {
	merge := "base: &b {replicas: 1}\nspec: {replicas: 9, <<: *b}\n"
	for _, text := range []string{merge, "a: [08, 010, 1e400]\n", "p: {x: 1, y: 2}\n", "a: 1\n...\nb: 2\n"} {
		d := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096)
		for {
			var v json.RawMessage
			if err := d.Decode(&v); err == io.EOF {
				break
			} else if err != nil {
				panic(err)
			}
			fmt.Println("kubectl", string(v))
		}
	}
	var v map[string]any
	if err := yaml3.Unmarshal([]byte(merge), &v); err != nil {
		panic(err)
	}
	out, _ := json.Marshal(v)
	fmt.Println("yaml.v3", string(out))
}
GO
cat > go.mod <<'MOD'
module finding
go 1.24
require (
	go.yaml.in/yaml/v2 v2.4.3
	go.yaml.in/yaml/v3 v3.0.4
	k8s.io/apimachinery v0.36.0
	sigs.k8s.io/yaml v1.6.0
)
MOD
GOFLAGS=-mod=mod go run . 2> log > said || { cat log; exit 1; }
python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --target "$work/packages" PyYAML==6.0.3
PYTHONPATH=$work/packages python3 -c '
import json, yaml
print("PyYAML ", json.dumps(yaml.safe_load("base: &b {replicas: 1}\nspec: {replicas: 9, <<: *b}\n"), separators=(",", ":")))' >> said
echo "k8s.io/apimachinery v0.36.0, go.yaml.in/yaml/v2 v2.4.3 and v3 v3.0.4, PyYAML 6.0.3"
sed 's/^/    /' said
cat > expected <<'SAID'
kubectl {"base":{"replicas":1},"spec":{"replicas":1}}
kubectl {"a":[8,8,"1e400"]}
kubectl {"p":{"true":2,"x":1}}
kubectl {"a":1}
yaml.v3 {"base":{"replicas":1},"spec":{"replicas":9}}
PyYAML  {"base":{"replicas":1},"spec":{"replicas":9}}
SAID
cmp said expected || { echo "CHANGED: one of these reads otherwise"; exit 1; }
