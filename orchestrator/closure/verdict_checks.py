"""The checks that are the verdict's own, after those of the proofs: what speaks for ``irreversible``, what against it.

They show a person what the verdict rests on, one by one; the verdict itself is the table's (``judge``). Pure.
"""

from __future__ import annotations

from orchestrator.closure.evm.facts import Analysis
from orchestrator.closure.evm.questions import QUESTIONS
from orchestrator.closure.proof.evidence import Check, CodeKind, Proven
from orchestrator.closure.verdict import ANSWER, Standing, Witness


def verdict_checks(
    proven: Proven | None,
    analysis: Analysis | None,
    standing: Standing,
    standing_detail: str,
    witness: Witness | None,
    code_at_latest: bool | None,
) -> list[Check]:
    """``finality``, ``code``, ``code_permanence``, ``callers``, ``analysis``, ``authority``, ``witness``: always all.

    The arguments are those of ``judge``. Raises nothing for whatever they hold together.
    """
    if standing is Standing.UNKNOWN:
        finality = Check("finality", "skipped", standing_detail)
    else:
        finality = Check("finality", "pass" if standing is Standing.FINAL else "fail", standing_detail)
    return [
        finality,
        _code_check(proven, code_at_latest),
        _permanence_check(proven, analysis),
        _callers_check(proven, analysis),
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


def _callers_check(proven: Proven | None, analysis: Analysis | None) -> Check:
    name = "callers"
    if proven is None or proven.kind is not CodeKind.CONTRACT:
        return Check(name, "skipped", "there is no proven EVM code")
    if proven.no_zero_caller is not None:
        return Check(name, "pass", f"no call comes from the address 0: {proven.no_zero_caller}")
    if analysis is None:
        return Check(name, "skipped", "whether a call comes from the address 0 is not shown for this chain")
    if analysis.reason == "caller_zero":
        return Check(
            name, "fail", "nothing shows that no call comes from the address 0 on this chain, and it would matter"
        )
    if analysis.result == "inert" and not analysis.authority:
        return Check(name, "pass", "calls from the address 0 were followed as well: nothing is assumed of this chain's")
    return Check(name, "skipped", "calls from the address 0 do not matter: others are not ruled out either")


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
        asked = ", ".join(sorted({question.signature.partition("(")[0] for question in QUESTIONS}))
        return Check(name, "pass", f"none can be answered with what its asker takes for yes: {asked}")
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
