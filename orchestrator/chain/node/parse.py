"""Reads a node's answers: hostile until they have the right type, length and size. Every failure is a ChainNonsense."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Any

from eth_hash.auto import keccak

from orchestrator.closure.proof import spelling
from orchestrator.errors import ChainNonsense, ProofInvalid
from orchestrator.models import Address, BlockHash, BlockNumber, BlockRef, TxHash, checksum
from orchestrator.ports.index import Log

_HEX = re.compile(r"0x[0-9a-fA-F]*")
_QUANTITY = re.compile(r"0x(?:0|[1-9a-fA-F][0-9a-fA-F]*)")

MAX_CODE_BYTES = 1 << 20
"""Far above EIP-7954's 65,536 bytes and what other chains allow."""
MAX_LOGS = 100_000
_PLACE_BITS = 63
"""Of block numbers and log indices, as a database has them."""


@dataclass(frozen=True, slots=True)
class Header:
    """What following a chain needs of a block."""

    block: BlockRef
    parent: BlockHash
    timestamp: int
    """Seconds since 1970."""
    bloom: bytes = b""
    """The filter of its logs' addresses and topics, 256 bytes; empty where the node gives none."""

    def may_have(self, *values: bytes) -> bool:
        """Whether the block may have a log with all of these as its address or topics: no only where the filter rules
        it out (Yellow Paper, 4.3.1)."""
        if not self.bloom:
            return False
        bits = int.from_bytes(self.bloom, "big")
        digests = [keccak(value) for value in values]
        places = [int.from_bytes(digest[at : at + 2], "big") % 2048 for digest in digests for at in (0, 2, 4)]
        return all(bits >> place & 1 for place in places)


def show(value: Any) -> str:
    """A hostile value for a message: short, on one line, never its whole."""
    if isinstance(value, str):
        return repr(value[:80]) + ("…" if len(value) > 80 else "")
    if isinstance(value, list | dict):
        return f"a {type(value).__name__} of {len(value)}"
    if value is None or isinstance(value, bool | float):
        return repr(value)
    if isinstance(value, int) and abs(value) < 2**64:
        return repr(value)
    return f"a {type(value).__name__}"


def quantity(value: Any, what: str, bits: int = 64) -> int:
    """A JSON-RPC quantity of at most ``bits`` bits."""
    if isinstance(value, str) and len(value) <= 3 + bits // 4 and _QUANTITY.fullmatch(value):
        number = int(value, 16)
        if not number >> bits:
            return number
    raise ChainNonsense(f"{what}: expected a hex number of at most {bits} bits, got {show(value)}")


def quantity_or_word(value: Any, what: str) -> int:
    """A storage value: 32 bytes by the specification, a number from some nodes."""
    if isinstance(value, str) and len(value) == 66 and _HEX.fullmatch(value):
        return int(value, 16)
    return quantity(value, what, 256)


def data(value: Any, what: str, *, length: int | None = None, limit: int = MAX_CODE_BYTES) -> bytes:
    """JSON-RPC data of exactly ``length`` bytes, or of at most ``limit``."""
    most = limit if length is None else length
    if not isinstance(value, str) or len(value) > 2 + 2 * most or len(value) % 2 or not _HEX.fullmatch(value):
        raise ChainNonsense(f"{what}: expected 0x and hex of at most {most} bytes, got {show(value)}")
    result = bytes.fromhex(value[2:])
    if length is not None and len(result) != length:
        raise ChainNonsense(f"{what}: expected {length} bytes, got {len(result)}")
    return result


def hash32(value: Any, what: str) -> str:
    """32 bytes as 0x and 64 lower-case hex digits."""
    return "0x" + data(value, what, length=32).hex()


def header(value: Any, what: str) -> Header:
    """A block as ``eth_getBlockBy…`` answers it."""
    if not isinstance(value, dict):
        raise ChainNonsense(f"{what}: expected a block, got {show(value)}")
    return Header(
        BlockRef(
            BlockNumber(_number(value.get("number"), f"{what}.number")),
            BlockHash(hash32(value.get("hash"), f"{what}.hash")),
        ),
        BlockHash(hash32(value.get("parentHash"), f"{what}.parentHash")),
        _number(value.get("timestamp"), f"{what}.timestamp", 64),
        _bloom(value.get("logsBloom")),
    )


def _bloom(value: Any) -> bytes:
    """A hint only, which some chains leave out."""
    try:
        return data(value, "logsBloom", length=256)
    except ChainNonsense:
        return b""


def _number(value: Any, what: str, bits: int = _PLACE_BITS) -> int:
    """A number of a header in any spelling. Null is none: a block that is not mined has no number."""
    if value is None:
        raise ChainNonsense(f"{what}: expected a number, got None")
    try:
        return spelling.number(value, what, bits)
    except ProofInvalid as error:
        raise ChainNonsense(error.message) from error


def logs(value: Any, what: str) -> list[Log]:
    """``eth_getLogs``'s answer, in the chain's order. A log that is pending or removed is nonsense here."""
    if not isinstance(value, list) or len(value) > MAX_LOGS:
        raise ChainNonsense(f"{what}: expected a list of at most {MAX_LOGS} logs, got {show(value)}")
    result = [_log(entry, f"{what}[{index}]") for index, entry in enumerate(value)]
    places = [(log.block.number, log.index) for log in result]
    if len(set(places)) != len(places):
        raise ChainNonsense(f"{what}: two logs have the same block and index")
    hashes: dict[int, str] = {}
    for log in result:
        known = hashes.setdefault(log.block.number, log.block.hash)
        if known != log.block.hash:
            raise ChainNonsense(f"{what}: block {log.block.number} has two hashes: {known} and {log.block.hash}")
    return sorted(result, key=lambda log: (log.block.number, log.index))


async def many_logs(value: Any, what: str) -> list[Log]:
    """As ``logs``, of an answer that anybody can make as long as an answer may be: in a thread, where the event loop
    gets its turn."""
    return await asyncio.to_thread(logs, value, what)


def _log(value: Any, what: str) -> Log:
    if not isinstance(value, dict):
        raise ChainNonsense(f"{what}: expected a log, got {show(value)}")
    if value.get("removed"):
        raise ChainNonsense(f"{what}: expected a log of the canonical chain, got a removed one")
    topics = value.get("topics")
    if not isinstance(topics, list) or len(topics) > 4:
        raise ChainNonsense(f"{what}.topics: expected a list of at most 4, got {show(topics)}")
    number = quantity(value.get("blockNumber"), f"{what}.blockNumber", _PLACE_BITS)
    return Log(
        address=checksum(data(value.get("address"), f"{what}.address", length=20).hex()),
        topics=tuple(data(topic, f"{what}.topics", length=32) for topic in topics),
        data=data(value.get("data"), f"{what}.data"),
        block=BlockRef(BlockNumber(number), BlockHash(hash32(value.get("blockHash"), f"{what}.blockHash"))),
        tx_hash=TxHash(hash32(value.get("transactionHash"), f"{what}.transactionHash")),
        index=quantity(value.get("logIndex"), f"{what}.logIndex", _PLACE_BITS),
    )


def word_address(word: bytes, what: str) -> Address:
    """An address out of a 32-byte word of the contract ABI."""
    if len(word) != 32 or any(word[:12]):
        raise ChainNonsense(f"{what}: expected an address in a word of 32 bytes, got 0x{word[:32].hex()}")
    return checksum(word[12:].hex())
