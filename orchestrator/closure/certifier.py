"""Makes and files the certificates of closed accounts: what the closing step calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.closure.certificate import CLOSED_SLOT_NUMBERS, Residue, build_certificate, write_certificate
from orchestrator.errors import SettingsError
from orchestrator.models import AccountId, ChainId
from orchestrator.ports import ChainView, Holdings, PlatformAccount, PlatformCard, ProvenAccount, Signer


@dataclass(frozen=True, slots=True)
class ClosureCertifier:
    """``folder`` gets the files; ``signer`` gives the key that signs, or None, which leaves certificates unsigned.

    The key is asked for when it is needed: operations that make no certificate do not need it.
    """

    folder: Path
    signer: Callable[[], Signer | None]
    proven_slots: tuple[int, ...] = CLOSED_SLOT_NUMBERS

    def ready(self) -> None:
        """Raises KeyUnavailable, before anything is closed, if the key that is to sign is not there."""
        self.signer()

    def certify(
        self,
        *,
        chain: ChainId,
        account: PlatformAccount,
        view: ChainView,
        proven: ProvenAccount,
        left: Holdings,
        cards: Sequence[PlatformCard],
    ) -> bytes:
        """The canonical bytes of a certificate that verifies. Raises as ``build_certificate``."""
        residue = [Residue("token", f"{balance.amount} of {balance.token}") for balance in left.tokens]
        if left.wei:
            residue.insert(0, Residue("ether", f"{left.wei} wei"))
        residue += [Residue("token", f"balance of {item.token} unknown: {item.reason}") for item in left.unreadable]
        if left.incomplete is not None:
            residue.append(Residue("token", f"there may be more tokens: {left.incomplete}"))
        residue += [Residue("card", f"{card.id} is {card.status}") for card in cards if card.status == "active"]
        return build_certificate(
            chain=chain, platform=account, view=view, proven=proven, residue=residue, signer=self.signer()
        )

    def write(self, account_id: AccountId, certificate: bytes) -> str:
        """SIDE EFFECTS: writes ``<folder>/<account id>.json``; returns its path. Raises SettingsError."""
        path = self.folder / f"{account_id}.json"
        file_certificate(path, certificate)
        return str(path)


def file_certificate(path: Path, certificate: bytes) -> None:
    """Writes a certificate's file, with its folder. Raises SettingsError ``certificate_unwritable``."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_certificate(path, certificate)
    except OSError as error:
        raise SettingsError(
            f"cannot write the certificate {path}: {error.strerror or error}; it is kept in the journal, so run the "
            "command again with --certificate FILE",
            code="certificate_unwritable",
        ) from error
