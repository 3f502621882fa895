"""Web3 Secret Storage, version 3: a private key encrypted under a password, as JSON.

The format is Ethereum's "Web3 Secret Storage Definition"; encryption is eth-account's. What a file asks for is
checked before any of it is computed, so that a planted file can neither eat the memory nor weaken the encryption.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final, cast

from coincurve import PrivateKey

from orchestrator.eip191 import ORDER, address_of
from orchestrator.errors import Disposition, KeyUnavailable
from orchestrator.models import Address
from orchestrator.passwords import Secret
from orchestrator.process import lazy_py_ecc
from orchestrator.signers import document
from orchestrator.signers.document import EXTENSION, Facts, kind_of, short, unreadable

DEFAULT_WORK_FACTOR: Final = 2**18
"""scrypt's N for new files: about 1 s and 256 MiB, the definition's standard cost."""
MIN_WORK_FACTOR: Final = 2**12

_MAX_SCRYPT_MEMORY: Final = 512 * 1024 * 1024
_MAX_SCRYPT_WORK: Final = 2**24
"""N times r times p; the standard cost is 2^21."""
_PBKDF2_ROUNDS: Final = (10_000, 10_000_000)
_SHORTEST_KEY: Final = 24
"""Bytes. Early tools left out a key's leading zeros; more than eight of them have never been seen (chance 2^-64)."""
_DIGITS: Final = re.compile(r"(?:0x)?([0-9a-fA-F]*)")


@dataclass(frozen=True, slots=True)
class KeyFile:
    """One key file, checked. ``crypto`` is the encrypted key with its parameters; the key itself is not here."""

    address: Address | None
    """What the file says; None where it does not (allowed by the definition). Proven only by ``decrypt``."""
    crypto: dict[str, Any] = field(repr=False)
    id: str | None
    facts: Facts = field(default_factory=Facts)

    def encode(self) -> bytes:
        """The file's bytes: JSON with a line end."""
        found: dict[str, Any] = {"version": 3, "id": self.id, "crypto": self.crypto, EXTENSION: self.facts.encode()}
        if self.address is not None:
            found["address"] = self.address[2:].lower()
        return document.dump(found)


def decode(data: bytes, where: str) -> KeyFile:
    """Reads and checks a key file; costs no key derivation. ``where`` names it in errors.

    Raises KeyUnavailable, code ``keystore_unreadable``.
    """
    return from_document(document.parse(data, where), where)


def from_document(found: dict[str, Any], where: str) -> KeyFile:
    """As ``decode``, of the JSON object."""
    if type(found.get("version")) is not int or found["version"] != 3:
        unreadable(where, "version 3 (Web3 Secret Storage)", f"version {short(found.get('version'))}")
    crypto = found.get("crypto", found.get("Crypto"))  # early clients wrote a capital C
    if not isinstance(crypto, dict):
        unreadable(where, "an object crypto", kind_of(crypto))
    address = document.address(found.get("address"), where)
    facts = document.facts(found, address, where)
    identifier = document.optional_text(found.get("id"), "id", where)
    return KeyFile(address, _crypto(crypto, where), identifier, facts)


def encrypt(key: PrivateKey, password: Secret, *, work_factor: int, facts: Facts) -> KeyFile:
    """A new key file: scrypt with N = ``work_factor`` (r 8, p 1), fresh salt and IV. Takes as long as N demands."""
    with lazy_py_ecc():
        from eth_account import Account  # slow to import

    made = Account.encrypt(key.secret, cast("str", _password(password)), kdf="scrypt", iterations=work_factor)
    return KeyFile(address=address_of(key.public_key), crypto=made["crypto"], id=made["id"], facts=facts)


def decrypt(file: KeyFile, password: Secret, where: str) -> PrivateKey:
    """The private key, its address compared with the file's. Takes as long as the file's parameters demand.

    Raises KeyUnavailable: ``wrong_password``; ``keystore_unreadable`` (operator) if key and address do not belong
    together.
    """
    with lazy_py_ecc():
        from eth_account import Account  # slow to import

    try:
        secret = bytes(Account.decrypt({"version": 3, "crypto": file.crypto}, cast("str", _password(password))))
    except ValueError:
        # All parameters were checked before, so what is left is the MAC. Chaining could carry key material along.
        secret = None
    if secret is None:
        raise KeyUnavailable(
            f"{where}: the password is wrong (or the file was altered): the MAC does not match", code="wrong_password"
        )
    if not 0 < int.from_bytes(secret, "big") < ORDER:
        unreadable(where, "a private key of secp256k1", "a number outside of its range")
    key = PrivateKey(secret.rjust(32, b"\0"))
    actual = address_of(key.public_key)
    if file.address is not None and actual != file.address:
        expected = f"the key of the address in it, {file.address}"
        unreadable(where, expected, f"the key of {actual}", disposition=Disposition.OPERATOR)
    return key


def check_work_factor(work_factor: int) -> int:
    """scrypt's N for new files: a power of two from 2^12 to 2^19. Raises ValueError."""
    largest = _MAX_SCRYPT_MEMORY // (128 * 8)
    if work_factor & (work_factor - 1) or not MIN_WORK_FACTOR <= work_factor <= largest:
        raise ValueError(f"work_factor: expected a power of two from {MIN_WORK_FACTOR} to {largest}, got {work_factor}")
    return work_factor


def _password(password: Secret) -> bytes:
    return password.reveal().encode("utf-8", "surrogateescape")


def _crypto(crypto: dict[str, Any], where: str) -> dict[str, Any]:
    """Only what was checked, in its plain form: what a library reads later is this and nothing else."""
    if crypto.get("cipher") != "aes-128-ctr":
        unreadable(where, "cipher aes-128-ctr", f"cipher {short(crypto.get('cipher'))}")
    cipher_params, kdf_params = crypto.get("cipherparams"), crypto.get("kdfparams")
    if not isinstance(cipher_params, dict):
        unreadable(where, "an object cipherparams", kind_of(cipher_params))
    if not isinstance(kdf_params, dict):
        unreadable(where, "an object kdfparams", kind_of(kdf_params))
    kdf = crypto.get("kdf")
    if kdf == "scrypt":
        params = _scrypt(kdf_params, where)
    elif kdf == "pbkdf2":
        params = _pbkdf2(kdf_params, where)
    else:
        unreadable(where, "kdf scrypt or pbkdf2", f"kdf {short(kdf)}")
    return {
        "cipher": "aes-128-ctr",
        "cipherparams": {"iv": _hex(cipher_params.get("iv"), "cipherparams.iv", where, 16, 16)},
        "ciphertext": _hex(crypto.get("ciphertext"), "ciphertext", where, _SHORTEST_KEY, 32),
        "kdf": kdf,
        "kdfparams": params,
        "mac": _hex(crypto.get("mac"), "mac", where, 32, 32),
    }


def _scrypt(params: dict[str, Any], where: str) -> dict[str, Any]:
    n, r, p = (_positive(params.get(name), f"kdfparams.{name}", where) for name in ("n", "r", "p"))
    if n & (n - 1) or n < MIN_WORK_FACTOR:
        unreadable(where, f"scrypt n of {MIN_WORK_FACTOR} or more, a power of two", f"n {short(n)}")
    if 128 * n * r > _MAX_SCRYPT_MEMORY:
        unreadable(where, f"scrypt parameters for at most {_MAX_SCRYPT_MEMORY} bytes", f"n {short(n)}, r {short(r)}")
    if n * r * p > _MAX_SCRYPT_WORK:
        unreadable(where, f"scrypt n times r times p of at most {_MAX_SCRYPT_WORK}", f"{short(n * r * p)}")
    return {"n": n, "r": r, "p": p, "dklen": _dklen(params, where), "salt": _salt(params, where)}


def _pbkdf2(params: dict[str, Any], where: str) -> dict[str, Any]:
    rounds = _positive(params.get("c"), "kdfparams.c", where)
    if not _PBKDF2_ROUNDS[0] <= rounds <= _PBKDF2_ROUNDS[1]:
        unreadable(where, f"pbkdf2 c of {_PBKDF2_ROUNDS[0]} to {_PBKDF2_ROUNDS[1]}", f"c {short(rounds)}")
    if params.get("prf") != "hmac-sha256":
        unreadable(where, "prf hmac-sha256", f"prf {short(params.get('prf'))}")
    return {"c": rounds, "prf": "hmac-sha256", "dklen": _dklen(params, where), "salt": _salt(params, where)}


def _dklen(params: dict[str, Any], where: str) -> int:
    if type(params.get("dklen")) is not int or params["dklen"] != 32:
        unreadable(where, "dklen 32", f"dklen {short(params.get('dklen'))}")
    return 32


def _salt(params: dict[str, Any], where: str) -> str:
    return _hex(params.get("salt"), "kdfparams.salt", where, 16, 64)


def _positive(value: object, what: str, where: str) -> int:
    if type(value) is not int or value < 1:
        unreadable(where, f"{what} as a positive integer", short(value))
    return value


def _hex(value: object, what: str, where: str, least: int, most: int) -> str:
    match = _DIGITS.fullmatch(value) if isinstance(value, str) else None
    size = f"{least} bytes" if least == most else f"{least} to {most} bytes"
    if match is None:
        unreadable(where, f"{what} as hexadecimal text", kind_of(value))
    if len(match[1]) % 2 or not least <= len(match[1]) // 2 <= most:
        unreadable(where, f"{what} of {size}", f"{len(match[1])} hexadecimal digits")
    return match[1].lower()
