"""The record of an examination: all that was found until it ended, and the verdict on it.

Each stage is handed what it needs, writes into the record what it finds, and reads nothing of it. Whatever stands there
when a run ends, for whatever reason, is what the verdict is made of.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from orchestrator.chain.examination.residue import NOT_EXAMINED, proven_residue
from orchestrator.closure.evm.facts import Analysis
from orchestrator.closure.judge import judge
from orchestrator.closure.proof.evidence import Check, Evidence, Proven
from orchestrator.closure.verdict import Residue, Standing, Trouble, Verdict, Witness
from orchestrator.models import Address, BlockRef, ChainId


class Ended(Exception):
    """The end of an examination before it is through, with its reason."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.trouble = Trouble(code, message)


@dataclass(slots=True)
class Record:
    """The record of one run. What the run did not reach is None or empty."""

    chain_id: ChainId | None = None
    block: BlockRef | None = None
    evidence: Evidence | None = None
    code_at_latest: bool | None = None
    """Whether the newest block has code at the address; None if the node refuses to say."""
    checks: list[Check] = field(default_factory=list)
    """Of the latest proof."""
    proven: Proven | None = None
    analysis: Analysis | None = None
    seconds: float = 0.0
    """What the analysis took, all rounds together."""
    witness: Witness | None = None
    residue: list[Residue] = field(default_factory=list)
    """What the node was asked for; what follows from the proof is added in the end."""
    standing: Standing = Standing.UNKNOWN
    standing_detail: str = "the block could not be read again"
    trouble: Trouble | None = None

    def verdict(self, address: Address) -> Verdict:
        """The verdict on the contract at ``address``, from what is found by now. Raises nothing."""
        return judge(
            address=address,
            chain_id=self.chain_id,
            block=self.block,
            proven=self.proven,
            analysis=self.analysis,
            standing=self.standing,
            standing_detail=self.standing_detail,
            code_at_latest=self.code_at_latest,
            witness=self.witness,
            checks=self.checks,
            residue=[*proven_residue(self.proven, self.analysis), *self.residue, NOT_EXAMINED],
            trouble=self.trouble,
            milliseconds=self.seconds * 1000,
        )
