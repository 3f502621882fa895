"""``wallets`` as a person uses it: profiles listed, checked, held against wallets of every family, and drafted."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from typing import NamedTuple

import jsonschema
import pytest

from orchestrator import schemas
from orchestrator.devnet.anvil import Anvil
from orchestrator.devnet.simulator.chain import Chain
from orchestrator.models import to_address
from orchestrator.wallet.profile import BUILT_IN, load_profile
from tests.chain.conftest import OPERATOR, OTHER, OWNER, Wallets
from tests.chain.test_profile_reads import FACTORIES, deploy
from tests.closure.cases.assembler import assemble
from tests.safe import SafeFamily, install

ACCOUNT = uuid.UUID("5df359f0-d299-40a1-8023-17c77a50144c")
FAMILIES = (*FACTORIES, "offblocks")


class Deployed(NamedTuple):
    factory: str
    wallet: str


@pytest.fixture(scope="module")
def node():
    with Anvil() as anvil:
        yield anvil


@pytest.fixture(scope="module")
def families(node):
    async def made():
        wallets = await Wallets(node).set_up()
        found = {}
        for name in FAMILIES:
            factory, receipt = await deploy(wallets, name, ACCOUNT)
            topic = "0x" + load_profile(name).created_topic.hex()
            (log,) = [each for each in receipt["logs"] if each["topics"][0] == topic]
            found[name] = Deployed(factory, to_address("0x" + log["topics"][1][26:]))
        safe = SafeFamily(Chain(node.url, OPERATOR.private_key), install(node), wallets.escrow)
        sent = safe.deploy(OWNER.address, str(ACCOUNT), b"creation")
        await wallets.send(sent.to, sent.data)
        found["safe"] = Deployed(safe.factory, await safe.predict(OWNER.address, str(ACCOUNT)))
        await safe.chain.stop()
        found["foreign"] = Deployed(found["smart-wallet"].factory, wallets.escrow)
        return found

    return asyncio.run(made())


@pytest.fixture
def held(alone, node, families):
    """A wallet held against a profile: the exit code, and its rows by check and source."""

    def check(profile, family, *more, factory=True):
        wallet = families[family]
        chain = ("--rpc-url", node.url, *(("--factory", wallet.factory) if factory else ()))
        done = alone.here("--json", "wallets", "check", profile, "--address", wallet.wallet, *chain, *more)
        document = keeps("wallets-check", done.document)
        return done.code, {(row["check"], row["source"]): row for row in document["wallet"]["rows"]}

    return check


def keeps(name, document):
    jsonschema.Draft202012Validator(json.loads(schemas.text(name))).validate(document)
    return document


def failing(rows, result="fails"):
    return {key for key, row in rows.items() if row["result"] == result}


# --- list, check ------------------------------------------------------------------------------------------------------


def test_the_profiles_are_listed(alone, tmp_path):
    profiles = keeps("wallets-list", alone.json("wallets", "list"))["profiles"]
    assert [each["name"] for each in profiles] == list(BUILT_IN)
    assert [each["name"] for each in profiles if each["inForce"]] == ["smart-wallet"]
    file = tmp_path / "mine.toml"
    file.write_text(MINE)
    told = alone.here("wallets", "list", ORCHESTRATOR_WALLET_PROFILE=str(file))
    assert "mine (in force)" in told.stdout
    assert "nothing but the platform's word" in told.stdout


MINE = f"""format = 1
name = "mine"
title = "Mine"
[code]
kind = "direct"
[[code.accepts]]
hash = "0x{"ab" * 32}"
[account]
by = "platform"
"""


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_profile_is_valid_and_says_what_it_leaves_out(alone, name):
    document = keeps("wallets-check", alone.json("wallets", "check", name))
    assert document["notChecked"] == list(load_profile(name).unchecked)
    assert document["wallet"] is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (f'hash = "0x{"ab" * 32}"', 'hash = "any"', r"line 7, code\.accepts\[0\]\.hash: .*no profile accepts any code"),
        (f'[[code.accepts]]\nhash = "0x{"ab" * 32}"\n', "", r"line 4, code\.accepts: is missing"),
        ('title = "Mine"', 'title = "TODO: a sentence"', "line 3, title: this is still to be filled in"),
        ('title = "Mine"', 'tittle = "Mine"', "line 3, tittle: there is no such key"),
    ],
    ids=["any", "none", "todo", "misspelt"],
)
def test_a_wrong_profile_is_refused_with_its_line(alone, tmp_path, old, new, said):
    file = tmp_path / "mine.toml"
    file.write_text(MINE.replace(old, new))
    done = alone.here("wallets", "check", str(file))
    assert done.code == 2
    assert re.search(said, done.stderr), done.stderr


# --- a wallet ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*FAMILIES, "safe"])
def test_a_wallet_of_the_family_holds(held, name):
    code, rows = held(name, name, "--owner", OWNER.address, "--account-id", str(ACCOUNT))
    assert (code, failing(rows), failing(rows, "unknown")) == (0, set(), set())
    assert rows["code", "the code"]["value"]


def test_the_account_is_taken_from_the_event(held):
    assert held("smart-wallet", "smart-wallet")[0] == 0


def test_another_owner_is_shown(held):
    code, rows = held("smart-wallet", "smart-wallet", "--owner", OTHER.address)
    assert (code, failing(rows)) == (1, {("owner", "the factory's event"), ("owner", "the code")})
    assert rows["owner", "the code"]["value"] == OWNER.address


def test_another_factory_is_shown(held, families):
    code, rows = held("smart-wallet", "smart-wallet", "--factory", families["modular"].factory)
    assert code == 1
    assert ("factory", "immutable factory") in failing(rows)
    assert ("address", "the factory's event") in failing(rows)
    assert "code" not in {check for check, _ in failing(rows)}


def test_another_account_is_shown(held):
    code, rows = held("smart-wallet", "smart-wallet", "--account-id", str(uuid.uuid4()))
    assert code == 1
    assert {("address", "the factory's event"), ("address", "CREATE2")} <= failing(rows) | failing(rows, "unknown")


def test_another_code_is_shown(held):
    code, rows = held("smart-wallet", "foreign")
    assert (code, rows["code", "the code"]["detail"]) == (1, "none of those that are accepted")
    code, rows = held("smart-wallet", "modular", "--account-id", str(ACCOUNT))
    assert (code, rows["code", "the code"]["result"]) == (1, "fails")
    assert rows["state", "slot 0"]["result"] == "unknown"


@pytest.mark.parametrize(("stored", "code"), [(3, 0), (0x103, 1)], ids=["closed", "with_a_module"])
def test_what_closing_leaves_behind_is_compared(held, node, families, stored, code):
    wallet = families["modular"].wallet
    before = node.rpc_sync("eth_getStorageAt", wallet, "0x0", "latest")
    node.rpc_sync("anvil_setStorageAt", wallet, f"0x{0:064x}", f"0x{stored:064x}")
    try:
        found, rows = held("modular", "modular")
    finally:
        node.rpc_sync("anvil_setStorageAt", wallet, f"0x{0:064x}", before)
    assert [row["value"] for (check, _), row in rows.items() if check == "state"] == ["closed (3)"]
    assert (found, failing(rows)) == (code, {("closed_slots", "slot 0x0")} if code else set())


def test_a_getter_that_lies_against_the_slot_is_shown(held, tmp_path):
    file = tmp_path / "mine.toml"
    states = '[state]\nslot = 1\ncall = "state() returns (uint8)"\nactive = 0\nclosed = 3\n'
    file.write_text(MINE.replace(f'hash = "0x{"ab" * 32}"', 'artifact = "SmartWallet"') + states)
    code, rows = held(str(file), "smart-wallet")
    assert (code, failing(rows)) == (1, {("state", "its sources")})
    assert "state() says 0" in rows["state", "its sources"]["detail"]


def test_without_a_factory_what_it_would_tell_cannot_be_told(held):
    code, rows = held("smart-wallet", "smart-wallet", "--account-id", str(ACCOUNT), factory=False)
    assert (code, failing(rows)) == (3, set())
    assert ("address", "CREATE2") in failing(rows, "unknown")


def test_an_address_without_code(alone, node):
    empty = "0x" + "e3" * 20
    done = alone.here("wallets", "check", "safe", "--address", empty, "--rpc-url", node.url)
    assert (done.code, "there is no code" in done.stdout) == (1, True)
    done = alone.here("wallets", "learn", empty, "--rpc-url", node.url)
    assert (done.code, "there is no code at" in done.stderr) == (2, True)


@pytest.mark.parametrize("command", [("check", "safe", "--address"), ("learn",)], ids=["check", "learn"])
def test_a_node_that_does_not_answer(alone, families, command):
    wallet = families["safe"].wallet
    done = alone.here(
        "--json", "wallets", *command, wallet, "--rpc-url", "http://127.0.0.1:9", ORCHESTRATOR_REQUEST_TIMEOUT="1"
    )
    assert (done.code, done.document["error"]["code"]) == (3, "chain_unreachable")


# --- learn ------------------------------------------------------------------------------------------------------------


def confirmed(text, *, comments):
    """What a person does: the TODO lines filled in, with or without the comments removed."""
    numbers = iter([*re.findall(r"it is (\d+) now", text), "77"])
    text = re.sub(r'"TODO: its number"', lambda _: next(numbers), text)
    text = text.replace("TODO: one sentence for people", "A wallet of ours")
    return text if comments else "\n".join(line.partition("#")[0] for line in text.split("\n"))


@pytest.mark.parametrize("name", [*FAMILIES, "safe"])
def test_a_draft_of_each_family_holds_once_it_is_confirmed(alone, node, families, held, tmp_path, name):
    file = tmp_path / "draft.toml"
    done = alone.here("wallets", "learn", families[name].wallet, "--rpc-url", node.url, "--output", str(file))
    assert done.code == 0, done.stderr
    text = file.read_text()
    profile = load_profile(name)
    assert f'kind = "{profile.kind}"' in text
    assert f'by = "{profile.located_by}"' in text
    assert f"ORCHESTRATOR_FACTORY={families[name].factory}" in text
    assert OWNER.address in text or 'list = "getOwners() returns (address[])"' in text
    assert ("[state]\n" in text) == (profile.states is not None)
    if profile.states is not None:
        assert f'mask = "{profile.states.mask:#x}"' in text
    assert ("compiled by solc 0.7.6" in text) == (name == "safe")
    for line in text.split("\n"):
        assert not line or line[0] in "#[" or line == "format = 1" or "# found: " in line or "# guessed: " in line
    refused = alone.here("wallets", "check", str(file))
    assert (refused.code, "this is still to be filled in" in refused.stderr) == (2, True)
    for comments in (True, False):
        file.write_text(confirmed(text, comments=comments))
        code, rows = held(str(file), name)
        assert (code, failing(rows), failing(rows, "unknown")) == (0, set(), set())


def test_a_draft_of_a_foreign_contract_keeps_its_state_in_a_slot(alone, node):
    """Byte 2 of slot 5 is compared with 7 before anything is written; nothing tells an owner."""
    address = to_address("0x" + "5a" * 20)
    code = assemble("7 5 SLOAD 16 SHR 255 AND EQ @closed JUMPI 9 6 SSTORE STOP closed: 0 0 REVERT")
    node.rpc_sync("anvil_setCode", address, "0x" + code.hex())
    text = keeps("wallets-learn", alone.json("wallets", "learn", address, "--rpc-url", node.url))["profile"]
    assert "slot = 5" in text
    assert 'mask = "0xff0000"' in text
    assert "compares it with 7" in text
    assert 'call = "TODO: what tells the owner"' in text
