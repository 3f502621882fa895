"""Confirms a witness: executes a call at a pinned block by ``debug_traceCall``, and reads what it really did.

A call counts if it succeeds at the top and executes the named instruction, on the account's own storage, in a frame of
which neither it nor any of its ancestors failed or was entered by STATICCALL, and if something came of it: of a write,
that the slot's value in the end is not the proven one; of a CALL or a creation, that it was made; of a DELEGATECALL,
that what it ran did either.
An answer with authority is asked by ``eth_call``. The node's word is enough here: it can only take a pass away.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from orchestrator.chain.examination.frames import Effects, effects, last_return, visited
from orchestrator.chain.node import parse
from orchestrator.chain.node.rpc import Call as RpcCall
from orchestrator.chain.node.rpc import Rpc, RpcFailure
from orchestrator.closure.evm.facts import Authority, Finding
from orchestrator.closure.evm.machine import ADDRESS_BITS, LAST_SYSTEM_ADDRESS
from orchestrator.closure.evm.questions import NEVER, QUESTIONS
from orchestrator.closure.proof.evidence import to_eip55
from orchestrator.closure.verdict import DELEGATING
from orchestrator.closure.witness.call import SYSTEM_ADDRESS, Call
from orchestrator.errors import ChainError, ChainNonsense
from orchestrator.models import BlockRef

GAS: Final = 16_000_000
"""What a transaction may take at most (EIP-7825 caps it at 2^24)."""
_WEI: Final = 10**24
"""What the sender is given besides the value: balances may be overridden."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call to be tried for one finding."""

    target: Finding | Authority
    call: Call
    gas: int = GAS
    balance: int | None = None
    """Wei that the account must hold before, where that is more than it does: ether can be forced into any account."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What trying came to."""

    confirmed: bool
    detail: str
    done: Finding | None = None
    """The finding that was executed: the attempt's own, or another that the same call led to."""
    place: int | None = None
    """For an answer: the program counter where the account's own code gave it, if the node can trace."""
    idle: bool = False
    """Whether the call succeeds, executes a DELEGATECALL or CALLCODE that was to act, and nothing comes of it."""
    unpaid: int = 0
    """Wei that may be missing: ``Effects.unpaid`` of a call that was not confirmed."""


def unrealizable(account: int, attempt: Attempt, block: BlockRef, timestamp: int) -> str | None:
    """Why nobody could ever make this call; None if somebody could."""
    sender, call = attempt.call.sender, attempt.call
    if sender == account:
        return "it would have to come from the account itself"
    if sender <= LAST_SYSTEM_ADDRESS or sender == SYSTEM_ADDRESS or sender > ADDRESS_BITS:
        return f"nobody can send from {sender:#042x}"
    if call.timestamp is not None and call.timestamp < timestamp:
        return "it would have to be sent in the past"
    if call.number is not None and call.number < block.number:
        return "it would have to be sent in an earlier block"
    if max(call.timestamp or 0, call.number or 0) >= NEVER:
        return "it would have to be sent at a time that never comes"
    if any(address == account or address <= LAST_SYSTEM_ADDRESS for address in call.codes):
        return "it rests on code at an address where none can be deployed"
    return None


async def confirm(
    rpc: Rpc,
    at: Any,
    account: int,
    attempts: Sequence[Attempt],
    storage: Mapping[int, int],
    findings: Sequence[Finding] = (),
    *,
    timestamp: int = 0,
    number: int = 0,
    permanent: bool = True,
) -> list[Outcome]:
    """Tries the attempts at the block that ``at`` names (a block parameter): one round trip, two where code of fresh
    addresses or slots that nobody proved must be read. Every attempt has been found realizable. A call that leads
    to another one of ``findings`` than its own is confirmed for that. ``timestamp`` (seconds) and ``number`` are the
    block's: an answer whose window has passed by then says nothing. ``permanent``: as for ``effects``.

    An attempt without a readable answer (no such method, too large) is not confirmed, and says why. Raises
    ChainUnreachable, ChainNonsense.
    """
    if not attempts:
        return []
    calls: list[RpcCall] = [_question(at, account, attempt) for attempt in attempts]
    questions = [index for index, attempt in enumerate(attempts) if isinstance(attempt.target, Authority)]
    calls += [_trace(at, account, attempts[index]) for index in questions]
    first = len(calls)
    fresh = sorted({address for attempt in attempts for address in attempt.call.codes})
    for address in fresh:
        calls.append(("eth_getCode", [to_eip55(address), at]))
        calls.append(("eth_getTransactionCount", [to_eip55(address), at]))
    answers = await rpc.batch(calls)
    traces = dict(zip(questions, answers[len(attempts) : first], strict=True))
    taken = _taken(fresh, answers[first:])
    outcomes: list[Outcome] = []
    wanted: dict[int, set[int]] = {}
    for index, (attempt, answer) in enumerate(zip(attempts, answers, strict=False)):
        occupied = taken & set(attempt.call.codes)
        if occupied:
            outcomes.append(Outcome(False, f"code was needed at {to_eip55(min(occupied))}, which is not fresh"))
        elif isinstance(answer, RpcFailure):
            outcomes.append(Outcome(False, str(answer)))
        elif isinstance(attempt.target, Authority):
            call = attempt.call
            now = (max(timestamp, call.timestamp or 0), max(number, call.number or 0))
            outcomes.append(_answered(attempt.target, answer, traces[index], *now))
        else:
            outcome, unknown = _acted((attempt.target, *findings), answer, account, storage, permanent)
            outcomes.append(outcome)
            if unknown:
                wanted[index] = unknown
    if wanted and not any(outcome.confirmed for outcome in outcomes):
        known = await _more_storage(rpc, at, account, storage, set().union(*wanted.values()))
        for index in wanted:
            target = attempts[index].target
            assert isinstance(target, Finding)
            outcomes[index] = _acted((target, *findings), answers[index], account, known, permanent)[0]
    return outcomes


async def succeed(rpc: Rpc, at: Any, account: int, attempts: Sequence[Attempt]) -> list[Attempt]:
    """Those that do not fail at the top: one round trip for each hundred, and no traces."""
    if not attempts:
        return []
    answers = await rpc.batch([_plain(at, account, attempt) for attempt in attempts])
    return [one for one, answer in zip(attempts, answers, strict=True) if isinstance(answer, str)]


async def reached(rpc: Rpc, at: Any, account: int, attempts: Sequence[Attempt]) -> list[bytes]:
    """The code of other accounts that the calls came to, whether they failed or not: two round trips."""
    found: set[int] = set()
    for trace in await rpc.batch([_trace(at, account, attempt) for attempt in attempts]):
        found |= visited(trace)
    others = [one for one in sorted(found) if LAST_SYSTEM_ADDRESS < one != account][:_MOST_CODES]
    codes: list[bytes] = []
    for answer in await rpc.batch([("eth_getCode", [to_eip55(other), at]) for other in others]) if others else []:
        with contextlib.suppress(ChainNonsense):
            codes.append(parse.data(answer, "eth_getCode"))
    return codes


# --- below: calls and answers --------------------------------------------------------------------------------------


def _question(at: Any, account: int, attempt: Attempt) -> RpcCall:
    """What settles the attempt: a trace for a finding, the answer itself for an authority."""
    if not isinstance(attempt.target, Authority):
        return _trace(at, account, attempt)
    return _plain(at, account, attempt)


def _plain(at: Any, account: int, attempt: Attempt) -> RpcCall:
    state, block = _overrides(account, attempt)
    more: list[Any] = [state, block] if block else [state] if state else []
    return ("eth_call", [_transaction(account, attempt), at, *more])


def _trace(at: Any, account: int, attempt: Attempt) -> RpcCall:
    state, block = _overrides(account, attempt)
    options: dict[str, Any] = {"enableMemory": False, "enableReturnData": False, "disableStorage": True}
    if state:
        options["stateOverrides"] = state
    if block:
        options["blockOverrides"] = block
    return ("debug_traceCall", [_transaction(account, attempt), at, options])


def _transaction(account: int, attempt: Attempt) -> dict[str, str]:
    return {
        "from": to_eip55(attempt.call.sender),
        "to": to_eip55(account),
        "data": "0x" + attempt.call.calldata.hex(),
        "value": hex(attempt.call.value),
        "gas": hex(attempt.gas),
    }


def _overrides(account: int, attempt: Attempt) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """The state and the block that the call needs: balances, code at fresh addresses, a later time."""
    call = attempt.call
    state: dict[str, dict[str, str]] = {to_eip55(a): {"code": "0x" + code.hex()} for a, code in call.codes.items()}
    if call.value:
        state.setdefault(to_eip55(attempt.call.sender), {})["balance"] = hex(call.value + _WEI)
    if attempt.balance is not None:
        state.setdefault(to_eip55(account), {})["balance"] = hex(attempt.balance)
    block: dict[str, str] = {}
    if call.timestamp is not None:
        block["time"] = hex(call.timestamp)
    if call.number is not None:
        block["number"] = hex(call.number)
    return state, block


def _taken(fresh: Sequence[int], answers: Sequence[Any]) -> set[int]:
    """Of the addresses, those that are not surely fresh: code there may not be overridden."""
    taken: set[int] = set()
    for address, code, count in zip(fresh, answers[::2], answers[1::2], strict=True):
        if code != "0x" or count != "0x0":
            taken.add(address)
    return taken


def _answered(asked: Authority, answer: Any, trace: Any, timestamp: int, number: int) -> Outcome:
    """Whether the answer is what the question's asker takes for yes, then or later."""
    try:
        data = parse.data(answer, "eth_call")
    except ChainError as error:
        return Outcome(False, error.message)
    question = next((known for known in QUESTIONS if known.name == asked.name), None)
    if question is None or len(data) < question.size:
        return Outcome(False, f"{asked.name}: the answer has {len(data)} bytes")
    shown = data[: question.offset + 32].hex()
    if not question.says_yes(data):
        return Outcome(False, f"{question.name} answers 0x{shown}, which is no yes")
    if not question.may_open(data, timestamp, number):
        return Outcome(False, f"{question.name} answers 0x{shown}, a yes for a time that does not come any more")
    return Outcome(True, f"{question.name} answers 0x{shown}", place=last_return(trace))


def _acted(
    findings: Sequence[Finding], trace: Any, account: int, storage: Mapping[int, int], permanent: bool
) -> tuple[Outcome, set[int]]:
    """The outcome for the first finding that was done, else for the first of all; and slots that must be known."""
    try:
        done = effects(trace, account, permanent=permanent)
    except ChainError as error:
        return Outcome(False, error.message), set()
    if done is None:
        return Outcome(False, "the call fails"), set()
    outcomes = [_effective(finding, done, storage) for finding in dict.fromkeys(findings)]
    confirmed = next((outcome for outcome, _ in outcomes if outcome.confirmed), None)
    return confirmed or replace(outcomes[0][0], unpaid=done.unpaid), set().union(*(unknown for _, unknown in outcomes))


def _effective(finding: Finding, done: Effects, storage: Mapping[int, int]) -> tuple[Outcome, set[int]]:
    key = (finding.address, finding.pc, finding.opcode)
    executed = f"the call succeeds and executes {_where(key)}"
    if key not in done.executed:
        return Outcome(False, f"the call succeeds without {_where(key)}"), set()
    if finding.opcode == "SSTORE":
        change, unknown = _change(done.executed[key], done, storage)
        return Outcome(
            bool(change), change or f"{executed}, but changes no value", finding if change else None
        ), unknown
    if finding.opcode in DELEGATING:
        return _delegated(finding, done, storage)
    if key in done.called:
        return Outcome(True, executed, finding), set()
    return Outcome(False, f"{executed}, but nothing leaves the account"), set()


def _delegated(finding: Finding, done: Effects, storage: Mapping[int, int]) -> tuple[Outcome, set[int]]:
    """A DELEGATECALL that was executed is no act by itself: something must have come of the call."""
    key = (finding.address, finding.pc, finding.opcode)
    executed = f"the call succeeds and executes {_where(key)}"
    if done.called:
        return Outcome(True, f"{executed}, then {_where(min(done.called))}", finding), set()
    unknown: set[int] = set()
    for other, slots in done.executed.items():
        change, more = _change(slots, done, storage)
        if change:
            return Outcome(True, f"{executed}, then {_where(other)}: {change}", finding), set()
        unknown |= more
    idle = "what it ran changes nothing and calls nobody" if key in done.ran else "no code ran: there is none"
    return Outcome(False, f"{executed}, but {idle}", idle=True), unknown


def _change(slots: Collection[int], done: Effects, storage: Mapping[int, int]) -> tuple[str, set[int]]:
    """A slot of these that in the end has another value than the proven one, in words; and those that nobody proved."""
    changed = [slot for slot in slots if slot in storage and done.writes[slot] != storage[slot]]
    if not changed:
        return "", {slot for slot in slots if slot not in storage}
    slot = min(changed)
    return f"slot {slot:#x} becomes {done.writes[slot]:#x}, proven is {storage[slot]:#x}", set()


def _where(key: tuple[int, int, str]) -> str:
    address, pc, opcode = key
    return f"{opcode} at {pc:#x} in {to_eip55(address)}"


async def _more_storage(
    rpc: Rpc, at: Any, account: int, storage: Mapping[int, int], slots: Collection[int]
) -> dict[int, int]:
    """The storage with the values of slots that nobody proved (a mapping's, chosen by the caller)."""
    asked = sorted(slots)[:_MOST_SLOTS]
    words = await rpc.batch([("eth_getStorageAt", [to_eip55(account), f"0x{slot:064x}", at]) for slot in asked])
    known = dict(storage)
    for slot, word in zip(asked, words, strict=True):
        try:
            known[slot] = parse.quantity_or_word(rpc.demand(word), "eth_getStorageAt")
        except ChainNonsense:
            continue
    return known


_MOST_SLOTS: Final = 64
_MOST_CODES: Final = 8
