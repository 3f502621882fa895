"""The verdict on a contract: irreversible, reversible or inconclusive, from what was proven, analysed and tried. Pure.

``judge`` is the table, row by row, in the order in which a stronger finding wins. Whatever is not shown is
``inconclusive`` with a reason; ``irreversible`` is said in one place, after every other row has been passed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Literal

from orchestrator.closure.evidence import Check, CodeKind, Proven, Result
from orchestrator.closure.evm.facts import Analysis
from orchestrator.models import Address, BlockRef, ChainId

VerdictName = Literal["irreversible", "reversible", "inconclusive"]
AnalysisName = Literal["inert", "acting", "undecided", "not_run"]


class Standing(StrEnum):
    """How settled the block is, as the node has it. Only ``FINAL`` can carry ``irreversible``."""

    FINAL = "final"
    """Canonical, at or below ``finalized``, and found so again when everything else had been read."""
    NOT_FINAL = "not_final"
    """Above ``finalized``, or the node has no such tag."""
    NOT_CANONICAL = "not_canonical"
    """Another block has its number: nothing that holds at this one needs to hold on the chain."""
    UNKNOWN = "unknown"
    """The node could not be asked."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why no verdict can be given: a stable code, and a sentence."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Step:
    """A branch of a witness' path: at ``pc`` in the code of ``address`` the JUMPI did or did not jump."""

    address: Address
    pc: int
    taken: bool


@dataclass(frozen=True, slots=True)
class Witness:
    """An instruction that acts or answers, and a call that leads there, if one is known."""

    address: Address
    """Whose code the instruction is in: the account's own, or a DELEGATECALL target's."""
    pc: int
    opcode: str
    path: tuple[Step, ...] = ()
    calldata: bytes | None = None
    """None, as ``sender`` and ``value``, where no call could be derived."""
    sender: Address | None = None
    value: int | None = None
    """In wei."""
    timestamp: int | None = None
    """The block's time that the call needs, where it must be later than the proven block's; seconds since 1970."""
    number: int | None = None
    """The same for the block's number."""
    gas: int | None = None
    """The gas limit that the call needs, where not every ample one does."""
    codes: Mapping[Address, bytes] = field(default_factory=dict)
    """Code that must first be deployed at fresh addresses."""
    confirmed: bool = False
    """Whether the call was executed at the block, and did it."""
    needs: str = ""
    """Who must be able to send it, and what else must hold; in words."""

    def to_json(self) -> dict[str, Any]:
        """As in the ``verify-closure`` document; wei as a decimal string."""
        return {
            "address": self.address,
            "pc": self.pc,
            "opcode": self.opcode,
            "calldata": None if self.calldata is None else "0x" + self.calldata.hex(),
            "sender": self.sender,
            "value": None if self.value is None else str(self.value),
            "timestamp": self.timestamp,
            "blockNumber": self.number,
            "gas": self.gas,
            "codes": {address: "0x" + code.hex() for address, code in sorted(self.codes.items())},
            "path": [{"address": step.address, "pc": step.pc, "taken": step.taken} for step in self.path],
            "confirmed": self.confirmed,
            "needs": self.needs,
        }


@dataclass(frozen=True, slots=True)
class Residue:
    """Something that closing left behind, cannot prevent, or that nobody looked at. Never part of the verdict."""

    kind: str
    detail: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer about one account at one block, with all that it rests on."""

    verdict: VerdictName
    analysis: AnalysisName
    reason: str
    """A stable code: why this verdict and no other.

    ``irreversible``: ``inert``. ``reversible``: ``acting``, ``authority_answer``, ``delegated_7702``, ``no_code``.
    ``inconclusive``: ``acting_unconfirmed``, ``authority_unconfirmed``, ``not_final``, ``not_canonical``,
    ``unsupported_code``, ``system_address``; the analysis' own (``Analysis.reason``: ``missing_fact``, ``step_limit``,
    ``unknown_jump``, …); of the node and its proofs ``chain_unreachable``, ``rpc_overload``, ``chain_nonsense``,
    ``answer_unreadable``, ``rpc_refused``, ``rpc_http``, ``no_such_block``, ``no_proof_method``, ``state_pruned``,
    ``header_mismatch``, ``no_state_root``, ``proof_invalid``, ``latest_unknown``; and ``internal``, a defect.
    """
    detail: str
    """The same in a sentence for people."""
    address: Address
    chain_id: ChainId | None
    """None if the node could not be asked."""
    block: BlockRef | None
    code_hash: str | None
    checks: tuple[Check, ...]
    witness: Witness | None = None
    residue: tuple[Residue, ...] = ()
    slots: tuple[tuple[int, int], ...] = ()
    """Every storage slot that the analysis read, with its proven value."""
    states: int = 0
    steps: int = 0
    milliseconds: float = 0.0
    """What the analysis took, without the network."""

    def to_json(self) -> dict[str, Any]:
        """The document that ``orchestrator verify-closure --json`` prints."""
        return {
            "verdict": self.verdict,
            "analysis": self.analysis,
            "reason": self.reason,
            "detail": self.detail,
            "address": self.address,
            "chainId": None if self.chain_id is None else str(self.chain_id),
            "block": None if self.block is None else {"number": self.block.number, "hash": self.block.hash},
            "codeHash": self.code_hash,
            "checks": [{"name": c.name, "result": c.result, "detail": c.detail} for c in self.checks],
            "witness": None if self.witness is None else self.witness.to_json(),
            "residue": [{"kind": item.kind, "detail": item.detail} for item in self.residue],
            "slots": [
                {"address": self.address, "slot": f"0x{slot:064x}", "value": f"0x{value:064x}"}
                for slot, value in self.slots
            ],
            "states": self.states,
            "steps": self.steps,
            "milliseconds": round(self.milliseconds, 3),
        }


def judge(
    *,
    address: Address,
    chain_id: ChainId | None,
    block: BlockRef | None,
    proven: Proven | None,
    analysis: Analysis | None,
    standing: Standing,
    standing_detail: str,
    code_at_latest: bool | None = None,
    witness: Witness | None = None,
    checks: Sequence[Check] = (),
    residue: Sequence[Residue] = (),
    trouble: Trouble | None = None,
    milliseconds: float = 0.0,
) -> Verdict:
    """The verdict by the table; the checks of ``prove`` (``checks``) followed by its own.

    ``witness``: the best one there is; only one that is ``confirmed`` makes a verdict ``reversible``. ``trouble``: what
    kept the examination from its end. ``code_at_latest``: for an account without code, whether the newest block has
    some (None: could not be told). Raises nothing for whatever these hold together.
    """
    if proven is None or proven.kind is not CodeKind.CONTRACT:
        analysis = None  # an analysis of what was not proven, or is no code, is none
    ruling = _rule(proven, analysis, standing, standing_detail, code_at_latest, witness, checks, trouble)
    own = _checks(proven, analysis, standing, standing_detail, witness, code_at_latest)
    return Verdict(
        verdict=ruling.verdict,
        analysis="not_run" if analysis is None else analysis.result,
        reason=ruling.reason,
        detail=ruling.detail,
        address=address,
        chain_id=chain_id,
        block=block if proven is None else proven.block,
        code_hash=None if proven is None else proven.code_hash,
        checks=(*checks, *own),
        witness=witness if ruling.shows_witness else None,
        residue=tuple(residue),
        slots=_slots(proven, analysis),
        states=0 if analysis is None else analysis.states,
        steps=0 if analysis is None else analysis.steps,
        milliseconds=milliseconds,
    )


PROOF_CHECKS: Final = ("block_hash", "account_proof", "storage_proofs", "code_hash", "targets")
"""The checks of ``evidence.prove``, in their order."""


@dataclass(frozen=True, slots=True)
class _Ruling:
    verdict: VerdictName
    reason: str
    detail: str
    shows_witness: bool = False


def _rule(
    proven: Proven | None,
    analysis: Analysis | None,
    standing: Standing,
    standing_detail: str,
    code_at_latest: bool | None,
    witness: Witness | None,
    checks: Sequence[Check],
    trouble: Trouble | None,
) -> _Ruling:
    """The table. Each row returns; the last one is the only one that says irreversible."""
    # Nothing proven, or not on the chain: no row below may speak.
    if proven is None:
        return _inconclusive(trouble or Trouble("not_proven", "nothing about this account was proven"))
    failed = next((check for check in checks if check.result == "fail"), None)
    if failed is not None:
        return _inconclusive(trouble or Trouble("proof_invalid", f"{failed.name}: {failed.detail}"))
    if standing is Standing.NOT_CANONICAL:
        return _inconclusive(Trouble("not_canonical", standing_detail))

    # Not run: there is nothing to execute.
    if proven.kind is not CodeKind.CONTRACT:
        return _without_code(proven, code_at_latest, trouble)

    # A call that was executed, and did it, outweighs whatever else is open.
    if witness is not None and witness.confirmed:
        if witness.opcode == ANSWER:
            what = f"the account still gives an answer with authority (at {witness.pc:#x}); {witness.needs}"
            return _Ruling("reversible", "authority_answer", what, True)
        where = f"{witness.opcode} at {witness.pc:#x} in the code of {witness.address}"
        return _Ruling("reversible", "acting", f"a call still makes it act: {where}; {witness.needs}", True)
    if analysis is None:
        return _inconclusive(trouble or Trouble("not_analysed", "the code was not analysed"))
    if analysis.needs and trouble is not None:
        return _inconclusive(trouble)  # what it lacked, it took for unknown: neither inert nor acting means much
    if analysis.result == "acting":
        what = "some call may still make it act, but none could be shown to"
        return _Ruling("inconclusive", "acting_unconfirmed", f"{what}: {_where(analysis, witness)}", True)
    if analysis.result != "inert":
        return _Ruling("inconclusive", analysis.reason or "undecided", analysis.detail or "undecided", True)
    if analysis.authority:
        names = ", ".join(sorted({question.name for question in analysis.authority}))
        return _Ruling(
            "inconclusive",
            "authority_unconfirmed",
            f"the account may still give an answer with authority ({names}), but none could be shown",
            True,
        )

    # Inert, so far as the analysis goes. What it rests on must be there, to the last slot.
    missing = _missing(proven, analysis)
    if missing is not None:
        return _inconclusive(Trouble("missing_fact", missing))
    if standing is not Standing.FINAL:
        reason = "not_final" if standing is Standing.NOT_FINAL or trouble is None else trouble.code
        return _inconclusive(Trouble(reason, f"no call makes it act at this block, but {standing_detail}"))
    if trouble is not None:
        return _inconclusive(trouble)
    if not set(PROOF_CHECKS) <= {check.name for check in checks if check.result == "pass"}:
        return _inconclusive(Trouble("not_proven", "not every check of the proofs was made"))
    return _Ruling(
        "irreversible",
        "inert",
        "no call, by anyone, ever, changes its storage or makes it act: every path was executed from the proven state",
    )


ANSWER: Final = "RETURN"
"""The opcode that a witness of an answer with authority names."""


def _without_code(proven: Proven, code_at_latest: bool | None, trouble: Trouble | None) -> _Ruling:
    match proven.kind:
        case CodeKind.DELEGATED:
            return _Ruling(
                "reversible",
                "delegated_7702",
                f"an EIP-7702 delegation to {proven.delegate}: the account's key can always replace it",
            )
        case CodeKind.UNSUPPORTED:
            return _inconclusive(
                Trouble(
                    "unsupported_code", "the code begins with 0xef: it is no EVM code that this release can execute"
                )
            )
        case CodeKind.SYSTEM:
            return _inconclusive(
                Trouble("system_address", "a precompile's or system contract's address: its code says nothing about it")
            )
        case _:
            pass
    if code_at_latest is None:
        unknown = Trouble("latest_unknown", "there is no code at this block, and the newest could not be asked")
        return _inconclusive(trouble or unknown)
    if code_at_latest:
        return _inconclusive(Trouble("not_final", "there is no code at this block, but there is at the newest"))
    return _Ruling(
        "reversible",
        "no_code",
        "there is no code: an address without any belongs to a key, or can still get a contract",
    )


def _inconclusive(trouble: Trouble) -> _Ruling:
    return _Ruling("inconclusive", trouble.code, trouble.message)


def _where(analysis: Analysis, witness: Witness | None) -> str:
    if witness is not None:
        return f"{witness.opcode} at {witness.pc:#x} in the code of {witness.address}; {witness.needs}"
    return analysis.detail


def _missing(proven: Proven, analysis: Analysis) -> str | None:
    """What an inert analysis read that is not in the evidence; in words."""
    facts = proven.facts
    if facts is None or facts.complete:
        return "the analysis did not rest on proven facts alone"
    if analysis.needs:
        return f"{len(analysis.needs.slots)} slots and {len(analysis.needs.codes)} codes were not proven"
    slots = [slot for slot in analysis.slots if slot not in facts.storage]
    codes = [target for target in analysis.targets if target != facts.address and target not in facts.codes]
    if slots or codes:
        return f"the analysis read {len(slots)} slots and {len(codes)} codes that were not proven"
    return None


def _slots(proven: Proven | None, analysis: Analysis | None) -> tuple[tuple[int, int], ...]:
    if proven is None or proven.facts is None or analysis is None:
        return ()
    storage = proven.facts.storage
    return tuple((slot, storage[slot]) for slot in sorted(analysis.slots) if slot in storage)


# --- the checks that are the verdict's own -------------------------------------------------------------------------


def _checks(
    proven: Proven | None,
    analysis: Analysis | None,
    standing: Standing,
    standing_detail: str,
    witness: Witness | None,
    code_at_latest: bool | None,
) -> list[Check]:
    if standing is Standing.UNKNOWN:
        finality = Check("finality", "skipped", standing_detail)
    else:
        finality = Check("finality", "pass" if standing is Standing.FINAL else "fail", standing_detail)
    return [
        finality,
        _code_check(proven, code_at_latest),
        _permanence_check(proven, analysis),
        _analysis_check(analysis),
        _authority_check(analysis, witness),
        _witness_check(analysis, witness),
    ]


def _code_check(proven: Proven | None, code_at_latest: bool | None) -> Check:
    name = "code"
    if proven is None:
        return Check(name, "skipped", "nothing was proven")
    match proven.kind:
        case CodeKind.CONTRACT:
            return Check(name, "pass", "EVM code, which the account keeps: it can never be EIP-7702-delegated")
        case CodeKind.NONE:
            later = {True: "some", False: "none either", None: "not known"}[code_at_latest]
            return Check(name, "fail", f"no code at this block; at the newest: {later}")
        case CodeKind.DELEGATED:
            return Check(name, "fail", f"an EIP-7702 delegation to {proven.delegate}")
        case CodeKind.UNSUPPORTED:
            return Check(name, "fail", "begins with 0xef and is no EIP-7702 delegation (EOF, Stylus or another format)")
        case CodeKind.SYSTEM:
            return Check(name, "fail", "at an address of precompiles and system contracts")


def _permanence_check(proven: Proven | None, analysis: Analysis | None) -> Check:
    name = "code_permanence"
    if proven is None or proven.kind is not CodeKind.CONTRACT:
        return Check(name, "skipped", "there is no proven EVM code")
    if proven.permanence is not None:
        return Check(name, "pass", f"code stays where it is: {proven.permanence}")
    if analysis is None or analysis.result == "undecided":
        return Check(name, "fail", "neither the header nor the chain shows EIP-6780: code may be removed")
    if analysis.result == "inert":
        return Check(name, "pass", "EIP-6780 is not shown, and not needed: nothing that is executed can remove code")
    return Check(name, "skipped", "EIP-6780 is not shown; it does not matter for an account that acts")


def _analysis_check(analysis: Analysis | None) -> Check:
    name = "analysis"
    if analysis is None:
        return Check(name, "skipped", "not run")
    counted = f"{analysis.states} states, {analysis.steps} steps"
    if analysis.result == "inert":
        return Check(name, "pass", f"every path executed, none acts ({counted})")
    return Check(name, "fail", f"{analysis.result}: {analysis.detail or analysis.reason} ({counted})")


def _authority_check(analysis: Analysis | None, witness: Witness | None) -> Check:
    name = "authority"
    if analysis is None:
        return Check(name, "skipped", "the analysis was not run")
    if analysis.authority:
        names = ", ".join(sorted({question.name for question in analysis.authority}))
        shown = " (shown)" if witness is not None and witness.confirmed and witness.opcode == ANSWER else ""
        return Check(name, "fail", f"may still be answered with the magic value: {names}{shown}")
    if analysis.result == "inert":
        return Check(name, "pass", "ERC-1271, validateUserOp, onFlashLoan: none can be answered with its magic value")
    return Check(name, "skipped", "none was found, which says little about an account that is not inert")


def _witness_check(analysis: Analysis | None, witness: Witness | None) -> Check:
    name = "witness"
    if witness is None:
        inert = analysis is not None and analysis.result == "inert" and not analysis.authority
        return Check(name, "skipped", "no path acts, so there is none" if inert else "none was found")
    where = f"{witness.opcode} at {witness.pc:#x} in the code of {witness.address}"
    if witness.confirmed:
        return Check(name, "fail", f"executed at the block: this call reaches {where}")
    if witness.calldata is None:
        return Check(name, "skipped", f"no call to {where} could be derived")
    return Check(name, "skipped", f"a call to {where} was derived: {witness.needs}")


__all__ = [
    "ANSWER",
    "PROOF_CHECKS",
    "AnalysisName",
    "Check",
    "CodeKind",
    "Residue",
    "Result",
    "Standing",
    "Step",
    "Trouble",
    "Verdict",
    "VerdictName",
    "Witness",
    "judge",
]
