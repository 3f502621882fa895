"""A draft of a profile, from what was read of one deployed wallet. Pure.

Each line says whether it was found or guessed. What only a person can say begins with TODO, which no profile may hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from eth_hash.auto import keccak

from orchestrator.artifacts import NAMES, Artifact, load
from orchestrator.models import Address, checksum
from orchestrator.wallet import abi
from orchestrator.wallet.family import ZERO
from orchestrator.wallet.findings import EventLog
from orchestrator.wallet.metadata import compiler
from orchestrator.wallet.profile import BUILT_IN, load_profile
from orchestrator.wallet.proxies import read_clone
from orchestrator.wallet.rules import EventRule

OWNER: Final = "owner() returns (address)"
OWNERS: Final = "getOwners() returns (address[])"
STATES: Final = tuple(f"{name}() returns (uint8)" for name in ("state", "status", "getState"))
GETTERS: Final = (OWNER, OWNERS, *STATES)
"""What a wallet is asked for, where its code has the selector."""
_ADDRESS_MASKS: Final = 160
_STATE_BITS: Final = 8


class Guard(Protocol):
    """``orchestrator.closure.guards.Guard``."""

    @property
    def slot(self) -> int: ...
    @property
    def mask(self) -> int: ...
    @property
    def numbers(self) -> tuple[int, ...]: ...
    @property
    def ways(self) -> int: ...
    @property
    def of(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Birth:
    """The transaction that made the wallet. ``logs``: those that name it, each with whose it is."""

    tx_hash: str
    to: Address | None
    logs: tuple[tuple[Address, EventLog], ...]


@dataclass(frozen=True, slots=True)
class Learned:
    """What was read of a wallet at one block."""

    wallet: Address
    code: bytes
    kind: str
    kind_found: str
    """How ``kind`` was found, for people."""
    implementation: Address | None
    running: bytes
    """The code that runs: the wallet's own, or the implementation's."""
    slots: Mapping[int, int]
    calls: Mapping[str, bytes | None]
    guards: Sequence[Guard]
    birth: Birth | None


def has_selector(code: bytes, signature: str) -> bool:
    """Whether the code compares something with the function's selector, or only holds it by chance."""
    return abi.Signature.parse(signature).call({})[:4].lstrip(b"\0") in code


def draft(learned: Learned) -> str:
    """The profile, as TOML."""
    artifact = _shipped(learned.running)
    return "\n".join(
        [
            f"# A draft, read from the wallet {learned.wallet}.",
            "# Confirm each line that was guessed, and fill in what begins with TODO: until then",
            "# orchestrator wallets check refuses the profile.",
            "format = 1",
            _line("name", _text(f"draft-{learned.wallet[2:10].lower()}"), "guessed: any name that no other has"),
            _line("title", _text("TODO: one sentence for people"), "guessed: nothing tells it"),
            "",
            *_code(learned, artifact),
            "",
            *_account(learned),
            "",
            *_owner(learned, artifact),
            *_state(learned),
            "",
        ]
    )


def _line(key: str, value: str, mark: str) -> str:
    return f"{key} = {value}  # {mark}"


def _text(text: str) -> str:
    return f'"{text}"'


def _number(number: int) -> str:
    return str(number) if number < 1 << 32 else f'"{number:#x}"'


# --- code -------------------------------------------------------------------------------------------------------------


def _shipped(code: bytes) -> Artifact | None:
    """The contract of this package that the code is. Code whose copies of one immutable differ is none."""
    for artifact in map(load, NAMES if code else ()):
        if artifact.matches(code):
            try:
                artifact.immutables(code)
            except ValueError:
                continue
            return artifact
    return None


def _code(learned: Learned, artifact: Artifact | None) -> Iterator[str]:
    yield "[code]"
    yield _line("kind", _text(learned.kind), learned.kind_found)
    if learned.kind == "slot":
        yield _line("slot", "0", "guessed: it holds the address of a contract, and the code delegates")
    factory = _immutable(learned, artifact, learned.birth.to if learned.birth else None)
    if factory is not None:
        yield _line(
            "factory", _text(factory), "guessed: the code has the address there of the contract that was called"
        )
    yield ""
    yield "[[code.accepts]]"
    where = "the wallet's code" if learned.kind == "direct" else f"the code at {learned.implementation}"
    yield from _accepted(learned.running, artifact, where)
    told = compiler(learned.running)
    yield f"# found: compiled by {told}, by its metadata" if told else "# the code tells no compiler"
    words = sorted(set(re.findall(rb"\x7f\0{12}([^\0].{19})|\x73(.{20})", learned.running, re.DOTALL)))
    if artifact is None and words and learned.kind == "direct":
        named = ", ".join(checksum((long or short).hex()) for long, short in words[:4])
        yield f"# guessed: addresses in the code, perhaps immutables: {named}. Then another wallet of the family has"
        yield '# another hash: put the compiler\'s file beside this one, and name it: artifact = "FILE.json"'
    if learned.kind not in ("direct", "erc1167"):
        yield ""
        yield "[[code.proxy]]"
        yield from _accepted(learned.code, _shipped(learned.code), "the proxy's code")


def _accepted(code: bytes, artifact: Artifact | None, where: str) -> Iterator[str]:
    if artifact is not None:
        yield _line("artifact", _text(artifact.name), f"found: {where} is this package's {artifact.name}")
    else:
        yield _line("hash", _text("0x" + keccak(code).hex()), f"found: keccak256 of {where}")


def _immutable(learned: Learned, artifact: Artifact | None, value: Address | None) -> str | None:
    """The immutable that has this address."""
    if artifact is None or value is None:
        return None
    word = bytes(12) + bytes.fromhex(value[2:])
    return next((name for name, each in artifact.immutables(learned.running).items() if each == word), None)


# --- account ----------------------------------------------------------------------------------------------------------


def _account(learned: Learned) -> Iterator[str]:
    event = _known_event(learned)
    by_event = event is not None and event.searched_by() == "account"
    yield "[account]"
    why = "found: the factory's event names it" if by_event else "guessed: nothing was found that names the account"
    yield _line("by", _text("event" if by_event else "platform"), why)
    if learned.birth is None:
        yield "# the node does not tell which transaction made the wallet: nothing is known of its factory"
        return
    yield f"# found: made by transaction {learned.birth.tx_hash}, which called {learned.birth.to or 'nobody'}"
    for address in sorted({address for address, _ in learned.birth.logs}):
        yield f"# guessed: ORCHESTRATOR_FACTORY={address}, which logged the wallet's address"
    if event is not None:
        yield ""
        yield "[account.event]"
        yield _line("signature", _text(_spelled(event.signature)), "found: it decodes the log")
        for name in ("wallet", "owner", "account", "challenge"):
            if (value := getattr(event, name)) is not None:
                yield _line(name, _text(value), "found: as in a built-in profile")
    else:
        for address, log in learned.birth.logs[:3]:
            yield f"# guessed: an [account.event] at {address}, with the topic 0x{(log.topics[:1] or (b'',))[0].hex()}"


def _known_event(learned: Learned) -> EventRule | None:
    for name in BUILT_IN:
        profile = load_profile(name)
        for _, log in learned.birth.logs if learned.birth else ():
            created = profile.created(log) if log.topics[:1] == (profile.created_topic,) else None
            if created is not None and created.wallet == learned.wallet:
                return profile.event
    return None


def _spelled(signature: abi.Signature) -> str:
    parts = (f"{each.type}{' indexed' if each.indexed else ''} {each.name}" for each in signature.arguments)
    return f"{signature.name}({', '.join(parts)})"


# --- owner ------------------------------------------------------------------------------------------------------------


def _returned(learned: Learned, signature: str) -> object:
    answer = learned.calls.get(signature)
    try:
        return None if answer is None else abi.Signature.parse(signature).returned(answer)
    except ValueError:
        return None


def _owner(learned: Learned, artifact: Artifact | None) -> list[str]:
    lines: list[str] = []
    told = _returned(learned, OWNER)
    owner = Address(told) if isinstance(told, str) and told != ZERO else None
    several = _returned(learned, OWNERS)
    if owner is not None:
        lines += ["[[owner]]", _line("call", _text(OWNER), f"found: it answers {owner}"), ""]
    if isinstance(several, list) and several:
        lines += ["[[owner]]", _line("list", _text(OWNERS), f"found: it names {len(several)}"), ""]
    named = "owner" if artifact is not None and "owner" in artifact.immutable_references else None
    if artifact is not None and named and owner is None:
        owner = checksum(artifact.immutables(learned.running)[named][12:].hex())
    immutable = _immutable(learned, artifact, owner)
    if immutable is not None:
        lines += ["[[owner]]", _line("immutable", _text(immutable), f"found: the code has {owner} there"), ""]
    clone = read_clone(learned.code) if learned.kind == "erc1167" else None
    if clone is not None and owner is not None and (place := clone.arguments.find(bytes.fromhex(owner[2:]))) >= 0:
        lines += ["[[owner]]", _line("appended", str(place), f"found: {owner} is appended to the clone there"), ""]
    lines += _owner_slot(learned, owner)
    if not lines:
        why = "guessed: nothing was found; leave the table out, and no owner is checked"
        lines = ["[[owner]]", _line("call", _text("TODO: what tells the owner"), why), ""]
    return lines


def _owner_slot(learned: Learned, owner: Address | None) -> list[str]:
    """A slot that holds what the getter answers; without one, a slot's address that the code compares."""
    for slot, value in sorted(learned.slots.items()):
        for offset in range(13):
            if owner is not None and value >> 8 * offset & ((1 << 160) - 1) == int(owner, 16):
                lines = ["[[owner]]", _line("slot", _number(slot), f"found: it holds {owner}")]
                return [
                    *lines,
                    *([_line("offset", str(offset), "found: bytes, from the lowest")] if offset else ()),
                    "",
                ]
    for guard in learned.guards if owner is None else ():
        shift = (guard.mask & -guard.mask).bit_length() - 1
        value = (learned.slots.get(guard.slot, 0) & guard.mask) >> shift
        if guard.mask.bit_count() == _ADDRESS_MASKS and value >> 64 and not shift % 8:
            lines = [
                "[[owner]]",
                _line("slot", _number(guard.slot), f"guessed: the code compares its address 0x{value:040x}"),
            ]
            return [*lines, *([_line("offset", str(shift // 8), "guessed: with it")] if shift else ()), ""]
    return []


# --- state ------------------------------------------------------------------------------------------------------------


def _state(learned: Learned) -> Iterator[str]:
    small = [guard for guard in learned.guards if guard.mask.bit_count() <= _STATE_BITS]
    others = [guard for guard in learned.guards if guard not in small and guard.numbers and guard.slot < 1 << 64]
    if not small:
        yield "# guessed: no small part of a slot is compared before something is done, so no [state] is proposed:"
        yield "# the chain cannot tell the state of such a wallet, and that is named as not checked."
        yield from (f"# guessed: {_seen(guard)}" for guard in others[:3])
        return
    first, *more = small
    shift = (first.mask & -first.mask).bit_length() - 1
    now = (learned.slots.get(first.slot, 0) & first.mask) >> shift
    yield "[state]"
    yield _line("slot", _number(first.slot), f"guessed: {_seen(first)}")
    yield _line("mask", _text(f"{first.mask:#x}"), "guessed: the bits that are compared")
    for signature in STATES:
        if _returned(learned, signature) == now and isinstance(learned.calls.get(signature), bytes):
            yield _line("call", _text(signature), f"found: it answers {now}, as the slot")
            break
    numbers = ", ".join(map(str, first.numbers)) or "none"
    yield _line("active", _text("TODO: its number"), f"guessed: it is {now} now; the code compares it with {numbers}")
    yield _line("closed", _text("TODO: its number"), "guessed: one of those that the code compares it with")
    yield "# guessed: created and suspended are numbers too, where the wallet has such states"
    yield from (f"# guessed: {_seen(guard)}" for guard in (*more, *others)[:3])


def _seen(guard: Guard) -> str:
    bits = "" if guard.mask == (1 << 256) - 1 else f", bits {guard.mask:#x},"
    return f"slot {guard.slot:#x}{bits} is compared on {guard.ways} of {guard.of} ways that do something"
