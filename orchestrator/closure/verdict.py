"""What a verdict on a contract is: the answer about one account at one block, and all that it rests on. Pure, no rules.

``judge`` makes it; whoever shows, certifies or explains one needs no more than this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Literal

from orchestrator.closure.proof.evidence import Check, Evidence
from orchestrator.models import Address, BlockRef, ChainId
from orchestrator.ports.chain import Examined

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


ANSWER: Final = "RETURN"
"""The opcode that a witness of an answer with authority names."""


DELEGATING: Final = frozenset({"DELEGATECALL", "CALLCODE"})
"""Opcodes that run another's code as the account's own: whether they act depends on what they ran."""


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
    idle: bool = False
    """Whether the call was executed and reached a DELEGATECALL or CALLCODE of which nothing came; not in documents."""
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
    """Something that closing left behind, cannot prevent, or that was not examined. Never part of the verdict."""

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
    ``inconclusive``: ``acting_unconfirmed``, ``delegate_idle``, ``authority_unconfirmed``, ``not_final``,
    ``not_canonical``, ``unsupported_code``, ``system_address``, ``caller_zero``; the analysis' own
    (``Analysis.reason``: ``missing_fact``, ``step_limit``, ``unknown_jump``, …); of the node and its proofs
    ``chain_unreachable``, ``rpc_overload``, ``chain_nonsense``, ``chain_behind``, ``answer_unreadable``,
    ``answer_too_large``, ``rpc_refused``, ``rpc_plan``, ``rpc_http``, ``no_such_block``, ``no_proof_method``,
    ``no_code`` (said, and not proven), ``state_pruned``, ``unsupported_chain``, ``header_mismatch``,
    ``no_state_root``, ``proof_invalid``, ``latest_unknown``; and ``internal``, a defect.
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


@dataclass(frozen=True, slots=True)
class Examination:
    """A verdict, and what it was made of: exactly what the analysis read. None if nothing could be proven."""

    verdict: Verdict
    evidence: Evidence | None


@dataclass(frozen=True, slots=True)
class Certifiable(Examined):
    """What an examination came to, as the steps see it, with all that a certificate is made of."""

    examination: Examination
