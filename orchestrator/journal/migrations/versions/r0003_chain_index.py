"""An index of the chain beside the events. It begins empty: it is read from the node."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "chain_cursors",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("finalized_number", sa.BigInteger, nullable=True),
        sa.Column("finalized_hash", sa.Text, nullable=True),
    )
    op.create_table(
        "chain_blocks",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("parent", sa.Text, nullable=False),
    )
    op.create_table(
        "chain_logs",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("place", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("account_id", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("topics", sa.LargeBinary, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.Column("tx_hash", sa.Text, nullable=False),
        sa.Column("wallet", sa.Text, nullable=True),
    )
    op.create_index("chain_logs_of_an_account", "chain_logs", ["name", "account_id"])
    op.create_index("chain_logs_of_a_wallet", "chain_logs", ["name", "wallet"])


def downgrade() -> None:
    raise NotImplementedError("the journal is append-only: an older version is reached by restoring a backup")
