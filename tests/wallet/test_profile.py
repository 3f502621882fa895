"""Profiles as files: what is built in, what is refused and with which line, and what their hash is of."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from orchestrator import schemas
from orchestrator.artifacts import load
from orchestrator.errors import SettingsError
from orchestrator.foreign import read_toml
from orchestrator.wallet.document import json_schema
from orchestrator.wallet.profile import BUILT_IN, Profile, load_profile, parse_profile
from orchestrator.wallet.rules import NOTHING

PROFILES = Path(__file__).parents[2] / "orchestrator/wallet/profiles"
SMART = (PROFILES / "smart-wallet.toml").read_text()
COMPILED = Path(__file__).parent / "compiled"
HASH = "0x" + "ab" * 32
BARE = f"""format = 1
name = "bare"
title = "The least that there is"

[code]
kind = "direct"
[[code.accepts]]
hash = "{HASH}"

[account]
by = "platform"
"""
EVENT = """
[account.event]
signature = "Made(address indexed wallet, address owner, bytes16 id, uint256 salt)"
wallet = "wallet"
"""
STATE = """
[state]
call = "state() returns (uint8)"
active = 1
closed = 3
"""


def parse(text: str) -> Profile:
    return parse_profile(text, "p.toml", load)


def refused(text: str) -> str:
    with pytest.raises(SettingsError) as caught:
        parse(text)
    assert caught.value.code == "profile_invalid"
    return caught.value.message


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_profile_loads_and_fits_the_schema(name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    assert re.fullmatch("[0-9a-f]{64}", profile.sha256)
    document = read_toml((PROFILES / f"{name}.toml").read_text())
    Draft202012Validator(json_schema()).validate(document)


def test_every_shipped_profile_is_built_in() -> None:
    assert {path.stem for path in PROFILES.iterdir()} == {*BUILT_IN}


def test_the_shipped_schema_is_that_of_the_documents_class() -> None:
    assert json.loads(schemas.text("wallet-profile")) == json_schema()


def test_what_each_leaves_out_is_named() -> None:
    assert load_profile("smart-wallet").unchecked == ()
    assert load_profile("smart-wallet").tie is None
    safe = load_profile("safe")
    assert safe.unchecked == ("account", "create2", "challenge", "state", "closed_slots")
    assert safe.tie == "nothing but the platform's word ties this wallet to the account"
    assert "factory" in load_profile("safe-1-3").unchecked
    assert parse(BARE).unchecked == (
        "factory",
        "account",
        "create2",
        "owner",
        "challenge",
        "state",
        "closed_slots",
    )
    beacon = parse(BARE.replace('"direct"', '"beacon"'))
    assert beacon.unchecked[:2] == ("proxy_code", "beacon")


@pytest.mark.parametrize(
    ("part", "tied"),
    [
        ("", False),
        (EVENT, False),
        (EVENT + 'account = "id"\n', True),
        ('[account.registry]\ncall = "walletOf(bytes16 account) returns (address)"\n', True),
        ('[account.registry]\ncall = "isOurs(address wallet) returns (bool)"\n', False),
        (EVENT + '[account.create2]\nsalt = ["account"]\ntypes = ["bytes16"]\ninit_code = "SmartWallet"\n', True),
        (EVENT + '[account.create2]\nsalt = "salt"\ninit_code = "SmartWallet"\n', False),
    ],
)
def test_what_ties_a_wallet_to_the_account(part: str, tied: bool) -> None:
    profile = parse(BARE + part)
    assert (profile.tie is None) is tied
    assert ("account" in profile.unchecked) is not tied


WRONG = [
    # text, line, key, what is said
    (BARE.replace(f'hash = "{HASH}"', 'hash = "any"'), 8, "code.accepts[0].hash", "no profile accepts any code"),
    (BARE.replace(f'[[code.accepts]]\nhash = "{HASH}"', "accepts = []"), 7, "code.accepts", "no profile accepts any"),
    (BARE.replace(f'[[code.accepts]]\nhash = "{HASH}"\n', ""), 5, "code.accepts", "is missing"),
    (BARE.replace(HASH, NOTHING), 8, "code.accepts[0].hash", "no code at all"),
    (BARE.replace(f'hash = "{HASH}"', 'name = "x"'), 7, "code.accepts[0]", "expected one of artifact, hash"),
    (BARE.replace("hash", 'artifact = "SmartWallet"\nhash'), 7, "code.accepts[0]", "artifact and hash"),
    (BARE.replace(f'hash = "{HASH}"', 'artifact = "X.json"'), 8, "code.accepts[0].artifact", "no artifact"),
    (BARE + "[[owner]]\nslt = 0\n", 13, "owner[0].slt", "there is no such key"),
    (BARE + "x = 1\n", 12, "account.x", "there is no such key"),
    (BARE + '[[owner]]\nslot = 0\n[[owner]]\nimmutable = "owner"\n', 15, "owner[1].immutable", "no"),
    (
        BARE + '[[owner]]\ncall = "owner()"\n',
        13,
        "owner[0].call",
        "expected a getter that returns address, got nothing",
    ),
    (BARE + '[[owner]]\ncall = "owner() returns (uint8)"\n', 13, "owner[0].call", "got uint8"),
    (BARE + '[[owner]]\ncall = "owner() external returns (address)"\n', 13, "owner[0].call", "view"),
    (BARE + '[[owner]]\nlist = "owners() returns (address)"\n', 13, "owner[0].list", "address"),
    (BARE + '[[owner]]\ncall = "owner(uint8 n) returns (address)"\n', 13, "owner[0].call", "account or wallet"),
    (BARE + "[[owner]]\nappended = 0\n", 13, "owner[0].appended", "of kind erc1167"),
    (BARE + "[[owner]]\nslot = 0\noffset = 13\n", 14, "owner[0].offset", "12"),
    (BARE + '[[owner]]\nslot = 0\ncall = "f() returns (address)"\n', 12, "owner[0]", "slot and call"),
    (BARE + "[[owner]]\nslot = 0\nrenounced = true\n", 14, "owner[0].renounced", "takes a [state]"),
    (BARE.replace('"platform"', '"event"'), 11, "account.by", "takes [account.event] whose account"),
    (BARE.replace('"platform"', '"event"') + EVENT, 11, "account.by", "takes [account.event] whose account"),
    (
        BARE.replace('"platform"', '"event"') + EVENT + 'account = "id"\n',
        16,
        "account.event.account",
        "must be indexed",
    ),
    (BARE.replace('"platform"', '"registry"'), 11, "account.by", "takes [account.registry]"),
    (
        BARE + EVENT.replace('"wallet"', '"walet"'),
        15,
        "account.event.wallet",
        "no argument walet; it has wallet, owner",
    ),
    (BARE + EVENT.replace('"wallet"', '"salt"'), 15, "account.event.wallet", "salt is uint256, expected address"),
    (BARE + EVENT.replace(" indexed", ""), 14, "account.event.signature", "neither the account nor the wallet"),
    (BARE + EVENT.replace("address owner", "Owner owner"), 14, "account.event.signature", "expected a type"),
    (BARE + EVENT + 'challenge = "salt"\n', 16, "account.event.challenge", "expected bytes32"),
    (BARE + '[account.registry]\ncall = "f(address wallet) returns (uint8)"\n', 13, "account.registry.call", "uint8"),
    (BARE + '[account.registry]\ncall = "f() returns (bool)"\n', 13, "account.registry.call", "asked for the wallet"),
    (BARE + '[account.registry]\ncall = "f(address owner) returns (address)"\n', 13, "account.registry.call", "owner"),
    (
        BARE + EVENT + '[account.create2]\nsalt = ["slt"]\ntypes = ["uint8"]\ninit_code = "SmartWallet"\n',
        17,
        "account.create2.salt",
        "nothing tells slt",
    ),
    (
        BARE + EVENT + '[account.create2]\nsalt = ["salt"]\ntypes = []\ninit_code = "SmartWallet"\n',
        17,
        "account.create2.salt",
        "1 values and 0 types",
    ),
    (
        BARE + EVENT + '[account.create2]\nsalt = "salt"\ntypes = ["uint8"]\ninit_code = "SmartWallet"\n',
        17,
        "account.create2.salt",
        "salt is uint256, not uint8",
    ),
    (
        BARE + EVENT + '[account.create2]\nsalt = "salt"\ninit_code = "erc1167"\n',
        18,
        "account.create2.init_code",
        "of kind erc1167",
    ),
    (
        BARE + EVENT + '[account.create2]\nsalt = ["0x1"]\ntypes = ["uint8"]\ninit_code = "SmartWallet"\n',
        17,
        "account.create2.salt",
        "0x1 is no uint8",
    ),
    (
        BARE + EVENT + '[account.create2]\nsalt = "salt"\ninit_code = "Nothing"\n',
        18,
        "account.create2.init_code",
        "no artifact",
    ),
    (BARE + STATE.replace("3", "1"), 16, "state.closed", "1 is active already"),
    (BARE + STATE + "created = [0, 3]\nsuspended = 0\n", 18, "state.suspended", "0 is created already"),
    (BARE + STATE + "slot = 0\nmask = 0\n", 18, "state.mask", "a mask of zero"),
    (BARE + STATE + 'slot = 0\nmask = "0x0300"\nsuspended = 4\n', 19, "state.suspended", "the mask leaves no 4"),
    (BARE + STATE + 'mask = "0xff"\n', 13, "state", "go with slot"),
    (
        BARE + STATE.replace('call = "state() returns (uint8)"\n', ""),
        13,
        "state",
        "expected an event, a slot or a call",
    ),
    (BARE + STATE + 'event = "S(uint8 to)"\n', 17, "state.event", "takes to"),
    (BARE + STATE + 'event = "S(uint8 to)"\nto = "too"\n', 18, "state.to", "no argument too"),
    (BARE + STATE + 'event = "S(address to)"\nto = "to"\n', 18, "state.to", "expected a number or bool"),
    (BARE + STATE.replace("(uint8)", "(string)"), 14, "state.call", "string"),
    (BARE + '[[closed]]\nslot = 0\nvalue = 1\nmeaning = "m"\n' * 2, 17, "closed[1].slot", "stands twice"),
    (BARE + "[[closed]]\nslot = -1\nvalue = 1\n", 13, "closed[0].slot", "greater than or equal to 0"),
    (BARE.replace('kind = "direct"', 'kind = "slot"'), 5, "code.slot", "go together"),
    (BARE.replace('kind = "direct"', 'kind = "direct"\nslot = 0'), 7, "code.slot", "go together"),
    (BARE.replace('kind = "direct"', 'kind = "direct"\nfactory = "f"'), 7, "code.factory", "immutable f"),
    (BARE.replace('kind = "direct"', 'kind = "upgradeable"'), 6, "code.kind", "direct"),
    (BARE + f'[[code.proxy]]\nhash = "{HASH}"\n', 12, "code.proxy[0]", "has no proxy"),
    (BARE.replace("format = 1", "format = 2"), 1, "format", "1"),
    (BARE.replace('"bare"', '"Bare Name"'), 2, "name", "pattern"),
    (SMART.replace('immutable = "owner"', 'immutable = "holder"'), 32, "owner[0].immutable", "entryPoint, escrow"),
]


@pytest.mark.parametrize(("text", "line", "key", "said"), WRONG, ids=[f"{key}: {said}" for _, _, key, said in WRONG])
def test_what_is_wrong_is_said_with_its_line_and_key(text: str, line: int, key: str, said: str) -> None:
    message = refused(text)
    assert message.startswith(f"p.toml, line {line}, {key}: "), message
    assert said in message


def test_several_problems_are_said_at_once() -> None:
    message = refused("format = 1\nname = 'x'\n")
    assert [part.split(",")[2].split(":")[0].strip() for part in message.split("; ")] == ["title", "code", "account"]


def test_what_is_no_toml_is_said_with_its_line() -> None:
    assert "line 2" in refused("format = 1\nname =\n")
    assert "line 3" in refused("format = 1\nname = 'x'\nname = 'y'\n")


@given(st.text(max_size=200), st.integers(0, 60))
def test_no_text_raises_anything_else(text: str, line: int) -> None:
    lines = SMART.splitlines()
    for document in (text, "\n".join([*lines[:line], text, *lines[line:]])):
        try:
            parse(document)
        except SettingsError as error:
            assert error.code == "profile_invalid"  # noqa: PT017


# --- files ------------------------------------------------------------------------------------------------------------


def write(folder: Path, text: str) -> str:
    path = folder / "mine.toml"
    path.write_text(text)
    return str(path)


def test_a_file_with_an_artifact_of_forge_beside_it(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/Tiny.json").write_bytes((COMPILED / "foundry.json").read_bytes())
    (tmp_path / "solc.json").write_bytes((COMPILED / "solc.json").read_bytes())
    text = BARE.replace(f'hash = "{HASH}"', 'artifact = "out/Tiny.json"') + '[[owner]]\nimmutable = "owner"\n'
    profile = load_profile(write(tmp_path, text))
    assert profile.accepts[0].name == "Tiny"
    assert "libraries" in profile.unchecked
    same = load_profile(write(tmp_path, text.replace("out/Tiny.json", "solc.json:Tiny")))
    assert same.sha256 == profile.sha256


@pytest.mark.parametrize(
    "name", ["../a.json", "/etc/a.json", "a.json/../../b.json", "a.jsonx", "gone.json", "folder.json"]
)
def test_an_artifact_is_read_beside_the_profile_only(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(SettingsError) as caught:
        load_profile(write(tmp_path, BARE.replace(f'hash = "{HASH}"', f'artifact = "{name}"')))
    assert caught.value.code == "profile_invalid"
    assert "line 8, code.accepts[0].artifact: " in caught.value.message


@pytest.mark.parametrize("name", ["smart-walet", "", "gone.toml", "folder.toml"])
def test_a_profile_that_is_not_there(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.toml").mkdir()
    path = str(tmp_path / name) if name.endswith("toml") else name
    with pytest.raises(SettingsError) as caught:
        load_profile(path)
    assert caught.value.code == "profile_unreadable"


def test_a_profile_of_other_bytes_or_too_many(tmp_path: Path) -> None:
    for data in (b"\xff\xfe", b"#" * (256 * 1024 + 1)):
        (tmp_path / "p.toml").write_bytes(data)
        with pytest.raises(SettingsError) as caught:
            load_profile(str(tmp_path / "p.toml"))
        assert caught.value.code == "profile_unreadable"


# --- the hash ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# The wallet", "# My wallet"),
        ('mask = "0xff"', "mask = 255"),
        ("value = 3", 'value = "0x03"'),
        ("closed = 3", "closed = [3]"),
        ("[[owner]]", "[[owner]]\nrenounced = false"),
        ('format = 1\nname = "smart-wallet"', "name = 'smart-wallet'\nformat = 1"),
    ],
)
def test_spelling_does_not_change_the_hash(old: str, new: str) -> None:
    assert old in SMART
    assert parse(SMART.replace(old, new)).sha256 == parse(SMART).sha256


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("suspended = 2\n", ""),
        ("closed = 3", "closed = 4"),
        ('[[owner]]\nimmutable = "owner"\n', ""),
        ("This project's", "Another's"),
        ("[[code.accepts]]", f'[[code.accepts]]\nhash = "{HASH}"\n[[code.accepts]]'),
        ('init_code = "SmartWallet"', 'init_code = "SmartWalletFactory"'),
    ],
)
def test_what_it_says_changes_the_hash(old: str, new: str) -> None:
    text = SMART.replace(old, new)
    if "[[code.accepts]]\nhash" in text:
        text = text.replace('factory = "factory"', "").replace('immutable = "owner"', "slot = 7")
        text = text.split("[account.create2]")[0] + "[[owner]]" + text.split("[[owner]]")[1]
    assert parse(text).sha256 != parse(SMART).sha256


def test_another_artifact_of_the_same_name_changes_the_hash(tmp_path: Path) -> None:
    text = BARE.replace(f'hash = "{HASH}"', 'artifact = "a.json"')
    hashes = set()
    push32, push20 = "7f" + "00" * 32, "73" + "00" * 20
    masked = [{"start": 1, "length": 32}]
    linked = {"a.sol": {"A": [{"start": 34, "length": 20}]}}
    for artifact in (
        {"deployedBytecode": "0x6001"},
        {"deployedBytecode": "0x6002"},
        {"deployedBytecode": push32 + push20},
        {"deployedBytecode": push32 + push20, "immutableReferences": {"a": masked}},
        {"deployedBytecode": push32 + push20, "immutableReferences": {"b": masked}},
        {"deployedBytecode": push32 + push20, "deployedLinkReferences": linked},
    ):
        (tmp_path / "a.json").write_text(json.dumps(artifact))
        hashes.add(load_profile(write(tmp_path, text)).sha256)
    assert len(hashes) == 6, "what is masked counts, too"


def test_no_file_has_a_built_in_profiles_name(tmp_path):
    file = tmp_path / "mine.toml"
    text = (resources.files("orchestrator.wallet") / "profiles" / "safe.toml").read_text()
    file.write_text(text.replace("title = ", 'title = "My Safe" # ', 1))
    with pytest.raises(SettingsError, match=r"mine\.toml, line \d+, name: safe is a built-in profile's name") as caught:
        load_profile(str(file))
    assert caught.value.code == "profile_invalid"
    assert load_profile(str(file), earlier=True).title == "My Safe"
