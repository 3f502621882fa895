"""Identifiers: CAIP-2, CAIP-10, EIP-55 (its own test vectors), UUIDs, states."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import SettingsError, UnsupportedChain
from orchestrator.models import ChainAccount, ChainId, checksum, to_address, to_uuid

# EIP-55, "Test Cases"
VECTORS = [
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x27b1fdb04752bbc536007a920d24acb045561c26",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
]


@pytest.mark.parametrize("address", VECTORS)
def test_eip55(address):
    assert checksum(address[2:].lower()) == address
    for form in (address, address.lower(), "0x" + address[2:].upper()):
        assert to_address(form) == address


@given(st.sampled_from(VECTORS[4:]), st.integers(2, 41))
def test_one_letter_in_the_wrong_case_is_refused(address, place):
    wrong = address[:place] + address[place].swapcase() + address[place + 1 :]
    if wrong != address:
        with pytest.raises(ValueError, match="checksum"):
            to_address(wrong)


@pytest.mark.parametrize("text", ["", "0x", VECTORS[0][2:], VECTORS[0] + "0", VECTORS[0] + "\n", "0X" + VECTORS[0][2:]])
def test_what_is_no_address(text):
    with pytest.raises(ValueError, match="40 hex digits"):
        to_address(text)


@pytest.mark.parametrize(("text", "number"), [("eip155:1", 1), ("eip155:31337", 31337), ("eip155:0", 0)])
def test_caip2(text, number):
    assert ChainId.parse(text) == ChainId(number)
    assert str(ChainId(number)) == text


@pytest.mark.parametrize("namespace", ["solana", "tron", "starknet", "bip122", "cosmos"])
def test_other_namespaces_are_refused_by_name(namespace):
    with pytest.raises(UnsupportedChain, match=f"{namespace!r} is not supported"):
        ChainId.parse(f"{namespace}:mainnet")
    with pytest.raises(UnsupportedChain, match=f"{namespace!r} is not supported"):
        ChainAccount.parse(f"{namespace}:mainnet:7S3P4HxJpyyigGzodYwHtCxZyUQe9JiBMHyRWXArAaKv")


@pytest.mark.parametrize(
    "text", ["", "eip155", "eip155:", ":1", "eip155:01", "eip155:-1", "eip155:1.0", "eip155:٣", "eip155:1\n",
             "EIP155:1", "eip155:0x1", "eip155:1:2", "eip155:" + "9" * 40]
)  # fmt: skip
def test_what_is_no_chain(text):
    with pytest.raises(UnsupportedChain):
        ChainId.parse(text)


def test_caip10():
    account = ChainAccount.parse(f"eip155:31337:{VECTORS[4].lower()}")
    assert account == ChainAccount(ChainId(31337), VECTORS[4])
    assert ChainAccount.parse(str(account)) == account


@pytest.mark.parametrize("text", ["", "eip155:1", f"eip155:{VECTORS[0]}", f"1:{VECTORS[0]}", "eip155:1:0x12", ":"])
def test_what_is_no_account(text):
    with pytest.raises(UnsupportedChain):
        ChainAccount.parse(text)


@given(st.text(max_size=80))
def test_any_text_is_parsed_or_refused(text):
    for parse in (ChainId.parse, ChainAccount.parse):
        try:
            assert str(parse(text)).lower() == text.lower()
        except UnsupportedChain as error:
            assert len(error.message) < 400  # noqa: PT017
    try:
        to_uuid(text, "it")
    except SettingsError as error:
        assert "it" in error.message  # noqa: PT017


def test_uuids_are_canonical():
    canonical = "5df359f0-d299-40a1-8023-17c77a50144c"
    assert to_uuid(canonical.upper(), "an id") == canonical
    with pytest.raises(SettingsError, match="a UUID as an id, got 'x'") as raised:
        to_uuid("x", "an id")
    assert raised.value.code == "not_a_uuid"
