"""Judges a contract: irreversible, reversible or inconclusive, from what was proven, analysed and tried. Pure.

``judge`` is the table, row by row, in the order in which a stronger finding wins. Whatever is not shown is
``inconclusive`` with a reason; ``irreversible`` is said in one place, after every other row has been passed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from orchestrator.closure.evm.facts import Analysis
from orchestrator.closure.proof.evidence import Check, CodeKind, Proven
from orchestrator.closure.verdict import ANSWER, DELEGATING, Residue, Standing, Trouble, Verdict, VerdictName, Witness
from orchestrator.closure.verdict_checks import verdict_checks
from orchestrator.models import Address, BlockRef, ChainId

PROOF_CHECKS: Final = ("block_hash", "account_proof", "storage_proofs", "code_hash", "targets")
"""The checks of ``evidence.prove``, in their order."""


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
    some (None: not known). Raises nothing for whatever these hold together.
    """
    if proven is None or proven.kind is not CodeKind.CONTRACT:
        analysis = None  # an analysis of what was not proven, or is no code, is none
    ruling = _rule(chain_id, proven, analysis, standing, standing_detail, code_at_latest, witness, checks, trouble)
    own = verdict_checks(proven, analysis, standing, standing_detail, witness, code_at_latest)
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


@dataclass(frozen=True, slots=True)
class _Ruling:
    verdict: VerdictName
    reason: str
    detail: str
    shows_witness: bool = False


def _rule(
    chain_id: ChainId | None,
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
        if witness is not None and witness.idle and all(one.opcode in DELEGATING for one in analysis.findings):
            what = "it acts only by running others' code as its own, of which nothing came in the calls that were tried"
            return _Ruling("inconclusive", "delegate_idle", f"{what}: {_where(analysis, witness)}", True)
        what = "some call may still make it act, but none could be shown to"
        return _Ruling("inconclusive", "acting_unconfirmed", f"{what}: {_where(analysis, witness)}", True)
    if analysis.reason == "caller_zero":
        what = f"{analysis.detail}; nothing shows that there is no such call on {chain_id}"
        return _Ruling("inconclusive", "caller_zero", what, True)
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
                Trouble(
                    "system_address", "a precompile's or system contract's, by address or code: what runs is another"
                )
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
