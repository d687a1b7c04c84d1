import os

import psycopg
import redis
from flask import Flask, redirect, render_template_string, request

app = Flask(__name__)
visits = redis.Redis.from_url(os.environ["VISITS_URL"])

PAGE = """<!doctype html>
<title>{{ title }}</title>
<h1>{{ title }}</h1>
<p>Visit {{ visit }}.</p>
<form method="post"><input name="entry" required> <button>Sign</button></form>
<ul>{% for entry in entries %}<li>{{ entry }}{% endfor %}</ul>
"""


def database():
    return psycopg.connect(os.environ["DATABASE_URL"])


with database() as it:
    # Two processes may start at once.
    it.execute("select pg_advisory_xact_lock(1)")
    it.execute("create table if not exists entry (id serial primary key, text text not null, reported boolean not null default false)")


@app.get("/")
def index():
    with database() as it:
        entries = [row[0] for row in it.execute("select text from entry order by id desc limit 20")]
    return render_template_string(PAGE, title=os.environ["TITLE"], visit=visits.incr("visits"), entries=entries)


@app.post("/")
def sign():
    with database() as it:
        it.execute("insert into entry (text) values (%s)", [request.form["entry"]])
    return redirect("/")


@app.get("/healthz")
def health():
    return "ok"
