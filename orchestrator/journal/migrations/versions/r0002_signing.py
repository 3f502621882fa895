"""Who signed what with which key: the journal's id, the challenges' first owners, signatures with their intention.

``signatures`` and ``challenges`` are derived from the events, so they are made anew from them. Where the first release
had signed one challenge for two accounts, the first of them keeps it: from here on a challenge is signed once.
"""

import json
import uuid
from typing import Any

import sqlalchemy as sa
from alembic import op

from orchestrator.errors import SettingsError

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    meta = op.create_table(
        "meta",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.bulk_insert(meta, [{"name": "journal_id", "value": str(uuid.uuid4())}])
    op.drop_table("signatures")
    signatures = op.create_table(
        "signatures",
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("account_id", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("live", sa.Boolean, nullable=False),
        sa.Column("made", sa.Boolean, nullable=False),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("intent_seq", sa.BigInteger, nullable=False),
        sa.Column("signer", sa.Text, nullable=True),
        sa.Column("key", sa.Text, nullable=True),
        sa.Column("keystore", sa.Text, nullable=True),
        sa.Column("policy", sa.Text, nullable=True),
        sa.PrimaryKeyConstraint("digest", name="a_challenge_is_signed_once"),
    )
    op.create_index(
        "one_live_signature_per_operation",
        "signatures",
        ["account_id", "purpose"],
        unique=True,
        sqlite_where=sa.text("live"),
        postgresql_where=sa.text("live"),
    )
    op.create_index("signatures_by_time", "signatures", ["at", "key"])
    challenges = op.create_table(
        "challenges",
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("account_id", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
    )
    fetched, signed = _derived(op.get_bind())
    op.bulk_insert(challenges, fetched)
    op.bulk_insert(signatures, signed)


def _derived(connection: sa.Connection) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows of ``challenges`` and of ``signatures`` that the first release's events come to."""
    fetched: dict[str, dict[str, Any]] = {}
    signed: dict[str, dict[str, Any]] = {}
    rows = connection.execute(
        sa.text(
            "SELECT seq, stream, at, type, data FROM events WHERE type IN "
            "('challenge_fetched', 'challenge_signed', 'challenge_lapsed', 'submission_refused') ORDER BY seq"
        )
    )
    for seq, stream, at, kind, text in rows:
        try:
            data = json.loads(text)
            digest = data["digest"]
            mine = {"digest": digest, "account_id": stream, "purpose": data.get("purpose")}
            if kind == "challenge_fetched":
                fetched.setdefault(digest, {**mine, "seq": seq})
            elif kind == "challenge_signed":
                more = {"signer": data["signer"], "key": None, "keystore": None, "policy": None}
                signed.setdefault(digest, {**mine, **more, "live": True, "made": True, "at": at, "intent_seq": seq})
            elif digest in signed and signed[digest]["account_id"] == stream:
                signed[digest]["live"] = False
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            # Left out, it might be a signature that is made a second time.
            raise SettingsError(
                f"event {seq} of the journal cannot be read: it was changed from outside, or the disk is damaged; "
                "restore the database from a backup, nothing was changed",
                code="database_unusable",
            ) from error
    return list(fetched.values()), list(signed.values())


def downgrade() -> None:
    raise NotImplementedError("the journal is append-only: an older version is reached by restoring a backup")
