"""The proof run again from a certificate's own evidence, and what a certificate says about it. Pure.

The builder and the verifier of certificates both use this, so that what is stated is what comes out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.closure.chains import NO_CALL_FROM_ZERO, callers
from orchestrator.closure.evm.facts import Analysis
from orchestrator.closure.judge import judge
from orchestrator.closure.proof.evidence import Check, Evidence, Proven, Target, prove
from orchestrator.closure.proof.header import Fork, verify_header
from orchestrator.closure.verdict import Standing, Trouble, Verdict
from orchestrator.errors import ProofInvalid
from orchestrator.models import Address, BlockHash, BlockNumber, BlockRef, ChainId

RULES: Final = 3
"""Which analysis a certificate's summary is of. To be raised, in the certificate's schema too, when a change of the
engine changes the states, steps or slots of code that it still finds inert, or what is assumed: a verifier compares
them for its own rules only.

1: CALLER and ORIGIN are never 0, on any chain; five questions of authority.
2: CALLER is never 0 on the chains of a table (``chains``), ORIGIN may be 0 everywhere; the questions of ``questions``.
3: A yes of ERC-4337 counts only if its time may come (``questions``); of every chain it is said what is assumed of
callers.
"""

STANDING: Final = (
    "called finalized by the node that was asked when this was made; --rpc-url asks whether it is canonical now"
)
TIMES: Final = (
    "Times: no block's time in seconds since 1970, and no block's number, reaches 2^46: a consent of ERC-4337 that "
    "begins there is none."
)
EIP_8024: Final = (
    "EIP-8024: DUPN and SWAPN read their immediate x as the depth (x + 145) mod 256, EXCHANGE as the pair of x xor "
    "143, as that draft has it since February 2026."
)
_ALWAYS: Final = (
    "No irregular state change: no fork that edits storage or code by decree, no upgrade key of a layer 2 that does.",
    "The proof: this tool's verification and analysis are right. Both are run again by every verifier.",
)


@dataclass(frozen=True, slots=True)
class Rerun:
    """What came out. ``proven`` and ``analysis`` are None where it did not come so far."""

    proven: Proven | None
    analysis: Analysis | None
    verdict: Verdict


def rerun(evidence: Evidence, block: BlockRef) -> Rerun:
    """Proof, analysis and verdict for a block that is taken for final. Raises nothing for any evidence."""
    from orchestrator.closure.evm.analysis import analyse

    log: list[Check] = []
    proven: Proven | None = None
    trouble: Trouble | None = None
    try:
        proven = prove(evidence, block.hash, log)
    except ProofInvalid as error:
        trouble = Trouble(error.code, error.message)
    if proven is not None and proven.block != block:
        number = proven.block.number
        proven = None
        trouble = Trouble("proof_invalid", f"the header is of block {number}, the certificate says {block.number}")
    analysis = None if proven is None or proven.facts is None else analyse(proven.facts)
    verdict = judge(
        address=evidence.address,
        chain_id=evidence.chain_id,
        block=block,
        proven=proven,
        analysis=analysis,
        standing=Standing.FINAL,
        standing_detail=STANDING,
        checks=log,
        trouble=trouble,
    )
    return Rerun(proven, analysis, verdict)


def surplus(evidence: Evidence, analysis: Analysis) -> str | None:
    """What the evidence holds and the analysis did not read, in words: a certificate holds exactly what was read."""
    stated = {int(entry["key"], 16) for entry in evidence.account_proof["storageProof"]}
    slots = stated - set(analysis.slots)
    own = int(evidence.address, 16)
    targets = {int(target, 16) for target in evidence.targets} - (set(analysis.targets) - {own})
    if not slots and not targets:
        return None
    shown = ", ".join([f"slot {slot:#x}" for slot in sorted(slots)] + [f"code of {one:#042x}" for one in targets])
    return f"the evidence holds what the analysis does not read: {shown[:300]}"


def ambiguous(document: Mapping[str, Any]) -> str | None:
    """What a certificate says twice, or says and does not prove, in words: by no rules may it."""
    targets = [target["address"] for target in document["targets"]]
    return "the evidence names a target twice" if len(targets) != len(set(targets)) else unhashed(document["header"])


def unhashed(header: Mapping[str, Any]) -> str | None:
    """What a header holds beside the fields that hash to its hash, in words: such members say nothing, but look so."""
    more = sorted(set(header) - set(verify_header(header).fields))
    return f"the header holds what its hash does not cover: {', '.join(more)}" if more else None


def unproven_since(document: Mapping[str, Any], again: Rerun) -> str | None:
    """Why a certificate of older rules, whose evidence holds, is no proof of irreversibility by today's; in words.

    None for any other: of today's rules, still irreversible, or one whose evidence does not hold.
    """
    rules, verdict = document["analysis"]["rules"], again.verdict
    if rules == RULES or again.analysis is None or verdict.verdict != "inconclusive":
        return None
    return (
        f"issued by rules {rules}, which were mended since; by today's, {RULES}, its evidence comes to "
        f"{verdict.verdict}, {verdict.reason}: {verdict.detail}. Prove it anew: orchestrator verify-closure"
    )


# --- a certificate's content ---------------------------------------------------------------------------------------


def evidence_of(document: Mapping[str, Any]) -> Evidence:
    """The evidence in a version 2 certificate. Not verified."""
    return Evidence(
        chain_id=ChainId.parse(document["chainId"]),
        address=Address(document["address"]),
        header=document["header"],
        account_proof=document["accountProof"],
        code=bytes.fromhex(document["code"][2:]),
        targets={
            Address(target["address"]): Target(
                {**target["accountProof"], "storageProof": []}, bytes.fromhex(target["code"][2:])
            )
            for target in document["targets"]
        },
    )


def block_of(document: Mapping[str, Any]) -> BlockRef:
    """The block that a certificate names."""
    return BlockRef(BlockNumber(document["block"]["number"]), BlockHash(document["block"]["hash"]))


def summary_of(verdict: Verdict) -> dict[str, Any]:
    """The analysis as a certificate states it."""
    return {"rules": RULES, "result": verdict.analysis, "states": verdict.states, "steps": verdict.steps}


def slots_of(verdict: Verdict) -> list[dict[str, str]]:
    """The storage that the analysis read, as a certificate states it."""
    return [{"address": verdict.address, "slot": word(slot), "value": word(value)} for slot, value in verdict.slots]


_HASHES: Final = (
    "Collision resistance: keccak256 and SHA-256 have no collisions, and nobody finds an input whose keccak256 is "
    "below 2^64."
)


def rests_on(document: Mapping[str, Any], rules: int | None = None) -> list[str]:
    """What a version 2 certificate rests on besides its bytes. Follows from its content: none can be left out.

    By its own rules, or by ``rules``: a proof by those may assume more. Raises ProofInvalid for a header that does not
    hash to its hash.
    """
    fork = verify_header(document["header"]).fork
    shown = fork.name.capitalize() if fork >= Fork.LONDON else fork.names
    block, issued_by = document["block"], rules or document["analysis"]["rules"]
    canonical = (
        f"Canonical block: block {block['number']} ({block['hash']}) is in the canonical chain of "
        f"{document['chainId']}. Offline, everything here is relative to that hash; the node that was asked called it "
        "finalized. If it leaves the canonical chain, this certificate is revoked."
    )
    evm = (
        f"EVM rules: the chain runs the EVM by Ethereum's rules ({shown} or later, by the header), and later forks "
        "keep the meaning of existing opcodes and of EIP-3607, EIP-6780 and EIP-7702."
    )
    assumptions = [_HASHES, canonical, evm, *_ALWAYS]
    chain = ChainId.parse(document["chainId"])
    if issued_by > 2 or (issued_by > 1 and chain.number in NO_CALL_FROM_ZERO):
        assumptions.append(f"Callers: {callers(chain)}.")
    if issued_by > 2:
        assumptions.append(TIMES)
        assumptions += [EIP_8024] if fork >= Fork.AMSTERDAM else []
    if "account" in document:
        assumptions.append(
            "The record: deployment, closing transaction and the platform's record are as reported, outside of the "
            "proofs; a verifier with a node asks for the closing transaction's receipt."
        )
    if "profile" in document.get("account", {}):
        profile, missing = document["account"]["profile"], document["account"]["notChecked"]
        assumptions.append(
            f"Whose contract it is, was judged by the wallet profile {profile['name']} ({profile['sha256']}). "
            f"NOT checked: {', '.join(missing) or 'nothing is left out'}. What events, getters and a registry said "
            "is as reported; what code and storage say is proven."
        )
    return assumptions


def word(value: int) -> str:
    """A storage slot or value as a certificate writes it: 32 bytes."""
    return "0x" + value.to_bytes(32, "big").hex()
