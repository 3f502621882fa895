"""Each test of the journal runs on both databases."""

import pytest

from orchestrator.journal.store import Journal

from .databases import database, postgres_server  # noqa: F401


@pytest.fixture
async def journal(database):  # noqa: F811
    async with await Journal.open(database.url) as opened:
        yield opened
