"""A guest book: one table, which Alembic makes, and one page."""

import html
import os

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from sqlalchemy import create_engine, text

app = FastAPI()
engine = create_engine(os.environ["DATABASE_URL"])


@app.get("/", response_class=HTMLResponse)
def index():
    with engine.connect() as connection:
        entries = connection.scalars(text("SELECT text FROM entry ORDER BY id")).all()
    return "<h1>Guest book</h1><ul>" + "".join(f"<li>{html.escape(it)}</li>" for it in entries) + "</ul>"


@app.get("/healthz")
def health():
    return {"status": "ok"}
