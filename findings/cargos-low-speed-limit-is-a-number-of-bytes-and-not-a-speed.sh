#!/usr/bin/env bash
# cargo takes a crate at 1 kB/s with `http.low-speed-limit = 4000`, and refuses it with 20000 and a timeout of 5 s.
#
# One would guess, from cargo's reference: a download whose average speed is below this number of bytes per second, for `http.timeout` seconds, is
# too slow. So it is with curl's CURLOPT_LOW_SPEED_LIMIT, whose name it has.
# What happens: cargo compares the bytes of the whole timeout with the limit, not those of a second. With the default of 30 s, a limit of 4000
# lets 134 bytes a second through, and the default of 10 a byte each three seconds.
# The index of crates is fetched by curl alone, which takes the same number as a speed: with 60000, for downloads of at least 2 kB/s, an index
# that comes with 50 kB/s is refused.
# Versions: cargo 1.95.0. Seen on 2026-11-30.
# Source: cargo, reference "Configuration" (`http.low-speed-limit`); src/cargo/core/package.rs (`next_speed_check_bytes_threshold`).
# What follows for us: the tool sets neither, and looks itself at what comes (xtask/src/tool/flow.rs).
set -euo pipefail
work=$(mktemp -d)
trap 'kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
cat > server.py <<'PYTHON'
import hashlib, http.server, io, json, os, tarfile, time
out = io.BytesIO()
with tarfile.open(fileobj=out, mode="w:gz") as archive:
    # Bytes that no archive makes smaller: 12 kB, so 12 s.
    files = {"Cargo.toml": b'[package]\nname = "tiny"\nversion = "1.0.0"\n', "src/lib.rs": b"", "filling": os.urandom(12_000)}
    for name, text in files.items():
        info = tarfile.TarInfo("tiny-1.0.0/" + name)
        info.size = len(text)
        archive.addfile(info, io.BytesIO(text))
CRATE = out.getvalue()
class Registry(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_): pass
    def do_GET(self):
        host = self.headers["Host"]
        entry = {"name": "tiny", "vers": "1.0.0", "deps": [], "cksum": hashlib.sha256(CRATE).hexdigest(), "features": {}, "yanked": False}
        texts = {"/config.json": {"dl": f"http://{host}/{{crate}}.crate"}, "/ti/ny/tiny": entry}
        body = json.dumps(texts[self.path]).encode() if self.path in texts else CRATE
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        for at in range(0, len(body), 500):
            self.wfile.write(body[at:at + 500])
            self.wfile.flush()
            time.sleep(0.5 if body is CRATE else 0)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
open("port", "w").write(str(server.server_port))
server.serve_forever()
PYTHON
python3 server.py 2> /dev/null &
server=$!
until [ -s port ]; do sleep 0.1; done
mkdir src
touch src/lib.rs
printf '[package]\nname = "trial"\nversion = "0.1.0"\nedition = "2021"\n[dependencies]\ntiny = "1"\n' > Cargo.toml
cargo --version
export CARGO_HTTP_TIMEOUT=5 no_proxy=127.0.0.1
fetched() {
    local limit=$1 expected=$2 said
    export CARGO_HOME=$work/home-$limit CARGO_HTTP_LOW_SPEED_LIMIT=$limit
    mkdir "$CARGO_HOME"
    printf '[source.crates-io]\nreplace-with = "own"\n[source.own]\nregistry = "sparse+http://127.0.0.1:%s/"\n[net]\nretry = 0\n' "$(cat port)" \
        > "$CARGO_HOME/config.toml"
    said=$(cargo fetch 2>&1 || true)
    echo "1 kB/s, http.low-speed-limit = $limit: $(grep -o "$expected" <<< "$said")"
}
fetched 4000 "Downloaded tiny v1.0.0"
fetched 20000 "failed to transfer more than 20000 bytes in 5s"
