"""Calls to try when none that was derived from the paths could be confirmed: every selector, usual arguments, any gas.

Nothing rests on these: each is executed, and one that does nothing is forgotten. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice, product, zip_longest
from typing import Final

from orchestrator.chain.examination.trace import GAS, Attempt
from orchestrator.closure.evm.facts import AccountFacts, Authority, Finding
from orchestrator.closure.evm.machine import LAST_SYSTEM_ADDRESS
from orchestrator.closure.verdict import DELEGATING
from orchestrator.closure.witness.call import CALLER, HELPER, HELPER_CODE, Call

MOST: Final = 400
"""Calls in a sweep: four batches, each a round trip."""
_MOST_SELECTORS: Final = 40
_MOST_SENDERS: Final = 6
_WORDS: Final = 12
_PUSH1, _PUSH4, _PUSH20, _PUSH32 = 0x60, 0x63, 0x73, 0x7F
_COMPARE: Final = b"\x03\x14\x18"

GAS_LIMITS: Final = (
    30_000, 40_000, 50_000, 60_000, 75_000, 90_000, 110_000, 150_000, 200_000, 300_000, 450_000, 700_000,
    1_000_000, 1_500_000, 2_200_000, 3_300_000, 5_000_000, 7_500_000, 11_000_000,
)  # fmt: skip
"""An inner call that runs out leaves its caller a 64th: which limit does that, only trying shows."""


SWEEP_GAS: Final = 2_000_000
"""Ample for most, and 400 calls that use up all of it are still bearable for a node."""


def sweep(facts: AccountFacts, targets: Sequence[Finding | Authority], reached: Sequence[bytes] = ()) -> list[Attempt]:
    """At most ``MOST`` calls: the questions, then each selector with arguments of the usual shapes.

    ``reached`` is code of others that calls to the account came to: a beacon's implementation, a diamond's facet.
    """
    codes = (facts.code, *facts.codes.values(), *reached)
    senders = [CALLER, *islice(_addresses(codes, facts.storage), _MOST_SENDERS)]
    kinds: list[list[Call]] = []
    asked: list[Attempt] = []
    for target in targets:
        if isinstance(target, Authority):
            asked += [Attempt(target, _call(one, target.selector, words)) for one in senders for words in _shapes()]
    finding = next((target for target in targets if isinstance(target, Finding)), None)
    if finding is not None:
        selectors = _selectors(codes)
        others = senders[1:]
        kinds.append([Call(sender, data) for sender in senders for data in (b"", b"\xff" * 32, bytes(12_000))])
        kinds.append([_call(CALLER, selector, words) for words in _shapes() for selector in selectors])
        kinds.append([_call(one, sel, words) for words in ((), _TRANSFER) for one in others for sel in selectors])
        kinds.append([_call(one, sel, _EXECUTION) for one in others for sel in selectors])
        kinds.append([_call(CALLER, selector, (0,) * _WORDS, _MUCH) for selector in selectors])
        if finding.opcode in DELEGATING:
            kinds.append([_helped(CALLER, sel, words) for sel in selectors for words in _TARGETS])
            kinds.append([_helped(one, sel, words) for words in _TARGETS for sel in selectors for one in others])
        kinds.append([call for outer, inner in product(selectors, selectors) for call in _wrapped(outer, inner)])
        # One of each kind in turn, so that the bound cuts none of them off.
        mixed = [Attempt(finding, call) for row in zip_longest(*kinds) for call in row if call is not None]
        asked = [*asked[: MOST // 2], *mixed]
    return [replace(attempt, gas=SWEEP_GAS) for attempt in asked[:MOST]]


def starved(attempts: Collection[Attempt]) -> list[Attempt]:
    """The same calls with less gas, each limit for all of them before the next."""
    return [Attempt(one.target, one.call, gas) for gas in GAS_LIMITS if gas < GAS for one in attempts]


def _selectors(codes: Sequence[bytes]) -> list[int]:
    """Constants of four bytes, those first that are compared: by EQ, or by SUB or XOR as via-IR and Vyper do it."""
    found: dict[int, bool] = {}
    for code in codes:
        for value, end in _pushed(code, _PUSH4):
            if LAST_SYSTEM_ADDRESS < value < 2**32 - 1:
                found[value] = found.get(value, False) or any(byte in _COMPARE for byte in code[end : end + 2])
    return sorted(found, key=lambda value: not found[value])[:_MOST_SELECTORS]


def _shapes() -> Iterator[tuple[int, ...]]:
    """Arguments as words. Zeros are also empty arrays and bytes, at offset 0."""
    yield (0,) * _WORDS
    yield (CALLER,) * _WORDS
    yield _TRANSFER
    for number in (1, 2, 3, 2**256 - 1):
        yield (number,) * _WORDS
    yield (0, 0x40, 65, *(0,) * 9)  # a hash and a signature
    yield (0x40, 0x80, 32, 0, 65, *(0,) * 7)  # bytes and a signature
    yield (0x60, 0, 0, 0, 0, 0x120, 0x120, 0, 0, 0, 0x120, 0x120, 0)  # a user operation of EntryPoint 0.7
    yield (0x60, 0, 0, 0, 0, 0x160, 0x160, 0, 0, 0, 0, 0, 0x160, 0x160, 0)  # of EntryPoint 0.6
    yield (CALLER, 0, 0x60, 0)  # an address, a value, empty bytes


_TRANSFER: Final = (CALLER, *(1,) * (_WORDS - 1))
"""To somebody, a little."""
_EXECUTION: Final = (0, 0x40, 52, CALLER << 96, 0)
"""ERC-7579's single mode: a call to somebody, without value and data."""
_TARGETS: Final = ((HELPER, 0x40, 0), (0x20, 32, HELPER), (0x20, 20, HELPER << 96))
"""Whose code is to be run: an address and empty bytes; bytes that are an address, or begin with one."""
_MUCH: Final = 10**21
"""Wei: for code that tests what comes with a call, or the balance after it."""


def _call(sender: int, selector: int, words: Sequence[int], value: int = 0) -> Call:
    return Call(sender, selector.to_bytes(4, "big") + b"".join(word.to_bytes(32, "big") for word in words), value)


def _helped(sender: int, selector: int, words: Sequence[int]) -> Call:
    return replace(_call(sender, selector, words), codes={HELPER: HELPER_CODE})


def _wrapped(outer: int, inner: int) -> Iterator[Call]:
    """``outer(bytes)`` and ``outer(bytes[])``, with the inner call's data."""
    for words in ((0x20, 4 + 32 * 4), (0x20, 1, 0x20, 4 + 32 * 4)):
        call = _call(CALLER, outer, words)
        yield replace(call, calldata=call.calldata + inner.to_bytes(4, "big") + bytes(32 * 5))


def _addresses(codes: Sequence[bytes], storage: Mapping[int, int]) -> Iterator[int]:
    """Who the account knows: from its storage and from constants in its code."""
    constants = (word for code in codes for size in (_PUSH20, _PUSH32) for word, _ in _pushed(code, size))
    seen: set[int] = {CALLER}
    for word in chain(storage.values(), constants):
        # Alone in its word, or packed with a flag before or behind it; what is too round is no address.
        for value in (word, word >> 8, word >> 96):
            address = value & ((1 << 160) - 1)
            if address >> 100 and address.bit_count() > 40 and address not in seen:
                seen.add(address)
                yield address


def _pushed(code: bytes, opcode: int) -> Iterator[tuple[int, int]]:
    """The constants of one PUSH instruction, and where each ends."""
    pc = 0
    while pc < len(code):
        size = code[pc] - _PUSH1 + 1 if _PUSH1 <= code[pc] <= _PUSH32 else 0
        end = pc + 1 + size
        if code[pc] == opcode:
            yield int.from_bytes(code[pc + 1 : end], "big"), end
        pc = end
