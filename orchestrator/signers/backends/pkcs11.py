"""Keys in a hardware module, reached by PKCS#11: the back end ``pkcs11``.

    pkcs11:token=LABEL;object=NAME?module-path=/usr/lib/module.so&pin-source=file:/path

The key never leaves its token: CKM_ECDSA over a digest of 32 bytes, secp256k1 only. Standards: PKCS#11 v2.40 (OASIS),
RFC 7512 for the URI, SEC 1 for the point.

**One thread per module.** ``python-pkcs11`` initialises a module with no locking arguments, which by the standard
promises that one thread at a time calls it, and yet it lets other threads run meanwhile. Calls from several threads
were seen to corrupt the heap of SoftHSM2 (``malloc(): unaligned tcache chunk detected``, the process aborted). So each
module has one thread of its own here, which makes all calls in order of arrival. A login holds for all sessions of the
process with a token, so keys of one token share one session, and the PIN of the first one that signs is the one that
is used.

**Timeouts.** A call into a module cannot be cancelled. After ``timeout`` seconds the caller gets
``key_backend_unreachable`` (retry) and the call goes on in its thread; what it signs in the end is thrown away. Until
it returns, every other call of the module ends with the same error after its own timeout; a call that was given up
before it began is never made. A module that never returns needs a new process.

**Lost tokens.** After an error that a removed token or a lost session can cause, the next call initialises the module
anew (which ends the sessions with its other tokens too; they log in again by themselves) and searches for everything
again.

**PINs.** A token locks itself after a few wrong PINs. A PIN that was refused is not tried again in this process, and
when the token says that one try is left, none is made. A PIN that was asked for, and was right, is kept in memory for
later logins until the last key of the token is closed; one from a file is read again each time.

**fork.** A process that is forked after the first use has a copy of the module that must not be used; it is refused
there (stop). Start new processes with ``spawn`` or ``exec``.

Known gaps: tokens that take the PIN from a keypad, and keys that ask for it at each signature
(CKA_ALWAYS_AUTHENTICATE), are not supported. Python cannot wipe a PIN from memory.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable
from typing import Any, Final, NoReturn, TypeVar

from orchestrator.errors import KeyUnavailable, SettingsError
from orchestrator.models import Address
from orchestrator.passwords import FilePassword, PasswordSource, Secret
from orchestrator.signers.backends import backend, ecdsa
from orchestrator.signers.backends.pkcs11_errors import (
    KEY_FIX,
    TROUBLE,
    UNREADABLE,
    Trouble,
    ambiguous,
    translated,
    unsuitable,
)
from orchestrator.signers.backends.pkcs11_module import Login, Module, PinNeeded, check_module, module_at
from orchestrator.signers.backends.uri import KeyUri, Pkcs11Uri

_T = TypeVar("_T")

SECP256K1: Final = bytes.fromhex("06052b8104000a")
"""CKA_EC_PARAMS: the object identifier 1.3.132.0.10 in DER."""


def open_backend(uri: KeyUri, *, pin: PasswordSource, timeout: float = backend.DEFAULT_TIMEOUT) -> Pkcs11Backend:
    """The key at ``uri``. ``pin`` is asked unless the URI has a ``pin-source``; ``timeout`` in seconds, per call.

    Nothing is loaded or opened yet. Raises SettingsError ``extra_missing``, ``pkcs11_module`` (no such module, or one
    that others can write), ``key_uri``.
    """
    if not isinstance(uri, Pkcs11Uri):
        raise SettingsError(f"key URI: expected a scheme of pkcs11:, got {uri.scheme}:", code="key_uri")
    try:
        import pkcs11  # noqa: F401  (an optional library; found here, used below)
    except ImportError:
        raise backend.extra_missing("PKCS#11 keys", "hsm", "python-pkcs11") from None
    check_module(uri.module_path)
    return Pkcs11Backend(uri, pin, timeout)


class Pkcs11Backend:
    """One key of a token. See the module's text for threads, timeouts, lost tokens and PINs."""

    def __init__(self, uri: Pkcs11Uri, pin: PasswordSource, timeout: float) -> None:
        self._uri = uri
        self._where = backend.short(uri.where)
        self._pin = FilePassword(uri.pin_source) if uri.pin_source is not None else pin
        self._keeps_pin = uri.pin_source is None
        self._timeout = timeout
        self._module: Module | None = None
        self._key: tuple[Login, Any] | None = None  # touched in the module's thread only

    @property
    def name(self) -> str:
        return "pkcs11"

    def address(self) -> Address:
        """Read of the public key object beside the private key, anew. Blocks; needs the PIN.

        Raises KeyUnavailable: ``key_not_found``, ``key_ambiguous`` (stop: several objects or tokens match),
        ``key_unsuitable`` (stop: another curve, may not sign, no public key), ``key_backend_…``.
        """
        return self._call(lambda login: self._address(login, self._private(login)))

    def create(self) -> Address:
        """SIDE EFFECTS: makes a key pair on the token, by the label and id of the URI (a random id where it has none):
        sensitive, not extractable, for signing only. After a timeout it may have been made all the same.

        Raises SettingsError ``key_exists``, ``key_create_unsupported``; KeyUnavailable as ``address``.
        """
        return self._call(self._generate)

    def sign_digest(self, digest: bytes) -> tuple[int, int]:
        """r and s by CKM_ECDSA, as the token gives them. Blocks. Raises KeyUnavailable as ``address``."""
        if len(digest) != 32:
            raise AssertionError(f"a digest has 32 bytes, not {len(digest)}")  # SoftHSM2 signs any length
        return self._call(lambda login: self._sign(login, digest))

    def weakness(self) -> str | None:
        """As ``backend.InspectedBackend``, by the attributes that the token keeps. Blocks; needs the PIN."""
        return self._call(self._weakness)

    def close(self) -> None:
        """Ends the session if no other key uses it; a later call opens a new one. Waits ``timeout`` at most."""
        module = self._module
        if module is None or module.forked:
            return
        with contextlib.suppress(KeyUnavailable):  # a module that hangs now ends its sessions with the process
            module.call(self._end, self._timeout, self._where)

    def __repr__(self) -> str:
        return f"Pkcs11Backend({self._where!r})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a back end can be neither pickled nor copied: it holds a session")

    # --- in the caller's thread --------------------------------------------------------------------------------------

    def _call(self, work: Callable[[Login], _T]) -> _T:
        module = self._module
        if module is None:
            module = self._module = module_at(self._uri.module_path)
        deadline = time.monotonic() + self._timeout
        try:
            return module.call(lambda: self._run(module, work, None), self._timeout, self._where)
        except PinNeeded:
            pass
        # One caller at a time asks for a PIN and logs in; the others find it done.
        if not module.asking.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise backend.unreachable(self._where, f"another login took longer than {self._timeout:g} s")
        try:
            with contextlib.suppress(PinNeeded):
                return module.call(
                    lambda: self._run(module, work, None), max(0.0, deadline - time.monotonic()), self._where
                )
            pin = self._pin.password(f"PKCS#11 token {self._uri.token or self._uri.serial}")
            return module.call(lambda: self._run(module, work, pin), self._timeout, self._where)
        finally:
            module.asking.release()

    # --- in the module's thread --------------------------------------------------------------------------------------

    def _run(self, module: Module, work: Callable[[Login], _T], pin: Secret | None) -> _T:
        """``work`` with a session, every error of the library translated."""
        from pkcs11.exceptions import PKCS11Error

        for again in (True, False):
            try:
                return work(self._login(module, pin))
            except PKCS11Error as error:
                trouble = TROUBLE.get(type(error).__name__, Trouble.LOST)
                detail = f"PKCS#11 error {type(error).__name__} {error}"
                if trouble in (Trouble.LOST, Trouble.STRANGE):
                    module.stale = True
            except UNREADABLE as error:
                trouble, detail = Trouble.STRANGE, f"an answer that cannot be read ({type(error).__name__})"
            # A handle or a session that went stale is replaced at once; to sign the same digest twice harms nobody.
            if not again or trouble is not Trouble.LOST or work == self._generate:
                break
        raise translated(self._where, trouble, detail)  # outside of the handlers, so that nothing is carried along

    def _login(self, module: Module, pin: Secret | None) -> Login:
        if not module.stale and self._key is not None and self._key[0].alive:
            return self._key[0]
        self._key = None
        login = module.login(self._uri, self._where, pin, keep=self._keeps_pin)
        login.users.add(self)
        return login

    def _sign(self, login: Login, digest: bytes) -> tuple[int, int]:
        from pkcs11 import Mechanism

        if self._key is None:
            self._key = (login, self._private(login))
        signature = self._key[1].sign(digest, mechanism=Mechanism.ECDSA)
        if len(signature) != 64:
            raise backend.malformed(self._where, "a signature of 64 bytes", f"{len(signature)} bytes")
        return int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")

    def _private(self, login: Login) -> Any:
        from pkcs11 import Attribute, KeyType, ObjectClass

        found = self._objects(login, ObjectClass.PRIVATE_KEY)
        if not found:
            login.token.slot.get_token()  # fails if it was pulled just now, when it would seem to be an empty one
            raise backend.not_found(self._where, "the token has no such private key", fix=KEY_FIX)
        if len(found) > 1:
            raise ambiguous(self._where, "private key", len(found), "id=… to the URI, or remove the others")
        key = found[0]
        if key[Attribute.KEY_TYPE] != KeyType.EC:
            raise unsuitable(self._where, "a key of secp256k1", f"a key of type {key[Attribute.KEY_TYPE]!r}")
        if key[Attribute.EC_PARAMS] != SECP256K1:
            raise unsuitable(self._where, "the curve secp256k1", _curve(key[Attribute.EC_PARAMS]))
        if not key[Attribute.SIGN]:
            raise unsuitable(self._where, "a key that may sign (CKA_SIGN)", "one that may not")
        if _flag(key, Attribute.ALWAYS_AUTHENTICATE):
            raise unsuitable(self._where, "one PIN per login", "CKA_ALWAYS_AUTHENTICATE, a PIN per signature")
        return key

    def _address(self, login: Login, private: Any) -> Address:
        from pkcs11 import Attribute, ObjectClass

        found = self._objects(login, ObjectClass.PUBLIC_KEY, private[Attribute.ID])
        if not found:
            raise unsuitable(self._where, "a public key object with the same id (or label)", "none on the token")
        if len(found) > 1:
            raise ambiguous(self._where, "public key", len(found), "an id to each pair, or remove the others")
        if found[0][Attribute.EC_PARAMS] != SECP256K1:
            raise unsuitable(self._where, "a public key of secp256k1", _curve(found[0][Attribute.EC_PARAMS]))
        return ecdsa.address_of_point(point_of(found[0][Attribute.EC_POINT]), self._where)

    def _objects(self, login: Login, kind: Any, key_id: bytes | None = None) -> list[Any]:
        """Objects of a class by the URI's label and id; by ``key_id`` alone where there is one."""
        from pkcs11 import Attribute

        template: dict[Any, Any] = {Attribute.CLASS: kind}
        if key_id:
            template[Attribute.ID] = key_id
        else:
            if self._uri.object is not None:
                template[Attribute.LABEL] = self._uri.object
            if self._uri.id is not None:
                template[Attribute.ID] = self._uri.id
        return list(login.session.get_objects(template))

    def _generate(self, login: Login) -> Address:
        from pkcs11 import Attribute, KeyType, MechanismFlag, ObjectClass
        from pkcs11.exceptions import PKCS11Error

        if any(self._objects(login, kind) for kind in (ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY)):
            raise SettingsError(
                f"{self._where}: expected a free name, got one that is taken on the token; nothing was made",
                code="key_exists",
            )
        writer = login.token.open(rw=True)  # without a PIN: the login holds for all sessions
        try:
            curve = writer.create_domain_parameters(KeyType.EC, {Attribute.EC_PARAMS: SECP256K1}, local=True)
            curve.generate_keypair(
                store=True,
                label=self._uri.object,
                id=self._uri.id or secrets.token_bytes(16),
                capabilities=MechanismFlag.SIGN | MechanismFlag.VERIFY,
                private_template={Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False, Attribute.PRIVATE: True},
            )
        except PKCS11Error as error:
            refused = TROUBLE.get(type(error).__name__) is Trouble.UNSUITABLE
            if not refused and type(error).__name__ not in ("TokenWriteProtected", "SessionReadOnly"):
                raise
            reason = type(error).__name__
        else:
            return self._address(login, self._private(login))
        finally:
            with contextlib.suppress(PKCS11Error):
                writer.close()
        raise backend.create_unsupported(
            self._where, f"the token answers {reason}; make a key of secp256k1 with its own tool and attach that"
        )

    def _weakness(self, login: Login) -> str | None:
        from pkcs11 import Attribute

        key = self._private(login)
        found = [
            text
            for attribute, good, text in (
                (Attribute.SENSITIVE, True, "it is not sensitive (CKA_SENSITIVE)"),
                (Attribute.EXTRACTABLE, False, "it is extractable (CKA_EXTRACTABLE)"),
                (Attribute.ALWAYS_SENSITIVE, True, "it was not always sensitive (CKA_ALWAYS_SENSITIVE)"),
                (Attribute.NEVER_EXTRACTABLE, True, "it was extractable once (CKA_NEVER_EXTRACTABLE)"),
            )
            if _flag(key, attribute, otherwise=good) is not good
        ]
        return f"{self._where}: the key can or could leave its token: {', '.join(found)}" if found else None

    def _end(self) -> None:
        self._key = None
        for login in list(self._module.logins.values()) if self._module is not None else ():
            login.users.discard(self)
            if not login.users:
                login.end()


def point_of(value: bytes) -> bytes:
    """The point in CKA_EC_POINT, 65 or 33 bytes: the standard wraps it as a DER OCTET STRING, some modules do not."""
    if len(value) in (67, 35) and value[0] == 0x04 and value[1] == len(value) - 2:
        return value[2:]
    return value


def _flag(key: Any, attribute: Any, *, otherwise: bool = False) -> bool:
    """A boolean attribute; ``otherwise`` where the token does not know it."""
    from pkcs11.exceptions import AttributeSensitive, AttributeTypeInvalid

    try:
        return bool(key[attribute])
    except (AttributeSensitive, AttributeTypeInvalid):
        return otherwise


def _curve(params: bytes) -> str:
    known = {"06082a8648ce3d030107": "P-256", "06052b81040022": "P-384", "06052b81040023": "P-521"}
    return known.get(params.hex(), f"curve parameters {params[:16].hex()}")
