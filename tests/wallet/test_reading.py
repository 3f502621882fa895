"""What a profile reads of a wallet, and what it makes of the answers: honest ones, and those of liars."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest
from eth_hash.auto import keccak
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.artifacts import load
from orchestrator.errors import Disagreement
from orchestrator.models import AccountId, Address, WalletState, checksum
from orchestrator.wallet import abi
from orchestrator.wallet.contract import (
    CLOSED_SLOTS,
    Immutables,
    account_word,
    address_word,
    create2_address,
    wallet_address,
    wallet_salt,
)
from orchestrator.wallet.findings import Created, Finding, Findings, Read
from orchestrator.wallet.profile import Profile, load_profile, parse_profile
from orchestrator.wallet.proxies import ADMIN_SLOT, BEACON_SLOT, IMPLEMENTATION_SLOT
from orchestrator.wallet.rules import Slot
from orchestrator.wallet.subject import Subject

REAL = Path(__file__).parents[1] / "closure/real/contracts.json"
ACCOUNT = AccountId("5df359f0-d299-40a1-8023-17c77a50144c")
OTHER = AccountId("0b0c1c7a-27b7-4d5b-a8a5-0d8a3f5c9e11")
OWNER, OPERATOR, ESCROW, ENTRY, FACTORY, STRANGER, IMPLEMENTATION, BEACON = (
    checksum(f"{digit}{digit}" * 20) for digit in "12345678"
)
ZERO = Address("0x" + "0" * 40)
CHALLENGE = keccak(b"challenge")
ARTIFACT = load("SmartWallet")
VALUES = Immutables(OWNER, OPERATOR, ESCROW, ENTRY, FACTORY)
WALLET = wallet_address(ARTIFACT, VALUES, ACCOUNT)
HASH = "0x" + keccak(b"\x60\x01").hex()
CODE = b"\x60\x01"


@dataclass(frozen=True)
class Log:
    topics: tuple[bytes, ...]
    data: bytes


def deployed(values: Immutables = VALUES) -> bytes:
    """A SmartWallet's runtime code with these immutables."""
    code = bytearray(ARTIFACT.deployed_bytecode)
    named = {"owner": values.owner, "operator": values.operator, "escrow": values.escrow, "factory": values.factory}
    for name, address in {**named, "entryPoint": values.entry_point}.items():
        for start, length in ARTIFACT.immutable_references[name]:
            code[start : start + length] = address_word(address)
    return bytes(code)


CREATED = Log(
    (
        keccak(b"SmartWalletCreated(address,address,bytes16,address,bytes32,bytes32)"),
        address_word(WALLET),
        address_word(OWNER),
        account_word(ACCOUNT),
    ),
    address_word(ESCROW) + wallet_salt(OWNER, ACCOUNT) + CHALLENGE,
)
CHANGED = Log((keccak(b"StateChanged(uint8,uint8)"), (1).to_bytes(32, "big"), (3).to_bytes(32, "big")), b"")


def word(value: int | str) -> bytes:
    return address_word(Address(value)) if isinstance(value, str) else value.to_bytes(32, "big")


def slot(address: Address, number: int) -> Read:
    return Read("slot", address, number.to_bytes(32, "big"))


def call(address: Address, signature: str, **values: object) -> Read:
    return Read("call", address, abi.Signature.parse(signature).call(values))


@cache
def smart() -> Profile:
    return load_profile("smart-wallet")


def bare(rest: str = "", *, kind: str = "direct", code: str = f'hash = "{HASH}"', more: str = "") -> Profile:
    text = (
        f'format = 1\nname = "bare"\ntitle = "t"\n[code]\nkind = "{kind}"\n{more}\n[[code.accepts]]\nname = "Bare"\n'
        f'{code}\n[account]\nby = "platform"\n{rest}'
    )
    return parse_profile(text, "p.toml", load)


def find(profile: Profile, answers: dict[Read, bytes | None], created: Created | None = None) -> Findings:
    """As a reader asks: everything that is to be read, and what comes of it. What is not known reverted."""
    asked: dict[Read, bytes | None] = {}
    reads = profile.first_reads(ACCOUNT, WALLET, FACTORY, created)
    assert len(set(reads)) == len(reads)
    while reads:
        asked |= {read: answers.get(read) for read in reads}
        reads = profile.more_reads(WALLET, asked)
    return profile.findings(ACCOUNT, WALLET, FACTORY, created, asked)


def values(found: Findings, check: str) -> dict[str, str]:
    return {each.source: each.value for each in found.findings if each.check == check}


# --- this project's wallet: as the code before profiles had it --------------------------------------------------------


def honest() -> dict[Read, bytes | None]:
    return {Read("code", WALLET): deployed(), slot(WALLET, 0): word(1)}


def test_all_of_todays_checks() -> None:
    created = smart().created(CREATED)
    assert created == Created(WALLET, OWNER, ACCOUNT, "0x" + CHALLENGE.hex(), created.values if created else {})
    found = find(smart(), honest(), created)
    assert found.findings == (
        Finding("code", "the code", "SmartWallet"),
        Finding("address", "the factory's event", WALLET),
        Finding("factory", "the factory's event", FACTORY),
        Finding("address", "CREATE2", WALLET),
        Finding("owner", "the factory's event", OWNER),
        Finding("owner", "the code", OWNER),
        Finding("challenge", "the factory's event", "0x" + CHALLENGE.hex()),
    )
    assert found.code_hash == "0x" + keccak(deployed()).hex()
    assert (found.stored, found.implementation, found.admin) == (1, None, None)
    assert smart().closed_slots == CLOSED_SLOTS
    assert [smart().state(number) for number in range(5)] == [*list(WalletState)[:4], None]
    assert smart().initial is WalletState.CREATED
    assert smart().created_topic == CREATED.topics[0]
    assert smart().state_topic == CHANGED.topics[0]
    assert smart().created_topics(ACCOUNT, None) == [CREATED.topics[0], None, None, account_word(ACCOUNT)]
    assert smart().changed(CHANGED) == (1, 3)


def test_another_code_says_nothing_of_its_state() -> None:
    found = find(smart(), {**honest(), Read("code", WALLET): deployed() + b"\0"}, smart().created(CREATED))
    assert values(found, "code") == {"the code": ""}
    assert values(found, "address")["CREATE2"] == ""
    assert "the code" not in values(found, "owner"), "what another contract says of an owner means nothing"
    assert found.stored is None
    assert values(find(smart(), {}, smart().created(CREATED)), "code") == {"the code": ""}, "no code at all"


def test_two_values_of_one_immutable_are_no_wallets_code() -> None:
    code = bytearray(deployed())
    start, length = ARTIFACT.immutable_references["owner"][-1]
    code[start : start + length] = address_word(STRANGER)
    found = find(smart(), {**honest(), Read("code", WALLET): bytes(code)}, smart().created(CREATED))
    assert values(found, "code") == {"the code": ""}


def test_another_owner_in_the_code_is_another_address_too() -> None:
    code = deployed(replace(VALUES, owner=STRANGER))
    found = find(smart(), {**honest(), Read("code", WALLET): code}, smart().created(CREATED))
    assert values(found, "owner") == {"the factory's event": OWNER, "the code": STRANGER}
    assert values(found, "address")["CREATE2"] not in ("", WALLET)


@pytest.mark.parametrize(
    ("wrong", "code"),
    [(replace(VALUES, factory=STRANGER), "wrong_factory"), (replace(VALUES, escrow=STRANGER), "wrong_escrow")],
)
def test_another_factory_or_escrow_in_the_code_is_said_with_both_sides(wrong: Immutables, code: str) -> None:
    with pytest.raises(Disagreement) as caught:
        find(smart(), {**honest(), Read("code", WALLET): deployed(wrong)}, smart().created(CREATED))
    assert caught.value.code == code
    assert STRANGER[2:].lower() in caught.value.message.lower()
    assert (FACTORY if code == "wrong_factory" else ESCROW)[2:].lower() in caught.value.message.lower()


def test_an_event_of_another_account_is_not_this_wallets() -> None:
    log = Log((*CREATED.topics[:3], account_word(OTHER)), CREATED.data)
    found = find(smart(), honest(), smart().created(log))
    assert values(found, "factory") == {"the factory's event": ""}
    assert values(found, "address") == {"the factory's event": "", "CREATE2": WALLET}


def test_an_event_that_is_missing_is_a_finding_without_a_value() -> None:
    found = find(smart(), honest(), None)
    for check in ("factory", "challenge"):
        assert values(found, check) == {"the factory's event": ""}
    assert values(found, "owner") == {"the factory's event": "", "the code": OWNER}


# --- logs of liars ----------------------------------------------------------------------------------------------------

DIRTY = b"\1" + bytes(11) + b"\x11" * 20


@pytest.mark.parametrize(
    "log",
    [
        Log((), b""),
        Log(CREATED.topics[:3], CREATED.data),
        Log((*CREATED.topics, bytes(32)), CREATED.data),
        Log((bytes(32), *CREATED.topics[1:]), CREATED.data),
        Log(CREATED.topics, CREATED.data[:-1]),
        Log(CREATED.topics, CREATED.data[:-32]),
        Log(CREATED.topics, CREATED.data + bytes(32)),
        Log(CREATED.topics, CREATED.data + b"\0"),
        Log(CREATED.topics, DIRTY + CREATED.data[32:]),
        Log((CREATED.topics[0], DIRTY, *CREATED.topics[2:]), CREATED.data),
        Log((*CREATED.topics[:2], DIRTY, CREATED.topics[3]), CREATED.data),
        Log((*CREATED.topics[:3], account_word(ACCOUNT)[:31] + b"\1"), CREATED.data),
        Log((*CREATED.topics[:3], b"short"), CREATED.data),
    ],
)
def test_a_creation_log_of_another_shape_is_none(log: Log) -> None:
    assert smart().created(log) is None


@pytest.mark.parametrize(
    "log",
    [
        Log(CHANGED.topics[:2], b""),
        Log((*CHANGED.topics, bytes(32)), b""),
        Log(CHANGED.topics, b"\0"),
        Log(CHANGED.topics, bytes(32)),
        Log((CHANGED.topics[0], (256).to_bytes(32, "big"), CHANGED.topics[2]), b""),
        Log((bytes(32), *CHANGED.topics[1:]), b""),
    ],
)
def test_a_log_of_a_state_of_another_shape_is_none(log: Log) -> None:
    assert smart().changed(log) is None


@given(st.lists(st.binary(max_size=34), max_size=5), st.binary(max_size=140), st.booleans())
def test_no_log_raises(topics: list[bytes], data: bytes, right: bool) -> None:
    if right and topics:
        topics[0] = CREATED.topics[0] if len(topics) == 4 else CHANGED.topics[0]
    smart().created(Log(tuple(topics), data))
    smart().changed(Log(tuple(topics), data))


# --- state ------------------------------------------------------------------------------------------------------------

STATE = (
    '[state]\nslot = 5\nmask = "0xff00"\ncall = "state() returns (uint8)"\nactive = 1\nsuspended = 2\nclosed = [3, 7]\n'
)
PLAIN = {Read("code", WALLET): CODE}


def test_a_state_by_slot_and_getter() -> None:
    profile = bare(STATE)
    answers = {**PLAIN, slot(WALLET, 5): word(0x12_07_34), call(WALLET, "state() returns (uint8)"): word(7)}
    assert find(profile, answers).stored == 7
    assert profile.state(7) is profile.state(3) is WalletState.CLOSED
    assert profile.state(0) is None
    assert profile.initial is WalletState.ACTIVE
    assert bare().initial is WalletState.UNKNOWN


@pytest.mark.parametrize(
    ("slot_says", "getter_says", "said"),
    [
        (word(0x300), word(1), "slot 5 says 3, state() says 1"),
        (word(0x300), None, "slot 5 says 3, state() cannot be read"),
        (word(0x300), word(256), "slot 5 says 3, state() cannot be read"),
        (word(0x300), word(3) + b"\0", "slot 5 says 3, state() cannot be read"),
        (word(0x300), b"", "slot 5 says 3, state() cannot be read"),
        (None, word(1), "slot 5 cannot be read, state() says 1"),
        (None, None, "slot 5 cannot be read, state() cannot be read"),
    ],
)
def test_a_getter_that_lies_against_the_slot_is_said_with_both_sides(
    slot_says: bytes | None, getter_says: bytes | None, said: str
) -> None:
    answers = {**PLAIN, slot(WALLET, 5): slot_says, call(WALLET, "state() returns (uint8)"): getter_says}
    with pytest.raises(Disagreement, match=said.replace("(", r"\(").replace(")", r"\)")) as caught:
        find(bare(STATE), answers)
    assert caught.value.code == "state_disagreement"


def test_a_state_in_a_mapping_of_the_factory() -> None:
    profile = bare(
        '[state]\nat = "factory"\nslot = 3\nkey = "wallet"\ncall = "stateOf(address wallet) returns (uint8)"\n'
        "active = 1\nclosed = 2\n"
    )
    mapped = Read("slot", FACTORY, keccak(word(WALLET) + word(3)))
    getter = call(FACTORY, "stateOf(address wallet) returns (uint8)", wallet=WALLET)
    assert find(profile, {**PLAIN, mapped: word(2), getter: word(2)}).stored == 2


def test_a_bool_is_a_state_too() -> None:
    profile = bare('[state]\ncall = "locked() returns (bool)"\nactive = 0\nclosed = 1\n')
    assert find(profile, {**PLAIN, call(WALLET, "locked() returns (bool)"): word(1)}).stored == 1


# --- owner ------------------------------------------------------------------------------------------------------------


def test_each_source_of_the_owner_is_a_finding() -> None:
    profile = bare(
        "[[owner]]\nslot = 1\n[[owner]]\nslot = 2\noffset = 12\n[[owner]]\nslot = 3\nsize = 32\n"
        '[[owner]]\ncall = "owner() returns (address)"\n[[owner]]\nlist = "getOwners() returns (address[])"\n'
    )
    answers = {
        **PLAIN,
        slot(WALLET, 1): b"\xff" * 12 + b"\x11" * 20,
        slot(WALLET, 2): b"\x11" * 20 + b"\xff" * 12,
        slot(WALLET, 3): word(OWNER),
        call(WALLET, "owner() returns (address)"): word(OWNER),
        call(WALLET, "getOwners() returns (address[])"): abi.encode(["address[]"], [[STRANGER, OWNER]]),
    }
    found = values(find(profile, answers), "owner")
    assert found == {
        "slot 1": OWNER,
        "slot 2": OWNER,
        "slot 3": OWNER,
        "owner()": OWNER,
        "getOwners()": f"{STRANGER},{OWNER}",
    }


@pytest.mark.parametrize(
    "answer",
    [None, b"", bytes(31), word(OWNER) + b"\0", DIRTY, abi.encode(["address[]"], [[]]), b"\xff" * 96],
)
def test_a_source_that_reverts_or_answers_nonsense_is_a_finding_without_a_value(answer: bytes | None) -> None:
    profile = bare(
        '[[owner]]\nslot = 3\nsize = 32\n[[owner]]\ncall = "owner() returns (address)"\n'
        '[[owner]]\nlist = "getOwners() returns (address[])"\n'
    )
    reads = profile.first_reads(ACCOUNT, WALLET, FACTORY, None)
    found = find(profile, {**dict.fromkeys(reads, answer), **PLAIN})
    assert values(found, "owner") == {"slot 3": "", "owner()": "", "getOwners()": ""}


def test_a_renounced_owner_is_zero_when_it_is_closed_and_only_then() -> None:
    profile = bare(
        '[[owner]]\ncall = "owner() returns (address)"\nrenounced = true\n'
        '[state]\ncall = "locked() returns (bool)"\nactive = 0\nclosed = 1\n'
    )
    owner, locked = call(WALLET, "owner() returns (address)"), call(WALLET, "locked() returns (bool)")
    assert values(find(profile, {**PLAIN, owner: word(ZERO), locked: word(1)}), "owner") == {}
    assert values(find(profile, {**PLAIN, owner: word(ZERO), locked: word(0)}), "owner") == {"owner()": ZERO}
    assert values(find(profile, {**PLAIN, owner: word(STRANGER), locked: word(1)}), "owner") == {"owner()": STRANGER}
    assert values(find(profile, {**PLAIN, locked: word(1)}), "owner") == {"owner()": ""}


# --- where it is ------------------------------------------------------------------------------------------------------


def test_a_registry_that_names_another_wallet_is_a_finding() -> None:
    profile = bare('[account.registry]\ncall = "walletOf(bytes16 account) returns (address)"\n')
    read = call(FACTORY, "walletOf(bytes16 account) returns (address)", account=account_word(ACCOUNT)[:16])
    for answer, value in ((word(STRANGER), STRANGER), (word(ZERO), ZERO), (None, ""), (DIRTY, "")):
        assert values(find(profile, {**PLAIN, read: answer}), "address") == {"the registry": value}


def test_a_wallet_located_by_a_registry() -> None:
    text = '[account.registry]\ncall = "walletOf(string account) returns (address)"\nat = "' + BEACON + '"\n'
    profile = replace(bare(text), located_by="registry")
    read = profile.registry_read(ACCOUNT, FACTORY)
    assert read == call(BEACON, "walletOf(string account) returns (address)", account=ACCOUNT)
    assert profile.registered(word(WALLET)) == WALLET
    assert [profile.registered(answer) for answer in (None, word(ZERO), DIRTY, b"")] == [None] * 4
    assert smart().registry_read(ACCOUNT, FACTORY) is None


@pytest.mark.parametrize(("answer", "value"), [(word(1), FACTORY), (word(0), ""), (word(2), ""), (None, "")])
def test_a_registry_that_says_yes_or_no(answer: bytes | None, value: str) -> None:
    profile = bare('[account.registry]\ncall = "isRegistered(address wallet) returns (bool)"\n')
    read = call(FACTORY, "isRegistered(address wallet) returns (bool)", wallet=WALLET)
    assert values(find(profile, {**PLAIN, read: answer}), "factory") == {"isRegistered()": value}


MADE = (
    '[account.event]\nsignature = "Made(address indexed wallet, address indexed owner, address escrow, uint256 salt)"\n'
)


def made(wallet: Address = WALLET, salt: int = 77) -> Log:
    topic = keccak(b"Made(address,address,address,uint256)")
    return Log((topic, word(wallet), word(OWNER)), word(ESCROW) + word(salt))


def test_an_event_without_an_account_is_searched_by_the_wallet() -> None:
    profile = bare(MADE + 'wallet = "wallet"\nowner = "owner"\n')
    assert profile.created_topics(ACCOUNT, WALLET) == [made().topics[0], word(WALLET)]
    assert profile.created_topics(ACCOUNT, None) is None
    assert bare().created_topics(ACCOUNT, WALLET) is None
    found = find(profile, PLAIN, profile.created(made(STRANGER)))
    assert values(found, "address") == {"the factory's event": STRANGER}


def test_the_platforms_documented_factory() -> None:
    """A salt out of the event, and constructor arguments out of the event and the settings."""
    profile = bare(
        MADE
        + 'wallet = "wallet"\nowner = "owner"\n[account.create2]\nsalt = "salt"\ninit_code = "TestEscrow"\n'
        + 'arguments = ["owner", "escrow", "factory", "0x07"]\n'
        + 'argument_types = ["address", "address", "address", "uint8"]\n'
    )
    init_code = load("TestEscrow").bytecode + word(OWNER) + word(ESCROW) + word(FACTORY) + word(7)
    found = find(profile, PLAIN, profile.created(made()))
    assert values(found, "address")["CREATE2"] == create2_address(FACTORY, word(77), init_code)
    assert values(find(profile, PLAIN, None), "address") == {"the factory's event": "", "CREATE2": ""}


def test_a_salt_of_packed_values() -> None:
    text = '[account.create2]\nsalt = ["account", "0x05"]\ntypes = ["bytes16", "uint32"]\npacked = true\n'
    profile = bare(text + 'init_code = "TestEscrow"\n')
    salt = keccak(account_word(ACCOUNT)[:16] + bytes(3) + b"\5")
    assert values(find(profile, PLAIN), "address")["CREATE2"] == create2_address(
        FACTORY, salt, load("TestEscrow").bytecode
    )


@given(st.uuids(), st.sampled_from(["bytes16", "bytes32", "uint128", "uint256"]))
def test_an_account_in_an_event_is_read_as_it_is_searched_for(uuid: object, kind: str) -> None:
    account = AccountId(str(uuid))
    text = (
        f'[account.event]\nsignature = "Made(address wallet, {kind} indexed id)"\nwallet = "wallet"\naccount = "id"\n'
    )
    profile = bare(text)
    topics = profile.created_topics(account, None)
    assert topics is not None
    created = profile.created(Log((bytes(topics[0] or b""), bytes(topics[1] or b"")), word(WALLET)))  # type: ignore[arg-type]
    assert created is not None
    assert created.account == account


@pytest.mark.parametrize(("text", "account"), [(ACCOUNT, ACCOUNT), (ACCOUNT.upper(), None), ("", None), ("é", None)])
def test_an_account_in_an_event_as_text(text: str, account: AccountId | None) -> None:
    rest = '[account.event]\nsignature = "Made(address indexed wallet, string id)"\nwallet = "wallet"\naccount = "id"\n'
    log = Log((keccak(b"Made(address,string)"), word(WALLET)), abi.encode(["string"], [text]))
    created = bare(rest).created(log)
    assert (created.account if created else None) == account


# --- proxies ----------------------------------------------------------------------------------------------------------

CLONE = bytes.fromhex("363d3d373d3d3d363d73" + IMPLEMENTATION[2:].lower() + "5af43d82803e903d91602b57fd5bf3")


def test_a_clone_is_its_implementations_code_and_its_address_follows_from_it() -> None:
    profile = bare(
        '[account.create2]\nsalt = ["owner", "account"]\ntypes = ["address", "bytes16"]\ninit_code = "erc1167"\n'
        '[[owner]]\nimmutable = "owner"\n',
        kind="erc1167",
        code='artifact = "SmartWallet"',
        more='factory = "factory"',
    )
    answers = {Read("code", WALLET): CLONE, Read("code", IMPLEMENTATION): deployed()}
    found = find(profile, answers)
    init_code = bytes.fromhex("3d602d80600a3d3981f3") + CLONE
    assert found.findings == (
        Finding("code", "the code", "Bare"),
        Finding("proxy_code", "the code", "ERC-1167"),
        Finding("implementation", "the code", IMPLEMENTATION),
        Finding("address", "CREATE2", create2_address(FACTORY, wallet_salt(OWNER, ACCOUNT), init_code)),
        Finding("owner", "the code", OWNER),
    )
    assert found.implementation == IMPLEMENTATION
    assert found.code_hash == "0x" + keccak(CLONE).hex()
    other = find(profile, {**answers, Read("code", WALLET): CLONE[:-1] + b"\0"})
    assert values(other, "code") == values(other, "proxy_code") == {"the code": ""}
    assert values(other, "implementation") == {"the code": ""}


@pytest.mark.parametrize(("offset", "value"), [(2, OWNER), (3, ""), (400, "")])
def test_an_owner_among_a_clones_immutable_arguments(offset: int, value: str) -> None:
    profile = bare(f"[[owner]]\nappended = {offset}\n", kind="erc1167")
    code = CLONE + b"\0\1" + word(OWNER)[12:]
    found = find(profile, {Read("code", WALLET): code, Read("code", IMPLEMENTATION): CODE})
    assert values(found, "owner") == {"the code": value}
    assert values(found, "code") == {"the code": "Bare"}


def erc1967() -> Profile:
    text = '[account.create2]\nsalt = ["account"]\ntypes = ["bytes16"]\ninit_code = "TestEscrow"\n'
    text += 'arguments = ["implementation", "0x"]\nargument_types = ["address", "bytes"]\n'
    return bare(text, kind="erc1967", more=f'[[code.proxy]]\nname = "Proxy"\nhash = "0x{keccak(CLONE).hex()}"')


def test_a_proxy_of_erc_1967() -> None:
    answers = {
        Read("code", WALLET): CLONE,
        slot(WALLET, IMPLEMENTATION_SLOT): word(IMPLEMENTATION),
        slot(WALLET, ADMIN_SLOT): word(0),
        Read("code", IMPLEMENTATION): CODE,
    }
    found = find(erc1967(), answers)
    init_code = load("TestEscrow").bytecode + abi.encode(["address", "bytes"], [IMPLEMENTATION, b""])
    assert found.findings == (
        Finding("code", "the code", "Bare"),
        Finding("proxy_code", "the code", "Proxy"),
        Finding("implementation", "the implementation slot (ERC-1967)", IMPLEMENTATION),
        Finding("admin", "the admin slot (ERC-1967)", ZERO),
        Finding("address", "CREATE2", create2_address(FACTORY, keccak(account_word(ACCOUNT)), init_code)),
    )
    assert (found.implementation, found.admin) == (IMPLEMENTATION, None)
    owned = find(erc1967(), {**answers, slot(WALLET, ADMIN_SLOT): word(STRANGER)})
    assert owned.admin == STRANGER
    upgraded = find(erc1967(), {**answers, slot(WALLET, IMPLEMENTATION_SLOT): word(STRANGER)})
    assert (upgraded.implementation, values(upgraded, "code")) == (STRANGER, {"the code": ""})
    for nonsense in (None, DIRTY, bytes(32), b""):
        lost = find(erc1967(), {**answers, slot(WALLET, IMPLEMENTATION_SLOT): nonsense})
        assert lost.implementation is None
        assert values(lost, "code") == {"the code": ""}
    legacy = int.from_bytes(keccak(b"org.zeppelinos.proxy.implementation"), "big")
    hidden = find(erc1967(), {**answers, slot(WALLET, IMPLEMENTATION_SLOT): word(0), slot(WALLET, legacy): word(OWNER)})
    assert hidden.implementation is None


def test_a_beacon_is_followed_and_never_more() -> None:
    profile = bare(kind="beacon")
    assert "beacon" in profile.unchecked
    answers = {
        Read("code", WALLET): CLONE,
        slot(WALLET, BEACON_SLOT): word(BEACON),
        call(BEACON, "implementation() returns (address)"): word(IMPLEMENTATION),
        Read("code", IMPLEMENTATION): CODE,
    }
    found = find(profile, answers)
    assert found.findings == (
        Finding("code", "the code", "Bare"),
        Finding("implementation", "the beacon", IMPLEMENTATION),
    )
    for read in answers:
        lost = find(profile, {**answers, read: None})
        assert values(lost, "code") == {"the code": "" if read.address != WALLET or read.kind == "slot" else "Bare"}


def real(name: str) -> bytes:
    for line in REAL.read_text().splitlines():
        if f'"{name}"' in line:
            entry = json.loads(line.rstrip(","))
            if entry["name"] == name:
                return bytes.fromhex(entry["code"])
    raise AssertionError(name)


def test_a_safe() -> None:
    """Code of Safe's npm packages behind the proxy of its release 1.3.0, whose owners are those that it tells."""
    profile = load_profile("safe-1-3")
    owners = call(WALLET, "getOwners() returns (address[])")
    answers = {
        Read("code", WALLET): real("GnosisSafeProxy"),
        slot(WALLET, 0): word(IMPLEMENTATION),
        Read("code", IMPLEMENTATION): real("GnosisSafe"),
        owners: abi.encode(["address[]"], [[OWNER, STRANGER]]),
    }
    found = find(profile, answers)
    assert found.findings == (
        Finding("code", "the code", "GnosisSafe 1.3.0"),
        Finding("proxy_code", "the code", "GnosisSafeProxy 1.3.0"),
        Finding("implementation", "slot 0", IMPLEMENTATION),
        Finding("owner", "getOwners()", f"{OWNER},{STRANGER}"),
    )
    assert found.stored is None
    assert load_profile("safe").created_topics(ACCOUNT, WALLET) == [
        keccak(b"ProxyCreation(address,address)"),
        word(WALLET),
    ]


@pytest.mark.parametrize("name", ["smart-wallet", "safe", "erc1967", "beacon", "state"])
@given(st.data())
def test_no_answer_raises_anything_but_a_disagreement(name: str, data: st.DataObject) -> None:
    profiles = {"erc1967": erc1967, "beacon": lambda: bare(kind="beacon"), "state": lambda: bare(STATE)}
    profile = profiles[name]() if name in profiles else load_profile(name)
    some = st.none() | st.binary(max_size=70) | st.sampled_from([CODE, CLONE, deployed(), word(OWNER), word(1), DIRTY])
    reads = profile.first_reads(ACCOUNT, WALLET, FACTORY, None)
    answers = {}
    for _ in range(4):
        answers |= {read: data.draw(some) for read in reads}
        reads = profile.more_reads(WALLET, answers)
    assert reads == ()
    with contextlib.suppress(Disagreement):
        profile.findings(ACCOUNT, WALLET, FACTORY, None, answers)


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("bytes16", bytes.fromhex("0a" * 16) + bytes(16)),
        ("bytes32", bytes.fromhex("0a" * 16) + bytes(16)),
        ("uint128", bytes(16) + bytes.fromhex("0a" * 16)),
        ("uint256", bytes(16) + bytes.fromhex("0a" * 16)),
        ("string", b"0a0a0a0a-0a0a-0a0a-0a0a-0a0a0a0a0a0a"),
    ],
)
def test_the_key_of_a_mapping_is_the_account_as_it_is_declared(kind, key):
    account = AccountId("0a0a0a0a-0a0a-0a0a-0a0a-0a0a0a0a0a0a")
    slot = Slot(3, "account", kind, "factory").read(Subject(account, WALLET, STRANGER))
    assert slot == Read("slot", STRANGER, keccak(key + (3).to_bytes(32, "big")))
