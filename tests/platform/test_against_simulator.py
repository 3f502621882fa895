"""The client against the platform simulator, which shares no code with it: every call that needs no chain."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import nullcontext

import pytest
from coincurve import PrivateKey
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from eth_hash.auto import keccak
from pydantic import SecretStr

from orchestrator.devnet.simulator import Simulator, SimulatorConfig
from orchestrator.errors import MalformedAnswer, PlatformRefused, PlatformUnreachable, UncertainAnswer
from orchestrator.models import AccountStatus, ChainAccount, ChainId, checksum
from orchestrator.platform import PlatformClient, PlatformSettings, VerificationKeys, WebhookVerifier, parse_delivery
from orchestrator.ports.platform import Submission

UNKNOWN = "00000000-0000-4000-8000-000000000000"


def key() -> str:
    return str(uuid.uuid4())


class Owner:
    """A customer's wallet, signing EIP-191 messages."""

    def __init__(self) -> None:
        self.private = PrivateKey()
        self.account = ChainAccount(
            ChainId(31337), checksum(keccak(self.private.public_key.format(compressed=False)[1:])[12:].hex())
        )

    def sign(self, challenge: str) -> Submission:
        import base64

        message = base64.b64decode(challenge)
        digest = keccak(b"\x19Ethereum Signed Message:\n" + str(len(message)).encode() + message)
        raw = self.private.sign_recoverable(digest, hasher=None)
        return Submission(self.account, challenge, raw[:64] + bytes([raw[64] + 27]))


@pytest.fixture
def owner():
    return Owner()


@pytest.fixture
async def simulator(tmp_path):
    async with Simulator(SimulatorConfig(database=tmp_path / "platform.db")) as one:
        yield one


@pytest.fixture
def programme(simulator, owner):
    return simulator.bootstrap(owner.account.address)


@pytest.fixture
def made(programme):
    def make(**changes):
        found = programme.credentials
        values = {
            "base_url": programme.url,
            "api_key": found.api_key,
            "api_secret": SecretStr(found.api_secret),
            "signing_key_pem": SecretStr(found.signing_key),
            "signing_key_id": found.signing_key_id,
            "timeout_seconds": 5.0,
        }
        return PlatformSettings(**(values | changes))

    return make


@pytest.fixture
async def client(made):
    async with PlatformClient(made()) as one:
        yield one


async def test_account_to_pending(client, programme, owner):
    used = key()
    account, challenge = await client.create_account(programme.customer_id, "EUR", key=used)
    assert account.status is AccountStatus.INITIATING
    assert account.wallet is None
    assert await client.create_account(programme.customer_id, "EUR", key=used) == (account, challenge)
    assert [one.id for one in await client.accounts()] == [account.id]
    assert await client.customer_accounts(programme.customer_id) == await client.accounts()
    assert await client.cards(account.id) == []

    stranger = Owner().sign(challenge)
    with pytest.raises(PlatformRefused) as caught:
        await client.submit(
            account.id, Submission(owner.account, challenge, stranger.signature), key=key(), permit=nullcontext
        )
    assert caught.value.code == "signature_refused"
    renewed = await client.challenge(account.id)
    last = await client.challenge(account.id)
    assert len({challenge, renewed, last}) == 3, "each invalidates those before it"
    for dead in (challenge, renewed):
        with pytest.raises(PlatformRefused) as caught:
            await client.submit(account.id, owner.sign(dead), key=key(), permit=nullcontext)
        assert caught.value.code == "signature_refused"
    assert await client.submit(account.id, owner.sign(last), key=key(), permit=nullcontext) is None
    assert (await client.account(account.id)).status is AccountStatus.PENDING
    with pytest.raises(PlatformRefused) as caught:
        await client.submit(account.id, owner.sign(last), key=key(), permit=nullcontext)
    assert (caught.value.code, caught.value.status) == ("challenge_already_signed", 409)
    assert await client.challenge(account.id) is None
    with pytest.raises(PlatformRefused) as caught:
        await client.deactivate(account.id, key=key())
    assert caught.value.status == 409


async def test_what_is_unknown(client, owner):
    submission = owner.sign("YQ==")
    cases = [
        (client.account(UNKNOWN), "account_not_found"),
        (client.challenge(UNKNOWN), "account_not_found"),
        (client.cards(UNKNOWN), "account_not_found"),
        (client.submit(UNKNOWN, submission, key=key(), permit=nullcontext), "account_not_found"),
        (client.reactivate(UNKNOWN, key=key()), "account_not_found"),
        (client.close(UNKNOWN, key=key()), "account_not_found"),
        (client.customer(UNKNOWN), "customer_not_found"),
        (client.customer_accounts(UNKNOWN), "customer_not_found"),
        (client.create_account(UNKNOWN, "EUR", key=key()), "customer_not_found"),
        (client.webhook(UNKNOWN), "webhook_not_found"),
    ]
    for call, code in cases:
        with pytest.raises(PlatformRefused) as caught:
            await call
        assert caught.value.code == code
        assert caught.value.status == 404


async def test_one_key_for_two_payloads(client, programme):
    used = key()
    await client.create_account(programme.customer_id, "EUR", key=used)
    with pytest.raises(PlatformRefused) as caught:
        await client.put_webhook("https://me.example/x", ["account.updated"], key=used)
    assert caught.value.code == "idempotency_mismatch"


async def test_faults_on_the_way(client, simulator, programme):
    used = key()
    simulator.fault("drop_before", count=1, method="POST", path=".*/accounts$")
    with pytest.raises(UncertainAnswer):
        await client.create_account(programme.customer_id, "EUR", key=used)
    assert await client.accounts() == []
    simulator.fault("drop_after", count=1, method="POST", path=".*/accounts$")
    with pytest.raises(UncertainAnswer):
        await client.create_account(programme.customer_id, "EUR", key=used)
    (account,) = await client.accounts()
    assert (await client.create_account(programme.customer_id, "EUR", key=used))[0] == account
    simulator.fault("malformed_json", count=1, method="GET", path=".*/accounts/.*")
    assert await client.account(account.id) == account
    simulator.fault("malformed_json", count=3, method="GET", path=".*/accounts/.*")
    with pytest.raises(MalformedAnswer):
        await client.account(account.id)
    simulator.fault("status", status=503, count=1, method="GET", path=".*/accounts/.*")
    assert await client.account(account.id) == account
    simulator.fault("expire_challenges")
    assert await client.challenge(account.id) is not None


async def test_one_key_twice_at_once_makes_one_account(client, programme):
    used = key()
    results = await asyncio.gather(*(client.create_account(programme.customer_id, "EUR", key=used) for _ in range(8)))
    assert len({account.id for account, _ in results}) == 1
    assert len(await client.accounts()) == 1


async def test_tokens_that_are_all_ended_at_once(client, simulator):
    await client.accounts()
    simulator.fault("expire_tokens")
    await asyncio.gather(*(client.accounts() for _ in range(20)))
    tokens = [one for one in simulator.records()["requests"] if one["path"].endswith("/auth/token")]
    assert len(tokens) == 2


async def test_wrong_credentials_and_wrong_key(made):
    async with PlatformClient(made(api_secret=SecretStr("wrong-but-long-enough"))) as wrong:
        with pytest.raises(PlatformRefused) as caught:
            await wrong.accounts()
    assert caught.value.code == "platform_login_refused"
    pem = ec.generate_private_key(ec.SECP384R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for changes in ({"signing_key_pem": SecretStr(pem.decode())}, {"signing_key_id": "another"}):
        async with PlatformClient(made(**changes)) as wrong:
            with pytest.raises(PlatformRefused) as caught:
                await wrong.accounts()
        assert caught.value.code == "request_signature_refused"


async def test_a_clock_that_differs(made, simulator):
    simulator.fault("skew_clock", seconds=7200)
    async with PlatformClient(made()) as client:
        with pytest.raises(PlatformRefused) as caught:
            await client.accounts()
    assert caught.value.code == "clock_skew"


async def test_a_key_replaced_and_credentials_revoked(client, made):
    private = ec.generate_private_key(ec.SECP384R1())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    old, key_id = client.signing_key_id, key()
    assert await client.upload_signing_key(key_id, public, key=key()) == key_id
    assert await client.accounts() == [], "the old one signs on"
    async with PlatformClient(made(signing_key_pem=SecretStr(pem), signing_key_id=key_id)) as renewed:
        assert await renewed.accounts() == []
        await renewed.remove_signing_key(old, key=key())
        with pytest.raises(PlatformRefused) as caught:
            await client.accounts()
        assert caught.value.code == "request_signature_refused"
        await renewed.revoke_credentials(key=key())
        with pytest.raises(PlatformRefused):
            await renewed.accounts()


async def test_webhooks(client):
    hook = await client.put_webhook("https://me.example/hooks/x", ["account.updated"], key=key())
    assert hook is not None
    assert await client.webhooks() == [hook]
    moved = await client.put_webhook("https://me.example/hooks/y", ["card.updated"], webhook_id=hook.id, key=key())
    assert await client.webhook(hook.id) == moved
    await client.delete_webhook(hook.id, key=key())
    assert await client.webhooks() == []


async def test_the_simulator_gone(simulator, client):
    await client.accounts()
    await simulator.stop()
    with pytest.raises(PlatformUnreachable):
        await client.accounts()
    with pytest.raises((PlatformUnreachable, UncertainAnswer)):
        await client.close(UNKNOWN, key=key())


async def test_a_signed_delivery_of_the_simulator(tmp_path, server, reply, owner):
    delivered = asyncio.Queue()

    def take(seen):
        delivered.put_nowait(seen)
        return reply(200, {})

    server.on("POST", "/hooks/x", take)
    async with Simulator(SimulatorConfig(database=tmp_path / "signed.db")) as simulator:
        found = simulator.bootstrap(owner.account.address)
        values = PlatformSettings(
            base_url=found.url,
            api_key=found.credentials.api_key,
            api_secret=SecretStr(found.credentials.api_secret),
            signing_key_pem=SecretStr(found.credentials.signing_key),
            signing_key_id=found.credentials.signing_key_id,
        )
        async with PlatformClient(values) as client:
            await client.put_webhook(server.url + "/hooks/x", ["account.updated"], key=key())
            account, challenge = await client.create_account(found.customer_id, "EUR", key=key())
            await client.submit(account.id, owner.sign(challenge), key=key(), permit=nullcontext)
            seen = await asyncio.wait_for(delivered.get(), 20)
            event = parse_delivery(seen.body, content_type=seen.header("content-type"))
            assert event.account_id == account.id
            verifier = WebhookVerifier(VerificationKeys(client.verification_key), 60)
            await verifier.verify(seen.method, server.origin + seen.target, seen.lines, seen.body)
            with pytest.raises(PlatformRefused):
                await verifier.verify(seen.method, server.origin + seen.target, seen.lines, seen.body + b" ")
