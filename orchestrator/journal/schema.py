"""The tables of the journal's database. Migrations (``migrations/``) make them; nothing here creates a table."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()

events = sa.Table(
    "events",
    metadata,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("stream", sa.Text, nullable=False),
    sa.Column("stream_seq", sa.Integer, nullable=False),
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("data", sa.Text, nullable=False),
    sa.Column("previous", sa.Text, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
    sa.UniqueConstraint("stream", "stream_seq", name="one_event_per_place"),
)

signatures = sa.Table(
    "signatures",
    metadata,
    sa.Column("account_id", sa.Text, nullable=False),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("live", sa.Boolean, nullable=False),
    sa.PrimaryKeyConstraint("account_id", "purpose", "digest", name="a_challenge_is_signed_once"),
    # The race between two signers of one account is decided here, by the database, and not by a check in code.
    sa.Index(
        "one_live_signature_per_operation",
        "account_id",
        "purpose",
        unique=True,
        sqlite_where=sa.text("live"),
        postgresql_where=sa.text("live"),
    ),
)

claims = sa.Table(
    "claims",
    metadata,
    # An account is the answer to one creation only: decided here too, and not by a check in code.
    sa.Column("account_id", sa.Text, primary_key=True),
    sa.Column("stream", sa.Text, nullable=False),
)

inbox = sa.Table(
    "inbox",
    metadata,
    sa.Column("event_id", sa.Text, primary_key=True),
    sa.Column("received_at", sa.Text, nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("account_id", sa.Text, nullable=True),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("handled_at", sa.Text, nullable=True),
)

certificates = sa.Table(
    "certificates",
    metadata,
    sa.Column("sha256", sa.Text, primary_key=True),
    sa.Column("account_id", sa.Text, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
)
