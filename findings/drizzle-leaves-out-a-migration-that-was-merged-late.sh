#!/usr/bin/env bash
# Drizzle's migrator leaves out a migration that was generated before the last one it ran, and ends well.
#
# One would guess: a table of applied migrations, with a hash of each, is there to find those that are missing.
# What happens: the table is asked for its newest row only, and each migration is compared with its `when`, the time at which it was
# generated. One that was generated earlier on another branch and merged later is never run on a database that has run the other, while
# a new database gets both: the test's database has a table that the real one lacks, and every run ends well. No hash is looked at.
# 1.0.0-rc.5 asks by name, and runs it.
# Versions: drizzle-orm 0.45.4 (npm's latest) and 1.0.0-rc.5, on PostgreSQL of @electric-sql/pglite 0.5.17. Seen on 2026-11-27.
# Source: pg-core/dialect.js of 0.45.4 (migrate); drizzle-team/drizzle-orm issues 5316 and 5769.
# What follows for us: that an application's migrations ended with 0 says nothing of a table; whether the page answers decides.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund @electric-sql/pglite@0.5.17 old@npm:drizzle-orm@0.45.4 new@npm:drizzle-orm@1.0.0-rc.5 >/dev/null
cat > trial.mjs <<'JS'
import { PGlite } from '@electric-sql/pglite';
import fs from 'node:fs';
const [version] = process.argv.slice(2);
const { drizzle } = await import(`${version}/pglite`);
const { migrate } = await import(`${version}/pglite/migrator`);
const days = { users: 1, choices: 2, votes: 3 };
const text = (name) => `CREATE TABLE ${name} (id int);`;
// As drizzle-kit of each version lays them out.
const write = {
  old: (names) => {
    fs.mkdirSync('migrations/meta', { recursive: true });
    for (const name of names) fs.writeFileSync(`migrations/${name}.sql`, text(name));
    const entries = names.map((tag, idx) => ({ idx, version: '7', when: Date.UTC(2026, 0, days[tag]), tag, breakpoints: true }));
    fs.writeFileSync('migrations/meta/_journal.json', JSON.stringify({ version: '7', dialect: 'postgresql', entries }));
  },
  new: (names) => {
    for (const name of names) {
      const folder = `migrations/2026010${days[name]}000000_${name}`;
      fs.mkdirSync(folder, { recursive: true });
      fs.writeFileSync(`${folder}/migration.sql`, text(name));
    }
  },
};
const migrated = async (client, names) => {
  fs.rmSync('migrations', { recursive: true, force: true });
  write[version](names);
  await migrate(drizzle({ client }), { migrationsFolder: 'migrations' });
  const found = await client.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1");
  return found.rows.map((row) => row.tablename).join(' ');
};
const client = new PGlite();
console.log('users and votes:', await migrated(client, ['users', 'votes']));
console.log('with choices, generated between them:', await migrated(client, ['users', 'choices', 'votes']));
console.log('the same in a new database:', await migrated(new PGlite(), ['users', 'choices', 'votes']));
JS
check() {
    echo "drizzle-orm $(node -p "require('./node_modules/$1/package.json').version")"
    seen=$(node trial.mjs "$1")
    printf '%s\n' "$seen" | sed 's/^/    /'
    [ "$seen" = "users and votes: users votes
with choices, generated between them: $2
the same in a new database: choices users votes" ] || { echo CHANGED; exit 1; }
}
check old "users votes"
check new "choices users votes"
