"""Changes of keys: real key files and a real journal, and every place where a process can die between the two."""

from __future__ import annotations

import asyncio
import shutil
from datetime import timedelta

import pytest
from coincurve import PrivateKey

from orchestrator import eip191
from orchestrator.authorization.gate import is_disabled, read_oversight
from orchestrator.errors import JournalError, KeyUnavailable, OrchestratorError, SettingsError
from orchestrator.lifecycle import oversight_events as o
from orchestrator.lifecycle.oversight_state import DECISIONS_STREAM, content_hash, request_approval
from orchestrator.models import ChainAccount, ChainId
from orchestrator.oversight.approvals import Granted, Waiting, approve
from orchestrator.oversight.key_changes import KeyChange, KeyChanges, as_seen
from orchestrator.oversight.requests import find
from orchestrator.passwords import FixedPassword, Secret
from orchestrator.signers.keyring import Keyring
from tests.oversight.conftest import BOB, NOBODY, adopt, happened, ruleset, signatory

CHAIN = ChainId(31337)
SECRET = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"
ADDRESS = eip191.address_of(PrivateKey(bytes.fromhex(SECRET)).public_key)
ASKING = ruleset()


class Died(BaseException):
    """The process is gone."""


@pytest.fixture
def keyring(tmp_path):
    return Keyring(tmp_path / "keystore", FixedPassword(Secret("password")), work_factor=2**12)


@pytest.fixture
def key_changes(journal, keyring, clock):
    return KeyChanges(journal, keyring, NOBODY, "os:deploy", clock)


@pytest.fixture
def asking(journal, keyring, clock):
    """Under a ruleset that asks one person about each change."""
    return KeyChanges(journal, keyring, ASKING, "os:deploy", clock)


def create(keyring, name="alice"):
    return KeyChange("created", name, None, chains=(CHAIN,)), lambda: keyring.create(name, chains=(CHAIN,))


def import_(keyring, name="alice"):
    return KeyChange("imported", name, ADDRESS), lambda: keyring.import_key(name, Secret(SECRET))


async def say_yes(key_changes, waiting):
    assert isinstance(waiting, Waiting)
    await approve(
        key_changes.journal, waiting.request, signatory(BOB), settings=key_changes.settings, clock=key_changes.clock
    )


async def changes(key_changes):
    return [
        (item.event.action, item.event.name, item.event.disabled)
        for item in await key_changes.journal.read(DECISIONS_STREAM)
        if isinstance(item.event, o.KeyChanged)
    ]


async def test_without_approvals_each_change_is_done_and_journaled(key_changes, keyring, journal):
    made = await key_changes.make(*create(keyring))
    wallet = ChainAccount(CHAIN, made.key.address)
    assert (made.key.wallets, made.journaled) == ((wallet,), True)
    other = ChainAccount(ChainId(1), made.key.address)
    bound = await key_changes.make(
        KeyChange("bound", "alice", made.key.address, wallets=(other,)), lambda: keyring.bind("alice", other)
    )
    assert bound.key.wallets == (wallet, other)
    await key_changes.make(
        KeyChange("rotated", "alice", made.key.address),
        lambda: keyring.rotate("alice", FixedPassword(Secret("password"))),
    )
    await key_changes.disable("alice")
    await key_changes.make(KeyChange("enabled", "alice", made.key.address), lambda: keyring.enable("alice"))
    assert [(action, disabled) for action, _, disabled in await changes(key_changes)] == [
        ("created", False),
        ("bound", False),
        ("rotated", False),
        ("disabled", True),
        ("enabled", False),
    ]
    last = (await read_oversight(journal)).keys["alice"]
    assert (last.keystore, last.by, last.wallets) == (keyring.id, "os:deploy", (str(wallet), str(other)))


async def test_what_is_so_already_is_not_written_again(key_changes, keyring):
    made = await key_changes.make(*create(keyring))
    wallet = made.key.wallets[0]
    for _ in range(2):
        for change, act in (
            (KeyChange("bound", "alice", made.key.address, wallets=(wallet,)), lambda: keyring.bind("alice", wallet)),
            (KeyChange("enabled", "alice", made.key.address), lambda: keyring.enable("alice")),
        ):
            assert not (await key_changes.make(change, act)).journaled
    assert (await key_changes.disable("alice")).journaled
    assert not (await key_changes.disable("alice")).journaled
    assert len(await changes(key_changes)) == 2


async def test_where_approvals_are_asked_nothing_is_done_before(asking, keyring, journal):
    change, act = create(keyring)
    first = await asking.make(change, act)
    assert isinstance(first, Waiting)
    again = await asking.make(change, act)
    assert isinstance(again, Waiting)
    assert again.request.id == first.request.id
    assert keyring.list() == ()
    assert await happened(journal) == ["approval_requested"]
    await say_yes(asking, first)
    done = await asking.make(change, act)
    assert done.journaled
    assert await happened(journal) == ["approval_requested", "approval_given", "approval_used", "key_changed"]
    last = (await journal.read(DECISIONS_STREAM))[-1].event
    assert last.request == first.request.id


async def test_an_approval_is_for_exactly_one_change(asking, keyring):
    change, act = import_(keyring)
    waiting = await asking.make(change, act)
    await say_yes(asking, waiting)
    for other in (
        KeyChange("imported", "bob", ADDRESS),
        KeyChange("attached", "alice", ADDRESS),
        KeyChange("imported", "alice", "0x" + "11" * 20),
        KeyChange("imported", "alice", ADDRESS, wallets=(ChainAccount(CHAIN, ADDRESS),)),
        KeyChange("imported", "alice", ADDRESS, uri="pkcs11:token=a;object=b"),
    ):
        assert isinstance(await asking.authorise(other), Waiting)
    assert isinstance(await asking.authorise(change), Granted)


async def test_what_was_approved_is_what_the_approver_saw(asking, keyring, journal, clock):
    """Whoever can write to the database shows the approver a harmless change under the hash of another."""
    change, act = create(keyring, "evil")
    harmless = KeyChange("disabled", "old-test-key", None)
    forged = request_approval(
        "keys",
        "administrator",
        harmless.content(keyring.id),
        needed=1,
        by="os:root",
        now=clock(),
        expires_at=clock() + timedelta(hours=1),
    ).model_copy(update={"content_hash": content_hash(change.content(keyring.id))})
    await journal.append(DECISIONS_STREAM, [forged], after=0, at=clock())
    await approve(
        journal,
        await find(journal, forged.request, settings=ASKING, clock=clock),
        signatory(BOB),
        settings=ASKING,
        clock=clock,
    )
    waiting = await asking.make(change, act)
    assert isinstance(waiting, Waiting)
    assert waiting.request.id != forged.request
    assert keyring.list() == ()


async def test_disabling_takes_one_person_and_enabling_two(asking, keyring, journal):
    keyring.import_key("alice", Secret(SECRET))
    assert (await asking.disable("alice")).key.disabled
    change = KeyChange("enabled", "alice", ADDRESS)
    waiting = await asking.make(change, lambda: keyring.enable("alice"))
    assert keyring.get("alice").disabled
    await say_yes(asking, waiting)
    assert not (await asking.make(change, lambda: keyring.enable("alice"))).key.disabled
    assert not is_disabled(keyring.get("alice"), await read_oversight(journal))


async def test_what_somebody_has_written_to_a_file_gets_into_the_journal_by_no_other_change(asking, keyring, journal):
    """Where changes take approval. That of another change says nothing of wallets, and disabling takes none at all."""

    async def approved(change, act):
        await say_yes(asking, await asking.make(change, act))
        return (await asking.make(change, act)).key.wallets

    async def journaled():
        return [
            item.event.wallets for item in await journal.read(DECISIONS_STREAM) if isinstance(item.event, o.KeyChanged)
        ][-1]

    await adopt(journal, ASKING, asking.clock)
    keyring.import_key("alice", Secret(SECRET))
    by_hand, other = (ChainAccount(ChainId(number), ADDRESS) for number in (1, 2))
    keyring.bind("alice", by_hand)
    assert (await asking.disable("alice")).key.wallets == ()
    assert await approved(KeyChange("enabled", "alice", ADDRESS), lambda: keyring.enable("alice")) == ()
    password = FixedPassword(Secret("password"))
    assert await approved(KeyChange("rotated", "alice", ADDRESS), lambda: keyring.rotate("alice", password)) == ()
    assert await journaled() == ()
    change = KeyChange("bound", "alice", ADDRESS, wallets=(other,))
    assert await approved(change, lambda: keyring.bind("alice", other)) == (other,)
    assert await journaled() == (str(other),)
    assert keyring.get("alice").wallets == (by_hand, other)
    change = KeyChange("bound", "alice", ADDRESS, wallets=(by_hand,))
    assert await approved(change, lambda: keyring.bind("alice", by_hand)) == (other, by_hand)


async def test_a_key_is_bound_to_what_was_approved_when_it_was_made(asking, keyring, journal):
    await adopt(journal, ASKING, asking.clock)
    change, act = create(keyring)
    await say_yes(asking, await asking.make(change, act))
    made = await asking.make(change, act)
    assert made.key.wallets == (ChainAccount(CHAIN, made.key.address),)
    wallet = ChainAccount(CHAIN, ADDRESS)
    change = KeyChange("imported", "bob", ADDRESS, wallets=(wallet,))

    def act_again():
        return keyring.import_key("bob", Secret(SECRET), wallets=(wallet,))

    await say_yes(asking, await asking.make(change, act_again))
    assert (await asking.make(change, act_again)).key.wallets == (wallet,)


# --- the journal's word counts as much as the file's -----------------------------------------------------------------


async def test_a_restored_keystore_does_not_bring_a_disabled_key_back(key_changes, keyring, journal, tmp_path):
    await key_changes.make(*import_(keyring))
    shutil.copytree(keyring.path, tmp_path / "backup")
    await key_changes.disable("alice")
    shutil.rmtree(keyring.path)
    shutil.copytree(tmp_path / "backup", keyring.path)
    restored = keyring.get("alice")
    assert not restored.disabled
    assert is_disabled(restored, await read_oversight(journal))
    file = keyring.path / "alice.json"
    file.write_text(file.read_text().replace('"alice"', '"bob"'))
    file.rename(keyring.path / "bob.json")
    assert is_disabled(keyring.get("bob"), await read_oversight(journal)), "a copied file is the same key"
    assert (await key_changes.make(KeyChange("enabled", "bob", ADDRESS), lambda: keyring.enable("bob"))).journaled
    assert not is_disabled(keyring.get("bob"), await read_oversight(journal))


async def test_a_disabled_key_that_is_imported_again_stays_disabled(key_changes, keyring, journal):
    await key_changes.make(*import_(keyring))
    await key_changes.disable("alice")
    (keyring.path / "alice.json").unlink()
    for name in ("alice", "bob"):
        again = await key_changes.make(*import_(keyring, name))
        assert again.key.disabled, name
        (keyring.path / f"{name}.json").unlink()
    assert [disabled for _, _, disabled in await changes(key_changes)] == [False, True, True, True]


async def test_a_new_key_of_an_old_name_is_another_key(key_changes, keyring, journal):
    await key_changes.make(*import_(keyring))
    await key_changes.disable("alice")
    (keyring.path / "alice.json").unlink()
    made = await key_changes.make(*create(keyring))
    assert not made.key.disabled
    keyring.import_key("old", Secret(SECRET))
    assert as_seen(keyring.get("old"), await read_oversight(journal)).disabled


# --- a process dies between the two places ---------------------------------------------------------------------------


class Dies:
    """A journal of a process that dies at the first write of a change."""

    def __init__(self, journal):
        self._journal = journal

    def __getattr__(self, name):
        return getattr(self._journal, name)

    async def append(self, stream, new, **rest):
        if any(isinstance(event, o.KeyChanged) for event in new):
            raise Died
        return await self._journal.append(stream, new, **rest)


def dying(key_changes):
    return KeyChanges(
        Dies(key_changes.journal), key_changes.keys, key_changes.settings, key_changes.by, key_changes.clock
    )


@pytest.mark.parametrize("rules", [NOBODY, ASKING], ids=["alone", "approved"])
@pytest.mark.parametrize("action", ["created", "imported", "bound", "rotated", "enabled"])
async def test_the_same_command_again_finishes_what_a_kill_cut_off(journal, keyring, clock, action, rules):
    key_changes = KeyChanges(journal, keyring, rules, "os:deploy", clock)
    if action not in ("created", "imported"):
        keyring.import_key("alice", Secret(SECRET))
    wallet = ChainAccount(CHAIN, ADDRESS)
    change, act = {
        "created": create(keyring),
        "imported": import_(keyring),
        "bound": (KeyChange("bound", "alice", ADDRESS, wallets=(wallet,)), lambda: keyring.bind("alice", wallet)),
        "rotated": (
            KeyChange("rotated", "alice", ADDRESS),
            lambda: keyring.rotate("alice", FixedPassword(Secret("password"))),
        ),
        "enabled": (KeyChange("enabled", "alice", ADDRESS), lambda: keyring.enable("alice")),
    }[action]
    if action == "enabled":
        await key_changes.disable("alice")
    if rules is ASKING:
        await say_yes(key_changes, await key_changes.make(change, act))
    with pytest.raises(Died):
        await dying(key_changes).make(change, act)
    before = await changes(key_changes)
    key = keyring.get("alice")
    if action == "enabled":
        assert is_disabled(key, await read_oversight(journal)), "not before the journal says so"
    done = await key_changes.make(change, act)
    assert done.key.address == key.address, "the same key, not a second one"
    assert done.journaled
    assert (await changes(key_changes))[len(before) :] == [(action, "alice", False)]
    used = [kind for kind in await happened(journal) if kind == "approval_used"]
    assert len(used) == (rules is ASKING)


async def test_a_disabling_that_was_cut_off_holds_and_is_finished(key_changes, keyring, journal):
    await key_changes.make(*import_(keyring))
    with pytest.raises(Died):
        await dying(key_changes).disable("alice")
    assert keyring.get("alice").disabled
    assert (await key_changes.disable("alice")).journaled


async def test_a_key_that_is_there_and_another_is_not_taken_for_it(key_changes, keyring):
    keyring.create("alice")
    for change, act in (create(keyring), import_(keyring)):
        with pytest.raises(SettingsError) as caught:
            await key_changes.make(change, act)
        assert caught.value.code == "key_exists"
    await key_changes.make(*create(keyring, "bob"))
    with pytest.raises(SettingsError) as caught:
        await key_changes.make(*create(keyring, "bob"))
    assert caught.value.code == "key_exists"
    assert await changes(key_changes) == [("created", "bob", False)]


async def test_what_exists_or_is_missing_is_said_before_anybody_is_asked(asking, keyring, journal):
    keyring.import_key("alice", Secret(SECRET))
    with pytest.raises(SettingsError):
        await asking.make(*create(keyring))
    with pytest.raises(KeyUnavailable) as caught:
        await asking.make(KeyChange("enabled", "nobody", ADDRESS), lambda: keyring.enable("nobody"))
    assert caught.value.code == "key_not_found"
    assert await happened(journal) == []


async def test_a_persons_own_key_is_no_managed_key(asking, keyring, journal):
    """A challenge could be the text of an approval."""
    with pytest.raises(SettingsError, match="bob") as caught:
        await asking.make(KeyChange("imported", "alice", BOB.address), lambda: keyring.create("alice"))
    assert caught.value.code == "key_of_a_person"
    assert await happened(journal) == []


# --- trouble ---------------------------------------------------------------------------------------------------------


class Away:
    """A journal whose database does not answer."""

    def __getattr__(self, name):
        async def call(*arguments, **more):
            raise JournalError("the database does not answer", code="journal_unreachable")

        return call


async def test_a_key_is_disabled_without_the_journal(keyring, clock):
    keyring.import_key("alice", Secret(SECRET))
    with pytest.raises(JournalError, match="disabled in the keystore") as caught:
        await KeyChanges(Away(), keyring, NOBODY, "os:deploy", clock).disable("alice")
    assert caught.value.code == "journal_unreachable"
    assert keyring.get("alice").disabled


async def test_a_key_is_disabled_by_the_journal_where_its_file_cannot_be_marked(key_changes, keyring, journal):
    await key_changes.make(*import_(keyring))
    good = (keyring.path / "alice.json").read_bytes()
    (keyring.path / "alice.json").write_text("{")
    with pytest.raises(KeyUnavailable, match="out of use by the journal") as caught:
        await key_changes.disable("alice")
    assert caught.value.code == "keystore_unreadable"
    (keyring.path / "alice.json").write_bytes(good)
    assert is_disabled(keyring.get("alice"), await read_oversight(journal))


async def test_a_key_of_another_machine_is_disabled_by_the_journal(key_changes, keyring, journal, tmp_path, clock):
    await key_changes.make(*import_(keyring))
    elsewhere = Keyring(tmp_path / "other", FixedPassword(Secret("password")), work_factor=2**12)
    there = KeyChanges(journal, elsewhere, NOBODY, "os:other", clock)
    told = await there.disable("alice")
    assert (told.key.address, told.key.disabled, told.journaled) == (ADDRESS, True, True)
    assert is_disabled(keyring.get("alice"), await read_oversight(journal))
    assert not (await there.disable("alice")).journaled
    with pytest.raises(KeyUnavailable) as caught:
        await there.disable("nobody")
    assert caught.value.code == "key_not_found"


async def test_a_key_that_was_swapped_meanwhile_is_taken_out(key_changes, keyring):
    with pytest.raises(OrchestratorError) as caught:
        await key_changes.make(KeyChange("imported", "alice", ADDRESS), lambda: keyring.create("alice"))
    assert caught.value.code == "key_swapped"
    assert keyring.get("alice").disabled


async def test_who_made_a_key_and_who_found_it_write_one_event(key_changes, keyring, journal, monkeypatch):
    """The one that found it is quicker to write."""
    append = journal.append

    async def second(*arguments, **conditions):
        monkeypatch.setattr(journal, "append", append)
        await key_changes.make(*import_(keyring))
        return await append(*arguments, **conditions)

    monkeypatch.setattr(journal, "append", second)
    await key_changes.make(*import_(keyring))
    assert await changes(key_changes) == [("imported", "alice", False)]


async def test_two_that_make_one_change_at_once(key_changes, keyring, journal):
    """Both are told; one key, one event."""
    outcomes = await asyncio.gather(*(key_changes.make(*import_(keyring)) for _ in range(3)), return_exceptions=True)
    assert all(not isinstance(one, Exception) or getattr(one, "code", "") == "key_exists" for one in outcomes)
    assert await changes(key_changes) == [("imported", "alice", False)]
