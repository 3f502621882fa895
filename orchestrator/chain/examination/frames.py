"""What a call did, by its struct-log trace: which instructions ran, in whose name, in frames that did not fail. Pure.

A frame's effects join its caller's when the caller finds success on its stack, and are dropped with all that is inside
of it otherwise. Traces are hostile: one that cannot be is a ChainNonsense.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from orchestrator.chain.node import parse
from orchestrator.closure.evm.machine import ADDRESS_BITS, LAST_SYSTEM_ADDRESS
from orchestrator.errors import ChainNonsense

_NUMBER: Final = re.compile(r"(?:0x)?[0-9a-fA-F]{1,64}")
_OLD_NAMES: Final = {"SUICIDE": "SELFDESTRUCT", "SHA3": "KECCAK256", "DIFFICULTY": "PREVRANDAO"}


@dataclass(slots=True)
class Effects:
    """What frames that did not fail, and are not static, have done in the account's name."""

    executed: dict[tuple[int, int, str], set[int]] = field(default_factory=dict)
    """(address of the code, pc, opcode), to the slots written there."""
    writes: dict[int, int] = field(default_factory=dict)
    """The last value written to each slot."""
    called: set[tuple[int, int, str]] = field(default_factory=set)
    """Of ``executed``, what called out: a CALL or a creation that was made, a SELFDESTRUCT that took something. A CALL
    is not made where the account has not the ether for it; one to the account itself, or without ether to a precompile,
    goes nowhere."""
    ran: set[tuple[int, int, str]] = field(default_factory=set)
    """Of ``executed``, what ran another's code or its own again, whether that failed or not."""
    unpaid: int = 0
    """Wei that a call or creation was to take along that ran and was not made. Most likely the account has not as much;
    of several the least."""

    def absorb(self, other: Effects) -> None:
        for key, slots in other.executed.items():
            self.executed.setdefault(key, set()).update(slots)
        self.writes |= other.writes
        self.called |= other.called
        self.ran |= other.ran
        self.lacks(other.unpaid)

    def lacks(self, wei: int) -> None:
        """Notes a call that took ``wei`` along and was not made; one without any lacks nothing."""
        self.unpaid = min(self.unpaid, wei) if self.unpaid and wei else self.unpaid or wei


def effects(trace: Any, account: int, *, permanent: bool = True) -> Effects | None:
    """What a struct-log trace did in the account's name; None if the call failed at the top.

    Where code is not ``permanent`` (EIP-6780) a SELFDESTRUCT takes it, in the account's own favour too.
    Raises ChainNonsense for a trace that cannot be read.
    """
    if not isinstance(trace, dict) or not isinstance(trace.get("structLogs"), list):
        raise ChainNonsense(f"debug_traceCall: expected struct logs, got {parse.show(trace)}")
    failed = trace.get("failed")
    if not isinstance(failed, bool):
        raise ChainNonsense(f"debug_traceCall: expected failed to be true or false, got {parse.show(failed)}")
    return None if failed else _follow(trace["structLogs"], account, permanent)


def visited(trace: Any) -> set[int]:
    """The accounts that a trace's calls are to, failed ones too. Nothing for a trace that cannot be read."""
    logs = trace.get("structLogs") if isinstance(trace, dict) else None
    found: set[int] = set()
    try:
        for step in map(_step, logs if isinstance(logs, list) else []):
            if step.opcode in _CALLS:
                found.add(step.word(1) & ADDRESS_BITS)
    except ChainNonsense:
        return set()
    return found


def last_return(trace: Any) -> int | None:
    """The program counter of a trace's last step, if it is RETURN."""
    try:
        last = _step(trace["structLogs"][-1])
    except (ChainNonsense, LookupError, TypeError):
        return None
    return last.pc if last.opcode == "RETURN" else None


_CALLS: Final = frozenset({"CALL", "STATICCALL", "CALLCODE", "DELEGATECALL"})
_CREATIONS: Final = frozenset({"CREATE", "CREATE2"})


# --- following the frames ------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Frame:
    code: int | None
    """Whose code runs; None for creation code."""
    own: int | None
    """Whose storage it is."""
    static: bool = False
    """Whether it, or a frame around it, was entered by STATICCALL: nothing can come of what it does."""
    done: Effects = field(default_factory=Effects)
    calls: tuple[int | None, int | None, bool] | None = None
    """Code, storage and ``static`` of the frame that the next step is in, if it is deeper."""
    at: tuple[int, int, str] | None = None
    """The call of the last step, as a key of ``Effects``, if it was made in the account's name."""
    out: bool = False
    """Whether that call leaves the account once it is made."""
    wei: int = 0
    """What that call takes along."""


@dataclass(frozen=True, slots=True)
class _Step:
    pc: int
    opcode: str
    depth: int
    stack: Sequence[Any]

    def word(self, position: int) -> int:
        """A word of the stack, 0 the top. Nodes write them with 0x (geth) or without, padded or not."""
        if position >= len(self.stack):
            raise ChainNonsense(f"debug_traceCall: {self.opcode} with {len(self.stack)} words on the stack")
        text = self.stack[-1 - position]
        if not isinstance(text, str) or not _NUMBER.fullmatch(text):
            raise ChainNonsense(f"debug_traceCall: expected a word on the stack, got {parse.show(text)}")
        return int(text, 16)


def _step(value: Any) -> _Step:
    if not isinstance(value, dict):
        raise ChainNonsense(f"debug_traceCall: expected a struct log, got {parse.show(value)}")
    pc, opcode, depth, stack = (value.get(name) for name in ("pc", "op", "depth", "stack"))
    if not isinstance(pc, int) or not isinstance(depth, int) or not isinstance(opcode, str):
        raise ChainNonsense("debug_traceCall: expected pc, op and depth in a struct log")
    return _Step(pc, _OLD_NAMES.get(opcode, opcode), depth, stack if isinstance(stack, list) else [])


def _follow(logs: Sequence[Any], account: int, permanent: bool) -> Effects:
    """A frame's effects join its caller's if the caller finds success on the stack, and are dropped otherwise."""
    frames = [_Frame(account, account)]
    base: int | None = None
    for value in logs:
        step = _step(value)
        base = step.depth if base is None else base
        level = step.depth - base + 1
        if level == len(frames) + 1 and frames[-1].calls is not None:
            if frames[-1].at is not None:
                frames[-1].done.ran.add(frames[-1].at)
                _was_made(frames[-1])
            frames.append(_Frame(*frames[-1].calls))
        elif level == len(frames) - 1 and level >= 1:
            ended = frames.pop()
            if step.word(0) != 0:
                frames[-1].done.absorb(ended.done)
        elif level != len(frames):
            raise ChainNonsense("debug_traceCall: the depth of the struct logs jumps")
        elif frames[-1].at is not None:  # no code ran
            if step.word(0) != 0:
                _was_made(frames[-1])
            else:
                frames[-1].done.lacks(frames[-1].wei)
        frame = frames[-1]
        frame.calls, frame.at = _callee(step, frame), None
        if frame.own == account and frame.code is not None and not frame.static:
            key = (frame.code, step.pc, step.opcode)
            written = frame.done.executed.setdefault(key, set())
            if step.opcode == "SSTORE":
                written.add(step.word(0))
                frame.done.writes[step.word(0)] = step.word(1)
            elif step.opcode == "SELFDESTRUCT" and (not permanent or step.word(0) & ADDRESS_BITS != account):
                frame.done.called.add(key)
            elif frame.calls is not None:
                frame.at, frame.out, frame.wei = key, _leaves(step, account), _wei(step)
    if len(frames) != 1:
        raise ChainNonsense("debug_traceCall: the struct logs end inside of a call")
    return frames[0].done


def _was_made(frame: _Frame) -> None:
    if frame.at is not None and frame.out:
        frame.done.called.add(frame.at)


def _leaves(step: _Step, account: int) -> bool:
    """Whether a call or creation, made, is an act by itself. What the account does when it calls itself counts there;
    a precompile only computes."""
    if step.opcode != "CALL":
        return step.opcode in _CREATIONS
    target = step.word(1) & ADDRESS_BITS
    return target != account and (target > LAST_SYSTEM_ADDRESS or step.word(2) != 0)


def _wei(step: _Step) -> int:
    match step.opcode:
        case "CALL" | "CALLCODE":
            return step.word(2)
        case "CREATE" | "CREATE2":
            return step.word(0)
        case _:
            return 0


def _callee(step: _Step, frame: _Frame) -> tuple[int | None, int | None, bool] | None:
    match step.opcode:
        case "CALL" | "STATICCALL":
            target = step.word(1) & ADDRESS_BITS
            return target, target, frame.static or step.opcode == "STATICCALL"
        case "CALLCODE" | "DELEGATECALL":
            return step.word(1) & ADDRESS_BITS, frame.own, frame.static
        case "CREATE" | "CREATE2":
            return None, None, frame.static
        case _:
            return None
