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
from dataclasses import dataclass, replace
from typing import Final

from orchestrator.closure.evm.buffer import Data, unknown_size
from orchestrator.closure.evm.code import Code
from orchestrator.closure.evm.facts import Analysis, Authority, Facts, Finding, Limits, Needs
from orchestrator.closure.evm.machine import Exhausted, Inputs, Machine, Outcome, Start
from orchestrator.closure.evm.opcodes import NAMES
from orchestrator.closure.evm.path import Site, Storage, Trail
from orchestrator.closure.evm.words import Word

MAX_FINDINGS: Final = 32


@dataclass(frozen=True, slots=True)
class Question:
    """A function whose answer has authority. ``answer`` and ``mask``: the bits of the first word that say yes."""

    name: str
    selector: int
    answer: int
    mask: int
    size: int
    """Bytes that an answer must have at least to be taken for one."""


_FIRST_FOUR: Final = ((1 << 32) - 1) << 224
_AGGREGATOR: Final = (1 << 160) - 1

QUESTIONS: Final = (
    Question("isValidSignature(bytes32,bytes)", 0x1626BA7E, 0x1626BA7E << 224, _FIRST_FOUR, 4),
    Question("isValidSignature(bytes,bytes)", 0x20C13B0B, 0x20C13B0B << 224, _FIRST_FOUR, 4),
    Question("validateUserOp, EntryPoint 0.6", 0x3A871CDD, 0, _AGGREGATOR, 32),
    Question("validateUserOp, EntryPoint 0.7 and 0.8", 0x19822F7C, 0, _AGGREGATOR, 32),
    Question(
        "onFlashLoan(address,address,uint256,uint256,bytes)",
        0x23E30C8B,
        0x439148F0BBC682CA079E46D6E2C2F0C1E3B820F1A291B069D8882ABF8CF18DD9,
        (1 << 256) - 1,
        32,
    ),
)
"""ERC-1271 and its predecessor; ERC-4337 (the low 160 bits are 0 for success, and anything but 1 names an aggregator
that decides); ERC-3156."""
_SIGNATURE_FAILED: Final = 1


def analyse(facts: Facts, limits: Limits | None = None) -> Analysis:
    """Follows every path of the account's code from its proven storage. Pure, and ends for any code.

    Raises nothing: what it cannot follow is ``undecided``, and what it was not told is in ``needs``.
    """
    if facts.code == b"" or facts.code[0] == 0xEF:
        return Analysis("undecided", "no_code", "expected code that the EVM runs, got none or a reserved prefix")
    limits = limits or Limits()
    try:
        found = _analyse(facts, limits)
        if found.result == "undecided" and found.reason == "unknown_jump":
            more = _analyse(facts, replace(limits, visits=4 * limits.visits))  # a table in the code may be large
            found = replace(more, steps=found.steps + more.steps, states=found.states + more.states)
    except Exception as error:  # noqa: BLE001 - a defect here must never be taken for an answer
        return Analysis("undecided", "internal", f"the analysis itself failed: {type(error).__name__}")
    return found


def _analyse(facts: Facts, limits: Limits) -> Analysis:
    run = _Run(facts, limits)
    while True:
        analysis = run.analysis()
        if not run.again():
            return analysis


class _Run:
    def __init__(self, facts: Facts, limits: Limits) -> None:
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
        outcomes = self._outcomes(Inputs.anything(self.facts.address))
        findings = _findings(outcomes, self.facts)
        authority = () if self.undecided is not None and not findings else self._authority(all_ends=not findings)
        takes_ether = False
        if not findings and self.undecided is None and not self.missing:
            with_ether = Inputs.anything(self.facts.address, value=Word(excluded=(0,), expression=("CALLVALUE",)))
            takes_ether = bool(self._outcomes(with_ether))
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
            inputs = Inputs.anything(self.facts.address)
            if start.by_itself:
                inputs = replace(inputs, caller=self.facts.address)
            outcomes = self._outcomes(inputs, start=start.storage)
            if self.undecided is not None or any(outcome.storage != start.storage for outcome in outcomes):
                self.disproven.add(start)

    def _outcomes(
        self,
        inputs: Inputs,
        facts: Facts | None = None,
        *,
        any_storage: bool = False,
        start: Storage | None = None,
        all_ends: bool = False,
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
        )
        with contextlib.suppress(Exhausted):
            machine.frame(machine.parsed(facts.address, facts.code), inputs.calldata, start or Storage(), 0)
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

    def _authority(self, *, all_ends: bool) -> tuple[Authority, ...]:
        """The questions that may be answered with yes.

        ``all_ends``: for an account that does not act every end counts, so nothing may end the search early: with its
        selector fixed a question is other input, and may even seem to act where any calldata did not.
        """
        found = []
        for question in QUESTIONS:
            selector = question.selector.to_bytes(4, "big")
            calldata = Data(selector, b"\xff" * 4, unknown_size(4, "CALLDATASIZE"), origin=0)
            inputs = Inputs.anything(self.facts.address, calldata)
            for outcome, trail in self._outcomes(inputs, all_ends=all_ends).items():
                if may_answer(question, outcome.returned):
                    found.append(Authority(question.name, question.selector, trail.listed()))
                    break
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
                self._outcomes(Inputs.anything(None), facts, any_storage=True)


def may_answer(question: Question, returned: Data) -> bool:
    """Whether the returned bytes are, or may be, a yes."""
    if isinstance(returned.size, int) and returned.size < question.size:
        return False
    word = returned.word(0)
    value, known = (word, (1 << 256) - 1) if isinstance(word, int) else (word.value, word.known)
    known &= question.mask
    if question.mask == _AGGREGATOR:
        return not (known == question.mask and value & question.mask == _SIGNATURE_FAILED)
    return (value ^ question.answer) & known == 0


def _findings(outcomes: dict[Outcome, Trail], facts: Facts) -> tuple[Finding, ...]:
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


def _opcode(site: Site, facts: Facts) -> str:
    code = facts.code if site.address == facts.address else facts.codes.get(site.address, b"")
    return NAMES.get(code[site.pc], "") if site.pc < len(code) else ""
