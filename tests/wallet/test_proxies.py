"""Clones, byte for byte as their specifications and makers have them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.models import checksum
from orchestrator.wallet.proxies import ADMIN_SLOT, BEACON_SLOT, IMPLEMENTATION_SLOT, read_clone, word_address

BE = "be" * 20
RECEIVE = "7f9e4ac34f21c619cefc926c8bd93b54bf5a39c7ab2127a895af1cc0691d7e3dff"
PUBLISHED = {
    "ERC-1167": "363d3d373d3d3d363d73" + BE + "5af43d82803e903d91602b57fd5bf3",
    "ERC-7511": "365f5f375f5f365f73" + BE + "5af43d5f5f3e5f3d91602a57fd5bf3",
    "0age's": "3d3d3d3d363d3d37363d73" + BE + "5af43d3d93803e602a57fd5bf3",
    "Solady's PUSH0": "5f5f365f5f37365f73" + BE + "5af43d5f5f3e6029573d5ffd5b3d5ff3",
    "Vyper's": "366000600037611000600036600073" + BE + "5af4602c57600080fd5b6110006000f3",
    "Vyper's first": "366000600037611000600036600073" + BE + "5af41558576110006000f3",
    "0xSplits'": "36603057343d52307f830d2d700a97af574b186c80d40429385d24241565b08a7c559ba283a964d9b160203da23d3df35b"
    "3d3d3d3d363d3d37363d73" + BE + "5af43d3d93803e605b57fd5bf3",
    "0xSplits' second": "36602c57343d52"
    + RECEIVE
    + "593da1005b3d3d3d3d363d3d37363d73"
    + BE
    + "5af43d3d93803e605757fd5bf3",
}
ARGUMENTS = "11" * 61
WITH_ARGUMENTS = {
    "ERC-1167": PUBLISHED["ERC-1167"] + ARGUMENTS,
    "clone with immutable arguments": "3d3d3d3d363d3d3761003f603736393661003f013d73" + BE
    + "5af43d3d93803e603557fd5bf3" + ARGUMENTS + "003f",
    "first clone with immutable arguments": "363d3d3761003f603836393d3d3d3661003f013d73" + BE
    + "5af43d82803e903d91603657fd5bf3" + ARGUMENTS + "003f",
    "Solady's clone with immutable arguments": "36602c57343d52" + RECEIVE
    + "593da1005b363d3d373d3d3d3d61003f806062363936013d73" + BE + "5af43d3d93803e606057fd5bf3" + ARGUMENTS + "003f",
    "0xSplits' clone with immutable arguments": "36602f57343d52" + RECEIVE
    + "60203da13d3df35b3d3d3d3d363d3d3761003f606736393661003f013d73" + BE + "5af43d3d93803e606557fd5bf3"
    + ARGUMENTS + "003d",
    "Sudoswap's clone with immutable arguments": "3d3d3d3d363d3d37603d6035363936603d013d73" + BE
    + "5af43d3d93803e603357fd5bf3" + ARGUMENTS,
}  # fmt: skip


@pytest.mark.parametrize("variant", PUBLISHED)
def test_a_published_clone_is_recognised_byte_for_byte(variant: str) -> None:
    code = bytes.fromhex(PUBLISHED[variant])
    found = read_clone(code)
    assert found is not None
    assert (found.variant, found.implementation, found.arguments) == (variant, checksum(BE), b"")
    for at in (place for place in range(len(code)) if code[place] != 0xBE):
        changed = code[:at] + bytes([code[at] ^ 1]) + code[at + 1 :]
        assert read_clone(changed) is None, f"byte {at}"
    assert read_clone(code[:-1]) is None
    if variant != "ERC-1167":
        assert read_clone(code + b"\0") is None, "nothing follows this one"


@pytest.mark.parametrize("variant", WITH_ARGUMENTS)
def test_immutable_arguments_are_those_that_the_code_counts(variant: str) -> None:
    code = bytes.fromhex(WITH_ARGUMENTS[variant])
    found = read_clone(code)
    assert found is not None
    assert (found.variant, found.implementation) == (variant, checksum(BE))
    assert found.arguments == bytes.fromhex(ARGUMENTS)
    if variant != "ERC-1167":
        assert read_clone(code + b"\0") is None
        assert read_clone(code[:-1]) is None


@pytest.mark.parametrize("variant", [name for name in WITH_ARGUMENTS if "clone with" in name and "Sudo" not in name])
def test_arguments_whose_own_length_field_lies_are_no_published_clones(variant: str) -> None:
    assert read_clone(bytes.fromhex(WITH_ARGUMENTS[variant])[:-2] + b"\0\1") is None


@pytest.mark.parametrize(
    ("code", "address"),
    [
        # ERC-1167, "Vanity Address Optimization": 4 bytes of zeros are left out, and all jumps come 4 bytes earlier.
        ("363d3d373d3d3d363d6f" + "be" * 16 + "5af43d82803e903d91602757fd5bf3", "00" * 4 + "be" * 16),
        ("365f5f375f5f365f6f" + "be" * 16 + "5af43d5f5f3e5f3d91602657fd5bf3", "00" * 4 + "be" * 16),
        ("363d3d373d3d3d363d72" + "be" * 19 + "5af43d82803e903d91602a57fd5bf3", "00" + "be" * 19),
    ],
)
def test_a_short_address_is_padded_and_its_jump_must_fit(code: str, address: str) -> None:
    found = read_clone(bytes.fromhex(code))
    assert found is not None
    assert found.implementation == checksum(address)
    jump_unchanged = (
        code.replace("602757", "602b57").replace("602657", "602a57").replace("602a57fd5bf3", "602b57fd5bf3")
    )
    assert read_clone(bytes.fromhex(jump_unchanged)) is None


def test_the_creation_code_is_the_makers() -> None:
    """OpenZeppelin's ``Clones.predictDeterministicAddress`` and ``cloneWithImmutableArgs`` have these init codes."""
    plain = read_clone(bytes.fromhex(PUBLISHED["ERC-1167"]))
    arguments = read_clone(bytes.fromhex(WITH_ARGUMENTS["ERC-1167"]))
    assert plain is not None
    assert arguments is not None
    assert plain.creation is not None
    assert arguments.creation is not None
    assert plain.creation.hex() == "3d602d80600a3d3981f3"
    assert arguments.creation.hex() == "61" + f"{45 + 61:04x}" + "3d81600a3d39f3"


@given(st.binary(max_size=120))
def test_no_code_raises(code: bytes) -> None:
    read_clone(code)
    read_clone(bytes.fromhex("363d3d373d3d3d363d") + code)
    read_clone(bytes.fromhex("3d3d3d3d363d3d3761") + code)


def test_the_slots_of_erc_1967() -> None:
    assert IMPLEMENTATION_SLOT == 0x360894A13BA1A3210667C828492DB98DCA3E2076CC3735A920A3CA505D382BBC
    assert ADMIN_SLOT == 0xB53127684A568B3173AE13B9F8A6016E243E63B6E8EE1178D6A717850B5D6103
    assert BEACON_SLOT == 0xA3F0AD74E5423AEBFD80D3EF4346578335A9A72AEAEE59FF6CB3582B35133D50


@pytest.mark.parametrize("word", [None, b"", bytes(31), bytes(33), b"\1" + bytes(31), bytes(11) + b"\1" + bytes(20)])
def test_what_is_no_address(word: bytes | None) -> None:
    assert word_address(word) is None
