"""Signatures are dated by the platform's clock, whatever its ``Date`` headers say meanwhile."""

from __future__ import annotations

import time
import uuid
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from orchestrator.errors import PlatformRefused
from orchestrator.models import ChainAccount
from orchestrator.platform import PlatformClient
from orchestrator.platform.clock import SystemClock
from orchestrator.platform.platform_clock import PlatformClock
from orchestrator.platform.transport import Answer
from orchestrator.ports.platform import Submission
from tests.platform.published_verifier import ServerRequest, refusal

ID = "4f4b3c1e-4c3a-4a57-9b1e-3c1f6f8c0a11"
ACCOUNT = f"/accounts/{ID}"
OWNER = ChainAccount.parse("eip155:31337:0x70997970C51812dc3A010C7d01b50e0d17dc79C8")


class Verifying:
    """A platform that verifies by the published rule, with a clock of its own, and answers as its middleware does."""

    def __init__(self, server, keys, reply, account):
        self.server, self.public, self.reply, self.account = server, keys.private.public_key(), reply, account
        self.skew = 0.0
        """Its clock minus ours, seconds."""
        self.dates: list[float | None] = []
        """What the ``Date`` of the next answers is off by; None: no header. Then it is right."""
        self.refusals = (400, b"invalid required signature", "text/plain")
        login = server._login

        def log_in(seen):
            answer = login(seen)
            answer.headers = self.head()
            return answer

        server.on("POST", "/auth/token", log_in)
        for method, path in (("GET", ACCOUNT), ("PATCH", f"{ACCOUNT}/deactivate"), ("DELETE", ACCOUNT)):
            server.on(method, path, self.answer)

    def head(self):
        wrong = self.dates.pop(0) if self.dates else 0.0
        if wrong is None:
            return {}
        at = datetime.now(UTC) + timedelta(seconds=self.skew + wrong)
        return {"date": format_datetime(at, usegmt=True)}

    def answer(self, seen):
        request = ServerRequest(seen.method, seen.target, seen.lines, seen.body)
        why = refusal(request, key=self.public, key_id="key-1", now=time.time() + self.skew)
        if why is None:
            return self.reply(200, self.account(ID), headers=self.head())
        status, text, kind = self.refusals
        return self.reply(status, raw=text, headers=self.head() | {"content-type": kind})


@pytest.fixture
def platform(server, signing_keys, reply, account_json):
    return Verifying(server, signing_keys, reply, account_json)


def key():
    return str(uuid.uuid4())


@pytest.mark.parametrize("skew", [-25.0, -0.75, 0.0, 0.3, 12.5])
def test_no_signature_is_dated_ahead_whatever_fractions_the_header_cuts_off(skew):
    """Both clocks at every tenth of a second, the answer at once or half a second under way."""
    for tenths in range(20):
        for way in (0.0, 0.5):
            ours = 1_700_000_000 + tenths / 10
            clock = Machine(ours)
            learned = PlatformClock(clock, timedelta(seconds=30))
            date = format_datetime(datetime.fromtimestamp(int(ours + skew), UTC), usegmt=True)
            learned.note(Answer(200, {"date": date}, b"", ours + way))
            for later in range(20):
                clock.time = ours + way + later / 10
                created = int(learned.signing_time().timestamp())
                assert clock.time + skew - 4 <= created <= int(clock.time + skew)


class Machine(SystemClock):
    def __init__(self, time):
        self.time = time

    def now(self):
        return self.time


@pytest.mark.parametrize("skew", [-25, -1, -0.4, 0, 0.4, 1, 25])
async def test_a_platform_whose_clock_is_another(server, client, platform, skew):
    """Its verifier takes nothing from the future; the login's answer tells its clock."""
    platform.skew = skew
    await client.account(ID)
    await client.deactivate(ID, key=key())
    assert len(server.seen) == 3, "nothing was repeated"


@pytest.mark.parametrize("text", [(400, b"invalid required signature\n", "text/plain; charset=utf-8"), (401, b"", "")])
async def test_a_clock_that_drifts_is_learned_again(server, client, platform, text):
    platform.refusals = text
    await client.account(ID)
    platform.skew = -20
    repeated = key()
    await client.deactivate(ID, key=repeated)
    sent = server.calls("PATCH", f"{ACCOUNT}/deactivate")
    assert [one.header("idempotency-key") for one in sent] == [repeated, repeated], "refused, so surely not processed"
    await client.account(ID)
    assert len(server.calls("GET", ACCOUNT)) == 2


async def test_a_date_that_jumps_costs_one_repeat(server, client, platform):
    """Ahead, within the tolerance: the next signature would be from the future."""
    platform.dates = [0.0, 28.0]
    await client.account(ID)
    await client.close(ID, key=key())
    assert len(server.calls("DELETE", ACCOUNT)) == 2
    platform.dates = [-28.0]
    await client.account(ID)
    await client.account(ID)
    assert len(server.calls("GET", ACCOUNT)) == 3, "a signature that is older than it could be holds"
    assert server.tokens == 1


async def test_a_date_that_is_always_ahead_is_not_followed_after_a_refusal(server, client, platform):
    """By a proxy's clock, within the tolerance; until another one is learned."""
    platform.dates = [25.0] * 6
    await client.account(ID)
    assert len(server.calls("GET", ACCOUNT)) == 2
    for _ in range(3):
        await client.account(ID)
    assert len(server.calls("GET", ACCOUNT)) == 5
    platform.dates = [-10.0]
    await client.account(ID)
    assert client._session.platform_clock.followed < timedelta(seconds=-8)
    platform.dates = [25.0] * 4
    for _ in range(2):
        await client.account(ID)
    assert len(server.calls("GET", ACCOUNT)) == 9, "followed again, and refused once"


async def test_a_clock_that_is_ahead_is_followed_again_where_being_behind_does_not_help(server, client, platform):
    """The refusals were about something else."""
    platform.skew, right = 25, platform.public
    await client.account(ID)
    platform.public = ec.generate_private_key(ec.SECP384R1()).public_key()
    for tries in (3, 5):
        with pytest.raises(PlatformRefused):
            await client.account(ID)
        assert len(server.calls("GET", ACCOUNT)) == tries
    platform.public = right
    await client.account(ID)
    assert client._session.platform_clock.followed > timedelta(seconds=20)
    assert len(server.calls("GET", ACCOUNT)) == 6


@pytest.mark.parametrize("off", [86_400.0, -86_400.0, 31.0])
async def test_a_date_beyond_the_tolerance_is_not_followed(server, client, platform, off):
    platform.dates = [0.0, off, off]
    for _ in range(3):
        await client.account(ID)
    assert len(server.calls("GET", ACCOUNT)) == 3
    assert abs(client.clock_offset.total_seconds()) < 2, "as of the last answer"


async def test_what_was_learned_is_forgotten_where_a_refusal_gives_no_date(server, client, platform):
    platform.dates = [0.0, 28.0, None, None, None]
    for _ in range(3):
        await client.account(ID)
    assert len(server.calls("GET", ACCOUNT)) == 4


async def test_dates_that_jump_with_every_refusal_are_followed_once(server, client, platform):
    """The platform's clock is behind what it says, so nothing can hold: two tries, not a storm."""
    platform.skew = -300
    platform.dates = [300.0 + off for off in (0, 20, -20, 20, -20, 20)]
    with pytest.raises(PlatformRefused) as caught:
        await client.account(ID)
    assert caught.value.code == "request_signature_refused"
    assert len(server.calls("GET", ACCOUNT)) == 2
    assert server.tokens == 1


async def test_a_refused_signature_in_plain_text_has_its_code(server, settings, client, reply):
    """Of every call: it is not taken for a refusal of the account, nor of the owner's signature."""
    plain = reply(400, raw=b"invalid required signature", headers={"content-type": "text/plain"})
    server.fallback = lambda seen: plain
    calls = [
        lambda: client.account(ID),
        lambda: client.create_account(ID, "EUR", key=key()),
        lambda: client.submit(ID, Submission(OWNER, "YQ==", bytes(64) + b"\x1b"), key=key(), permit=nullcontext),
        lambda: client.deactivate(ID, key=key()),
    ]
    for call in calls:
        with pytest.raises(PlatformRefused, match="invalid required signature") as caught:
            await call()
        assert (caught.value.code, caught.value.status) == ("request_signature_refused", 400)
    assert len(server.seen) == 1 + len(calls), "nothing is repeated, and nothing is read back"


async def test_other_words_in_plain_text_are_no_refused_signature(server, client, reply):
    server.on(
        "GET",
        ACCOUNT,
        reply(400, raw=b"the signature of the owner\x00 is <b>wrong", headers={"content-type": "text/plain"}),
    )
    with pytest.raises(PlatformRefused, match="the signature of the owner  is <b>wrong") as caught:
        await client.account(ID)
    assert caught.value.code == "platform_bad_request"


async def test_a_skew_beyond_the_tolerance_has_its_own_code_with_the_middleware_too(server, settings, platform):
    platform.skew = -7200
    async with PlatformClient(settings()) as client:
        with pytest.raises(PlatformRefused, match="NTP") as caught:
            await client.account(ID)
    assert caught.value.code == "clock_skew"
