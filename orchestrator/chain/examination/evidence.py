"""Gathers the evidence on one account at one block: proofs and code, until their analysis lacks nothing.

The analysis says which slots and which codes it needs; these are asked for and proven, and it is run again. In the end
what it did not read is dropped, so that the evidence has exactly the facts of the analysis.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from orchestrator.chain.examination.pinned import PinnedBlock
from orchestrator.chain.examination.record import Ended, Record
from orchestrator.chain.node import parse
from orchestrator.chain.node.rpc import Call, RpcFailure
from orchestrator.closure.evm.analysis import analyse
from orchestrator.closure.evm.facts import AccountFacts, Analysis
from orchestrator.closure.proof.evidence import (
    MAX_TARGETS,
    Evidence,
    Proven,
    Target,
    prove,
    to_eip55,
)
from orchestrator.closure.proof.merkle import EMPTY_ROOT
from orchestrator.closure.proof.state import EMPTY_CODE_HASH, MAX_SLOTS, storage_keys
from orchestrator.errors import ProofInvalid
from orchestrator.models import Address

_LIKELY_SLOTS: Final = (
    *range(8),  # where compilers put the first variables
    0x360894A13BA1A3210667C828492DB98DCA3E2076CC3735A920A3CA505D382BBC,  # EIP-1967: implementation
    0xB53127684A568B3173AE13B9F8A6016E243E63B6E8EE1178D6A717850B5D6103,  # admin
    0xA3F0AD74E5423AEBFD80D3EF4346578335A9A72AEAEE59FF6CB3582B35133D50,  # beacon
)
"""Asked for with the code, so that a usual contract needs no further round trip."""
_ROUNDS: Final = 12
"""Rounds of proofs: a proxy needs two, a chain of proxies one for each."""


async def prove_and_analyse(
    pinned: PinnedBlock, address: Address, record: Record, progress: Callable[[str], None]
) -> tuple[AccountFacts, Analysis] | None:
    """The proven facts about the account, and their analysis; None where there is no EVM code to analyse.

    One round trip, and one for each further round of proofs; the analysis runs in a thread. Records the evidence, its
    proof's checks, and the analysis. Raises Ended (``proof_invalid``, ``missing_fact``, or the reason of a refusal),
    ProofInvalid, ChainUnreachable, ChainNonsense.
    """
    first = await _first_evidence(pinned, address, record)
    evidence, analysis = await _gather(pinned, first, record, progress)
    read = ((), ()) if analysis is None else (analysis.slots, analysis.targets)
    facts = (await _prove(pinned, evidence.narrowed(*read), record)).facts
    return None if facts is None or analysis is None else (facts, analysis)


async def _first_evidence(pinned: PinnedBlock, address: Address, record: Record) -> Evidence:
    """The account's code, and the proof of what will probably be read; also whether the newest block has code."""
    code, proof, latest = await pinned.ask(
        lambda at: [
            ("eth_getCode", [address, at]),
            ("eth_getProof", [address, [_word(slot) for slot in _LIKELY_SLOTS], at]),
            ("eth_getCode", [address, "latest"]),
        ],
        demanded=2,
    )
    if pinned.empty:
        proof, code = _nothing(address), "0x"
    record.evidence = evidence = Evidence(
        pinned.chain_id, address, pinned.verified.fields, _account_proof(proof), parse.data(code, "eth_getCode"), {}
    )
    if not isinstance(latest, RpcFailure):
        record.code_at_latest = parse.data(latest, "eth_getCode at latest") != b""
    return evidence


async def _gather(
    pinned: PinnedBlock, evidence: Evidence, record: Record, progress: Callable[[str], None]
) -> tuple[Evidence, Analysis | None]:
    """Proves, analyses, and asks for what was missing, until nothing is."""
    for _ in range(_ROUNDS):
        facts = (await _prove(pinned, evidence, record)).facts
        if facts is None:
            return evidence, None
        progress(f"executing every path of {len(evidence.code)} bytes of code")
        analysis = await _analyse(facts, record)
        slots, targets = _needed(facts, analysis)
        if not slots and not targets:
            return evidence, analysis
        progress(f"proving {len(slots)} more slots and {len(targets)} more codes")
        evidence = await _more_evidence(pinned, evidence, slots, targets)
    raise Ended("missing_fact", f"after {_ROUNDS} rounds of proofs the analysis still asks for more")


async def _prove(pinned: PinnedBlock, evidence: Evidence, record: Record) -> Proven:
    record.evidence, record.proven, record.checks = evidence, None, []
    try:
        record.proven = proven = await asyncio.to_thread(prove, evidence, pinned.block.hash, record.checks)
    except ProofInvalid as error:
        record.analysis = None  # that of an earlier round was of less
        raise Ended("proof_invalid", error.message) from error
    return proven


async def _analyse(facts: AccountFacts, record: Record) -> Analysis:
    started = time.perf_counter()
    record.analysis = analysis = await asyncio.to_thread(analyse, facts)
    record.seconds += time.perf_counter() - started
    return analysis


def _needed(facts: AccountFacts, analysis: Analysis) -> tuple[list[int], list[int]]:
    """What the analysis asked for and has not been given, within bounds."""
    slots = [slot for slot in analysis.needs.slots if slot not in facts.storage]
    targets = [code for code in analysis.needs.codes if code not in facts.codes and code != facts.address]
    if len(facts.storage) + len(slots) > MAX_SLOTS or len(facts.codes) + len(targets) > MAX_TARGETS:
        raise Ended("missing_fact", f"the analysis asks for {len(slots)} slots and {len(targets)} codes more")
    return sorted(set(slots)), sorted(set(targets))


async def _more_evidence(pinned: PinnedBlock, old: Evidence, slots: Sequence[int], targets: Sequence[int]) -> Evidence:
    """Asks for slots of the account, and for the targets' accounts and codes: one round trip."""

    def calls(at: Any) -> list[Call]:
        asked: list[Call] = []
        if slots:
            asked.append(("eth_getProof", [old.address, [_word(slot) for slot in slots], at]))
        for target in targets:
            asked.append(("eth_getProof", [to_eip55(target), [], at]))
            asked.append(("eth_getCode", [to_eip55(target), at]))
        return asked

    answers = await pinned.ask(calls)
    account = dict(old.account_proof)
    if slots:
        more = _account_proof(answers.pop(0))
        account["storageProof"] = [*account["storageProof"], *more["storageProof"]]
    codes = dict(old.targets)
    for target, proof, code in zip(targets, answers[::2], answers[1::2], strict=True):
        address = to_eip55(target)
        codes[address] = Target(_account_proof(proof), parse.data(code, f"eth_getCode of {address}"))
    return Evidence(old.chain_id, old.address, old.header, account, old.code, codes)


def _account_proof(answer: Any) -> dict[str, Any]:
    """``eth_getProof``'s answer, of which ``prove`` checks the members; here only that it can be taken apart."""
    if not isinstance(answer, dict):
        raise ProofInvalid(f"proof: expected an object, got {parse.show(answer)}")
    proof: dict[str, Any] = answer
    if proof.get("storageProof") is None:
        proof = {**proof, "storageProof": []}  # null for an empty list
    storage_keys(proof)
    return proof


def _nothing(address: Address) -> dict[str, Any]:
    """The proof of absence from a state whose root is the empty trie's: that root is all there is to it."""
    return {
        "address": address,
        "accountProof": [],
        "balance": "0x0",
        "codeHash": "0x" + EMPTY_CODE_HASH.hex(),
        "nonce": "0x0",
        "storageHash": "0x" + EMPTY_ROOT.hex(),
        "storageProof": [],
    }


def _word(slot: int) -> str:
    return f"0x{slot:064x}"
