"""Back ends: where a key is that does not lie in the keystore's own files, and how each of them speaks of trouble.

A back end is one module (``pkcs11``, ``awskms``, ``rpc``) with one function::

    def open_backend(uri: KeyUri, *, pin: PasswordSource, timeout: float = 10.0) -> Backend

It alone imports its library, and only inside of that function. Opening reads no key and asks for no PIN if it can wait:
``address``, ``create`` and the first signature do. Every call blocks for at most about ``timeout`` seconds, is safe
from several threads, and connects again by itself if the connection was lost before it.

All of them raise the errors that are made here, so that one code means one thing whatever the back end:

    key_backend_unreachable   retry      connection refused or lost, no answer in time, token pulled
    key_backend_throttled     retry      too many requests
    key_backend_denied        stop       wrong PIN, credentials or rights refused
    key_not_found             stop       no such token, object, key or account
    key_backend_malformed     operator   an answer that cannot be read or cannot be true
    signature_mismatch        operator   a good signature, of another key (``backends.ecdsa``)
    key_create_unsupported    stop       SettingsError: keys cannot be made there
    extra_missing             stop       SettingsError: the library is not installed
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from orchestrator.errors import Disposition, KeyUnavailable, SettingsError
from orchestrator.models import Address

DEFAULT_TIMEOUT = 10.0
"""Seconds for one call of a back end, with its connection."""
_MAX_DETAIL = 200


class Backend(Protocol):
    """One key of a back end. Its repr shows neither PIN nor credentials."""

    @property
    def name(self) -> str:
        """``pkcs11``, ``awskms`` or ``rpc``: as ``ports.signers.KeyInfo.backend``."""
        ...

    def address(self) -> Address:
        """Asked of the back end now, and read of the public key where it shows one. Raises KeyUnavailable."""
        ...

    def create(self) -> Address:
        """SIDE EFFECTS: makes the key there, one that cannot be taken out. Nothing is replaced: a taken name is
        SettingsError ``key_exists``. Raises SettingsError ``key_create_unsupported``, KeyUnavailable."""
        ...

    def close(self) -> None:
        """Ends sessions and connections. A second call does nothing; a use after it opens them again."""
        ...


@runtime_checkable
class DigestBackend(Backend, Protocol):
    """A back end that signs what it is given: 32 bytes, already hashed as EIP-191 says."""

    def sign_digest(self, digest: bytes) -> tuple[int, int]:
        """r and s as the back end gives them; whether they are of the right key is for the caller to compare."""
        ...


@runtime_checkable
class MessageBackend(Backend, Protocol):
    """A back end that hashes for itself, as JSON-RPC's ``eth_sign`` and ``personal_sign`` do."""

    def sign_message(self, message: bytes) -> bytes:
        """65 bytes r, s, v (27 or 28, low s); whether they are of the right key is for the caller to compare."""
        ...


@runtime_checkable
class InspectedBackend(Backend, Protocol):
    """A back end that shows how well it keeps the key."""

    def weakness(self) -> str | None:
        """Why the key could be taken out of it, as a sentence without its full stop; None if it cannot."""
        ...


def unreachable(where: str, detail: str) -> KeyUnavailable:
    """``where``: "pkcs11 token TEST", "awskms key alias/a at 127.0.0.1:4566". ``detail``: never empty, no secret."""
    return KeyUnavailable(
        f"{where} does not answer: {short(detail)}", code="key_backend_unreachable", disposition=Disposition.RETRY
    )


def throttled(where: str, detail: str) -> KeyUnavailable:
    return KeyUnavailable(
        f"{where} asks for fewer requests: {short(detail)}",
        code="key_backend_throttled",
        disposition=Disposition.RETRY,
    )


def denied(where: str, detail: str, *, fix: str, disposition: Disposition = Disposition.STOP) -> KeyUnavailable:
    """``fix``: what to do about it, a sentence. ``disposition``: operator where a person has to fix it there, such as
    a PIN locked by the token."""
    return KeyUnavailable(
        f"{where} refuses: {short(detail)}", code="key_backend_denied", disposition=disposition, fix=fix
    )


def not_found(where: str, detail: str, *, fix: str) -> KeyUnavailable:
    """``fix``: what to do about it, a sentence."""
    return KeyUnavailable(f"{where}: no such key: {short(detail)}", code="key_not_found", fix=fix)


def malformed(where: str, expected: str, actual: str) -> KeyUnavailable:
    return KeyUnavailable(
        f"{where}: expected {expected}, got {short(actual)}",
        code="key_backend_malformed",
        disposition=Disposition.OPERATOR,
    )


def create_unsupported(where: str, instead: str) -> SettingsError:
    """``instead``: what to do about it, as a clause."""
    return SettingsError(f"{where}: keys cannot be made there; {instead}", code="key_create_unsupported")


def extra_missing(what: str, extra: str, library: str) -> SettingsError:
    """``what``: "PKCS#11 keys". ``extra``: the name of ours. ``library``: what could not be imported."""
    return SettingsError(
        f'{what} need the library {library}: type pip install "offblocks-orchestrator[{extra}]"', code="extra_missing"
    )


def short(text: str) -> str:
    """One line of printable characters, so that what the other side wrote can be shown."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split()) or "no detail given"
    return line if len(line) <= _MAX_DETAIL else line[: _MAX_DETAIL - 3] + "..."
