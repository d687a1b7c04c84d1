"""A guest book: one table, one page."""

import os

import psycopg
from flask import Flask, redirect, render_template, request

app = Flask(__name__)


def database():
    return psycopg.connect(os.environ["DATABASE_URL"])


@app.cli.command("init-db")
def init_db():
    """Make the table, and its first row."""
    with database() as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS entry (id serial PRIMARY KEY, text text UNIQUE NOT NULL)")
        connection.execute("INSERT INTO entry (text) VALUES ('Hello from PostgreSQL') ON CONFLICT DO NOTHING")


@app.get("/")
def index():
    with database() as connection:
        entries = [text for (text,) in connection.execute("SELECT text FROM entry ORDER BY id")]
    return render_template("index.html", entries=entries)


@app.post("/")
def add():
    with database() as connection:
        connection.execute("INSERT INTO entry (text) VALUES (%s) ON CONFLICT DO NOTHING", (request.form["text"],))
    return redirect("/")


@app.get("/healthz")
def health():
    return "ok"
