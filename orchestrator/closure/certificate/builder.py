"""The closure certificate: one JSON file that proves, offline, that a contract is disabled for ever.

Version 2 carries all that the proof rests on: the block's header, the account with every storage slot that the
analysis read (exactly those), all code that it executed, each with its Merkle proof. A verifier runs proof, analysis
and verdict again (``verifier``) and believes nothing that the file says about itself. For an
account of the platform it also says whose contract it is (``account``); a certificate of any other contract has no such
section. Canonical form is RFC 8785 and one newline.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from orchestrator.closure.certificate import envelope
from orchestrator.closure.certificate.attribution import contract, named
from orchestrator.closure.certificate.profiled import attribution_of
from orchestrator.closure.certificate.rerun import rests_on, slots_of, summary_of
from orchestrator.closure.certificate.verifier import verify
from orchestrator.closure.proof.evidence import Evidence, Target
from orchestrator.closure.proof.header import verify_header
from orchestrator.closure.proof.state import one_spelling
from orchestrator.closure.verdict import Residue, Verdict
from orchestrator.errors import Disagreement, ProofInvalid
from orchestrator.foreign import shown
from orchestrator.models import AccountStatus, Address, ChainAccount, WalletState
from orchestrator.ports.chain import ChainView
from orchestrator.ports.platform import PlatformAccount
from orchestrator.ports.signers import Signer
from orchestrator.wallet.contract import wallet_immutables, wallet_salt
from orchestrator.wallet.reading import DEFAULT_PROFILE, Profile
from orchestrator.wallet.releases import recognise

VERSION: Final = 2
VERSION_BY_PROFILE: Final = 3
"""Of a wallet that another profile than the default one describes."""
TOOL: Final = "offblocks-orchestrator"
_MAX_RESIDUE: Final = 1000


@dataclass(frozen=True, slots=True)
class AccountRecord:
    """Whose contract it is: the platform's record, the customer's own wallet, and where the chain shows its wallet."""

    platform: PlatformAccount
    owner: ChainAccount
    view: ChainView
    """Supplies deployment and closing transaction."""
    profile: Profile
    """What the wallet was followed by."""
    factory: Address


def build_certificate(
    evidence: Evidence,
    verdict: Verdict,
    *,
    account: AccountRecord | None = None,
    residue: Sequence[Residue] = (),
    signer: Signer | None = None,
    issued_at: datetime | None = None,
) -> bytes:
    """The certificate's bytes. Nothing is signed that does not verify: proof and analysis are run again from them.

    Only for a ``verdict`` that is ``irreversible``, with exactly the ``evidence`` that its analysis read (as an
    examination leaves it). ``residue`` is added to the verdict's. Raises ProofInvalid (``closure_not_proven`` for any
    other verdict), Disagreement if platform or chain do not say closed, and the signer's SigningError, KeyUnavailable.
    """
    if verdict.verdict != "irreversible" or verdict.block is None:
        raise ProofInvalid(
            f"expected the verdict irreversible, got {verdict.verdict} ({verdict.reason}): {verdict.detail}",
            code="closure_not_proven",
        )
    document: dict[str, Any] = {
        "format": envelope.FORMAT,
        "version": VERSION if account is None or account.profile.id == DEFAULT_PROFILE else VERSION_BY_PROFILE,
        "verdict": verdict.verdict,
        "reason": verdict.reason,
        "analysis": summary_of(verdict),
        "issuedAt": _time(issued_at or datetime.now(UTC)),
        "tool": {"name": TOOL, "version": importlib.metadata.version(TOOL)},
        "chainId": str(evidence.chain_id),
        "address": evidence.address,
        "block": {"number": verdict.block.number, "hash": verdict.block.hash, "finality": "finalized"},
        "header": dict(verify_header(evidence.header).fields),
        "accountProof": one_spelling(evidence.account_proof),
        "code": "0x" + evidence.code.hex(),
        "slots": slots_of(verdict),
        "targets": [_target(address, target) for address, target in sorted(evidence.targets.items())],
        "residue": _residue((*verdict.residue, *residue)),
    }
    if account is not None:
        document["account"] = _account(account, evidence)
    document["restsOn"] = rests_on(document)
    unsigned = envelope.seal(document, None)
    report = verify(unsigned, known=None if account is None else account.profile)
    if not report.valid or report.verdict != "irreversible":
        raise ProofInvalid(f"no certificate was made: {report.detail}")
    return unsigned if signer is None else envelope.seal(document, signer)


def _account(account: AccountRecord, evidence: Evidence) -> dict[str, Any]:
    platform, view = account.platform, account.view
    deployment, change = view.deployment, view.change
    if deployment is None or change is None or change.state not in (WalletState.CLOSED, WalletState.UNKNOWN):
        state = "no wallet" if deployment is None or change is None else change.state.value
        raise Disagreement(f"a certificate needs a closed wallet, the chain has: {state}", code="not_closed")
    if platform.status is not AccountStatus.CLOSED:
        raise Disagreement(
            f"a certificate needs a closed account, the platform says {platform.status}", code="not_closed"
        )
    if account.profile.id == DEFAULT_PROFILE:
        artifact = recognise(evidence.code)
        values = None if artifact is None else wallet_immutables(artifact, evidence.code)
        if artifact is None or values is None:
            raise ProofInvalid(
                "code: expected a released wallet's code with immutables masked, the proven code differs"
            )
        whose: dict[str, Any] = {"contract": contract(artifact)}
        deployed = {**named(values), "salt": "0x" + wallet_salt(values.owner, platform.id).hex()}
    else:
        whose, deployed = attribution_of(account.profile, account.factory, deployment), {}
    return {
        **whose,
        "deployment": {
            **deployed,
            "transaction": deployment.tx_hash,
            "block": {"number": deployment.block.number, "hash": deployment.block.hash},
        },
        "closing": {
            "transaction": change.tx_hash,
            "block": {"number": change.block.number, "hash": change.block.hash},
        },
        "platform": {
            "accountId": platform.id,
            "customerId": platform.customer_id,
            "owner": str(account.owner),
            "status": platform.status.value,
            "updatedAt": _time(platform.updated_at),
        },
    }


def _target(address: str, target: Target) -> dict[str, Any]:
    proof = one_spelling({**target.proof, "storageProof": []})
    del proof["storageProof"]
    return {"address": address, "accountProof": proof, "code": "0x" + target.code.hex()}


def _residue(items: Sequence[Residue]) -> list[dict[str, str]]:
    return [{"kind": item.kind, "detail": _text(item.detail)} for item in items[:_MAX_RESIDUE]]


def _text(detail: str) -> str:
    """Residue may quote what a token said about itself: any text, of any length."""
    return shown(detail)[:2000] or "no detail"


def _time(moment: datetime) -> str:
    """ISO-8601 in UTC, to the microsecond only where there are any."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
