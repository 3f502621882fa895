"""What ``doctor`` finds on a healthy devnet, and what it says about each thing that is broken."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import sqlite3
import uuid
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from coincurve import PrivateKey
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jsonschema import Draft202012Validator

from orchestrator import schemas
from orchestrator.app import Orchestrator
from orchestrator.chain.node import transport as node_transport
from orchestrator.chain.node.transport import Transport
from orchestrator.connect import make_platform, make_request_keys
from orchestrator.devnet.devnet import Devnet
from orchestrator.devnet.simulator import SimulatorThread
from orchestrator.doctor import Check, database, examine
from orchestrator.doctor.chain import Chain
from orchestrator.doctor.signing import keys
from orchestrator.journal.store import Journal
from orchestrator.lifecycle import events as e
from orchestrator.lifecycle.oversight_events import SigningResumed, SigningStopped
from orchestrator.models import AccountStatus
from orchestrator.oversight.request_key_changes import RequestKeyChanges
from orchestrator.passwords import NoPassword
from orchestrator.platform.subscription import subscribe
from orchestrator.settings import Settings
from orchestrator.signers.keyring import Keyring
from tests.departures import deliberate
from tests.oversight.request_key_process import NoJournal
from tests.signers.backends_pkcs11 import SoftToken, unavailable
from tests.signers.conformance import must_run

SECRETS = ("api_secret", "signing_key", "keystore_password")


def database_file(settings: Settings) -> Path:
    return Path(settings.database_url.removeprefix("sqlite:///"))


def changed(settings: Settings, **changes: Any) -> Settings:
    return Settings.model_validate(settings.model_dump() | changes)


async def failing(settings: Settings) -> dict[str, Check]:
    """The checks that fail; every one says what to do, in a document that fits its schema, without a secret."""
    checks = await examine(settings)
    document = {"ok": all(check.ok for check in checks), "checks": [asdict(check) for check in checks]}
    Draft202012Validator(json.loads(schemas.text("doctor"))).validate(document)
    for name in SECRETS:
        value = getattr(settings, name)
        assert value is None or value.get_secret_value() not in json.dumps(document)
    return {check.name: check for check in checks if not check.ok}


@pytest.fixture
def nowhere() -> Iterator[str]:
    """A URL of this machine where nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


async def test_all_is_well_on_a_devnet_before_and_after_the_first_command(
    orchestrator_settings: Settings, devnet: Devnet
) -> None:
    database_file(orchestrator_settings).unlink()
    assert await failing(orchestrator_settings) == {}
    assert not database_file(orchestrator_settings).exists(), "nothing is made"
    async with Orchestrator.open(orchestrator_settings) as opened:
        account = await opened.create_account(devnet.programme.customer_id, "EUR")
        await opened.activate(account.account_id, timeout=60)
    details = {check.name: check.detail for check in await examine(orchestrator_settings) if check.ok}
    assert len(details) == 21
    assert "ORCHESTRATOR_PUBLIC_URL is not set" in details["webhooks"]
    assert "as the journal's customers" in details["chain_id"]
    assert "is finalized" in details["finality"]
    assert details["fork"].endswith("is of Prague or Osaka, by its header: a fork that this release knows")
    assert "with the code that this package ships" in details["factory"]
    assert "2 opened with the password" in details["keys"]
    assert "the hash chain is whole" in details["journal"]
    assert "2 people" in details["policy"]
    assert "belong together" in details["signing"]


async def test_the_subscription_is_told_missing_wrong_and_right(orchestrator_settings: Settings) -> None:
    token = "a-token-of-the-doctor-tests"
    settings = changed(orchestrator_settings, public_url="https://hooks.example", webhook_token=token)
    found = await failing(settings)
    assert set(found) == {"webhooks"}
    assert "no subscription of https://hooks.example/webhooks/…" in found["webhooks"].detail
    assert "orchestrator webhooks set" in (found["webhooks"].fix or "")
    url = f"https://hooks.example/webhooks/{token}"
    async with make_platform(settings) as client:
        spelt = url.replace("https://hooks.example", "https://Hooks.Example:443")  # the same address
        webhook = await client.put_webhook(spelt, ["card.updated"], key=str(uuid.uuid4()))
        assert webhook is not None
        found = await failing(settings)
        assert f"subscription {webhook.id} has no account.updated" in found["webhooks"].detail
        await subscribe(client, url)
        former = await client.put_webhook(url + "-former", ["account.updated"], key=str(uuid.uuid4()))
        assert former is not None
    assert await failing(settings) == {}
    (told,) = [check.detail for check in await examine(settings) if check.name == "webhooks"]
    assert f"is subscribed ({webhook.id}); deliveries are signed with key " in told
    assert f"also called by {former.id}" in told
    assert token not in told
    assert set(await failing(changed(settings, webhook_token=None))) == {"webhooks"}


async def test_a_stop_a_changed_policy_and_an_older_keystore_are_told(
    orchestrator_settings: Settings, devnet: Devnet
) -> None:
    settings = orchestrator_settings
    strict = devnet.policy_file.read_text().replace("finality = 0", "finality = 1")
    devnet.policy_file.write_text(strict)
    async with Orchestrator.open(settings) as opened:
        account = await opened.create_account(devnet.programme.customer_id, "EUR")
        await opened.activate(account.account_id, timeout=60)
        length = len(await opened.journal.read("signing"))
        stopped = SigningStopped(stop="s", scope="all", reason="a leak", by="os:eve")
        await opened.journal.append("signing", [stopped], after=length, at=datetime.now(UTC))
    found = await failing(settings.model_copy(update={"confirmations": 5}))
    assert set(found) == {"policy", "signing"}
    assert "changes finality" in found["policy"].detail
    assert "a leak" in found["signing"].detail
    assert "resume-signing" in (found["signing"].fix or "")
    async with Orchestrator.open(settings) as opened:
        resumed = SigningResumed(stop="s", people=("alice", "bob"))
        await opened.journal.append("signing", [resumed], after=length + 1, at=datetime.now(UTC))
    shutil.rmtree(settings.keystore / ".signing")
    found = await failing(settings)
    assert set(found) == {"signing"}
    assert "older copy" in found["signing"].detail
    assert "resolve ACCOUNT_ID --retry" in (found["signing"].fix or "")


async def test_a_keystore_that_has_signed_for_another_journal_is_noted(
    orchestrator_settings: Settings, devnet: Devnet, tmp_path: Path
) -> None:
    """Whoever has the keystore brings a policy of her own, and a journal that no stop was written to."""
    settings = orchestrator_settings
    policy = devnet.policy_file.read_text()
    assert 'new_journal = "allow"' in policy
    other = changed(settings, database_url=f"sqlite:///{tmp_path / 'other.db'}")
    ids = {}
    for each in (settings, other):
        async with Orchestrator.open(each) as opened:
            account = await opened.create_account(devnet.programme.customer_id, "EUR")
            await opened.activate(account.account_id, timeout=60)
            ids[each.database_url] = await opened.journal.identity()
    for each, elsewhere in ((settings, other), (other, settings)):
        (told,) = [check.detail for check in await examine(each) if check.name == "signing" and check.ok]
        assert f"has also signed for another journal: {ids[elsewhere.database_url]} (last at " in told
    none = changed(settings, database_url=f"sqlite:///{tmp_path / 'none.db'}")
    (told,) = [check.detail for check in await examine(none) if check.name == "signing" and check.ok]
    assert told.startswith("nothing has been signed yet; note: ")
    devnet.policy_file.write_text(policy.replace('new_journal = "allow"', 'new_journal = "refuse"'))
    found = await failing(none)
    assert set(found) == {"signing"}
    assert "keys.new_journal" in found["signing"].detail


async def test_nothing_set_is_told_by_name_and_the_rest_is_still_looked_at(tmp_path: Path) -> None:
    settings = Settings(database_url=f"sqlite:///{tmp_path / 'journal.db'}", keystore=tmp_path / "keys")
    found = await failing(settings)
    assert "ORCHESTRATOR_API_SECRET" in found["settings"].detail
    assert "ORCHESTRATOR_RPC_URL" in found["rpc"].detail
    assert "orchestrator keys create" in (found["keys"].fix or "")
    assert not {"database", "disk", "locks"} & set(found)


async def test_a_misspelt_variable_fails_the_settings_and_one_of_another_program_is_noted(
    orchestrator_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_ZZZ", "1")
    (settings, *_) = await examine(orchestrator_settings)
    assert settings.ok
    assert "ORCHESTRATOR_ZZZ is no setting" in settings.detail
    monkeypatch.setenv("ORCHESTRATOR_SIGNING_KEY_ID_FIELD", "id")
    (settings, *_) = await examine(orchestrator_settings)
    assert settings.ok
    assert "ORCHESTRATOR_SIGNING_KEY_ID_FIELD is no longer a setting, and ignored" in settings.detail
    monkeypatch.setenv("ORCHESTRATOR_CONFIRMATION", "12")
    found = await failing(orchestrator_settings)
    assert "is ORCHESTRATOR_CONFIRMATIONS meant?" in found["settings"].detail


async def test_the_call_to_the_node_is_timed_and_not_what_comes_before_it(
    orchestrator_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as the import of a library at the first call, which takes seconds on a busy machine."""
    connect, clock, taken = Transport._connect, [0.0], iter((5.0,))

    def slow(transport: Transport) -> Any:
        clock[0] += next(taken, 0.0)
        return connect(transport)

    monkeypatch.setattr(Transport, "_connect", slow)
    monkeypatch.setattr(node_transport, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    async with contextlib.AsyncExitStack() as stack:
        told = await Chain(orchestrator_settings, stack).reachable()
    assert clock == [5.0]
    assert "answers in 0.0 ms" in told


async def test_platform_and_node_that_do_not_answer(orchestrator_settings: Settings, nowhere: str) -> None:
    found = await failing(changed(orchestrator_settings, platform_url=f"{nowhere}/v1", rpc_url=f"{nowhere}/secret-key"))
    assert set(found) == {
        "platform_login",
        "request_signing",
        "clock",
        "rpc",
        "chain_id",
        "chain_clock",
        "finality",
        "fork",
        "factory",
    }
    assert "ORCHESTRATOR_PLATFORM_URL" in (found["platform_login"].fix or "")
    assert "ORCHESTRATOR_RPC_URL" in (found["rpc"].fix or "")
    assert "secret-key" not in repr(found)


async def test_wrong_credentials(orchestrator_settings: Settings) -> None:
    found = await failing(changed(orchestrator_settings, api_secret="not-the-secret"))
    assert found["platform_login"].detail.startswith("platform_login_refused")
    assert "ORCHESTRATOR_API_SECRET" in (found["platform_login"].fix or "")
    assert "rpc" not in found


async def test_a_signing_key_that_the_platform_does_not_know(orchestrator_settings: Settings) -> None:
    found = await failing(changed(orchestrator_settings, signing_key=_pem(ec.SECP384R1())))
    assert set(found) == {"request_signing"}
    assert "ORCHESTRATOR_SIGNING_KEY_ID" in (found["request_signing"].fix or "")


async def test_the_key_that_has_signed_is_named_and_not_the_one_that_the_settings_still_name(
    orchestrator_settings: Settings,
) -> None:
    settings = orchestrator_settings
    own = {check.name: check.detail for check in await examine(settings)}["request_signing"]
    assert f"signed with key {settings.signing_key_id} is answered" in own
    files = make_request_keys(settings)
    files.create("managed")
    async with make_platform(settings, files) as client:
        uploaded = await RequestKeyChanges(client, files, NoJournal()).upload("managed")
    checks = {check.name: check for check in await examine(settings)}
    assert [name for name, check in checks.items() if not check.ok] == ["request_key"]
    assert uploaded.key_id != settings.signing_key_id
    assert f"signed with key {uploaded.key_id} is answered" in checks["request_signing"].detail


async def test_a_signing_key_on_another_curve_or_none_at_all(orchestrator_settings: Settings) -> None:
    found = await failing(changed(orchestrator_settings, signing_key=_pem(ec.SECP256R1())))
    assert "secp256r1" in found["request_signing"].detail
    found = await failing(changed(orchestrator_settings, signing_key="no pem"))
    assert "no PEM" in found["request_signing"].detail
    assert "P-384" in (found["request_signing"].fix or "")


def _pem(curve: ec.EllipticCurve) -> str:
    return (
        ec.generate_private_key(curve)
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        .decode()
    )


async def test_a_clock_that_differs_from_the_platforms(
    orchestrator_settings: Settings, platform: SimulatorThread
) -> None:
    platform.fault("skew_clock", seconds=3600)
    found = await failing(orchestrator_settings)
    assert "3600 s behind" in found["clock"].detail or "3599 s behind" in found["clock"].detail
    assert "NTP" in (found["clock"].fix or "")


async def test_a_chain_that_the_platform_does_not_support(
    orchestrator_settings: Settings, platform: SimulatorThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {check.name: check.detail for check in await examine(orchestrator_settings)}
    assert told["chain_supported"] == "the platform supports eip155:31337"
    # As behind a platform that has no such call, or that fails: no failure of ours.
    platform.fault("status", status=404, method="GET", path="/chains$")
    told = {check.name: (check.ok, check.detail) for check in await examine(orchestrator_settings)}
    assert told["chain_supported"] == (True, "which chains the platform supports cannot be told (not_found)")
    state = platform.simulator.platform
    monkeypatch.setattr(state, "config", replace(state.config, chain_id=300))
    found = await failing(orchestrator_settings)
    assert set(found) == {"chain_supported"}
    assert "eip155:31337" in found["chain_supported"].detail
    assert "eip155:300" in found["chain_supported"].detail
    assert "ORCHESTRATOR_RPC_URL" in (found["chain_supported"].fix or "")


async def test_another_chain_than_the_journals(orchestrator_settings: Settings) -> None:
    owner = "eip155:1:0x52908400098527886E0F7030069857D2E4169EE7"
    async with await Journal.open(orchestrator_settings.database_url) as journal:
        observed = e.PlatformObserved(
            customer_id="c", status=AccountStatus.ACTIVE, wallet=None, owner=owner, updated_at=datetime.now(UTC)
        )
        await journal.append("account", [observed], after=0, at=datetime.now(UTC))
    found = await failing(orchestrator_settings)
    assert set(found) == {"chain_id"}
    assert "eip155:31337" in found["chain_id"].detail
    assert "eip155:1" in found["chain_id"].detail


async def test_a_factory_that_is_none(orchestrator_settings: Settings, devnet: Devnet) -> None:
    nobody = "0x52908400098527886E0F7030069857D2E4169EE7"
    found = await failing(changed(orchestrator_settings, factory=nobody))
    assert "no contract" in found["factory"].detail
    found = await failing(changed(orchestrator_settings, factory=devnet.contracts.token))
    assert "not a factory" in found["factory"].detail
    found = await failing(changed(orchestrator_settings, factory_block=10**9))
    assert "factory_block" in found["factory"].detail


async def test_keys_that_cannot_be_used(orchestrator_settings: Settings, devnet: Devnet, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("not the password")
    wrong.chmod(0o600)
    found = await failing(changed(orchestrator_settings, keystore_password_file=wrong))
    assert found["keys"].detail.startswith("wrong_password")
    found = await failing(changed(orchestrator_settings, certificate_key="nobody"))
    assert "'nobody'" in found["keys"].detail
    (devnet.keystore / "owner.json").chmod(0o644)
    found = await failing(orchestrator_settings)
    assert "chmod 600" in found["keys"].detail
    (devnet.keystore / "owner.json").chmod(0o600)
    found = await failing(changed(orchestrator_settings, keystore_password_file=None))
    assert "keys" not in found, "without a password nothing is opened, and nobody is asked"


async def test_a_key_that_could_leave_its_token_is_noted(
    orchestrator_settings: Settings, devnet: Devnet, tmp_path: Path, token: SoftToken
) -> None:
    pin = token.pin_file(tmp_path)
    keyring = Keyring(devnet.keystore, NoPassword())
    try:
        keyring.create("kept", uri=token.uri("kept", pin))
        assert "note" not in await keys(orchestrator_settings)
        token.import_key("brought", PrivateKey())
        keyring.attach("brought", token.uri("brought", pin))
        told = await keys(orchestrator_settings)
    finally:
        keyring.close()
    assert "2 of 2 answered by their back ends; note: " in told
    assert "brought" in told
    assert "it was extractable once (CKA_NEVER_EXTRACTABLE)" in told
    assert told.count("note: ") == 1
    assert token.pin not in told


@pytest.fixture
def token() -> Iterator[SoftToken]:
    if reason := unavailable():
        (pytest.fail if must_run() else pytest.skip)(reason)
    made = SoftToken()
    yield made
    made.remove()


async def test_a_journal_that_was_changed_from_outside(orchestrator_settings: Settings) -> None:
    started = e.OperationContinued()
    async with await Journal.open(orchestrator_settings.database_url) as journal:
        await journal.append("account", [started, started, started], after=0, at=datetime.now(UTC))
    with contextlib.closing(sqlite3.connect(database_file(orchestrator_settings))) as database:
        database.execute("UPDATE events SET at = '2020-01-01T00:00:00.000000Z' WHERE seq = 2")
        database.commit()
    found = await failing(orchestrator_settings)
    assert set(found) == {"journal", "signing"}
    assert "event 2" in found["journal"].detail
    assert found["signing"].detail.startswith("journal_damaged: ")


async def test_a_journal_that_was_cut(orchestrator_settings: Settings) -> None:
    async with await Journal.open(orchestrator_settings.database_url):
        pass
    with database_file(orchestrator_settings).open("r+b") as file:
        file.truncate(file.seek(0, 2) - 100)
    found = await failing(orchestrator_settings)
    assert {"database", "journal", "signing"} <= set(found)
    assert found["database"].detail.startswith("journal_damaged: ")
    assert "restore it from a backup" in (found["database"].fix or "")


async def test_databases_that_cannot_be_used(orchestrator_settings: Settings, tmp_path: Path) -> None:
    found = await failing(changed(orchestrator_settings, database_url="postgresql://user:secret-word@host/db"))
    assert {"database", "journal"} <= set(found)
    assert "secret-word" not in repr(found)
    newer = tmp_path / "newer.db"
    async with await Journal.open(f"sqlite:///{newer}"):
        pass
    with contextlib.closing(sqlite3.connect(newer)) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
        database.commit()
    found = await failing(changed(orchestrator_settings, database_url=f"sqlite:///{newer}"))
    assert found["database"].detail.startswith("database_newer")
    (tmp_path / "file").write_text("")
    found = await failing(changed(orchestrator_settings, database_url=f"sqlite:///{tmp_path / 'file' / 'journal.db'}"))
    assert "database" in found


async def test_a_journal_that_others_can_read(orchestrator_settings: Settings) -> None:
    async with await Journal.open(orchestrator_settings.database_url):
        pass
    assert await failing(orchestrator_settings) == {}
    path = database_file(orchestrator_settings)
    path.chmod(0o644)
    found = await failing(orchestrator_settings)
    assert set(found) == {"database"}
    assert f"{path} (expected mode 600, got 644)" in found["database"].detail
    assert f"chmod 600 {path}" in (found["database"].fix or "")


async def test_a_full_disk_and_a_place_without_locks(
    orchestrator_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with await Journal.open(orchestrator_settings.database_url):
        pass
    path = database_file(orchestrator_settings)
    path.with_name(path.name + ".locks").write_text("in the way")
    monkeypatch.setattr(database, "LEAST_SPACE", 2**80)
    found = await failing(orchestrator_settings)
    assert set(found) == {"disk", "locks"}
    assert "Free some space" in (found["disk"].fix or "")


async def test_an_rpc_that_answers_nonsense(orchestrator_settings: Settings, platform: SimulatorThread) -> None:
    with deliberate():
        found = await failing(changed(orchestrator_settings, rpc_url=platform.url))
    assert {"rpc", "chain_id", "chain_clock", "finality", "fork", "factory"} == set(found)
    assert all(check.fix for check in found.values())
