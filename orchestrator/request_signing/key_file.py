"""One request-signing key (ECDSA P-384) as a file: the public half and the state in clear, the private half encrypted.

The private half is PKCS#8 DER under AES-256-GCM; the cipher's key comes from the keystore's password by scrypt. (The
encrypted PEM that ``cryptography`` writes derives its key with 2,048 rounds of PBKDF2: too few for a password.) The
public half is the cipher's associated data, so a file whose halves were exchanged does not open.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import re
import uuid
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Literal, NoReturn, get_args

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_pem_public_key,
)

from orchestrator.errors import KeyUnavailable
from orchestrator.foreign import MalformedJson, read_json
from orchestrator.passwords import Secret

MAX_BYTES: Final = 16 * 1024
WORK_FACTOR: Final = 2**17
"""scrypt's N for new files (r 8, p 1): 128 MiB and about half a second."""
_FACTORS: Final = (2**10, 2**20)
NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
KEY_ID: Final = re.compile(r"[\x20-\x7e]{1,500}")
"""What is taken for a platform's id of a key. Published is a UUID; what a platform answers may be another text."""
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_HASH: Final = re.compile(r"[0-9a-f]{64}")
Action = Literal["created", "uploaded", "rotated", "revoked"]
"""What was done with a key, in the journal's words."""


class State(StrEnum):
    """Where a key is in its life."""

    CREATED = "created"
    """Only in this file: the platform does not know it."""
    UPLOADING = "uploading"
    """``PUT /auth/signing`` is about to be sent, or was sent, under the file's id."""
    CURRENT = "current"
    """What requests are signed with. Of two, the one with the higher generation."""
    REVOKING = "revoking"
    """``DELETE /auth/signing`` is about to be sent, or was sent. So is a current key that another has replaced."""
    RETIRED = "retired"
    """Another key took its place. Its private half was deleted."""
    REVOKED = "revoked"
    """Removed at the platform. Its private half was deleted."""


@dataclass(frozen=True, slots=True)
class RequestKeyFile:
    """A key file, checked. Times are ISO-8601 UTC text."""

    name: str
    state: State
    public_key: str
    """PEM, SubjectPublicKeyInfo."""
    fingerprint: str
    """SHA-256 of the public key's DER, 64 hex digits."""
    generation: int
    """Grows with each key that comes into use; 0 before."""
    created_at: str
    changed_at: str
    key_id: str | None = None
    """What the platform calls it, or will: chosen here. None in files of earlier releases before their upload."""
    answered: str | None = None
    """What the platform has called it in its answer to the upload, where that is another id; until it is in use."""
    begun_after: int | None = None
    """The generation of the key in use when the upload began: once there is a newer one, nobody waits for this key.
    None in files of earlier releases."""
    replaces: str | None = None
    """The id of the settings' own key, which is to be removed at the platform once this key is in use."""
    unrecorded: tuple[Action, ...] = ()
    """What was done with it and is not in the journal yet."""
    approvals: tuple[str, ...] = ()
    """Ids of the approvals that the last change was begun with; they are to be recorded as used."""
    locked: dict[str, Any] | None = field(default=None, repr=False)
    """The encrypted private half; None once it is gone."""

    def encode(self) -> bytes:
        """The file's bytes: JSON with a line end."""
        document = {
            "version": 1,
            "name": self.name,
            "state": self.state.value,
            "publicKey": self.public_key,
            "fingerprint": self.fingerprint,
            "generation": self.generation,
            "createdAt": self.created_at,
            "changedAt": self.changed_at,
            "keyId": self.key_id,
            "answered": self.answered,
            "begunAfter": self.begun_after,
            "replaces": self.replaces,
            "unrecorded": list(self.unrecorded),
            "approvals": list(self.approvals),
            "privateKey": self.locked,
        }
        return (json.dumps(document, indent=2) + "\n").encode("ascii")


def generate(
    name: str, password: Secret, *, now: str, work_factor: int = WORK_FACTOR
) -> tuple[RequestKeyFile, ec.EllipticCurvePrivateKey]:
    """A new key from the operating system's random numbers, as a file and open. Takes as long as scrypt does."""
    private = ec.generate_private_key(ec.SECP384R1())
    spki = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    salt, nonce = os.urandom(32), os.urandom(12)
    cipher = AESGCM(_derive(password, salt, work_factor))
    plain = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    file = RequestKeyFile(
        name=name,
        state=State.CREATED,
        public_key=pem.decode("ascii"),
        fingerprint=hashlib.sha256(spki).hexdigest(),
        generation=0,
        created_at=now,
        changed_at=now,
        key_id=str(uuid.uuid4()),
        unrecorded=("created",),
        locked={
            "kdf": "scrypt",
            "n": work_factor,
            "r": 8,
            "p": 1,
            "salt": salt.hex(),
            "cipher": "aes-256-gcm",
            "nonce": nonce.hex(),
            "ciphertext": base64.b64encode(cipher.encrypt(nonce, plain, spki)).decode("ascii"),
        },
    )
    return file, private


def unlock(file: RequestKeyFile, password: Secret, where: str) -> ec.EllipticCurvePrivateKey:
    """The private key. Takes as long as scrypt does.

    Raises KeyUnavailable: ``wrong_password``, ``keystore_unreadable``, ``request_key_gone``.
    """
    if file.locked is None:
        raise KeyUnavailable(
            f"{where}: the key is {file.state.value}, and its private half was removed", code="request_key_gone"
        )
    spki, box = _spki(file.public_key, where), file.locked
    cipher = AESGCM(_derive(password, bytes.fromhex(box["salt"]), box["n"]))
    try:
        plain = cipher.decrypt(bytes.fromhex(box["nonce"]), base64.b64decode(box["ciphertext"]), spki)
        key = load_der_private_key(plain, password=None)
    except InvalidTag:
        key = None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The parser's own text can quote its input, and chaining would carry the plain key along.
        plain, key = b"", None
    if key is None:
        raise KeyUnavailable(
            f"{where}: the password is wrong (or the file was altered): the private half does not open",
            code="wrong_password",
        )
    if not isinstance(key, ec.EllipticCurvePrivateKey) or _der(key.public_key()) != spki:
        _unreadable(where, "the private half of its public key", "another key")
    return key


def decode(data: bytes, where: str) -> RequestKeyFile:
    """Reads and checks a file; opens nothing. ``where`` names it in errors. Raises KeyUnavailable
    ``keystore_unreadable``."""
    try:
        document = read_json(data, max_bytes=MAX_BYTES)
    except MalformedJson:
        document = None
    if not isinstance(document, dict) or document.get("version") != 1:
        _unreadable(where, "a JSON object of version 1", f"{len(data)} bytes that are none")
    texts = {
        "name": NAME.pattern,
        "state": "|".join(State),
        "publicKey": r"[\x0a\x20-\x7e]{1,2000}",
        "fingerprint": r"[0-9a-f]{64}",
    }
    for name, pattern in texts.items():
        if not isinstance(document.get(name), str) or re.fullmatch(pattern, document[name]) is None:
            _unreadable(where, f"{name} as this release writes it", "another value")
    for name in ("createdAt", "changedAt"):
        if not isinstance(document.get(name), str) or _TIME.fullmatch(document[name]) is None:
            _unreadable(where, f"{name} as a time in UTC", "another value")
    generation = document.get("generation")
    if type(generation) is not int or not 0 <= generation < 2**31:
        _unreadable(where, "generation as a small number", "another value")
    begun_after = document.get("begunAfter")
    if begun_after is not None and (type(begun_after) is not int or not 0 <= begun_after < 2**31):
        _unreadable(where, "begunAfter as a small number", "another value")
    unrecorded = document.get("unrecorded")
    if not isinstance(unrecorded, list) or any(action not in get_args(Action) for action in unrecorded):
        _unreadable(where, "unrecorded as a list of actions", "another value")
    approvals = document.get("approvals", [])  # none in the files of earlier releases
    if not isinstance(approvals, list) or any(
        not isinstance(request, str) or _HASH.fullmatch(request) is None for request in approvals
    ):
        _unreadable(where, "approvals as a list of requests' ids", "another value")
    file = RequestKeyFile(
        name=document["name"],
        state=State(document["state"]),
        public_key=document["publicKey"],
        fingerprint=document["fingerprint"],
        generation=generation,
        created_at=document["createdAt"],
        changed_at=document["changedAt"],
        key_id=_key_id(document, "keyId", where),
        answered=_key_id(document, "answered", where),  # none in the files of earlier releases
        begun_after=begun_after,
        replaces=_key_id(document, "replaces", where),
        unrecorded=tuple(unrecorded),
        approvals=tuple(approvals),
        locked=_locked(document.get("privateKey"), where),
    )
    actual = hashlib.sha256(_spki(file.public_key, where)).hexdigest()
    if actual != file.fingerprint:
        _unreadable(where, f"the public key of fingerprint {file.fingerprint}", f"that of {actual}")
    _require_whole(file, where)
    return file


def _require_whole(file: RequestKeyFile, where: str) -> None:
    if file.state in (State.CURRENT, State.REVOKING) and file.key_id is None:
        _unreadable(where, f"a key id in state {file.state.value}", "none")
    if file.state not in (State.RETIRED, State.REVOKED) and file.locked is None:
        _unreadable(where, f"the private half in state {file.state.value}", "none")


def _locked(value: object, where: str) -> dict[str, Any] | None:
    """What a file asks for is checked before any of it is computed: a planted file must not eat the memory."""
    if value is None:
        return None
    if not isinstance(value, dict) or value.get("kdf") != "scrypt" or value.get("cipher") != "aes-256-gcm":
        _unreadable(where, "a private key under scrypt and aes-256-gcm", "something else")
    n = value.get("n")
    if type(n) is not int or n & (n - 1) or not _FACTORS[0] <= n <= _FACTORS[1]:
        _unreadable(where, f"scrypt's n as a power of two from {_FACTORS[0]} to {_FACTORS[1]}", "another value")
    if value.get("r") != 8 or value.get("p") != 1:
        _unreadable(where, "scrypt's r 8 and p 1", "other values")
    try:
        salt, nonce = bytes.fromhex(value["salt"]), bytes.fromhex(value["nonce"])
        ciphertext = base64.b64decode(value["ciphertext"], validate=True)
    except (KeyError, TypeError, ValueError, binascii.Error):
        salt = nonce = ciphertext = b""
    if len(salt) != 32 or len(nonce) != 12 or not 64 <= len(ciphertext) <= 2000:
        _unreadable(where, "salt, nonce and ciphertext of their sizes", "others")
    return {name: value[name] for name in ("kdf", "n", "r", "p", "salt", "cipher", "nonce", "ciphertext")}


def _derive(password: Secret, salt: bytes, n: int) -> bytes:
    text = password.reveal().encode("utf-8", "surrogateescape")
    return hashlib.scrypt(text, salt=salt, n=n, r=8, p=1, maxmem=n * 8 * 128 + 1024 * 1024, dklen=32)


def _der(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _spki(pem: str, where: str) -> bytes:
    try:
        key = load_pem_public_key(pem.encode("ascii"))
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        _unreadable(where, "publicKey as the PEM of a P-384 key", "something else")
    return _der(key)


def _key_id(document: dict[str, Any], name: str, where: str) -> str | None:
    value = document.get(name)
    if value is not None and (not isinstance(value, str) or KEY_ID.fullmatch(value) is None):
        _unreadable(where, f"{name} as this release writes it", "another value")
    return value


def _unreadable(where: str, expected: str, actual: str) -> NoReturn:
    raise KeyUnavailable(f"{where}: expected {expected}, got {actual}", code="keystore_unreadable")
