#!/usr/bin/env bash
# An image that `ctr images import --digests` brought stays whole in containerd after `ctr images rm` of its name.
#
# One would guess: `--digests` adds a name with a digest for each image, `example.org/app@sha256:…`, and the image goes with its names.
# What happens: an archive's index has no name of its own, so it is kept as `import-DATE@sha256:…`, one for each archive. That record holds the
# index, and the index the image. `kind load` imports so: in a cluster that lives long each load keeps its layers, also of images that are gone.
# Versions: containerd 2.4.2, built from its Go module. Seen on 2026-11-30; 1.6.20 of Debian 12 does the same.
# Source: containerd client/import.go (`WithIndexName`, `WithDigestRef`), cmd/ctr/commands/images/import.go (`digests`); kind
# pkg/cluster/nodeutils/util.go (`LoadImageArchive`).
# What follows for us: the tool imports without it, names each image by the archive's annotation, and removes records of this form that an
# earlier version left (xtask/src/provider/kind/load.rs).
# Needs Go, Python and root, since containerd needs root; it starts one with folders of its own, and no container.
set -euo pipefail
work=$(mktemp -d)
trap 'kill "${server:-0}" 2> /dev/null || true; wait 2> /dev/null || true; rm -rf "$work"' EXIT
cd "$work"
export GOFLAGS=-modcacherw CGO_ENABLED=0
go mod init trial 2> /dev/null
go get github.com/containerd/containerd/v2/cmd/containerd@v2.4.2 github.com/containerd/containerd/v2/cmd/ctr@v2.4.2 2> /dev/null
go build -o . github.com/containerd/containerd/v2/cmd/containerd github.com/containerd/containerd/v2/cmd/ctr
./containerd --version | cut -d' ' -f2-3
cat > config.toml <<TOML
version = 3
root = "$work/root"
state = "$work/state"
disabled_plugins = ["io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri"]
[grpc]
address = "$work/socket"
TOML
./containerd --config config.toml > log 2>&1 &
server=$!
until [ -S socket ]; do sleep 0.1; done
cat > archive.py <<'PYTHON'
import hashlib, io, json, os, sys, tarfile
def packed(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()
def described(kind, content, **more):
    return {"mediaType": "application/vnd.oci.image." + kind, "digest": "sha256:" + hashlib.sha256(content).hexdigest(), "size": len(content), **more}
name, path = sys.argv[1:]
layer = packed({"file": os.urandom(1_000_000)})
config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [described("", layer)["digest"]]}}).encode()
manifest = json.dumps({
    "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "config": described("config.v1+json", config), "layers": [described("layer.v1.tar", layer)],
}).encode()
index = {"schemaVersion": 2, "manifests": [described("manifest.v1+json", manifest, annotations={"io.containerd.image.name": name})]}
blobs = {"blobs/" + described("", it)["digest"].replace(":", "/"): it for it in (layer, config, manifest)}
open(path, "wb").write(packed({"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": json.dumps(index).encode(), **blobs}))
PYTHON
client() { ./ctr --address "$work/socket" "$@"; }
left() { echo "$(client images ls -q | sed 's/-[0-9-]*@sha256:.*/-DATE@sha256:…/' | tr '\n' ' ')and $(client content ls -q | wc -l) blobs"; }
imported() {
    python3 archive.py example.org/app:1 archive.tar
    client images import --no-unpack "$@" archive.tar > /dev/null
    client images rm --sync example.org/app:1 > /dev/null
    left
}
plain=$(imported)
digests=$(imported --digests)
echo "imported plainly, then removed: $plain"
echo "imported with --digests, then removed: $digests"
[ "$plain" = "and 0 blobs" ]
[ "$digests" = "import-DATE@sha256:… and 4 blobs" ]
