#!/usr/bin/env bash
# `?options=-c+search_path%3Dapp` of one DATABASE_URL is `-c search_path=app` to SQLAlchemy and node-postgres; libpq keeps the plus.
#
# One would guess: the query of a postgresql:// URL is read as every query is, so what Python's urlencode or a browser's URLSearchParams
# writes can be handed to each client.
# What happens: libpq decodes %XX and nothing else. SQLAlchemy and node-postgres decode the query as a form, where `+` is a blank. So
# `create_engine(url)` works with psycopg below, while `psycopg.connect(url)`, psql and pg_dump of the same URL send `-c+search_path=app`,
# or go by the name `a+b`. The other way round, a plus that libpq keeps is lost. Only %20 and %2B are safe. In the password all of them
# keep a plus, since that is no query.
# Versions: psycopg 3.3.9 with the libpq 18 of psycopg-binary, SQLAlchemy 2.1.9, npm pg-connection-string 2.14.1. Seen on 2026-11-27.
# Source: https://www.postgresql.org/docs/18/libpq-connect.html#LIBPQ-CONNSTRING-URIS (percent-encoding only).
# What follows for us: applications get host, port, name, user and password one by one, not as a URL, and `forward db` prints a URL whose
# query needs no encoding (xtask/src/commands/forward.rs).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv tools
tools/bin/pip install --quiet --no-compile --disable-pip-version-check 'psycopg[binary]==3.3.9' sqlalchemy==2.1.9
npm init -y >/dev/null
npm install --silent --no-audit --no-fund pg-connection-string@2.14.1 >/dev/null
cat > by.py <<'PYTHON'
import sys
from psycopg import conninfo, pq
from sqlalchemy import make_url
url = sys.argv[1]
read = conninfo.conninfo_to_dict(url)
print(f"libpq {pq.version()}: {read['options']}|{read['application_name']}|{read['password']}")
url = make_url(url)
read = {**url.query, "password": url.password}
print(f"SQLAlchemy: {read['options']}|{read['application_name']}|{read['password']}")
PYTHON
cat > by.js <<'JS'
const read = require('pg-connection-string').parse(process.argv[2]);
console.log(`node-postgres: ${read.options}|${read.application_name}|${read.password}`);
JS
url=$(python3 -c 'from urllib.parse import urlencode
print("postgresql://app:p+w@db/polls?" + urlencode({"options": "-c search_path=app", "application_name": "a b"}))')
echo "$url"
unset "${!PG@}"
seen=$(tools/bin/python by.py "$url"; node by.js "$url")
echo "$seen"
test "$(echo "$seen" | sed -E 's/^libpq [0-9]+/libpq/')" = "libpq: -c+search_path=app|a+b|p+w
SQLAlchemy: -c search_path=app|a b|p+w
node-postgres: -c search_path=app|a b|p+w" || { echo CHANGED; exit 1; }
