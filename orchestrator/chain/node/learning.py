"""What a node tells of one deployed wallet, for a draft of its profile (``orchestrator.wallet.draft``). Reads only."""

from __future__ import annotations

from typing import Any, Final

from orchestrator.chain.node import parse
from orchestrator.chain.node.head import ATTEMPTS, HEAD_CALLS, HeadReads, Moved
from orchestrator.chain.node.reads import read_at
from orchestrator.chain.node.rpc import Rpc, RpcFailure
from orchestrator.closure.guards import guards
from orchestrator.errors import ChainNonsense, SettingsError
from orchestrator.models import Address, BlockRef, checksum
from orchestrator.wallet import abi
from orchestrator.wallet.draft import GETTERS, Birth, Learned, has_selector
from orchestrator.wallet.findings import Read
from orchestrator.wallet.proxies import ADMIN_SLOT, BEACON_SLOT, IMPLEMENTATION_SLOT, read_clone, word_address

_FIRST: Final = (*range(10), IMPLEMENTATION_SLOT, ADMIN_SLOT, BEACON_SLOT)
_MOST_SLOTS: Final = 40
_SMALL_PROXY: Final = 1024
"""Bytes of code, beyond which a contract that delegates is taken for a wallet of its own."""
_DELEGATECALL: Final = b"\xf4"
_MOST_RECEIPTS: Final = 2000


async def learn(rpc: Rpc, wallet: Address) -> Learned:
    """Raises SettingsError (``usage``) where there is no code, ChainUnreachable, ChainNonsense."""
    reads = HeadReads(rpc)
    for _ in range(ATTEMPTS):
        try:
            head = reads.heads(await rpc.batch(HEAD_CALLS)).head
            return await _learn(reads, wallet, head)
        except Moved:
            continue
    raise reads.moving()


async def _learn(reads: HeadReads, wallet: Address, head: BlockRef) -> Learned:
    own = Read("code", wallet)
    answers = await read_at(reads, head, [own, *(_slot(wallet, number) for number in _FIRST)])
    code = answers[own] or b""
    if not code:
        raise SettingsError(f"there is no code at {wallet} in block {head.number}", code="usage")
    slots = {number: int.from_bytes(answers[_slot(wallet, number)] or b"", "big") for number in _FIRST}
    kind, how, implementation = await _kind(reads, head, code, slots)
    running = code
    if implementation is not None:
        there = Read("code", implementation)
        running = (await read_at(reads, head, [there]))[there] or b""
    found = guards(int(wallet, 16), running)
    more = [guard.slot for guard in found if guard.slot not in slots][:_MOST_SLOTS]
    getters = {signature: _call(wallet, signature) for signature in GETTERS if has_selector(running, signature)}
    wanted = [*(_slot(wallet, number) for number in more), *getters.values()]
    answers = await read_at(reads, head, wanted) if wanted else {}
    slots |= {number: int.from_bytes(answers[_slot(wallet, number)] or b"", "big") for number in more}
    calls = {signature: answers[read] for signature, read in getters.items()}
    birth = await _birth(reads.rpc, wallet, head)
    return Learned(wallet, code, kind, how, implementation, running, slots, calls, found, birth)


async def _kind(
    reads: HeadReads, head: BlockRef, code: bytes, slots: dict[int, int]
) -> tuple[str, str, Address | None]:
    """The kind of proxy, how that was found, and where the code is."""
    clone = read_clone(code)
    if clone is not None:
        return "erc1167", f"found: the code is a clone's ({clone.variant})", clone.implementation
    if (there := _address(slots[IMPLEMENTATION_SLOT])) is not None:
        return "erc1967", f"found: the implementation slot has {there}", there
    if (beacon := _address(slots[BEACON_SLOT])) is not None:
        read = _call(beacon, "implementation() returns (address)")
        there = word_address((await read_at(reads, head, [read]))[read])
        return "beacon", f"found: the beacon slot has {beacon}", there
    there = _address(slots[0])
    if there is not None and len(code) <= _SMALL_PROXY and _DELEGATECALL in code:
        read = Read("code", there)
        if (await read_at(reads, head, [read]))[read]:
            return "slot", f"guessed: slot 0 has the contract {there}, and the code delegates", there
    return "direct", "found: the code is no proxy's that is known", None


async def _birth(rpc: Rpc, wallet: Address, head: BlockRef) -> Birth | None:
    """By halving the chain: the first block with code there, and its transaction. None where the node does not tell
    (it has no old state), or the answers make no sense."""
    low, high = -1, int(head.number)
    while high - low > 1:
        middle = (low + high) // 2
        answer = await rpc.call_or_failure("eth_getCode", [wallet, hex(middle)])
        if isinstance(answer, RpcFailure):
            return None
        low, high = (low, middle) if answer not in ("0x", None) else (middle, high)
    receipts = await rpc.call_or_failure("eth_getBlockReceipts", [hex(high)])
    if not isinstance(receipts, list):
        return None
    try:
        found = (_birth_in(receipt, wallet) for receipt in receipts[:_MOST_RECEIPTS])
        return next((birth for birth in found if birth is not None), None)
    except ChainNonsense:
        return None


def _birth_in(receipt: Any, wallet: Address) -> Birth | None:
    if not isinstance(receipt, dict):
        raise ChainNonsense(f"eth_getBlockReceipts: expected receipts, got {parse.show(receipt)}")
    word = bytes(12) + bytes.fromhex(wallet[2:])
    logs = [
        log
        for log in parse.logs(receipt.get("logs"), "a receipt's logs")
        if log.address != wallet and (word in log.topics or word in log.data)
    ]
    made = receipt.get("contractAddress")
    if not logs and not (isinstance(made, str) and made.lower() == wallet.lower()):
        return None
    to = receipt.get("to")
    called = None if to is None else checksum(parse.data(to, "a receipt's to", length=20).hex())
    tx_hash = parse.hash32(receipt.get("transactionHash"), "a receipt's transaction")
    return Birth(tx_hash, called, tuple((log.address, log) for log in logs))


def _slot(wallet: Address, number: int) -> Read:
    return Read("slot", wallet, number.to_bytes(32, "big"))


def _call(address: Address, signature: str) -> Read:
    return Read("call", address, abi.Signature.parse(signature).call({}))


def _address(word: int) -> Address | None:
    return checksum(f"{word:040x}") if 1 << 32 < word < 1 << 160 else None
