"""The certificates of closed accounts and their files: made, written, checked, revoked. Implements ``Certifier``."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator import files
from orchestrator.closure.certificate.builder import AccountRecord, build_certificate
from orchestrator.closure.certificate.report import CertificateReport
from orchestrator.closure.certificate.verifier import verify
from orchestrator.closure.verdict import Certifiable, Residue
from orchestrator.errors import SettingsError
from orchestrator.models import AccountId, Address, ChainAccount
from orchestrator.ports.chain import ChainView, Examined, Holdings
from orchestrator.ports.platform import PlatformAccount, PlatformCard
from orchestrator.ports.signers import Signer
from orchestrator.wallet.reading import Profile


@dataclass(frozen=True, slots=True)
class ClosureCertifier:
    """``folder`` gets the files; ``signer`` gives the key that signs, or None, which leaves certificates unsigned.

    The key is asked for when it is needed: operations that make no certificate do not need it.
    """

    folder: Path
    profile: Profile
    factory: Address
    signer: Callable[[], Signer | None]
    key: str | None = None
    """The name of the key that ``signer`` gives."""

    def address(self) -> Address | None:
        """That key's address, read now; None where no key signs. Raises KeyUnavailable if the key is not there."""
        signer = self.signer()
        return None if signer is None else signer.address

    def ready(self) -> None:
        """Raises KeyUnavailable, before anything is closed, if the key that is to sign is not there."""
        self.signer()

    def certify(
        self,
        *,
        account: PlatformAccount,
        owner: ChainAccount,
        view: ChainView,
        examined: Examined,
        left: Holdings,
        cards: Sequence[PlatformCard],
    ) -> bytes:
        """The canonical bytes of a certificate that verifies. Raises as ``build_certificate``."""
        if not isinstance(examined, Certifiable) or (evidence := examined.examination.evidence) is None:
            raise AssertionError("what the prover found irreversible comes with its evidence")
        verdict = examined.examination.verdict
        listed = {item.kind for item in verdict.residue}
        residue = [Residue("token", f"{balance.amount} of {balance.token}") for balance in left.tokens]
        if left.wei and "ether" not in listed:
            residue.insert(0, Residue("ether", f"{left.wei} wei"))
        residue += [Residue("token", f"balance of {item.token} unknown: {item.reason}") for item in left.unreadable]
        if left.incomplete is not None:
            residue.append(Residue("token", f"there may be more tokens: {left.incomplete}"))
        residue += [Residue("card", f"{card.id} is {card.status}") for card in cards if card.is_left]
        return build_certificate(
            evidence,
            verdict,
            account=AccountRecord(account, owner, view, self.profile, self.factory),
            residue=residue,
            signer=self.signer(),
        )

    def write(self, account_id: AccountId, certificate: bytes) -> str:
        """SIDE EFFECTS: writes ``<folder>/<account id>.json``; returns its path. Raises SettingsError."""
        path = self.folder / f"{account_id}.json"
        file_certificate(path, certificate, force=True)  # the folder is this program's
        return str(path)

    def check(self, certificate: bytes) -> CertificateReport:
        """Verifies a certificate's bytes again, offline. Raises nothing."""
        return verify(certificate, known=self.profile)

    def revoke(self, path: str, sha256: str) -> None:
        """SIDE EFFECTS: renames the file to ``revoked_path``, if it is there and still that certificate.

        Its content stays as it was issued: what is void is the block that it rests on. A file that cannot be renamed
        is left (the journal is what counts), and tried again at the next examination.
        """
        file = Path(path)
        try:
            if hashlib.sha256(file.read_bytes()).hexdigest() == sha256:
                file.rename(revoked_path(file, sha256))
        except OSError:
            return


def revoked_path(file: Path, sha256: str) -> Path:
    """Where the file of a revoked certificate is found: ``<name>.revoked-<digest>.json`` beside it."""
    return file.with_name(f"{file.stem}.revoked-{sha256[:12]}{file.suffix}")


def file_certificate(path: Path, certificate: bytes, *, force: bool = False, older: bytes | None = None) -> None:
    """Writes a certificate's file, with its folder, as ``files.deliver``. Raises SettingsError
    ``certificate_unwritable``."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.deliver(path, certificate, code="certificate_unwritable", force=force, older=older)
    except (OSError, SettingsError) as error:
        reason = error.message if isinstance(error, SettingsError) else f"cannot write {path}: {error.strerror}"
        raise SettingsError(
            f"{reason}; the certificate is kept in the journal, so run the command again with --certificate FILE",
            code="certificate_unwritable",
        ) from error
