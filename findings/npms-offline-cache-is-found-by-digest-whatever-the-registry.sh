#!/usr/bin/env bash
# `npm ci --offline` finds a locked package in a cache that was filled from another registry, and only because the lock has its hash.
#
# One would guess: the cache is kept by address (its keys are `make-fetch-happen:request-cache:https://HOST/…`), so that a cache filled
# through a mirror is of no use where npm has another registry; or that a locked version is enough to find the archive again.
# What happens: an archive whose lock entry has `integrity` is read by its digest, whatever host `resolved` or `registry` name. The same
# lock without `integrity` ends with ENOTCACHED, although the same bytes are in the cache.
# Versions: npm 11.6.0 and 10.9.4, is-number 7.0.0. Seen on 2026-11-27.
# Source: pacote's fetcher (lib/fetcher.js, tarballStream: cacache by digest before the request).
# What follows for us: artifacts/cache is filled through the mirror that the user's npm has. A lock without `resolved` or hashes still asks for
# answers by address, so the addresses of the registries, and nothing else of npm's settings, go into the build (artifacts.rs). What holds it: tests/applications, node_without_a_lock_is_installed_from_the_cache_and_serves.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
for package in npm@11.6.0 npm@10.9.4; do
    version=${package#npm@}
    mkdir -p "npm-$version" "app-$version"
    (cd "npm-$version" && npm pack --silent "$package" > /dev/null && tar xzf ./*.tgz)
    npm() { node "$work/npm-$version/package/bin/npm-cli.js" --cache "$work/cache-$version" --no-audit --no-fund --no-update-notifier "$@"; }
    cd "app-$version"
    echo '{"name": "a", "version": "1.0.0", "dependencies": {"is-number": "7.0.0"}}' > package.json
    npm install --silent --ignore-scripts --omit-lockfile-registry-resolved=false
    rm -rf node_modules
    # Another host than the one that the cache was filled from.
    sed -i -E 's#"resolved": "[a-z]+://[^/]+#"resolved": "https://other.example.invalid#' package-lock.json
    npm ci --silent --offline --registry https://third.example.invalid/
    found=$(test -f node_modules/is-number/package.json && echo found || echo missing)
    rm -rf node_modules
    sed -i '/"integrity"/d' package-lock.json
    without=$(npm ci --offline --registry https://third.example.invalid/ 2>&1 | grep -o -m1 ENOTCACHED || true)
    echo "npm $version: with a hash: $found; without: ${without:-found}"
    [ "$found" = found ] && [ "$without" = ENOTCACHED ]
    unset -f npm
    cd ..
done
