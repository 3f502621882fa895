"""The search for a witness: calls that the paths suggest, then many others, each executed until one is confirmed."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from orchestrator.chain.examination.sweep import SWEEP_GAS, starved, sweep
from orchestrator.chain.examination.trace import GAS, Attempt, Outcome, confirm, reached, succeed, unrealizable
from orchestrator.chain.node import parse
from orchestrator.chain.node.rpc import Rpc
from orchestrator.closure.evm.facts import AccountFacts, Analysis, Authority, Finding
from orchestrator.closure.proof.evidence import to_eip55
from orchestrator.closure.verdict import ANSWER, Step, Witness
from orchestrator.closure.witness.call import CALLER, MOST_WEI
from orchestrator.closure.witness.propose import propose
from orchestrator.errors import ChainNonsense
from orchestrator.models import BlockRef

_MOST_FINDINGS: Final = 16
"""Findings and answers that are searched for a call."""
_MOST_CALLS: Final = 4
"""Derived calls that are tried for each finding."""
_MOST_TRIED: Final = 64
"""Of a sweep's calls that succeed, those that are traced."""
_TRACES_PER_BATCH: Final = 16
"""Each may have megabytes."""
_MOST_STARVED: Final = 4
"""Calls that are tried again with less gas."""
_ARGUMENTS: Final = 4
"""Of a call, that are tried as an address."""
_MOST_UNPAID: Final = 8
"""Calls that are tried again with more ether."""
_PROBE_GAS: Final = 300_000
"""Enough to see which code a call comes to that fails."""


@dataclass(slots=True)
class Search:
    """One search, at the block that ``at`` names (a block parameter). Reads only.

    ``witness`` is at any time the best so far: a call that was confirmed; else the first one that was derived.
    """

    rpc: Rpc
    at: Any
    facts: AccountFacts
    analysis: Analysis
    block: BlockRef
    timestamp: int
    progress: Callable[[str], None]
    witness: Witness | None = None

    async def run(self) -> None:
        """Raises ChainError where the node gives up."""
        found: list[Finding | Authority] = [*self.analysis.findings, *self.analysis.authority]
        targets = found[:_MOST_FINDINGS]
        self.witness = _bare_witness(targets[0], self.facts.address)
        derived = [await asyncio.to_thread(self._derived, target) for target in targets]
        # The best call of each before the second best of any.
        possible = self._possible([one for row in itertools.zip_longest(*derived) for one in row if one is not None])
        if possible:
            self.witness = _witness(possible[0], Outcome(False, "the call fails"), self.facts.address)
        # First without traces: a call that fails may take megabytes of them.
        working = await succeed(self.rpc, self.at, self.facts.address, possible)
        if not await self._try(working):
            await self._search_widely(possible, working, targets)

    async def _search_widely(
        self, possible: Sequence[Attempt], working: Sequence[Attempt], targets: Sequence[Finding | Authority]
    ) -> None:
        """Where no derived call did it: every selector with usual arguments, then less gas for what succeeds."""
        self.progress("trying many calls")
        account = self.facts.address
        probes = [replace(attempt, gas=_PROBE_GAS) for attempt in possible[:_MOST_STARVED]]
        codes = await reached(self.rpc, self.at, account, probes)
        swept = await succeed(self.rpc, self.at, account, self._possible(sweep(self.facts, targets, codes)))
        if not await self._try(swept[:_MOST_TRIED]):
            base = [*working, *possible, *swept][:_MOST_STARVED]
            fed = await succeed(self.rpc, self.at, account, starved(base))
            await self._try(fed[:_MOST_TRIED])

    def _derived(self, target: Finding | Authority) -> list[Attempt]:
        try:
            calls = propose(self.facts, target, timestamp=self.timestamp, number=self.block.number)
        except Exception:  # noqa: BLE001 - the verdict stands without a call: it is then merely not confirmed
            return []
        return [Attempt(target, call) for call in calls[:_MOST_CALLS]]

    def _possible(self, attempts: Sequence[Attempt]) -> list[Attempt]:
        """Those that somebody could really make."""
        kept: list[Attempt] = []
        for attempt in attempts:
            reason = unrealizable(self.facts.address, attempt, self.block, self.timestamp)
            if reason is None:
                kept.append(attempt)
            elif self.witness is not None and self.witness.calldata is None and attempt.gas == GAS:
                self.witness = _witness(attempt, Outcome(False, reason), self.facts.address)
        return kept

    async def _try(self, pending: Sequence[Attempt]) -> bool:
        """Executes them, a few at a time, until one is confirmed: whether one was. Then those with more ether for which
        there was too little."""
        unpaid: list[tuple[Attempt, int]] = []
        elsewhere: list[Attempt] = []
        for start in range(0, len(pending), _TRACES_PER_BATCH):
            tried = pending[start : start + _TRACES_PER_BATCH]
            outcomes = await self._confirm(tried)
            if outcomes is None:
                return True
            best = next((n for n, outcome in enumerate(outcomes) if outcome.idle), 0)
            better = outcomes[best].idle or (start == 0 and tried[best].gas == GAS)
            if better and not (self.witness is not None and self.witness.idle):
                self.witness = _witness(tried[best], outcomes[best], self.facts.address)
            unpaid += [(one, outcome.unpaid) for one, outcome in zip(tried, outcomes, strict=True) if outcome.unpaid]
            elsewhere += [one for one in tried if isinstance(one.target, Finding) and one.target.opcode == "CALL"]
        if unpaid and await self._try_paid(unpaid[:_MOST_UNPAID]):
            return True
        others = [other for one in elsewhere[:_MOST_UNPAID] for other in _elsewhere(one)]
        return bool(others) and await self._confirm(others) is None

    async def _try_paid(self, unpaid: Sequence[tuple[Attempt, int]]) -> bool:
        """The same calls with the wei that were missing: sent along, or else held by the account before."""
        held = await self.rpc.call_or_failure("eth_getBalance", [to_eip55(self.facts.address), self.at])
        try:
            balance = parse.quantity(held, "eth_getBalance", 96)
        except ChainNonsense:
            return False
        sent = [replace(one, call=replace(one.call, value=one.call.value + wei)) for one, wei in unpaid]
        forced = [replace(one, balance=balance + wei) for one, wei in unpaid if balance + wei < MOST_WEI]
        return await self._confirm([*(one for one in sent if one.call.value < MOST_WEI), *forced]) is None

    async def _confirm(self, tried: Sequence[Attempt]) -> list[Outcome] | None:
        """Executes all of them: None if one is confirmed, which is then the witness; else what they came to."""
        outcomes = await confirm(
            self.rpc, self.at, self.facts.address, tried, self.facts.storage, self.analysis.findings,
            timestamp=self.timestamp, number=self.block.number, permanent=self.facts.permanent,
        )  # fmt: skip
        for attempt, outcome in zip(tried, outcomes, strict=True):
            if outcome.confirmed:
                self.witness = _witness(attempt, outcome, self.facts.address)
                return None
        return outcomes


def _elsewhere(attempt: Attempt) -> list[Attempt]:
    """The call with another address in the place of each argument that is 0: where a caller says who is called,
    a call to the address 0 shows nothing. Arguments behind it that are 0 point to empty data."""
    data = attempt.call.calldata + bytes(64)
    tail = (len(data) - 36).to_bytes(32, "big")
    found = []
    for place in range(4, min(len(attempt.call.calldata), 4 + 32 * _ARGUMENTS), 32):
        if any(data[place : place + 32]):
            continue
        later = data[place + 32 : len(data) - 64]
        pointing = b"".join(_pointed(later[at : at + 32], tail) for at in range(0, len(later), 32))
        for rest in dict.fromkeys((later, pointing)):  # in this order: the same account has the same witness each time
            changed = data[:place] + CALLER.to_bytes(32, "big") + rest + bytes(64)
            found.append(replace(attempt, call=replace(attempt.call, calldata=changed)))
    return found


def _pointed(word: bytes, tail: bytes) -> bytes:
    return word if any(word) or len(word) < 32 else tail


# --- a witness for people ------------------------------------------------------------------------------------------


def _steps(target: Finding | Authority) -> tuple[Step, ...]:
    return tuple(Step(to_eip55(branch.address), branch.pc, branch.taken) for branch in target.path)


def _place(target: Finding | Authority, account: int) -> tuple[int, int, str]:
    """Whose code, where, which opcode. Of an answer only a trace knows where: till then, the last branch before it."""
    if isinstance(target, Finding):
        return target.address, target.pc, target.opcode
    last = target.path[-1] if target.path else None
    return (account, 0, ANSWER) if last is None else (last.address, last.pc, ANSWER)


def _bare_witness(target: Finding | Authority, account: int) -> Witness:
    code, pc, opcode = _place(target, account)
    return Witness(to_eip55(code), pc, opcode, _steps(target), needs="no call could be derived that leads there")


def _witness(attempt: Attempt, outcome: Outcome, account: int) -> Witness:
    call, target = attempt.call, outcome.done or attempt.target
    code, pc, opcode = _place(target, account)
    if outcome.place is not None:
        code, pc = account, outcome.place
    return Witness(
        address=to_eip55(code),
        pc=pc,
        opcode=opcode,
        path=_steps(target),
        calldata=call.calldata,
        sender=to_eip55(call.sender),
        value=call.value,
        timestamp=call.timestamp,
        number=call.number,
        gas=None if attempt.gas in (GAS, SWEEP_GAS) else attempt.gas,
        codes={to_eip55(address): data for address, data in call.codes.items()},
        confirmed=outcome.confirmed,
        idle=outcome.idle,
        needs=_needs(attempt, outcome),
    )


def _needs(attempt: Attempt, outcome: Outcome) -> str:
    """Who must be able to send it, and what else must hold."""
    call = attempt.call
    sender = to_eip55(call.sender)
    if call.sender == CALLER:
        parts = ["anyone can send it"]
    elif call.sender in call.codes:
        parts = [f"anyone can send it, through a contract of their own (here at {sender})"]
    else:
        parts = [f"only who can send from {sender}"]
    if call.value:
        parts.append(f"with {call.value} wei")
    if attempt.balance is not None:
        parts.append(f"once the account holds {attempt.balance} wei (ether can be forced into any account)")
    if call.timestamp is not None:
        parts.append(f"at a block time of {call.timestamp}")
    if call.number is not None:
        parts.append(f"in block {call.number}")
    if attempt.gas not in (GAS, SWEEP_GAS):
        parts.append(f"with a gas limit of {attempt.gas}")
    text = ", ".join(parts)
    return f"{text}: {outcome.detail}" if outcome.confirmed else f"not confirmed ({outcome.detail}); {text}"
