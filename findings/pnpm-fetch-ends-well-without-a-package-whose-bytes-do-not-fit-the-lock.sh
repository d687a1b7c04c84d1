#!/usr/bin/env bash
# `pnpm fetch` ends with success, and without the package, if the bytes do not fit the digest of pnpm-lock.yaml.
#
# One would guess: a package that is not what the lock says ends the command with an error, above all where CI=true is set.
# What happens: pnpm says ERR_PNPM_TARBALL_INTEGRITY, calls the lock "broken", resolves again without the manifest, which `fetch` ignores, so that
#   nothing is needed any more, writes a lock without packages, and ends with 0. With --frozen-lockfile it ends with 1.
# Versions: pnpm 10.18.0. Seen on 2026-11-30.
# Source: pnpm 10.18.0, dist/pnpm.cjs (BROKEN_LOCKFILE_INTEGRITY_ERRORS in @pnpm/core; `fetch` passes an empty manifest).
# What follows for us: `pnpm fetch --frozen-lockfile` (xtask/src/artifacts.rs, test
#   `a_package_with_other_bytes_is_refused_by_name_by_npm_pnpm_and_yarn_and_the_next_run_takes_the_right_one`).
set -euo pipefail
dir=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
npm install --silent --no-audit --no-fund --prefix tools pnpm@10.18.0
pnpm=$dir/tools/node_modules/.bin/pnpm
echo "pnpm $("$pnpm" --version)"
mkdir app
cat > server.py <<'PYTHON'
import http.server, os
class Registry(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"other")
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
open("port.new", "w").write(str(server.server_address[1]))
os.rename("port.new", "port")
server.serve_forever()
PYTHON
python3 server.py &
server=$!
for _ in $(seq 200); do test -e port && break; sleep 0.1; done
printf '{"name": "app", "version": "1.0.0", "dependencies": {"@own/tiny": "1.0.0"}}' > app/package.json
printf '@own:registry=http://127.0.0.1:%s/\nfetch-retries=0\nnoproxy=127.0.0.1\n' "$(cat port)" > app/.npmrc
lock() {
  digest=sha512-$(printf right | openssl dgst -sha512 -binary | base64 -w0)
  printf "lockfileVersion: '9.0'\nimporters:\n  .:\n    dependencies:\n      '@own/tiny':\n        specifier: 1.0.0\n        version: 1.0.0\npackages:\n  '@own/tiny@1.0.0':\n    resolution: {integrity: %s}\nsnapshots:\n  '@own/tiny@1.0.0': {}\n" "$digest" > app/pnpm-lock.yaml
}
get() { (cd app && CI=true XDG_CACHE_HOME="$dir/home" npm_config_manage_package_manager_versions=false "$pnpm" fetch --store-dir "$dir/store" "$@") > said 2>&1; }
lock
get || { echo "CHANGED: pnpm fetch refuses the bytes"; exit 1; }
grep -q "The lockfile is broken" said
! grep -q own/tiny app/pnpm-lock.yaml || { echo "CHANGED: the lock keeps the package"; exit 1; }
echo "other bytes, and pnpm fetch ends with 0; the lock has no package any more"
lock
! get --frozen-lockfile && grep -q ERR_PNPM_TARBALL_INTEGRITY said || { echo "CHANGED: --frozen-lockfile refuses nothing"; exit 1; }
echo "with --frozen-lockfile it ends with an error"
