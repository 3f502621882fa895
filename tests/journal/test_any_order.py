"""Any order of events: what the constraints let in is what the tables' derivation makes of it, and never two live."""

import asyncio
from collections import Counter

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.errors import JournalError
from orchestrator.journal.store import Journal

from .databases import EXAMPLES
from .facts import NOW, fetched, intended, lapsed, refused, signed

PURPOSES = st.sampled_from(["creation", "deletion"])
DIGESTS = st.sampled_from("123")
EVENTS = st.one_of(
    st.builds(lambda digest, purpose: (fetched, digest, purpose), DIGESTS, PURPOSES),
    st.builds(lambda digest, purpose: (intended, digest, purpose), DIGESTS, PURPOSES),
    st.builds(lambda digest, purpose: (signed, digest, purpose), DIGESTS, PURPOSES),
    st.builds(lambda digest: (lapsed, digest), DIGESTS),
    st.builds(lambda digest: (refused, digest), DIGESTS),
)
STEPS = st.lists(st.tuples(st.sampled_from("ab"), st.lists(EVENTS, min_size=1, max_size=3)), max_size=12)


@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(steps=STEPS)
def test_the_tables_are_what_the_events_say(database, steps):

    async def run() -> None:
        made: Counter[str] = Counter()
        async with await Journal.open(database.url) as journal:
            database.empty()
            for account, events in steps:
                new = [kind(*more) for kind, *more in events]
                try:
                    await journal.append(account, new, after=len(await journal.read(account)), at=NOW)
                except JournalError as error:
                    assert error.code in {"signature_conflict", "challenge_signed_before"}  # noqa: PT017
                else:
                    made.update(event.digest for event in new if event.type == "challenge_signed")
            checked = await journal.verify()
            assert checked.valid, checked
            rows = await journal.signature_rows()
        live = Counter((row.account_id, row.purpose) for row in rows if row.live)
        assert set(live.values()) <= {1}
        assert set(made.values()) <= {1}
        assert {row.digest for row in rows if row.made} == set(made)

    asyncio.run(run())
