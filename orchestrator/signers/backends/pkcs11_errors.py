"""What the errors of a PKCS#11 module mean here: each exception class of python-pkcs11, by name.

Imports no library, so that the table can be read without one.
"""

from __future__ import annotations

import struct
from enum import Enum
from typing import Final

from orchestrator.errors import Disposition, KeyUnavailable
from orchestrator.signers.backends import backend


class Trouble(Enum):
    """What an error of the library means here."""

    LOST = "lost"
    """The token, the session or an object's handle is gone: retry, with a new session. So are vendors' own codes read
    (the library's base class), because a network HSM says by them that it is away."""
    BUSY = "busy"
    """Too many sessions or too little memory there: retry later."""
    DENIED = "denied"
    """The token refuses this user: stop."""
    MEND = "mend"
    """The token refuses until a person has fixed it there: operator."""
    MISSING = "missing"
    UNSUITABLE = "unsuitable"
    """The token or the key cannot do what is asked: stop."""
    STRANGE = "strange"
    """No call that is made here should end so: operator."""


_TROUBLE: Final = {
    Trouble.LOST: (
        "DeviceError DeviceRemoved FunctionCancelled FunctionFailed GeneralError KeyHandleInvalid NoSuchToken "
        "ObjectHandleInvalid OperationActive OperationNotInitialized PKCS11Error SessionClosed SessionExists "
        "SessionHandleInvalid SlotIDInvalid TokenNotPresent UserAlreadyLoggedIn UserNotLoggedIn"
    ),
    Trouble.BUSY: "DeviceMemory HostMemory SessionCount",
    Trouble.DENIED: (
        "FunctionRejected PinIncorrect PinInvalid PinLenRange PinTooWeak SessionReadOnly SessionReadOnlyExists "
        "TokenWriteProtected"
    ),
    Trouble.MEND: (
        "AnotherUserAlreadyLoggedIn PinExpired PinLocked SessionReadWriteSOExists TokenNotRecognised "
        "UserPinNotInitialized UserTooManyTypes"
    ),
    Trouble.MISSING: "NoSuchKey",
    Trouble.UNSUITABLE: (
        "AttributeReadOnly AttributeTypeInvalid AttributeValueInvalid DomainParamsInvalid FunctionNotSupported "
        "KeySizeRange KeyTypeInconsistent MechanismInvalid MechanismParamInvalid TemplateIncomplete "
        "TemplateInconsistent"
    ),
    Trouble.STRANGE: (
        "ArgumentsBad AttributeSensitive DataInvalid DataLenRange EncryptedDataInvalid EncryptedDataLenRange "
        "ExceededMaxIterations KeyIndigestible KeyNeeded KeyNotNeeded KeyNotWrappable KeyUnextractable "
        "MultipleObjectsReturned MultipleTokensReturned NoEvent PublicKeyInvalid RandomNoRNG "
        "RandomSeedNotSupported SignatureInvalid SignatureLenRange UnwrappingKeyHandleInvalid "
        "UnwrappingKeySizeRange UnwrappingKeyTypeInconsistent WrappedKeyInvalid WrappedKeyLenRange "
        "WrappingKeyHandleInvalid WrappingKeySizeRange WrappingKeyTypeInconsistent"
    ),
}
TROUBLE: Final = {name: trouble for trouble, names in _TROUBLE.items() for name in names.split()}
"""Every exception class of ``pkcs11.exceptions`` by name (the library itself is imported late)."""

UNREADABLE: Final = (AttributeError, KeyError, TypeError, ValueError, struct.error)
"""How the library fails on attributes that it does not understand."""


PIN_FIX: Final = "Check the PIN's file, and what its user may do; a token locks after a few wrong PINs."
"""For what a wrong PIN, or one without the right, may be behind."""
KEY_FIX: Final = "Check the token and the object in the key's URI; the token's own tool lists what there is."
MEND_FIX: Final = "Mend it with the token's own tool: unlock its PIN, set it, or end what uses the token."


def ambiguous(where: str, what: str, count: int, fix: str) -> KeyUnavailable:
    return KeyUnavailable(f"{where}: expected one {what}, got {count} that match; add {fix}", code="key_ambiguous")


def unsuitable(where: str, expected: str, actual: str) -> KeyUnavailable:
    return KeyUnavailable(f"{where}: expected {expected}, got {actual}", code="key_unsuitable")


def translated(where: str, trouble: Trouble, detail: str) -> KeyUnavailable:
    match trouble:
        case Trouble.LOST:
            return backend.unreachable(where, detail)
        case Trouble.BUSY:
            return backend.throttled(where, detail)
        case Trouble.DENIED:
            return backend.denied(where, detail, fix=PIN_FIX)
        case Trouble.MEND:
            return backend.denied(where, detail, fix=MEND_FIX, disposition=Disposition.OPERATOR)
        case Trouble.MISSING:
            return backend.not_found(where, detail, fix=KEY_FIX)
        case Trouble.UNSUITABLE:
            return unsuitable(where, "a token and key that sign by CKM_ECDSA with secp256k1", detail)
        case Trouble.STRANGE:
            return backend.malformed(where, "an answer of PKCS#11", detail)
