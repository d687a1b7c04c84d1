"""The table of entries, and its first row."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade():
    entry = op.create_table("entry", sa.Column("id", sa.Integer, primary_key=True), sa.Column("text", sa.Text, nullable=False))
    op.bulk_insert(entry, [{"text": "Hello from PostgreSQL"}])


def downgrade():
    op.drop_table("entry")
