#!/usr/bin/env bash
# No octal spelling of `defaultMode` means the same to kubectl's YAML library and to the official JavaScript and Python clients.
#
# One would guess: the official clients read a manifest as kubectl does, or at least YAML 1.2's `0o440` is safe where the old `0440` is not.
# What happens:
#                  kubectl's library   JavaScript client       Python client
#   0440           288 (r--r-----)     440 (0670, rw-rwx---)   288
#   0o440          288                 288                     refused: a string
# 440 is a mode that an API server takes, so the JavaScript client mounts a Secret writable for its group and says nothing. js-yaml reads
# YAML 1.2, PyYAML reads 1.1, and Kubernetes' own library both. Only the decimal 288 is safe everywhere; kustomize and `kubectl -o yaml`
# write that.
# Versions: sigs.k8s.io/yaml v1.6.0; npm @kubernetes/client-node 1.4.0 with js-yaml 4; pip kubernetes 37.0.2 with PyYAML 6. Seen on 2026-11-27.
# Source: yaml.org/spec/1.2.2 10.3.2 (tag resolution of the core schema), yaml.org/type/int.html (1.1).
# What follows for us: kubectl's reading is the one that users of xtask/src/deploy expect, and no YAML 1.2 library gives it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat > pod.yaml <<'YAML'
apiVersion: v1
kind: Pod
metadata:
  name: modes
spec:
  containers:
  - name: main
    image: app
  volumes:
  - name: old
    secret:
      secretName: keys
      defaultMode: 0440
YAML
sed 's/0440/0o440/' pod.yaml > pod_o.yaml

cat > main.go <<'GO'
package main

import (
	"fmt"
	"os"

	"sigs.k8s.io/yaml"
)

func main() {
	var pod struct {
		Spec struct {
			Volumes []struct {
				Secret struct {
					DefaultMode int32 `json:"defaultMode"`
				} `json:"secret"`
			} `json:"volumes"`
		} `json:"spec"`
	}
	for _, file := range os.Args[1:] {
		text, _ := os.ReadFile(file)
		if err := yaml.Unmarshal(text, &pod); err != nil {
			panic(err)
		}
		fmt.Println(pod.Spec.Volumes[0].Secret.DefaultMode)
	}
}
GO
go mod init trial 2>/dev/null
go get sigs.k8s.io/yaml@v1.6.0 2>/dev/null
go build -o by_go .

# An API server that answers with what it is sent.
cat > server.py <<'PYTHON'
import http.server, json, os

PODS = {"kind": "APIResourceList", "groupVersion": "v1", "resources": [{"name": "pods", "kind": "Pod", "namespaced": True}]}


class Server(http.server.BaseHTTPRequestHandler):
    def answer(self, code, body):
        self.send_response(code)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(200, json.dumps(PODS).encode())

    def do_POST(self):
        self.answer(201, self.rfile.read(int(self.headers["content-length"])))

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
with open("port.new", "w") as file:
    file.write(str(server.server_port))
os.rename("port.new", "port")
server.serve_forever()
PYTHON
python3 server.py &
server=$!
trap 'kill "$server"; rm -rf "$work"' EXIT
for _ in $(seq 50); do [ -e port ] && break; sleep 0.1; done
address=http://127.0.0.1:$(cat port)

npm init -y >/dev/null
npm install --silent --no-audit --no-fund @kubernetes/client-node@1.4.0 >/dev/null
cat > by_js.mjs <<'JS'
import * as k8s from '@kubernetes/client-node';
import fs from 'node:fs';
const config = new k8s.KubeConfig();
config.loadFromOptions({
  clusters: [{ name: 'c', server: process.argv[2], skipTLSVerify: true }], users: [{ name: 'u' }],
  contexts: [{ name: 'x', cluster: 'c', user: 'u' }], currentContext: 'x',
});
const api = k8s.KubernetesObjectApi.makeApiClient(config);
for (const file of process.argv.slice(3)) {
  const pod = await api.create(k8s.loadYaml(fs.readFileSync(file, 'utf8')));
  console.log(pod.spec.volumes[0].secret.defaultMode);
}
process.exit();
JS
python3 -m venv tools
tools/bin/pip install --quiet --no-compile --disable-pip-version-check kubernetes==37.0.2
cat > by_python.py <<'PYTHON'
import sys
from kubernetes import client, utils
config = client.Configuration()
config.host = sys.argv[1]
for file in sys.argv[2:]:
    try:
        [[pod]] = utils.create_from_yaml(client.ApiClient(config), file)
        print(pod.spec.volumes[0].secret.default_mode)
    except ValueError as error:
        print("refused:", *str(error).split("\n")[1:3])
PYTHON

go list -m sigs.k8s.io/yaml
npm ls --all 2>/dev/null | grep -oE " (@kubernetes/client-node|js-yaml)@[0-9.]+" | sort -u
tools/bin/pip list --disable-pip-version-check 2>/dev/null | grep -iE "^(kubernetes|pyyaml) "
seen=$(
    echo "kubectl's library:" $(./by_go pod.yaml pod_o.yaml)
    echo "JavaScript client:" $(node by_js.mjs "$address" pod.yaml pod_o.yaml)
    echo "Python client:" $(tools/bin/python by_python.py "$address" pod.yaml pod_o.yaml)
)
echo "0440 and 0o440"
echo "$seen"
test "$(echo "$seen" | sed 's/refused:.*/refused/')" = "kubectl's library: 288 288
JavaScript client: 440 288
Python client: 288 refused" || { echo "CHANGED"; exit 1; }
