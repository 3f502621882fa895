"""Whether any call could still change an account or make it act: the argument, put together.

Claim. Let the runtime code of account A at block H be C and its storage S, both proven. If no path of C from S, by
anyone, with any input, at any later time and state of the rest of the chain, succeeds after an acting instruction or
with storage that may differ from S, then A never again changes its storage or acts.

Why. Take the first successful call at all after H that would change or act. It finds code C (code is permanent:
EIP-6780, or see ``_impermanent``; a DELEGATECALL target's too) and storage S (no earlier call changed it). All it can
bring is unknown here, and every path over unknown values is followed, so its own path is among those that were found
neither to act nor to change S. That path may call out before it fails, and what it then does may depend on a call back
into A. A call back by others finds S too, for the same reason. One that finds a storage modified on the way, or that A
makes to itself, is followed as a start of its own; where it may leave another storage than it found, everything about
storage is unknown from there on.

An ``inert`` account may still answer questions; where an answer gives others power over what the account holds
elsewhere (ERC-1271: permits, orders), that is asked for separately, with the question's selector fixed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from orchestrator.closure.evm.buffer import Data, unknown_size
from orchestrator.closure.evm.facts import AccountFacts, Analysis, Authority, Finding, Limits, Needs
from orchestrator.closure.evm.frame import run_frame
from orchestrator.closure.evm.machine import ENOUGH, Exhausted, Inputs, Machine, Outcome, Start
from orchestrator.closure.evm.opcodes import NAMES, Code
from orchestrator.closure.evm.path import Site, Storage, Trail
from orchestrator.closure.evm.questions import QUESTIONS, Question
from orchestrator.closure.evm.words import AnyWord, Word

MAX_FINDINGS: Final = 32


def analyse(facts: AccountFacts, limits: Limits | None = None) -> Analysis:
    """Follows every path of the account's code from its proven storage. Pure, and ends for any code.

    Raises nothing: what it cannot follow is ``undecided``, and what it was not given is in ``needs``.
    """
    if facts.code == b"" or facts.code[0] == 0xEF:
        return Analysis("undecided", "no_code", "expected code that the EVM runs, got none or a reserved prefix")
    limits = limits or Limits()
    try:
        found = _by_any_jump(facts, limits)
        if facts.zero_caller and not found.needs and (found.findings or found.authority):
            found = _without_zero(found, _by_any_jump(replace(facts, zero_caller=False), limits))
    except Exception as error:  # noqa: BLE001 - a defect here must never be taken for an answer
        return Analysis("undecided", "internal", f"the analysis itself failed: {type(error).__name__}")
    return found


def _by_any_jump(facts: AccountFacts, limits: Limits) -> Analysis:
    found = _analyse(facts, limits)
    if found.result == "undecided" and found.reason == "unknown_jump":
        more = _analyse(facts, replace(limits, visits=4 * limits.visits))  # a table in the code may be large
        found = replace(more, steps=found.steps + more.steps, states=found.states + more.states)
    return found


def _without_zero(found: Analysis, assumed: Analysis) -> Analysis:
    """What is said of an account that acts or answers where calls may come from 0, and by ``assumed`` where none does.

    Calls from elsewhere count as ever, as somebody can make them. What only a call from 0 does is left undecided.
    """
    steps, states = found.steps + assumed.steps, found.states + assumed.states
    if assumed.result != "inert":
        return replace(assumed, steps=steps, states=states)
    inert = found.result == "inert"
    mixed = replace(found, findings=(), authority=assumed.authority, steps=steps, states=states)
    if inert and assumed.authority:
        return mixed
    what = f"answers {found.authority[0].name}" if inert else found.detail
    detail = f"closed, unless a call comes from the address 0: {what}"
    return replace(mixed, result="undecided", reason="caller_zero", detail=detail)


def _analyse(facts: AccountFacts, limits: Limits) -> Analysis:
    run = _Run(facts, limits)
    while True:
        analysis = run.analysis()
        if not run.again():
            return analysis


class _Run:
    def __init__(self, facts: AccountFacts, limits: Limits) -> None:
        self.facts = facts
        self.unstable: frozenset[Start] = frozenset()
        """Starts whose storage a call back may change."""
        self.disproven: set[Start] = set()
        """Those of them that this run took to stay: what it says is void."""
        self.starts: set[Start] = set()
        self.left = limits
        self.slots: set[int] = set()
        self.targets: set[int] = set()
        self.codes: dict[int, Code] = {}
        self.missing: Needs = Needs()
        self.undecided: tuple[str, str] | None = None
        self.steps = 0
        self.states = 0

    def again(self) -> bool:
        """Whether an assumption was disproven; then everything is ready for a run without it."""
        if not self.disproven:
            return False
        self.unstable |= self.disproven
        self.disproven, self.starts = set(), set()
        self.missing, self.undecided = Needs(), None
        return True

    def analysis(self) -> Analysis:
        outcomes = self._outcomes(self._anyone())
        findings = _findings(outcomes, self.facts)
        authority: tuple[Authority, ...] = ()
        if findings:
            authority = self._authority(QUESTIONS, all_ends=False)
        elif self.undecided is None:
            # These are all ends of all calls, unless something was missing: a yes to a question must be among them.
            returned = {outcome.returned for outcome in outcomes}
            possible = [q for q in QUESTIONS if self.missing or any(q.may_say_yes(data) for data in returned)]
            authority = self._authority(possible, all_ends=True)
        takes_ether = False
        if not findings and self.undecided is None and not self.missing:
            takes_ether = bool(self._outcomes(self._anyone(value=Word(excluded=(0,), expression=("CALLVALUE",)))))
        if not findings and self.undecided is None and not self.missing and not self.facts.permanent:
            self._impermanent()
        if not findings and self.undecided is None and not self.missing:
            self._check_starts()
        return replace(
            self._result(findings),
            authority=authority,
            needs=self.missing,
            slots=tuple(sorted(self.slots)),
            targets=tuple(sorted(self.targets)),
            logs=any(outcome.logged for outcome in outcomes),
            takes_ether=takes_ether,
            states=self.states,
            steps=self.steps,
        )

    def _result(self, findings: tuple[Finding, ...]) -> Analysis:
        if findings:
            first = findings[0]
            return Analysis(
                "acting",
                "acting",
                f"{first.opcode} at program counter {first.pc} of 0x{first.address:040x} can be reached on a path that "
                "may succeed",
                findings,
            )
        if self.missing:
            missing = [f"slot {slot:#x}" for slot in self.missing.slots]
            missing += [f"the code of 0x{address:040x}" for address in self.missing.codes]
            return Analysis("undecided", "missing_fact", "not proven: " + ", ".join(missing[:8]))
        if self.undecided is not None:
            return Analysis("undecided", *self.undecided)
        return Analysis("inert", "inert", "no path of any call succeeds after acting or with changed storage")

    def _check_starts(self) -> None:
        """Whether every storage that was taken to stay through a call does: no call back that begins there, and
        succeeds, leaves another. That it may act matters not, as whoever made the call acts already."""
        checked: set[Start] = set()
        while self.starts - checked:
            start = (self.starts - checked).pop()
            checked.add(start)
            inputs = self._anyone()
            if start.by_itself:
                inputs = replace(inputs, caller=self.facts.address)
            outcomes = self._outcomes(inputs, start=start.storage)
            if self.undecided is not None or any(outcome.storage != start.storage for outcome in outcomes):
                self.disproven.add(start)

    def _anyone(self, calldata: Data | None = None, value: AnyWord | None = None) -> Inputs:
        """Any call, of this calldata and value if they are given."""
        return Inputs.anything(self.facts.address, calldata, value, zero_caller=self.facts.zero_caller)

    def _outcomes(
        self,
        inputs: Inputs,
        facts: AccountFacts | None = None,
        *,
        any_storage: bool = False,
        start: Storage | None = None,
        all_ends: bool = False,
        enough: int = ENOUGH,
    ) -> dict[Outcome, Trail]:
        """The successful ends of a call. What it used, lacked and could not follow is added to this run's."""
        facts = facts or self.facts
        machine = Machine(
            facts,
            inputs,
            self.left,
            any_storage=any_storage,
            codes=self.codes,
            unstable=self.unstable,
            all_ends=all_ends or any_storage or start is not None,
            enough=enough,
        )
        with contextlib.suppress(Exhausted):
            run_frame(machine, machine.parsed(facts.address, facts.code), inputs.calldata, start or Storage(), depth=0)
        steps, states = self.left.steps - machine.steps, self.left.states - machine.states
        self.left = replace(self.left, steps=max(0, steps), states=max(0, states))
        self.steps += machine.steps
        self.states += machine.states
        self.starts |= machine.starts
        self.slots |= machine.slots.keys()
        self.targets |= machine.targets
        self.missing = Needs(
            tuple(sorted({*self.missing.slots, *machine.missing_slots})),
            tuple(sorted({*self.missing.codes, *machine.missing_codes})),
        )
        if any_storage and machine.reached and machine.undecided is None:
            reached = ", ".join(sorted(machine.reached))
            machine.undecided = (
                "impermanent_target",
                f"the code at 0x{facts.address:040x} can reach {reached}: before EIP-6780 it may be removed",
            )
        self.undecided = self.undecided or machine.undecided
        return machine.outermost

    def _authority(self, questions: Sequence[Question], *, all_ends: bool) -> tuple[Authority, ...]:
        """Those of the questions that may be answered with yes; each selector is asked once.

        ``all_ends``: for an account that does not act every end counts, so nothing may end the search early: with its
        selector fixed a question is other input, and may even seem to act where any calldata did not.
        """
        found = []
        for selector in dict.fromkeys(question.selector for question in questions):
            calldata = Data(selector.to_bytes(4, "big"), b"\xff" * 4, unknown_size(4, "CALLDATASIZE"), origin=0)
            outcomes = self._outcomes(self._anyone(calldata), all_ends=all_ends, enough=ENOUGH // 2)
            for question in questions:
                if question.selector != selector:
                    continue
                yes = (trail for outcome, trail in outcomes.items() if question.may_say_yes(outcome.returned))
                if (trail := next(yes, None)) is not None:
                    found.append(Authority(question.name, selector, trail.listed()))
        return tuple(found)

    def _impermanent(self) -> None:
        """Where a chain may still take code away: a target must not be able to lose its own, in any storage."""
        checked: set[int] = set()
        while self.targets - checked:  # a target's own targets are met on the way
            address = min(self.targets - checked)
            checked.add(address)
            code = self.facts.codes.get(address, b"")
            if code and code[0] != 0xEF:
                facts = replace(self.facts, address=address, code=code, storage={})
                inputs = Inputs.anything(None, zero_caller=self.facts.zero_caller)
                self._outcomes(inputs, facts, any_storage=True)


def _findings(outcomes: dict[Outcome, Trail], facts: AccountFacts) -> tuple[Finding, ...]:
    """The acting instructions behind the successful ends, each with up to a few ways to it."""
    found: list[Finding] = []
    for outcome, trail in outcomes.items():
        sites = (outcome.acted,) if outcome.acted is not None else outcome.storage.sites
        if not sites and not outcome.storage.proven:
            raise AssertionError("storage is never changed without a site")
        for site in sites:
            if len(found) < MAX_FINDINGS:
                found.append(Finding(site.address, site.pc, _opcode(site, facts), trail.listed(), site.slot))
    return tuple(found)


def _opcode(site: Site, facts: AccountFacts) -> str:
    code = facts.code if site.address == facts.address else facts.codes.get(site.address, b"")
    return NAMES.get(code[site.pc], "") if site.pc < len(code) else ""
