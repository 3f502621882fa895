"""The races run on both databases."""

from ..journal.databases import database, postgres_server  # noqa: F401
from ..platform.conftest import server, settings, signing_keys  # noqa: F401
