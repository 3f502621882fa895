"""The closure certificate: one JSON file that shows, offline, what the chain held when an account's wallet was closed.

This release's claim is ``state_proven``: at a finalized block the wallet had the shipped contract's code and a closed
wallet's storage, all proven against the block's hash. It does NOT claim that nothing can ever change that (``analysis``
is ``not_run``, the verdict ``inconclusive``). Canonical form is RFC 8785 and one newline; the verifier serializes
again and compares bytes, runs every check again, and believes nothing that the file says about itself.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import rfc8785

from orchestrator.artifacts import Artifact, load
from orchestrator.closure.proof import header_fields
from orchestrator.closure.verifier import verify
from orchestrator.closure.wallet import CLOSED_SLOTS, wallet_immutables, wallet_salt
from orchestrator.errors import Disagreement, ProofInvalid
from orchestrator.models import AccountStatus, ChainId, WalletState
from orchestrator.ports import ChainView, PlatformAccount, ProvenAccount, Signer

FORMAT: Final = "offblocks-closure-certificate"
VERSION: Final = 1
CLAIM: Final = "state_proven"
CLOSED_SLOT_NUMBERS: Final = tuple(slot for slot, _, _ in CLOSED_SLOTS)
"""The storage slots that a certificate's proof is for."""
_MAX_RESIDUE: Final = 1000

RESTS_ON: Final = (
    "keccak256 and SHA-256 have no collisions.",
    "The block is in the chain's canonical history: offline, everything here is relative to its hash.",
    "The block was called finalized by the node that was asked; if it leaves the canonical chain, this is void.",
    "Deployment and closing transaction and the platform's record are as reported, outside of the Merkle proofs.",
    "That the code can never act again has not been analysed for this certificate.",
)


@dataclass(frozen=True, slots=True)
class Residue:
    """Something that closing left behind or cannot prevent, for example ``ether`` or ``token``."""

    kind: str
    detail: str


def build_certificate(
    *,
    chain: ChainId,
    platform: PlatformAccount,
    view: ChainView,
    proven: ProvenAccount,
    residue: Sequence[Residue] = (),
    signer: Signer | None = None,
    issued_at: datetime | None = None,
    artifact: Artifact | None = None,
) -> bytes:
    """The certificate's bytes, verified before they are returned.

    ``proven`` is for the slots of ``CLOSED_SLOTS`` (``CLOSED_SLOT_NUMBERS``); ``view`` supplies deployment and closing
    transaction. Raises Disagreement if platform or view do not say closed, ProofInvalid if the proof does not show a
    closed wallet, SigningError and KeyUnavailable from the signer.
    """
    artifact = artifact or load("SmartWallet")
    deployment, change = view.deployment, view.change
    if deployment is None or change is None or change.state is not WalletState.CLOSED:
        state = "no wallet" if deployment is None or change is None else change.state.value
        raise Disagreement(f"a certificate needs a closed wallet, the chain has: {state}", code="not_closed")
    if platform.status is not AccountStatus.CLOSED:
        raise Disagreement(
            f"a certificate needs a closed account, the platform says {platform.status.value}", code="not_closed"
        )
    values = wallet_immutables(artifact, proven.code)
    if values is None:
        raise ProofInvalid("code: expected the shipped wallet's code with immutables masked, the proven code differs")
    document: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "claim": CLAIM,
        "verdict": "inconclusive",
        "reason": "analysis_not_run",
        "analysis": {"result": "not_run"},
        "issuedAt": _time(issued_at or datetime.now(UTC)),
        "tool": {"name": "offblocks-orchestrator", "version": importlib.metadata.version("offblocks-orchestrator")},
        "chainId": str(chain),
        "address": deployment.wallet,
        "block": {"number": proven.block.number, "hash": proven.block.hash, "finality": "finalized"},
        "header": _lower(header_fields(proven.header)),
        "accountProof": _proof(proven.account_proof),
        "code": "0x" + proven.code.hex(),
        "slots": [
            {"address": deployment.wallet, "slot": _word(slot), "value": _word(value), "meaning": meaning}
            for slot, value, meaning in CLOSED_SLOTS
        ],
        "deployment": {
            "factory": values.factory,
            "owner": values.owner,
            "operator": values.operator,
            "escrow": values.escrow,
            "entryPoint": values.entry_point,
            "salt": "0x" + wallet_salt(values.owner, platform.id).hex(),
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
            "status": platform.status.value,
            "updatedAt": _time(platform.updated_at),
        },
        "residue": [{"kind": item.kind, "detail": _text(item.detail)} for item in residue[:_MAX_RESIDUE]],
        "restsOn": list(RESTS_ON),
    }
    signed = {**document, "signature": _sign(rfc8785.dumps(document), signer)}
    data = rfc8785.dumps(signed) + b"\n"
    report = verify(data, signer=None if signer is None else signer.address, artifact=artifact)
    failed = [check for check in report.checks if check.result == "fail"]
    if failed:
        raise ProofInvalid(f"no certificate was made: {failed[0].name}: {failed[0].detail}")
    return data


def write_certificate(path: Path, data: bytes) -> None:
    """Writes a file that is either whole or not there, readable by all (0644).

    SIDE EFFECTS: a temporary file beside ``path``, renamed onto it. Raises OSError.
    """
    path = Path(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _sign(message: bytes, signer: Signer | None) -> dict[str, str]:
    if signer is None:
        return {"scheme": "unsigned", "sha256": hashlib.sha256(message).hexdigest()}
    return {"scheme": "eip191", "signer": signer.address, "value": "0x" + signer.sign_message(message).hex()}


def _proof(answer: Mapping[str, Any]) -> dict[str, Any]:
    """``eth_getProof``'s answer in one form for all nodes: lower-case, slots as 32-byte words, in the slots' order."""
    storage = [
        {
            "key": _word(int(entry["key"], 16)),
            "value": hex(int(entry["value"], 16)),
            "proof": [node.lower() for node in entry["proof"]],
        }
        for entry in answer["storageProof"]
    ]
    return {
        **{name: answer[name].lower() for name in ("address", "balance", "codeHash", "nonce", "storageHash")},
        "accountProof": [node.lower() for node in answer["accountProof"]],
        "storageProof": sorted(storage, key=lambda entry: str(entry["key"])),
    }


def _lower(fields: Mapping[str, str]) -> dict[str, str]:
    return {name: value.lower() for name, value in fields.items()}


def _text(detail: str) -> str:
    """Residue may quote what a token said about itself: any text, of any length."""
    printable = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in detail)
    return printable[:2000] or "no detail"


def _word(value: int) -> str:
    return "0x" + value.to_bytes(32, "big").hex()


def _time(moment: datetime) -> str:
    """ISO-8601 in UTC, to the microsecond only where there are any."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
