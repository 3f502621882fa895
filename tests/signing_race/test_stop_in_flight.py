"""No signature goes out, and none is repeated, once a stop, a disabled key or a narrower policy has come in between.

The step itself, on the real journal, keystore and client, against a platform on loopback that scripts its answers.
"""

from __future__ import annotations

import asyncio
import fcntl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import rfc8785

from orchestrator.errors import JournalError, KeyUnavailable, OrchestratorError
from orchestrator.journal.store import Journal
from orchestrator.lifecycle import events as e
from orchestrator.lifecycle import oversight_events as o
from orchestrator.lifecycle.decide import Wait
from orchestrator.lifecycle.oversight_state import DECISIONS_STREAM
from orchestrator.oversight.key_changes import KeyChanges
from orchestrator.oversight.records import Drain
from orchestrator.oversight.stops import stop
from orchestrator.passwords import FixedPassword, Secret
from orchestrator.platform import PlatformClient
from orchestrator.platform.clock import SystemClock
from orchestrator.policy import Policy
from orchestrator.policy.document import ChallengePolicy
from orchestrator.session import AccountSession
from orchestrator.signers.keyring import Keyring
from orchestrator.steps.sign import sign
from orchestrator.steps.submit import submit
from tests.platform.conftest import LoopbackPlatform, Reply
from tests.profile import FULL

from .racer import PASSWORD, adopted, world_of
from .test_race import Scene

BUSY = Reply(409, {"code": "idempotency_in_flight", "message": "wait"})
TAKEN = Reply(204)


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Pauses(SystemClock):
    """The client's clock: what is to happen in a pause before a repeat, happens in it, to its end."""

    then: Callable[[], Awaitable[None]] | None = None
    pauses: int = 0

    async def sleep(self, seconds: float) -> None:
        self.pauses += 1
        if self.then is not None:
            await self.then()


@dataclass
class Elsewhere:
    """Another process: a journal of its own, and what it decides."""

    scene: Scene
    journal: Journal
    drain: Drain = field(default_factory=Drain)

    async def stop_all(self) -> None:
        await stop(self.journal, "all", "leak", by="os:eve", clock=now, drain=self.drain)

    async def stop_key(self) -> None:
        await stop(self.journal, "key:owner", "leak", by="os:eve", clock=now, drain=self.drain)

    async def stop_chain(self) -> None:
        await stop(self.journal, "chain:eip155:31337", "leak", by="os:eve", clock=now, drain=self.drain)

    async def disable(self) -> None:
        keyring = Keyring(self.scene.keystore, FixedPassword(Secret(PASSWORD)))
        rules = world_of(self.journal, self.scene.keystore, Path("unused")).ruleset
        await KeyChanges(self.journal, keyring, rules, "os:eve", now, drain=self.drain).disable("owner")

    async def narrow(self) -> None:
        """Another process is started with a policy that allows no UUID."""
        ruleset = world_of(self.journal, self.scene.keystore, Path("unused")).ruleset
        policy = Policy(limits=(), challenge=ChallengePolicy(kinds=("eip4361",)))
        narrower = ruleset.model_copy(update={"policy": policy})
        document = rfc8785.dumps(narrower.document).decode()
        event = o.RulesetAdopted(ruleset=narrower.hash, document=document, by="os:eve")
        await self.journal.append(
            DECISIONS_STREAM, [event], after=len(await self.journal.read(DECISIONS_STREAM)), at=now()
        )


FORBIDS = ["stop_all", "stop_key", "stop_chain", "disable", "narrow"]
SOME = FORBIDS if FULL else ["stop_key", "narrow"]
"""One of each way in which it is kept back, by default: the first test has them all."""


@dataclass
class Sending:
    """A signature that is made and not sent yet, and who sends it."""

    session: AccountSession
    server: LoopbackPlatform
    clock: Pauses
    elsewhere: Elsewhere

    @property
    def path(self) -> str:
        return f"/accounts/{self.session.account_id}/challenge/sign"

    @property
    def sent(self) -> int:
        return len(self.server.calls("POST", self.path))

    async def outcome(self) -> object:
        """What the step says, or raises."""
        try:
            return await submit(self.session)
        except OrchestratorError as error:
            return error

    def require_kept(self, outcome: object, how: str) -> None:
        match how:
            case "disable":
                assert isinstance(outcome, KeyUnavailable)
                assert outcome.code == "key_disabled"
            case "narrow":
                assert isinstance(outcome, JournalError)
                assert outcome.code == "journal_moved"
            case _:
                assert isinstance(outcome, Wait)
                assert "resume-signing" in outcome.waits_for
        assert self.session.op.signed.accepted_at is None


@pytest.fixture
async def sending(database, tmp_path, server, settings) -> AsyncIterator[Sending]:
    scene = Scene.make(database, tmp_path)
    async with (
        await Journal.open(database.url) as journal,
        await Journal.open(database.url) as other,
        PlatformClient(settings(), clock=(clock := Pauses())) as client,
    ):
        services = replace(world_of(journal, scene.keystore, tmp_path / "signatures"), platform=client)
        await adopted(services)
        account = "5df359f0-d299-40a1-8023-17c77a50144c"
        await journal.append(account, scene._begun(account, 1), after=0, at=now())
        session = await AccountSession.load(account, services)
        assert await sign(session) is None
        await client.login()
        yield Sending(session, server, clock, Elsewhere(scene, other))


@pytest.mark.parametrize("how", FORBIDS)
async def test_none_is_repeated_after_a_409(sending, how):
    sending.server.on("POST", sending.path, BUSY, BUSY, BUSY, TAKEN)

    async def at_the_second_pause() -> None:
        if sending.clock.pauses == 2:
            await getattr(sending.elsewhere, how)()

    sending.clock.then = at_the_second_pause
    outcome = await sending.outcome()
    assert sending.sent == 2
    sending.require_kept(outcome, how)


async def test_without_a_stop_it_is_repeated_until_it_is_taken(sending):
    sending.server.on("POST", sending.path, BUSY, BUSY, BUSY, TAKEN)
    assert await sending.outcome() is None
    assert sending.sent == 4
    assert len({seen.header("idempotency-key") for seen in sending.server.calls("POST", sending.path)}) == 1


@pytest.mark.parametrize("how", SOME)
async def test_none_is_repeated_after_a_new_login(sending, how):
    sending.server.on("POST", sending.path, Reply(401, {"code": "token_expired", "message": "token"}), TAKEN)

    async def login(seen) -> Reply:
        await getattr(sending.elsewhere, how)()
        return sending.server._login(seen)

    sending.server.on("POST", "/auth/token", login)
    sending.require_kept(await sending.outcome(), how)
    assert sending.sent == 1


@pytest.mark.parametrize("how", SOME)
async def test_none_is_repeated_where_the_first_was_not_sent(sending, how, server):
    port = int(server.origin.rpartition(":")[2])
    await server.stop()

    async def in_the_pause() -> None:
        await getattr(sending.elsewhere, how)()
        server._server = await asyncio.start_server(server._accept, "127.0.0.1", port)

    server.on("POST", sending.path, TAKEN)
    sending.clock.then = in_the_pause
    sending.require_kept(await sending.outcome(), how)
    assert sending.clock.pauses == 1, "the first try found nobody"
    assert sending.sent == 0


@pytest.mark.parametrize("how", SOME)
async def test_none_is_sent_when_it_comes_between_the_intent_and_the_request(sending, how):
    """What used to be asked once, before the intent."""
    sending.server.on("POST", sending.path, TAKEN)
    append = sending.session.services.journal.append

    async def then(*args, **conditions):
        done = await append(*args, **conditions)
        await getattr(sending.elsewhere, how)()
        return done

    sending.session.services.journal.append = then
    sending.require_kept(await sending.outcome(), how)
    assert sending.sent == 0


@pytest.mark.parametrize("how", SOME)
async def test_the_intent_is_not_journaled_past_a_decision(sending, how):
    append = sending.session.services.journal.append

    async def late(*args, **conditions):
        await getattr(sending.elsewhere, how)()
        return await append(*args, **conditions)

    sending.session.services.journal.append = late
    outcome = await sending.outcome()
    assert isinstance(outcome, JournalError)
    assert outcome.code == "journal_moved"
    recorded = await sending.session.services.journal.read(sending.session.account_id)
    assert not any(isinstance(item.event, e.SubmissionIntended) for item in recorded)
    assert sending.sent == 0


@pytest.mark.both_databases
@pytest.mark.parametrize("how", FORBIDS[:4] if FULL else ["stop_all", "disable"])
async def test_who_stops_waits_for_the_request_that_is_out(sending, how):
    told, stopping = [], []
    sending.elsewhere.drain = Drain(watch=told.append)

    async def while_it_is_out(_seen) -> Reply:
        before = len(await sending.elsewhere.journal.read(DECISIONS_STREAM))
        stopping.append(asyncio.create_task(getattr(sending.elsewhere, how)()))
        while not told:  # journaled, and it says that it waits
            await asyncio.sleep(0.01)
        assert len(await sending.elsewhere.journal.read(DECISIONS_STREAM)) == before + 1
        assert not stopping[0].done()
        return BUSY

    sending.server.on("POST", sending.path, while_it_is_out, TAKEN)
    outcome = await sending.outcome()
    await stopping[0]
    assert sending.sent == 1
    sending.require_kept(outcome, how)
    assert "was on its way before" in told[0]


@pytest.mark.both_databases
async def test_a_request_that_does_not_end_is_told(sending):
    """A process that hangs between the question and the sending: nobody says that signing is stopped then."""
    sending.elsewhere.drain = Drain(patience=0.05)
    async with sending.session.services.journal.in_flight():
        with pytest.raises(JournalError) as caught:
            await sending.elsewhere.stop_all()
    assert caught.value.code == "signature_in_flight"
    assert await sending.outcome() is not None, "and it holds all the same"
    await sending.elsewhere.stop_all()
    assert sending.sent == 0


@pytest.mark.both_databases
async def test_flights_share_and_what_comes_after_a_stop_waits_for_it(sending):
    """So that a busy service cannot keep a stop of something else waiting for ever."""
    mine, other = sending.session.services.journal, sending.elsewhere.journal
    begun: list[str] = []

    async def late() -> None:
        async with mine.in_flight():
            begun.append("late")

    async with mine.in_flight(), other.in_flight(), mine.in_flight():
        waiting = asyncio.create_task(other.landed(60))
        while not waits(sending.elsewhere.scene):
            await asyncio.sleep(0.01)
        later = asyncio.create_task(late())
        await asyncio.wait({later}, timeout=0.2)
        assert (begun, waiting.done()) == ([], False)
    assert await waiting
    await later


@pytest.mark.both_databases
async def test_a_flight_that_loses_its_lock_is_cut_off(sending):
    """A restart of the server ends the lock, and whoever stops would no longer wait for what is still on its way."""
    server = sending.elsewhere.scene.database.server
    if server is None:
        pytest.skip("a file's lock ends with its process alone")

    async def flight() -> None:
        async with sending.session.services.journal.in_flight():
            server.run("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
            await asyncio.Event().wait()

    with pytest.raises(JournalError) as caught:
        await flight()
    assert (caught.value.code, caught.value.disposition) == ("journal_unreachable", "retry")
    assert await sending.elsewhere.journal.landed(60)


def waits(scene: Scene) -> bool:
    """Whether somebody is in the queue."""
    if scene.database.server is not None:
        return bool(scene.database.server.run("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"))
    with (scene.database.path.with_name("journal.db.locks") / "in-flight-turn.lock").open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
