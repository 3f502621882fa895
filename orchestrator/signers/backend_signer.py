"""The signer of a key in a back end: a hardware module, a cloud's key service, a remote signer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NoReturn, assert_never

from orchestrator import eip191
from orchestrator.errors import SigningError
from orchestrator.models import Address
from orchestrator.passwords import FilePassword, PasswordSource
from orchestrator.ports.signers import KeyInfo
from orchestrator.signers.backends import backend, ecdsa
from orchestrator.signers.backends.backend import Backend, DigestBackend, InspectedBackend, MessageBackend
from orchestrator.signers.backends.uri import AwsKmsUri, Pkcs11Uri, RpcUri


def open_backend(
    uri: Pkcs11Uri | AwsKmsUri | RpcUri, *, pin: PasswordSource, timeout: float
) -> DigestBackend | MessageBackend:
    """The back end of a URI; its library is imported here, when the first key of its kind is used.

    ``pin``: for where the URI names no file with it. ``timeout``: seconds of one call. Raises SettingsError
    ``extra_missing`` and what the back end raises.
    """
    if isinstance(uri, Pkcs11Uri):
        from orchestrator.signers.backends import pkcs11

        source = pin if uri.pin_source is None else FilePassword(uri.pin_source)
        return pkcs11.open_backend(uri, pin=source, timeout=timeout)
    if isinstance(uri, AwsKmsUri):
        from orchestrator.signers.backends import awskms

        return awskms.open_backend(uri, pin=pin, timeout=timeout)
    if isinstance(uri, RpcUri):
        from orchestrator.signers.backends import rpc

        return rpc.open_backend(uri, pin=pin, timeout=timeout)
    assert_never(uri)


class BackendSigner:
    """One key of a back end, which is opened by the first use and then kept. Safe to use from several threads.

    A signature that does not recover to the key's address is never returned.
    """

    __slots__ = ("_address", "_backend", "_lock", "_name", "_open", "_sign", "_where")

    def __init__(self, info: KeyInfo, where: str, open_: Callable[[], DigestBackend | MessageBackend]) -> None:
        self._name = info.name
        self._address = info.address
        self._where = f"key {info.name} ({where})"
        self._open = open_
        self._lock = threading.Lock()
        self._backend: Backend | None = None
        self._sign: Callable[[bytes], bytes] | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def address(self) -> Address:
        return self._address

    def unlock(self) -> None:
        """Asks the back end for the key, and compares its address. Blocks for about the timeout at most.

        Raises KeyUnavailable (``signature_mismatch``, operator, if it is another key by now) and SettingsError.
        """
        self._opened()
        if self._backend is None:
            raise AssertionError("_opened() has set it")
        actual = self._backend.address()
        if actual != self._address:
            raise ecdsa.mismatch(self._where, self._address, actual)

    def sign_message(self, message: bytes) -> bytes:
        """65 bytes r, s, v (27 or 28, low s) over EIP-191's personal message, which recover to ``address``.

        SIDE EFFECTS: a call of the back end. Raises SettingsError, and KeyUnavailable as ``backends.backend`` lists it.
        """
        return (self._sign or self._opened())(message)

    def weakness(self) -> str | None:
        """Why the key could leave its back end, where that reports such attributes; else None. Raises as ``unlock``."""
        self._opened()
        return self._backend.weakness() if isinstance(self._backend, InspectedBackend) else None

    def close(self) -> None:
        """Ends the back end's connections; a use after it opens them again."""
        with self._lock:
            if self._backend is not None:
                self._backend.close()

    def _opened(self) -> Callable[[bytes], bytes]:
        with self._lock:
            if self._sign is None:
                opened = self._open()
                self._backend = opened
                self._sign = self._by_digest(opened) if isinstance(opened, DigestBackend) else self._by_message(opened)
            return self._sign

    def _by_digest(self, opened: DigestBackend) -> Callable[[bytes], bytes]:
        def sign(message: bytes) -> bytes:
            digest = eip191.personal_hash(message)
            return ecdsa.finish(digest, *opened.sign_digest(digest), self._address, self._where)

        return sign

    def _by_message(self, opened: MessageBackend) -> Callable[[bytes], bytes]:
        def sign(message: bytes) -> bytes:
            signature = opened.sign_message(message)
            try:
                actual = eip191.recover(message, signature)
            except SigningError as error:
                raise backend.malformed(self._where, "a signature of 65 bytes", error.message) from None
            if actual != self._address:
                raise ecdsa.mismatch(self._where, self._address, actual)
            return signature

        return sign

    def __repr__(self) -> str:
        return f"BackendSigner(name={self._name!r}, address={self._address!r})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a signer can be neither pickled nor copied: it may hold an open session")
