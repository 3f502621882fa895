"""The races run on both databases."""

from ..journal.databases import database, postgres_server  # noqa: F401
