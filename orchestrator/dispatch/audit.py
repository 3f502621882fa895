"""Audits all closures of a journal, a few at a time, and sees to what is found: certificates revoked or made anew."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.errors import OrchestratorError
from orchestrator.lifecycle.fold import AccountState
from orchestrator.models import AccountId, BlockRef
from orchestrator.report import AuditReport, BlockId, ClosureReport
from orchestrator.session import Services
from orchestrator.steps.audit import Audited, audit, closed

CONCURRENT_PROOFS = 8
"""Closures that are proven at the same time: each is a few round trips and some milliseconds."""


@dataclass(frozen=True, slots=True)
class Auditor:
    """``poll`` reads an account back (which revokes a void certificate), ``certify`` proves and certifies its
    closure anew; both lock the account. ``state`` reads an account back. Both may raise OrchestratorError."""

    services: Services
    state: Callable[[AccountId], Awaitable[AccountState]]
    poll: Callable[[AccountId], Awaitable[Any]]
    certify: Callable[[AccountId], Awaitable[Any]]
    watch: Callable[[str, str], None]

    async def audit(self, states: Mapping[AccountId, AccountState]) -> AuditReport:
        """Every closure among these accounts, proven again now. SIDE EFFECTS: those of ``poll`` and ``certify``."""
        gate = asyncio.Semaphore(CONCURRENT_PROOFS)

        async def one(account_id: AccountId) -> Audited:
            async with gate:
                self.watch(account_id, "audit: proving the closure again")
                return await self._one(account_id, states[account_id])

        return _report(await asyncio.gather(*(one(account_id) for account_id in closed(states))))

    async def _one(self, account_id: AccountId, state: AccountState) -> Audited:
        if state.revoked is not None:  # done when it was journaled, unless the process ended just there
            self.services.certifier.revoke(state.revoked.certificate, state.revoked.certificate_sha256)
        found = await audit(self.services, account_id, state)
        try:
            if found.canonical is False:
                self.watch(account_id, "audit: revoking the certificate")
                await self.poll(account_id)
            elif found.needs_certificate:
                self.watch(account_id, "audit: issuing a new certificate")
                await self.certify(account_id)
                return await audit(self.services, account_id, await self.state(account_id))
        except OrchestratorError as error:  # what was found stands; what could not be done about it is reported
            self.watch(account_id, f"audit: {error.code}: {error.message}")
        return found


def _report(found: Sequence[Audited]) -> AuditReport:
    counts = Counter(audited.result for audited in found)
    return AuditReport(
        closures=[
            ClosureReport(
                account_id=audited.account_id,
                address=audited.address,
                result=audited.result,
                verdict=audited.verdict,
                reason=audited.reason,
                detail=audited.detail,
                block=_block(audited.block),
                certificate=audited.certificate,
                certified_block=_block(audited.certified),
                canonical=audited.canonical,
            )
            for audited in found
        ],
        holds=counts["holds"],
        fails=counts["fails"],
        unknown=counts["unknown"],
    )


def _block(block: BlockRef | None) -> BlockId | None:
    return None if block is None else BlockId(number=block.number, hash=block.hash)
