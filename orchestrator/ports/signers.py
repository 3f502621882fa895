"""What a step may ask of the keys, and of the log beside them; ``orchestrator.signers`` answers it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import Protocol

from orchestrator.lifecycle.recorded import Recorded
from orchestrator.models import Address, ChainAccount


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What is known about a managed key without its password."""

    name: str
    address: Address
    backend: str
    """``keystore``, ``pkcs11``, ``awskms`` or ``rpc``."""
    disabled: bool
    wallets: tuple[ChainAccount, ...] = ()
    """The customer's wallets (CAIP-10) that it may sign for; their address is the key's own."""
    uri: str | None = None
    """Where the key is, for keys that are not in the keystore's own files. Holds no secret."""
    created_at: str | None = None
    """ISO-8601 UTC text; None where the file does not say."""


class Signer(Protocol):
    """One managed key. It sees only EIP-191 personal messages that policy has allowed."""

    @property
    def name(self) -> str: ...

    @property
    def address(self) -> Address: ...

    def sign_message(self, message: bytes) -> bytes:
        """65 bytes r, s, v (27 or 28, low s) over EIP-191's personal message. Blocks; safe from several threads.

        The caller compares what the signature recovers to with ``address`` (``orchestrator.eip191.require``), once for
        all back ends. Raises KeyUnavailable (retry: throttled, connection lost, timeout; stop: denied, wrong password,
        unreadable file; operator: the key is not the one that it was) or SigningError.
        """
        ...


class Keyring(Protocol):
    """The managed keys."""

    @property
    def id(self) -> str:
        """Distinguishes this folder of keys from any other, also from a copy made before it was used (UUID text)."""
        ...

    def key_for(self, address: Address) -> KeyInfo:
        """The key with this address, an enabled one if there are several. Raises KeyUnavailable ``key_not_found``."""
        ...

    def signer_for(self, address: Address) -> Signer:
        """The enabled key with this address. Raises KeyUnavailable that names the address and the folder."""
        ...

    def bind(self, name: str, wallet: ChainAccount) -> KeyInfo:
        """Lets the key sign for one more wallet. Raises SettingsError ``key_binding`` if the address is another."""
        ...


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A line of the log beside the keystore: what was about to be signed for which journal."""

    epoch: int
    """0, and one more after each reconciliation."""
    seq: int
    """The place of the event in the journal: ``signing_intended``, or one of the stream ``signing``."""
    hash: str
    """That event's hash."""
    account_id: str
    purpose: str
    """``creation`` or ``deletion``; ``decision`` for what people decided, ``change`` for what a process changed by
    itself; empty on the line of a reconciliation."""
    digest: str
    """Empty on a line that is about no signature."""
    signer: str
    """CAIP-10."""
    key: str
    at: str
    """ISO-8601 UTC."""

    @classmethod
    def of(
        cls,
        item: Recorded,
        epoch: int,
        *,
        purpose: str = "",
        account_id: str = "",
        digest: str = "",
        signer: str = "",
        key: str = "",
    ) -> LogEntry:
        """The line for an event of the journal."""
        at = item.at.astimezone(UTC).isoformat().replace("+00:00", "Z")
        return cls(epoch, item.seq, item.hash, account_id, purpose, digest, signer, key, at)


class SigningLog(Protocol):
    """Beside the keystore and outside the database: shows that either of them is older than what was signed."""

    def journals(self) -> frozenset[str]:
        """Ids of the journals that this keystore has signed for."""
        ...

    def entries(self, journal_id: str) -> list[LogEntry]: ...

    def last(self, journal_id: str) -> LogEntry | None:
        """Of the newest epoch the entry with the highest ``seq``."""
        ...

    def note(self, journal_id: str, entry: LogEntry) -> None:
        """SIDE EFFECTS: appends the entry, on disk before this returns. Raises KeyUnavailable."""
        ...
