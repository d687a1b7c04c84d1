"""A guest book without a framework: one table, one page."""

import html
import os
import sys
from wsgiref.simple_server import make_server

import psycopg


def database():
    return psycopg.connect(os.environ["DATABASE_URL"])


def application(environ, start_response):
    with database() as connection:
        entries = connection.execute("SELECT text FROM entry ORDER BY id").fetchall()
    body = "<h1>Guest book</h1><ul>" + "".join(f"<li>{html.escape(text)}</li>" for (text,) in entries) + "</ul>"
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
    return [body.encode()]


def migrate():
    with database() as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS entry (id serial PRIMARY KEY, text text UNIQUE NOT NULL)")
        connection.execute("INSERT INTO entry (text) VALUES ('Hello from PostgreSQL') ON CONFLICT DO NOTHING")


if __name__ == "__main__":
    if sys.argv[1:] == ["migrate"]:
        migrate()
    else:
        make_server("0.0.0.0", 9000, application).serve_forever()
