#!/usr/bin/env bash
# A file that pip refuses because of its digest stays in pip's cache, and is refused again in every later run.
#
# One would guess: after a download that was damaged once, on its way or by a mirror, the same command works as soon as the server sends the
#   right bytes.
# What happens: pip puts the answer into its cache of HTTP before it compares the digest, and takes nothing out again. PyPI lets caches keep a
#   file for a year, so each later run reads the refused bytes from the cache, asks nobody, and speaks of tampering. Without the cache the
#   same command works; the refused bytes are still there for the run after it.
# Versions: pip 26.3. Seen on 2026-11-30.
# Source: pip 26.3, pip/_internal/network/session.py (CacheControlAdapter) and operations/prepare.py (check_against_chunks after the download).
# What follows for us: refused bytes are asked for once more with PIP_NO_CACHE_DIR (requirements/pip.rs, test
#   `a_changed_wheel_is_refused_by_name_stays_in_no_cache_and_the_right_one_is_taken`).
set -euo pipefail
dir=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv tools
tools/bin/pip install --quiet --disable-pip-version-check pip==26.3
tools/bin/pip --version | cut -d' ' -f1,2
cat > server.py <<'PYTHON'
import hashlib, http.server, io, os, zipfile
out = io.BytesIO()
with zipfile.ZipFile(out, "w") as it:
    it.writestr("tiny.py", "x = 1\n" * 200)
    it.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
    it.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    it.writestr("tiny-1.0.dist-info/RECORD", "")
right = out.getvalue()
wrong = right[:100] + bytes([right[100] ^ 1]) + right[101:]
open("pins.txt", "w").write(f"tiny==1.0 --hash=sha256:{hashlib.sha256(right).hexdigest()}\n")
class Index(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        is_file = self.path.endswith(".whl")
        body = (wrong if os.path.exists("damaged") else right) if is_file else b'<a href="/tiny-1.0-py3-none-any.whl">tiny</a>'
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream" if is_file else "text/html")
        self.send_header("Content-Length", str(len(body)))
        if is_file:
            # As files.pythonhosted.org has it.
            self.send_header("Cache-Control", "max-age=365000000, immutable, public")
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index)
open("port.new", "w").write(str(server.server_address[1]))
os.rename("port.new", "port")
server.serve_forever()
PYTHON
touch damaged
python3 server.py &
server=$!
for _ in $(seq 200); do test -e port && break; sleep 0.1; done
unset PIP_FIND_LINKS PIP_EXTRA_INDEX_URL PIP_NO_CACHE_DIR
export PIP_CONFIG_FILE=/dev/null PIP_DISABLE_PIP_VERSION_CHECK=1 NO_PROXY=127.0.0.1
get() {
  tools/bin/pip download --quiet --no-deps --require-hashes --dest got --cache-dir cache --trusted-host 127.0.0.1 \
    --index-url "http://127.0.0.1:$(cat port)/simple" --requirement pins.txt "$@" 2>said
}
! get && grep -q "DO NOT MATCH THE HASHES" said || { echo "CHANGED: pip refuses nothing"; exit 1; }
rm damaged
! get && grep -q "DO NOT MATCH THE HASHES" said || { echo "CHANGED: pip asks again for what it refused"; exit 1; }
echo "the server is right again, and pip refuses the bytes in its cache"
get --no-cache-dir
echo "without its cache it takes the file"
