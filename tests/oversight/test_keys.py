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
from orchestrator.lifecycle.oversight_state import STREAM, content_hash, request_approval
from orchestrator.models import ChainAccount, ChainId
from orchestrator.oversight.approvals import Granted, Waiting, approve
from orchestrator.oversight.keys import Matter, Office, as_seen
from orchestrator.oversight.requests import find
from orchestrator.signers import FixedPassword, Keyring, Secret
from tests.oversight.conftest import BOB, NOBODY, adopt, happened, ruleset, voice

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
def office(journal, keyring, clock):
    return Office(journal, keyring, NOBODY, "os:deploy", clock)


@pytest.fixture
def asking(journal, keyring, clock):
    """Under a ruleset that asks one person about each change."""
    return Office(journal, keyring, ASKING, "os:deploy", clock)


def create(keyring, name="alice"):
    return Matter("created", name, None, chains=(CHAIN,)), lambda: keyring.create(name, chains=(CHAIN,))


def import_(keyring, name="alice"):
    return Matter("imported", name, ADDRESS), lambda: keyring.import_key(name, Secret(SECRET))


async def say_yes(office, waiting):
    assert isinstance(waiting, Waiting)
    await approve(office.records, waiting.request, voice(BOB), settings=office.settings, clock=office.clock)


async def changes(office):
    return [
        (item.event.action, item.event.name, item.event.disabled)
        for item in await office.records.read(STREAM)
        if isinstance(item.event, o.KeyChanged)
    ]


async def test_without_approvals_each_change_is_done_and_journaled(office, keyring, journal):
    made = await office.change(*create(keyring))
    wallet = ChainAccount(CHAIN, made.key.address)
    assert (made.key.wallets, made.journaled) == ((wallet,), True)
    other = ChainAccount(ChainId(1), made.key.address)
    bound = await office.change(
        Matter("bound", "alice", made.key.address, wallets=(other,)), lambda: keyring.bind("alice", other)
    )
    assert bound.key.wallets == (wallet, other)
    await office.change(
        Matter("rotated", "alice", made.key.address),
        lambda: keyring.rotate("alice", FixedPassword(Secret("password"))),
    )
    await office.disable("alice")
    await office.change(Matter("enabled", "alice", made.key.address), lambda: keyring.enable("alice"))
    assert [(action, disabled) for action, _, disabled in await changes(office)] == [
        ("created", False),
        ("bound", False),
        ("rotated", False),
        ("disabled", True),
        ("enabled", False),
    ]
    last = (await read_oversight(journal)).keys["alice"]
    assert (last.keystore, last.by, last.wallets) == (keyring.id, "os:deploy", (str(wallet), str(other)))


async def test_what_is_so_already_is_not_written_again(office, keyring):
    made = await office.change(*create(keyring))
    wallet = made.key.wallets[0]
    for _ in range(2):
        for matter, act in (
            (Matter("bound", "alice", made.key.address, wallets=(wallet,)), lambda: keyring.bind("alice", wallet)),
            (Matter("enabled", "alice", made.key.address), lambda: keyring.enable("alice")),
        ):
            assert not (await office.change(matter, act)).journaled
    assert (await office.disable("alice")).journaled
    assert not (await office.disable("alice")).journaled
    assert len(await changes(office)) == 2


async def test_where_approvals_are_asked_nothing_is_done_before(asking, keyring, journal):
    matter, act = create(keyring)
    first = await asking.change(matter, act)
    assert isinstance(first, Waiting)
    again = await asking.change(matter, act)
    assert isinstance(again, Waiting)
    assert again.request.id == first.request.id
    assert keyring.list() == ()
    assert await happened(journal) == ["approval_requested"]
    await say_yes(asking, first)
    done = await asking.change(matter, act)
    assert done.journaled
    assert await happened(journal) == ["approval_requested", "approval_given", "approval_used", "key_changed"]
    last = (await journal.read(STREAM))[-1].event
    assert last.request == first.request.id


async def test_an_approval_is_for_exactly_one_change(asking, keyring):
    matter, act = import_(keyring)
    waiting = await asking.change(matter, act)
    await say_yes(asking, waiting)
    for other in (
        Matter("imported", "bob", ADDRESS),
        Matter("attached", "alice", ADDRESS),
        Matter("imported", "alice", "0x" + "11" * 20),
        Matter("imported", "alice", ADDRESS, wallets=(ChainAccount(CHAIN, ADDRESS),)),
        Matter("imported", "alice", ADDRESS, uri="pkcs11:token=a;object=b"),
    ):
        assert isinstance(await asking.allowed(other), Waiting)
    assert isinstance(await asking.allowed(matter), Granted)


async def test_what_was_approved_is_what_the_approver_saw(asking, keyring, journal, clock):
    """Whoever can write to the database shows the approver a harmless change under the hash of another."""
    matter, act = create(keyring, "evil")
    harmless = Matter("disabled", "old-test-key", None)
    forged = request_approval(
        "keys",
        "administrator",
        harmless.content(keyring.id),
        needed=1,
        by="os:root",
        now=clock(),
        expires_at=clock() + timedelta(hours=1),
    ).model_copy(update={"content_hash": content_hash(matter.content(keyring.id))})
    await journal.append(STREAM, [forged], after=0, at=clock())
    await approve(
        journal,
        await find(journal, forged.request, settings=ASKING, clock=clock),
        voice(BOB),
        settings=ASKING,
        clock=clock,
    )
    waiting = await asking.change(matter, act)
    assert isinstance(waiting, Waiting)
    assert waiting.request.id != forged.request
    assert keyring.list() == ()


async def test_disabling_takes_one_person_and_enabling_two(asking, keyring, journal):
    keyring.import_key("alice", Secret(SECRET))
    assert (await asking.disable("alice")).key.disabled
    matter = Matter("enabled", "alice", ADDRESS)
    waiting = await asking.change(matter, lambda: keyring.enable("alice"))
    assert keyring.get("alice").disabled
    await say_yes(asking, waiting)
    assert not (await asking.change(matter, lambda: keyring.enable("alice"))).key.disabled
    assert not is_disabled(keyring.get("alice"), await read_oversight(journal))


async def test_what_somebody_has_written_to_a_file_gets_into_the_journal_by_no_other_change(asking, keyring, journal):
    """Where changes take approval. That of another change says nothing of wallets, and disabling takes none at all."""

    async def approved(matter, act):
        await say_yes(asking, await asking.change(matter, act))
        return (await asking.change(matter, act)).key.wallets

    async def journaled():
        return [item.event.wallets for item in await journal.read(STREAM) if isinstance(item.event, o.KeyChanged)][-1]

    await adopt(journal, ASKING, asking.clock)
    keyring.import_key("alice", Secret(SECRET))
    by_hand, other = (ChainAccount(ChainId(number), ADDRESS) for number in (1, 2))
    keyring.bind("alice", by_hand)
    assert (await asking.disable("alice")).key.wallets == ()
    assert await approved(Matter("enabled", "alice", ADDRESS), lambda: keyring.enable("alice")) == ()
    password = FixedPassword(Secret("password"))
    assert await approved(Matter("rotated", "alice", ADDRESS), lambda: keyring.rotate("alice", password)) == ()
    assert await journaled() == ()
    matter = Matter("bound", "alice", ADDRESS, wallets=(other,))
    assert await approved(matter, lambda: keyring.bind("alice", other)) == (other,)
    assert await journaled() == (str(other),)
    assert keyring.get("alice").wallets == (by_hand, other)
    matter = Matter("bound", "alice", ADDRESS, wallets=(by_hand,))
    assert await approved(matter, lambda: keyring.bind("alice", by_hand)) == (other, by_hand)


async def test_a_key_is_bound_to_what_was_approved_when_it_was_made(asking, keyring, journal):
    await adopt(journal, ASKING, asking.clock)
    matter, act = create(keyring)
    await say_yes(asking, await asking.change(matter, act))
    made = await asking.change(matter, act)
    assert made.key.wallets == (ChainAccount(CHAIN, made.key.address),)
    wallet = ChainAccount(CHAIN, ADDRESS)
    matter = Matter("imported", "bob", ADDRESS, wallets=(wallet,))

    def act_again():
        return keyring.import_key("bob", Secret(SECRET), wallets=(wallet,))

    await say_yes(asking, await asking.change(matter, act_again))
    assert (await asking.change(matter, act_again)).key.wallets == (wallet,)


# --- the journal's word counts as much as the file's -----------------------------------------------------------------


async def test_a_restored_keystore_does_not_bring_a_disabled_key_back(office, keyring, journal, tmp_path):
    await office.change(*import_(keyring))
    shutil.copytree(keyring.path, tmp_path / "backup")
    await office.disable("alice")
    shutil.rmtree(keyring.path)
    shutil.copytree(tmp_path / "backup", keyring.path)
    restored = keyring.get("alice")
    assert not restored.disabled
    assert is_disabled(restored, await read_oversight(journal))
    file = keyring.path / "alice.json"
    file.write_text(file.read_text().replace('"alice"', '"bob"'))
    file.rename(keyring.path / "bob.json")
    assert is_disabled(keyring.get("bob"), await read_oversight(journal)), "a copied file is the same key"
    assert (await office.change(Matter("enabled", "bob", ADDRESS), lambda: keyring.enable("bob"))).journaled
    assert not is_disabled(keyring.get("bob"), await read_oversight(journal))


async def test_a_disabled_key_that_is_imported_again_stays_disabled(office, keyring, journal):
    await office.change(*import_(keyring))
    await office.disable("alice")
    (keyring.path / "alice.json").unlink()
    for name in ("alice", "bob"):
        again = await office.change(*import_(keyring, name))
        assert again.key.disabled, name
        (keyring.path / f"{name}.json").unlink()
    assert [disabled for _, _, disabled in await changes(office)] == [False, True, True, True]


async def test_a_new_key_of_an_old_name_is_another_key(office, keyring, journal):
    await office.change(*import_(keyring))
    await office.disable("alice")
    (keyring.path / "alice.json").unlink()
    made = await office.change(*create(keyring))
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


def dying(office):
    return Office(Dies(office.records), office.keys, office.settings, office.by, office.clock)


@pytest.mark.parametrize("rules", [NOBODY, ASKING], ids=["alone", "approved"])
@pytest.mark.parametrize("action", ["created", "imported", "bound", "rotated", "enabled"])
async def test_the_same_command_again_finishes_what_a_kill_cut_off(journal, keyring, clock, action, rules):
    office = Office(journal, keyring, rules, "os:deploy", clock)
    if action not in ("created", "imported"):
        keyring.import_key("alice", Secret(SECRET))
    wallet = ChainAccount(CHAIN, ADDRESS)
    matter, act = {
        "created": create(keyring),
        "imported": import_(keyring),
        "bound": (Matter("bound", "alice", ADDRESS, wallets=(wallet,)), lambda: keyring.bind("alice", wallet)),
        "rotated": (
            Matter("rotated", "alice", ADDRESS),
            lambda: keyring.rotate("alice", FixedPassword(Secret("password"))),
        ),
        "enabled": (Matter("enabled", "alice", ADDRESS), lambda: keyring.enable("alice")),
    }[action]
    if action == "enabled":
        await office.disable("alice")
    if rules is ASKING:
        await say_yes(office, await office.change(matter, act))
    with pytest.raises(Died):
        await dying(office).change(matter, act)
    before = await changes(office)
    key = keyring.get("alice")
    if action == "enabled":
        assert is_disabled(key, await read_oversight(journal)), "not before the journal says so"
    done = await office.change(matter, act)
    assert done.key.address == key.address, "the same key, not a second one"
    assert done.journaled
    assert (await changes(office))[len(before) :] == [(action, "alice", False)]
    used = [kind for kind in await happened(journal) if kind == "approval_used"]
    assert len(used) == (rules is ASKING)


async def test_a_disabling_that_was_cut_off_holds_and_is_finished(office, keyring, journal):
    await office.change(*import_(keyring))
    with pytest.raises(Died):
        await dying(office).disable("alice")
    assert keyring.get("alice").disabled
    assert (await office.disable("alice")).journaled


async def test_a_key_that_is_there_and_another_is_not_taken_for_it(office, keyring):
    keyring.create("alice")
    for matter, act in (create(keyring), import_(keyring)):
        with pytest.raises(SettingsError) as caught:
            await office.change(matter, act)
        assert caught.value.code == "key_exists"
    await office.change(*create(keyring, "bob"))
    with pytest.raises(SettingsError) as caught:
        await office.change(*create(keyring, "bob"))
    assert caught.value.code == "key_exists"
    assert await changes(office) == [("created", "bob", False)]


async def test_what_exists_or_is_missing_is_said_before_anybody_is_asked(asking, keyring, journal):
    keyring.import_key("alice", Secret(SECRET))
    with pytest.raises(SettingsError):
        await asking.change(*create(keyring))
    with pytest.raises(KeyUnavailable) as caught:
        await asking.change(Matter("enabled", "nobody", ADDRESS), lambda: keyring.enable("nobody"))
    assert caught.value.code == "key_not_found"
    assert await happened(journal) == []


async def test_a_persons_own_key_is_no_managed_key(asking, keyring, journal):
    """A challenge could be the text of an approval."""
    with pytest.raises(SettingsError, match="bob") as caught:
        await asking.change(Matter("imported", "alice", BOB.address), lambda: keyring.create("alice"))
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
        await Office(Away(), keyring, NOBODY, "os:deploy", clock).disable("alice")
    assert caught.value.code == "journal_unreachable"
    assert keyring.get("alice").disabled


async def test_a_key_is_disabled_by_the_journal_where_its_file_cannot_be_marked(office, keyring, journal):
    await office.change(*import_(keyring))
    good = (keyring.path / "alice.json").read_bytes()
    (keyring.path / "alice.json").write_text("{")
    with pytest.raises(KeyUnavailable, match="out of use by the journal") as caught:
        await office.disable("alice")
    assert caught.value.code == "keystore_unreadable"
    (keyring.path / "alice.json").write_bytes(good)
    assert is_disabled(keyring.get("alice"), await read_oversight(journal))


async def test_a_key_of_another_machine_is_disabled_by_the_journal(office, keyring, journal, tmp_path, clock):
    await office.change(*import_(keyring))
    elsewhere = Keyring(tmp_path / "other", FixedPassword(Secret("password")), work_factor=2**12)
    there = Office(journal, elsewhere, NOBODY, "os:other", clock)
    told = await there.disable("alice")
    assert (told.key.address, told.key.disabled, told.journaled) == (ADDRESS, True, True)
    assert is_disabled(keyring.get("alice"), await read_oversight(journal))
    assert not (await there.disable("alice")).journaled
    with pytest.raises(KeyUnavailable) as caught:
        await there.disable("nobody")
    assert caught.value.code == "key_not_found"


async def test_a_key_that_was_swapped_meanwhile_is_taken_out(office, keyring):
    with pytest.raises(OrchestratorError) as caught:
        await office.change(Matter("imported", "alice", ADDRESS), lambda: keyring.create("alice"))
    assert caught.value.code == "key_swapped"
    assert keyring.get("alice").disabled


async def test_who_made_a_key_and_who_found_it_write_one_event(office, keyring, journal, monkeypatch):
    """The one that found it is quicker to write."""
    append = journal.append

    async def second(*arguments, **conditions):
        monkeypatch.setattr(journal, "append", append)
        await office.change(*import_(keyring))
        return await append(*arguments, **conditions)

    monkeypatch.setattr(journal, "append", second)
    await office.change(*import_(keyring))
    assert await changes(office) == [("imported", "alice", False)]


async def test_two_that_make_one_change_at_once(office, keyring, journal):
    """Both are told; one key, one event."""
    outcomes = await asyncio.gather(*(office.change(*import_(keyring)) for _ in range(3)), return_exceptions=True)
    assert all(not isinstance(one, Exception) or getattr(one, "code", "") == "key_exists" for one in outcomes)
    assert await changes(office) == [("imported", "alice", False)]
