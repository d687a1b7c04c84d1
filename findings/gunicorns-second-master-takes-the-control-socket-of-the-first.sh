#!/usr/bin/env bash
# Two gunicorns of one user: the second takes the control socket of the first without a word, and removes it when it ends.
#
# One would guess: a second master finds the socket's path in use and says so, as it does for a port; or each master has a path of its own.
# What happens: gunicorn opens a control socket unless it is told not to, `~/.gunicorn/gunicorn.ctl` for every master of a user. The second one
# unlinks the path and binds it: both log "Control socket listening at" the same path, gunicornc then speaks to the second only (a
# `reload` meant for one site reloads another), and when the second ends the first, which still runs, cannot be reached any more.
# Versions: gunicorn 27.0.1. Source: gunicorn/ctl/server.py; `gunicorn --help` (--control-socket). Seen on 2026-11-27.
# What follows for us: the pods' gunicorn opens none: `control_socket_disable` of gunicorn.conf.py in
# build/patches/0006-gunicorn-and-logs.patch, whose own test loads these settings.
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$work"' EXIT
cd "$work"
python3 -m venv tools
tools/bin/pip install --quiet --no-compile --disable-pip-version-check gunicorn==27.0.1
tools/bin/gunicorn --version
export HOME=$work
unset XDG_RUNTIME_DIR GUNICORN_CMD_ARGS
cat > site_app.py <<'PYTHON'
def app(environ, start_response):
    start_response("200 OK", [])
    return [b""]
PYTHON
serve() {
    tools/bin/gunicorn --bind "unix:$1.socket" site_app:app > "$1.log" 2>&1 &
    for _ in $(seq 100); do
        grep -q "Control socket listening" "$1.log" && return
        sleep 0.2
    done
    cat "$1.log"
    return 1
}
master() { tools/bin/gunicornc --command "show all" 2>&1 | sed -n 's/.*PID: *//p'; }
serve first
first=$!
echo "first master: $first, the control socket's: $(master)"
test "$(master)" = "$first"
serve second
second=$!
echo "second master: $second, the control socket's: $(master)"
grep -h "Control socket" first.log second.log | sed 's/^.*\] /    /; s/\/.*\/\.gunicorn/~\/.gunicorn/'
test "$(master)" = "$second" || { echo "CHANGED: the first keeps its socket"; exit 1; }
kill "$second"
wait "$second" || true
kill -0 "$first"
test "$(curl --silent --output /dev/null --write-out '%{http_code}' --unix-socket first.socket http://site/)" = 200
said=$(tools/bin/gunicornc --command "show all" 2>&1 || true)
echo "after the second has ended the first serves, and gunicornc says: ${said/$work/\~}"
test ! -e .gunicorn/gunicorn.ctl || { echo "CHANGED: a socket is left"; exit 1; }
