"""The tables of the journal's database. Migrations (``migrations/``) make them; nothing here creates a table.

``events`` is the journal. ``signatures``, ``challenges`` and ``claims`` are derived from it, in the transaction of the
event, for the constraints that they carry; ``journal --verify`` derives them again and compares. The tables
``chain_…`` are an index of the chain (``chain_index``): lost, they are read from the node again.
"""

from __future__ import annotations

import sqlalchemy as sa

from orchestrator.errors import SettingsError

metadata = sa.MetaData()

meta = sa.Table(
    "meta",
    metadata,
    # ``journal_id``: distinguishes this journal from any other; a copy of the database keeps it.
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

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
    # A challenge is signed once, whoever asks for it.
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("account_id", sa.Text, nullable=False),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("live", sa.Boolean, nullable=False),
    # False while it is an intention only.
    sa.Column("made", sa.Boolean, nullable=False),
    sa.Column("at", sa.Text, nullable=False),
    # The event that this row is from: the intention, the signature of a first release, or the import.
    sa.Column("intent_seq", sa.BigInteger, nullable=False),
    sa.Column("signer", sa.Text, nullable=True),
    sa.Column("key", sa.Text, nullable=True),
    sa.Column("keystore", sa.Text, nullable=True),
    sa.Column("policy", sa.Text, nullable=True),
    sa.PrimaryKeyConstraint("digest", name="a_challenge_is_signed_once"),
    # The race between two signers of one account is decided here, by the database, and not by a check in code.
    sa.Index(
        "one_live_signature_per_operation",
        "account_id",
        "purpose",
        unique=True,
        sqlite_where=sa.text("live"),  # and on PostgreSQL, whose own word for it would load that dialect
    ),
    # For the limits per key and time.
    sa.Index("signatures_by_time", "at", "key"),
)

challenges = sa.Table(
    "challenges",
    metadata,
    # Whom a challenge was first fetched for.
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("account_id", sa.Text, nullable=False),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
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

chain_cursors = sa.Table(
    "chain_cursors",
    metadata,
    # Chain, factory, and the block that was begun with.
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
    sa.Column("finalized_number", sa.BigInteger, nullable=True),
    sa.Column("finalized_hash", sa.Text, nullable=True),
)

chain_blocks = sa.Table(
    "chain_blocks",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("hash", sa.Text, nullable=False),
    sa.Column("parent", sa.Text, nullable=False),
)

chain_logs = sa.Table(
    "chain_logs",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("place", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("hash", sa.Text, nullable=False),
    sa.Column("account_id", sa.Text, nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    # 32 bytes each, one behind the other.
    sa.Column("topics", sa.LargeBinary, nullable=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
    sa.Column("tx_hash", sa.Text, nullable=False),
    # Of a creation's log; no two are of one wallet (EIP-1014).
    sa.Column("wallet", sa.Text, nullable=True),
    sa.Index("chain_logs_of_an_account", "name", "account_id"),
    sa.Index("chain_logs_of_a_wallet", "name", "wallet"),
)

_OURS = frozenset({"alembic_version", "events", "signatures"})


def require_ours(tables: set[str], where: str) -> None:
    """Raises SettingsError ``database_foreign`` if there are tables and they are not a journal's."""
    if tables and not tables >= _OURS:
        raise SettingsError(
            f"the database {where} was not written by this program: expected the table 'events' among others, found "
            f"{', '.join(sorted(tables)[:5])}; nothing was changed",
            code="database_foreign",
        )
