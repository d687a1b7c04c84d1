#!/usr/bin/env bash
# WhiteNoise serves a file of a mounted ConfigMap that has changed with its new bytes, cut to the length of the old ones.
#
# One would guess: WhiteNoise looks at its files once, at the start; so after a change it serves either the old file or the new one.
# What happens: headers are made at the start, the file is opened at each request. A kubelet renews a ConfigMap by swapping the link
# `..data`, so the same path leads to the new file: 200 with the old Content-Length, ETag and Last-Modified. A longer file is cut in its
# middle (gunicorn sends no byte more), a shorter one leaves the client waiting for bytes that never come (curl: error 18), and whoever
# asks with the ETag of the old file gets 304, for as long as the process runs. Each file also has addresses below `..data`.
# Versions: WhiteNoise 6.12.0, gunicorn 27.0.1. The layout is that of Kubernetes' AtomicWriter (pkg/volume/util/atomic_writer.go).
# Source: whitenoise/base.py (add_files, with autorefresh off), whitenoise/responders.py (StaticFile.get_response). Seen on 2026-11-27.
# What follows for us: a changed ConfigMap replaces the application's pods, and is not left to the kubelet: follow_settings of
# xtask/src/deploy/objects.rs and its test.
set -euo pipefail
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; wait; rm -rf "$work"' EXIT
cd "$work"
python3 -m venv tools
tools/bin/pip install --quiet --disable-pip-version-check whitenoise==6.12.0 gunicorn==27.0.1
tools/bin/pip list --disable-pip-version-check 2>/dev/null | grep -iE "^(whitenoise|gunicorn) "
mkdir mounted
# What the kubelet does: a folder with a name of its own, and a link that is renamed over the old one.
mount_files() {
    mkdir "mounted/..$1"
    printf '%s' "$2" > "mounted/..$1/settings.json"
    ln -s "..$1" mounted/..data_tmp
    mv --no-target-directory mounted/..data_tmp mounted/..data
}
mount_files 1 '{"votes": 1}'
ln -s ..data/settings.json mounted/settings.json
cat > site_app.py <<'PYTHON'
from whitenoise import WhiteNoise


def missing(environ, start_response):
    start_response("404 Not Found", [])
    return [b""]


app = WhiteNoise(missing, root="mounted")
PYTHON
tools/bin/gunicorn --no-control-socket --bind unix:socket site_app:app > log 2>&1 &
server=$!
ask() { curl --silent --max-time 10 --unix-socket socket "$@"; }
for _ in $(seq 50); do
    ask --output /dev/null http://site/ && break
    sleep 0.2
done
show() {
    code=0
    ask --dump-header headers --output body http://site/settings.json || code=$?
    echo "$1: $(head -n 1 headers | tr -d '\r'), $(grep -i '^content-length' headers | tr -d '\r'), body $(cat body), curl's exit code $code"
}
changed() { echo "CHANGED: $1"; exit 1; }
show "at the start"
etag=$(sed -n 's/^ETag: //Ip' headers | tr -d '\r')
test "$(ask --output /dev/null --write-out '%{http_code}' http://site/..data/settings.json)" = 200 || changed "no file below ..data"
mount_files 2 '{"votes": 2, "open": true}'
show "a longer file"
test "$code $(cat body)" = '0 {"votes": 2,' || changed "a longer file is not cut"
again=$(ask --output /dev/null --write-out '%{http_code}' --header "If-None-Match: $etag" http://site/settings.json)
echo "asked with the first ETag: $again"
test "$again" = 304 || changed "a changed file has another ETag"
mount_files 3 '{}'
show "a shorter file"
test "$code $(cat body)" = '18 {}' || changed "a shorter file has its own length"
