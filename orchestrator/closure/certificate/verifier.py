"""Verifies a closure certificate: offline, pure, everything run again, nothing believed because the file says it.

Of a version 2 certificate the header, every proof and every code are verified against the block's hash, the code is
analysed again and the verdict judged again, by the rules of today; what the file says of its own analysis must be what
comes out. What the bytes can show is relative to the block's hash: ``chain.node.canonical`` asks nodes about
that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from orchestrator.closure.certificate import envelope
from orchestrator.closure.certificate.attribution import Attribution
from orchestrator.closure.certificate.profiled import ProfiledAttribution
from orchestrator.closure.certificate.report import REISSUE, CertificateReport, Checklist, Failed
from orchestrator.closure.certificate.rerun import (
    RULES,
    Rerun,
    ambiguous,
    block_of,
    evidence_of,
    rerun,
    rests_on,
    slots_of,
    summary_of,
    surplus,
    unproven_since,
)
from orchestrator.closure.certificate.verifier_v1 import check_v1
from orchestrator.models import Address
from orchestrator.wallet.reading import Profile


def verify(
    data: bytes, *, signer: Address | None = None, profile: Profile | None = None, known: Profile | None = None
) -> CertificateReport:
    """Checks a certificate's bytes, of which anyone may be the author. Raises nothing for any bytes.

    ``signer`` demands that signer; without it a certificate that somebody changed AND signed or hashed again is not
    noticed, so the signer is only reported. ``profile`` demands that wallet profile, of a version 3 certificate;
    ``known`` is one that it may have been made by, beside the built-in ones.
    """
    checks = Checklist()
    document: dict[str, Any] = {}

    def read() -> str:
        document.update(envelope.parse(data))
        return f"certificate version {document['version']}"

    if not checks.check("format", read):
        return _report(checks)
    actual = _check_bytes(data, document, signer, checks)
    if not checks.whole:  # not the bytes that were issued: what they say about a chain is of no interest
        checks.skip("proofs", "not checked: these are not the bytes that were issued, or not by the demanded signer")
        return _report(checks)
    if not checks.check("schema", lambda: envelope.check_schema(document)):
        return _report(checks, signer=actual)
    if document["version"] == 1:
        check_v1(document, checks)
        return _report(checks, document, actual)
    again = _check_proof(document, checks)
    block = None if again.proven is None else again.proven.block
    if document["version"] == 3:
        profiled = ProfiledAttribution(document, evidence_of(document), known, profile)
        profiled.run(checks, block, dict(again.verdict.slots))
    elif "account" in document:
        account = Attribution(
            document["account"],
            document["chainId"],
            document["address"],
            bytes.fromhex(document["code"][2:]),
        )
        account.run(checks, block, dict(again.verdict.slots))
    else:
        checks.skip("attribution", "not applicable: this is about a contract, not about an account of a platform")
    return _report(checks, document, actual, again)


def _check_bytes(
    data: bytes, document: Mapping[str, Any], demanded: Address | None, checks: Checklist
) -> Address | None:
    """Whether these are the bytes that somebody issued; who, if they are signed."""
    found: list[Address] = []

    def check_signature() -> str:
        found.append(envelope.check_signature(document))
        known = "the demanded signer" if demanded == found[0] else "known, not trusted: no signer was demanded"
        return f"signed by {found[0]} ({known})"

    def check_demanded() -> str:
        if found != [demanded]:
            raise Failed(f"expected the signer {demanded}, got {found[0] if found else 'no valid signature'}")
        return f"signed by {demanded}, as demanded"

    whole = checks.check("canonical_form", lambda: envelope.check_canonical(document, data))
    if envelope.is_signed(document):
        checks.check("signature", check_signature, whole)
    else:
        checks.check("digest", lambda: envelope.check_digest(document), whole)
    if demanded is not None:
        checks.check("signer", check_demanded)
    return found[0] if found else None


def _check_proof(document: Mapping[str, Any], checks: Checklist) -> Rerun:
    """Runs proof, analysis and verdict again, and compares what the file says of them."""
    evidence = evidence_of(document)
    again = rerun(evidence, block_of(document))
    outdated = unproven_since(document, again)
    for check in again.verdict.checks:
        if check.name == "finality" or (check.result == "fail" and outdated is not None):
            checks.skip(check.name, check.detail)
        elif check.name != "witness":
            checks.checks.append(check)

    def exact() -> str:
        assert again.analysis is not None
        more = unclear or surplus(evidence, again.analysis)
        if more is not None:
            raise Failed(more)
        return "every proven slot and code was read by the analysis, and nothing that it read is missing"

    def verdict() -> str:
        if again.verdict.verdict != "irreversible":
            raise Failed(f"run again: {again.verdict.verdict}, {again.verdict.reason}: {again.verdict.detail}")
        return f"run again: irreversible; {again.verdict.detail}"

    ran = again.analysis is not None
    unclear = ambiguous(document) if ran else None
    if unclear is not None or document["analysis"]["rules"] == RULES:
        checks.check("exact_evidence", exact, ran)
    else:
        checks.skip("exact_evidence", f"what the rules {document['analysis']['rules']} read is not known any more")
    if outdated is None:
        checks.check("verdict", verdict)
    else:
        checks.skip("verdict", outdated)
    checks.check("stated_analysis", lambda: _stated(document, again), ran)
    checks.check("rests_on", lambda: _stated_assumptions(document), again.proven is not None)
    return again


def _stated(document: Mapping[str, Any], again: Rerun) -> str:
    """What the file says that came out is what comes out: of its own rules all, of older ones what was proven."""
    rules = document["analysis"]["rules"]
    if rules != RULES:
        assert again.proven is not None
        assert again.proven.facts is not None
        proven = slots_of(replace(again.verdict, slots=tuple(sorted(again.proven.facts.storage.items()))))
        if document["slots"] != proven:
            raise Failed("the certificate's slots are not those that its evidence proves")
        return f"{len(proven)} slots, as stated; the counts are of rules {rules}, and these are {RULES}"
    for name, actual in (
        ("verdict", again.verdict.verdict),
        ("reason", again.verdict.reason),
        ("analysis", summary_of(again.verdict)),
        ("slots", slots_of(again.verdict)),
    ):
        if document[name] != actual:
            raise Failed(f"the certificate's {name} is not what comes out: {_brief(document[name])} → {_brief(actual)}")
    return f"{again.verdict.states} states, {again.verdict.steps} steps, {len(again.verdict.slots)} slots, as stated"


def _stated_assumptions(document: Mapping[str, Any]) -> str:
    expected = rests_on(document)
    if document["restsOn"] != expected:
        raise Failed("the certificate does not state what it rests on")
    more = [item for item in rests_on(document, RULES) if item not in expected]
    today = f"; today's rules, by which it was run again, state more: {' '.join(more)}" if more else ""
    return f"{len(expected)} assumptions, all stated{today}"


def _report(
    checks: Checklist,
    document: Mapping[str, Any] | None = None,
    signer: Address | None = None,
    again: Rerun | None = None,
) -> CertificateReport:
    valid, verdict, reason, claim = checks.whole, "inconclusive", "certificate_invalid", None
    detail = checks.first_failure() or "it cannot be read"
    if valid and again is None:
        reason, claim = "analysis_not_run", "state_proven"
        detail = (
            "a certificate of the first release: it proves the wallet's state at the block, and not that no call can "
            f"ever change it; {REISSUE}"
        )
    elif valid and again is not None and again.verdict.verdict != "irreversible":
        assert document is not None
        reason, claim, detail = "rules_outdated", "state_proven", unproven_since(document, again) or ""
    elif valid and again is not None:
        verdict, reason, claim = again.verdict.verdict, again.verdict.reason, again.verdict.verdict
        detail = again.verdict.detail
    return CertificateReport(
        valid=valid,
        verdict=verdict,
        reason=reason,
        detail=detail,
        claim=claim,
        version=None if document is None else document["version"],
        analysis="not_run" if again is None else again.verdict.analysis,
        address=None if document is None else Address(document["address"]),
        chain_id=None if document is None else document["chainId"],
        block=None if document is None else block_of(document),
        signer=signer,
        signed=signer is not None,
        canonical=None,
        checks=tuple(checks.checks),
        document=document,
    )


def _brief(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 120 else text[:120] + "…"
