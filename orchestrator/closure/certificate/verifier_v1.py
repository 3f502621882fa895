"""Verifies certificates of the first release: what they prove is the wallet's state, not that it can never act again.

They stay readable for ever. Their verdict is ``inconclusive``, reason ``analysis_not_run``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.closure.certificate.attribution import Attribution
from orchestrator.closure.certificate.report import Checklist, Failed
from orchestrator.closure.certificate.rerun import unhashed, word
from orchestrator.closure.proof.header import ProvenHeader, verify_header
from orchestrator.closure.proof.state import ProvenState, verify_account, verify_code
from orchestrator.wallet.contract import CLOSED_SLOTS


def check_v1(document: Mapping[str, Any], checks: Checklist) -> None:
    """Runs the checks of version 1, in their order."""
    proofs = _Proofs(document)
    header = checks.check("header", proofs.check_header)
    account = checks.check("account_proof", proofs.check_account, header)
    checks.check("code_hash", proofs.check_code_hash, account)
    checks.check("slots", proofs.check_slots, account)
    attribution = Attribution(document, document["chainId"], document["address"], bytes.fromhex(document["code"][2:]))
    attribution.run(checks, None if proofs.header is None else proofs.header.block, None)


class _Proofs:
    """The proofs of one certificate, each resting on the one before."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self.header: ProvenHeader | None = None
        self.state: ProvenState | None = None

    def check_header(self) -> str:
        block = self.document["block"]
        header = verify_header(self.document["header"], expected_hash=block["hash"])
        if header.number != block["number"]:
            raise Failed(f"the header is of block {header.number}, the certificate says {block['number']}")
        more = unhashed(self.document["header"])
        if more is not None:
            raise Failed(more)
        self.header = header
        return f"block {header.number} hashes to {header.hash}"

    def check_account(self) -> str:
        assert self.header is not None
        self.state = verify_account(
            self.header.state_root,
            self.document["address"],
            self.document["accountProof"],
            [slot for slot, _, _ in CLOSED_SLOTS],
        )
        if not self.state.exists:
            raise Failed("the proof shows that there is no account at this address")
        return f"account and {len(CLOSED_SLOTS)} storage slots proven against the state root"

    def check_code_hash(self) -> str:
        assert self.state is not None
        code = bytes.fromhex(self.document["code"][2:])
        verify_code(code, self.state.code_hash)
        return f"{len(code)} bytes of code hash to the proven 0x{self.state.code_hash.hex()}"

    def check_slots(self) -> str:
        assert self.state is not None
        expected = [
            {"address": self.document["address"], "slot": word(slot), "value": word(value), "meaning": meaning}
            for slot, value, meaning in CLOSED_SLOTS
        ]
        if self.document["slots"] != expected:
            raise Failed("the slots are not stated as a closed wallet's")
        for slot, value, meaning in CLOSED_SLOTS:
            if self.state.slots[slot] != value:
                raise Failed(f"slot {slot}: expected {value:#x} ({meaning}), proven is {self.state.slots[slot]:#x}")
        return "proven storage is that of a closed wallet: " + "; ".join(meaning for _, _, meaning in CLOSED_SLOTS)
