"""What a verifier found in a certificate, and the list of checks that it is made of. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from orchestrator.closure.proof.evidence import Check
from orchestrator.errors import ProofInvalid
from orchestrator.models import Address, BlockRef

REISSUE: Final = "re-issue it with orchestrator close ACCOUNT_ID, or orchestrator audit for all"
"""What to do about a certificate of the first release."""


@dataclass(frozen=True, slots=True)
class CertificateReport:
    """``valid`` says that the file holds together, ``verdict`` what it then means."""

    valid: bool
    verdict: str
    """``irreversible`` if the re-run proof says so; ``inconclusive`` for every other certificate."""
    reason: str
    claim: str | None
    """What a valid certificate shows: ``irreversible``, or ``state_proven`` of the first release and of older rules by
    which it was irreversible, and by today's is not. None if invalid."""
    address: Address | None
    chain_id: str | None
    block: BlockRef | None
    signer: Address | None
    """Who signed it: known, not trusted, unless a signer was demanded."""
    signed: bool
    canonical: bool | None
    """Whether the block is in the canonical chain; None if no node was asked, or none knows."""
    checks: tuple[Check, ...]
    detail: str = ""
    """One sentence for people."""
    version: int | None = None
    analysis: str = "not_run"
    """Of the re-run: ``inert``, ``acting``, ``undecided``; ``not_run`` for version 1 and where it came to none."""
    document: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)
    """The file's content, as the schema has it; None if it is not. Written by anyone."""

    def to_json(self) -> dict[str, Any]:
        """The document that ``orchestrator certificate verify --json`` prints."""
        return {
            "valid": self.valid,
            "verdict": self.verdict,
            "reason": self.reason,
            "detail": self.detail,
            "claim": self.claim,
            "analysis": self.analysis,
            "version": self.version,
            "address": self.address,
            "chainId": self.chain_id,
            "block": None if self.block is None else {"number": self.block.number, "hash": self.block.hash},
            "signer": self.signer,
            "signed": self.signed,
            "canonical": self.canonical,
            "checks": [{"name": c.name, "result": c.result, "detail": c.detail} for c in self.checks],
        }


class Failed(Exception):
    """A check that does not hold, with the sentence that says so."""


class Checklist:
    """Checks in their order. One that needs a failed one is ``skipped``."""

    def __init__(self) -> None:
        self.checks: list[Check] = []

    def check(self, name: str, function: Callable[[], str], possible: bool = True) -> bool:
        """Runs ``function``, whose answer is the passed check's detail. True if it passed."""
        if not possible:
            self.skip(name, "an earlier check that this one needs failed")
            return False
        try:
            detail = function()
        except Failed as error:
            self.checks.append(Check(name, "fail", str(error)))
        except ProofInvalid as error:
            self.checks.append(Check(name, "fail", error.message))
        else:
            self.checks.append(Check(name, "pass", detail))
            return True
        return False

    def fail(self, name: str, detail: str) -> None:
        self.checks.append(Check(name, "fail", detail))

    def skip(self, name: str, detail: str) -> None:
        self.checks.append(Check(name, "skipped", detail))

    @property
    def whole(self) -> bool:
        """Whether nothing failed so far."""
        return all(check.result != "fail" for check in self.checks)

    def first_failure(self) -> str:
        """The first failed check as a sentence, or an empty text."""
        return next((f"{c.name}: {c.detail}" for c in self.checks if c.result == "fail"), "")
