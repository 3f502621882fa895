"""Proxies: which implementation a proxy's code or storage names. Pure.

ERC-1167 and its relatives are recognised byte for byte, whatever else the name is used for; ERC-1967 by its three
slots. The slot of OpenZeppelin's proxies before ERC-1967 (``org.zeppelinos.proxy.implementation``) is not accepted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Final

from eth_hash.auto import keccak

from orchestrator.models import Address, checksum

IMPLEMENTATION_SLOT: Final = int.from_bytes(keccak(b"eip1967.proxy.implementation"), "big") - 1
ADMIN_SLOT: Final = int.from_bytes(keccak(b"eip1967.proxy.admin"), "big") - 1
BEACON_SLOT: Final = int.from_bytes(keccak(b"eip1967.proxy.beacon"), "big") - 1

_ADDRESS: Final = b"(?P<to>.{20})"
_RECEIVE: Final = "7f9e4ac34f21c619cefc926c8bd93b54bf5a39c7ab2127a895af1cc0691d7e3dff"
"""PUSH32 of the topic of ``ReceiveETH(uint256)``, which some clones log for ether that comes without a call."""
_SPLIT: Final = "830d2d700a97af574b186c80d40429385d24241565b08a7c559ba283a964d9b1"
"""The topic of 0xSplits' own ``ReceiveETH(address,uint256)``."""
_CLONES: Final = (
    # name, code before the address, after it, what makes it (before its code), and whether arguments follow
    ("ERC-1167", "363d3d373d3d3d363d73", "5af43d82803e903d91602b57fd5bf3", "3d602d80600a3d3981f3", "any"),
    ("ERC-7511", "365f5f375f5f365f73", "5af43d5f5f3e5f3d91602a57fd5bf3", "602c8060095f395ff3", ""),
    ("0age's", "3d3d3d3d363d3d37363d73", "5af43d3d93803e602a57fd5bf3", "602c3d8160093d39f3", ""),
    ("Solady's PUSH0", "5f5f365f5f37365f73", "5af43d5f5f3e6029573d5ffd5b3d5ff3", "602d5f8160095f39f3", ""),
    ("Vyper's", "366000600037611000600036600073", "5af4602c57600080fd5b6110006000f3", "", ""),
    ("Vyper's first", "366000600037611000600036600073", "5af41558576110006000f3", "", ""),
    (
        "0xSplits'",
        f"36603057343d52307f{_SPLIT}60203da23d3df35b3d3d3d3d363d3d37363d73",
        "5af43d3d93803e605b57fd5bf3",
        "",
        "",
    ),
    (
        "0xSplits' second",
        f"36602c57343d52{_RECEIVE}593da1005b3d3d3d3d363d3d37363d73",
        "5af43d3d93803e605757fd5bf3",
        "",
        "",
    ),
    (
        "clone with immutable arguments",
        "3d3d3d3d363d3d3761NNNN603736393661NNNN013d73",
        "5af43d3d93803e603557fd5bf3",
        "",
        "sized",
    ),
    (
        "first clone with immutable arguments",
        "363d3d3761NNNN603836393d3d3d3661NNNN013d73",
        "5af43d82803e903d91603657fd5bf3",
        "",
        "sized",
    ),
    (
        "Solady's clone with immutable arguments",
        f"36602c57343d52{_RECEIVE}593da1005b363d3d373d3d3d3d61NNNN806062363936013d73",
        "5af43d3d93803e606057fd5bf3",
        "",
        "sized",
    ),
    (
        "0xSplits' clone with immutable arguments",
        f"36602f57343d52{_RECEIVE}60203da13d3df35b3d3d3d3d363d3d3761NNNN606736393661NNNN013d73",
        "5af43d3d93803e606557fd5bf3",
        "",
        "sized",
    ),
    (
        "Sudoswap's clone with immutable arguments",
        "3d3d3d3d363d3d3760NN603536393660NN013d73",
        "5af43d3d93803e603357fd5bf3",
        "",
        "bare",
    ),
)
"""``NNNN`` or ``NN``: how many bytes follow the code. ``sized``: arguments and their length in two bytes, which most of
them count among the bytes that follow; ``bare``: arguments; ``any``: whatever follows (OpenZeppelin's, Solady's later
clones). Solidity's Clones, Vyper since 0.2.9, and Solady make the first; the others are of those who are named."""
_SHORT: Final = (
    ("ERC-1167", "363d3d373d3d3d363d", "5af43d82803e903d9160", 0x2B),
    ("ERC-7511", "365f5f375f5f365f", "5af43d5f5f3e5f3d9160", 0x2A),
)


@dataclass(frozen=True, slots=True)
class Clone:
    """A clone's implementation, and what is appended to its code. ``creation``: what comes before the code in the init
    code of its best-known maker, to compute its CREATE2 address; None where that is not known."""

    variant: str
    implementation: Address
    arguments: bytes
    creation: bytes | None


def read_clone(code: bytes) -> Clone | None:
    """The clone that this runtime code is; None if it is none that has been published."""
    for variant, pattern, creation, follows in _patterns():
        match = pattern.fullmatch(code)
        if match is None:
            continue
        found = match.groupdict()
        arguments = _arguments(found, follows)
        if arguments is not None:
            start = creation
            if follows == "any" and arguments:  # OpenZeppelin's cloneWithImmutableArgs
                start = b"\x61" + (len(code) & 0xFFFF).to_bytes(2, "big") + bytes.fromhex("3d81600a3d39f3")
            return Clone(variant, checksum(found["to"].hex()), arguments, start)
    return _short(code)


def word_address(word: bytes | None) -> Address | None:
    """The address in a slot or in what a call returned; None for what is no address. Zero is one."""
    if word is None or len(word) != 32 or any(word[:12]):
        return None
    return checksum(word[12:].hex())


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[bytes], bytes | None, str], ...]:
    return tuple(
        (
            variant,
            re.compile(_bytes(before) + _ADDRESS + _bytes(after) + b"(?P<rest>.*)", re.DOTALL),
            bytes.fromhex(creation) if creation else None,
            follows,
        )
        for variant, before, after, creation, follows in _CLONES
    )


def _bytes(text: str) -> bytes:
    first, *others = re.split("(N+)", text)
    pattern = re.escape(bytes.fromhex(first))
    for place, part in enumerate(others):
        if part.startswith("N"):
            pattern += b"(?P<size>.{%d})" % (len(part) // 2) if place == 0 else b"(?P=size)"
        else:
            pattern += re.escape(bytes.fromhex(part))
    return pattern


def _arguments(found: dict[str, bytes], follows: str) -> bytes | None:
    """What was appended, if it is as long as the code says."""
    rest = found["rest"]
    if follows == "any" or (not follows and not rest):
        return rest
    if not follows or len(rest) != int.from_bytes(found["size"], "big"):
        return None
    if follows == "bare":
        return rest
    told = int.from_bytes(rest[-2:], "big")  # the length field: with itself, or (0xSplits') without
    return rest[:-2] if len(rest) >= 2 and told in (len(rest), len(rest) - 2) else None


def _short(code: bytes) -> Clone | None:
    """ERC-1167, "Vanity Address Optimization": an address that begins with zeros is pushed without them."""
    for variant, start, end, target in _SHORT:
        size = len(code) - len(start + end) // 2 - 6
        if not 0 < size < 20:
            continue
        before = bytes.fromhex(start) + bytes([0x5F + size])
        after = bytes.fromhex(end) + bytes([target - 20 + size]) + bytes.fromhex("57fd5bf3")
        if code.startswith(before) and code.endswith(after):
            address = code[len(before) : len(before) + size].rjust(20, b"\0")
            return Clone(f"{variant}, short address", checksum(address.hex()), b"", None)
    return None
