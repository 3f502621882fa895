"""Web3 Secret Storage, version 3: a private key encrypted under a password, as JSON.

The format is Ethereum's "Web3 Secret Storage Definition"; encryption is eth-account's. What a file asks for is
checked before any of it is computed, so that a planted file can neither eat the memory nor weaken the encryption.
Our own facts about a key stand in the member ``x-orchestrator``, which other tools ignore.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn, cast

from coincurve import PrivateKey

from orchestrator.eip191 import ORDER, address_of
from orchestrator.errors import KeyUnavailable
from orchestrator.models import Address, to_address
from orchestrator.signers.secret import Secret

MAX_BYTES: Final = 16 * 1024
"""The largest key file that is read. A usual one is about 600 bytes."""
DEFAULT_WORK_FACTOR: Final = 2**18
"""scrypt's N for new files: about 1 s and 256 MiB, the definition's standard cost."""
MIN_WORK_FACTOR: Final = 2**12
EXTENSION: Final = "x-orchestrator"

_MAX_SCRYPT_MEMORY: Final = 512 * 1024 * 1024
_MAX_SCRYPT_WORK: Final = 2**24
"""N times r times p; the standard cost is 2^21."""
_PBKDF2_ROUNDS: Final = (10_000, 10_000_000)
_DIGITS: Final = re.compile(r"(?:0x)?([0-9a-fA-F]*)")


@dataclass(frozen=True, slots=True)
class KeyFile:
    """One key file, checked. ``crypto`` is the encrypted key with its parameters; the key itself is not here."""

    address: Address | None
    """What the file says; None where it does not (allowed by the definition). Proven only by ``decrypt``."""
    crypto: dict[str, Any] = field(repr=False)
    id: str | None
    name: str | None = None
    disabled: bool = False
    created_at: str | None = None

    def encode(self) -> bytes:
        """The file's bytes: JSON with a line end."""
        document: dict[str, Any] = {"version": 3, "id": self.id, "crypto": self.crypto}
        if self.address is not None:
            document["address"] = self.address[2:].lower()
        document[EXTENSION] = {"name": self.name, "disabled": self.disabled, "createdAt": self.created_at}
        return (json.dumps(document, indent=2, sort_keys=True) + "\n").encode("ascii")


def decode(data: bytes, where: str) -> KeyFile:
    """Reads and checks a key file; costs no key derivation. ``where`` names it in errors.

    Raises KeyUnavailable, code ``keystore_unreadable``.
    """
    try:
        document = json.loads(data.decode("utf-8"), object_pairs_hook=_unique)
    except UnicodeDecodeError as error:
        _unreadable(where, "UTF-8 text", f"other bytes at offset {error.start}")
    except (ValueError, RecursionError) as error:
        # The decoder's sentence has positions only, never content.
        _unreadable(where, "a JSON document", f"{len(data)} bytes that are none ({error})")
    if not isinstance(document, dict):
        _unreadable(where, "a JSON object", _kind_of(document))
    if type(document.get("version")) is not int or document["version"] != 3:
        _unreadable(where, "version 3 (Web3 Secret Storage)", f"version {_short(document.get('version'))}")
    crypto = document.get("crypto", document.get("Crypto"))  # early clients wrote a capital C
    if not isinstance(crypto, dict):
        _unreadable(where, "an object crypto", _kind_of(crypto))
    extension = document.get(EXTENSION, {})
    if not isinstance(extension, dict):
        _unreadable(where, f"an object {EXTENSION}", _kind_of(extension))
    disabled = extension.get("disabled", False)
    if not isinstance(disabled, bool):
        _unreadable(where, f"{EXTENSION}.disabled true or false", _short(disabled))
    return KeyFile(
        address=_address(document.get("address"), where),
        crypto=_crypto(crypto, where),
        id=_optional_text(document.get("id"), "id", where),
        name=_optional_text(extension.get("name"), f"{EXTENSION}.name", where),
        disabled=disabled,
        created_at=_optional_text(extension.get("createdAt"), f"{EXTENSION}.createdAt", where),
    )


def encrypt(key: PrivateKey, password: Secret, *, work_factor: int, name: str, created_at: str) -> KeyFile:
    """A new key file: scrypt with N = ``work_factor`` (r 8, p 1), fresh salt and IV. Takes as long as N demands."""
    from eth_account import Account  # slow to import

    document = Account.encrypt(key.secret, cast("str", _password(password)), kdf="scrypt", iterations=work_factor)
    return KeyFile(
        address=address_of(key.public_key),
        crypto=document["crypto"],
        id=document["id"],
        name=name,
        created_at=created_at,
    )


def decrypt(file: KeyFile, password: Secret, where: str) -> PrivateKey:
    """The private key, its address compared with the file's. Takes as long as the file's parameters demand.

    Raises KeyUnavailable, code ``wrong_password``; ``keystore_unreadable`` if key and address do not belong together.
    """
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
        _unreadable(where, "a private key of secp256k1", "a number outside of its range")
    key = PrivateKey(secret)
    actual = address_of(key.public_key)
    if file.address is not None and actual != file.address:
        _unreadable(where, f"the key of the address in it, {file.address}", f"the key of {actual}")
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
        _unreadable(where, "cipher aes-128-ctr", f"cipher {_short(crypto.get('cipher'))}")
    cipher_params, kdf_params = crypto.get("cipherparams"), crypto.get("kdfparams")
    if not isinstance(cipher_params, dict):
        _unreadable(where, "an object cipherparams", _kind_of(cipher_params))
    if not isinstance(kdf_params, dict):
        _unreadable(where, "an object kdfparams", _kind_of(kdf_params))
    kdf = crypto.get("kdf")
    if kdf == "scrypt":
        params = _scrypt(kdf_params, where)
    elif kdf == "pbkdf2":
        params = _pbkdf2(kdf_params, where)
    else:
        _unreadable(where, "kdf scrypt or pbkdf2", f"kdf {_short(kdf)}")
    return {
        "cipher": "aes-128-ctr",
        "cipherparams": {"iv": _hex(cipher_params.get("iv"), "cipherparams.iv", where, 16, 16)},
        "ciphertext": _hex(crypto.get("ciphertext"), "ciphertext", where, 32, 32),
        "kdf": kdf,
        "kdfparams": params,
        "mac": _hex(crypto.get("mac"), "mac", where, 32, 32),
    }


def _scrypt(params: dict[str, Any], where: str) -> dict[str, Any]:
    n, r, p = (_positive(params.get(name), f"kdfparams.{name}", where) for name in ("n", "r", "p"))
    if n & (n - 1) or n < MIN_WORK_FACTOR:
        _unreadable(where, f"scrypt n of {MIN_WORK_FACTOR} or more, a power of two", f"n {_short(n)}")
    if 128 * n * r > _MAX_SCRYPT_MEMORY:
        _unreadable(where, f"scrypt parameters for at most {_MAX_SCRYPT_MEMORY} bytes", f"n {_short(n)}, r {_short(r)}")
    if n * r * p > _MAX_SCRYPT_WORK:
        _unreadable(where, f"scrypt n times r times p of at most {_MAX_SCRYPT_WORK}", f"{_short(n * r * p)}")
    return {"n": n, "r": r, "p": p, "dklen": _dklen(params, where), "salt": _salt(params, where)}


def _pbkdf2(params: dict[str, Any], where: str) -> dict[str, Any]:
    rounds = _positive(params.get("c"), "kdfparams.c", where)
    if not _PBKDF2_ROUNDS[0] <= rounds <= _PBKDF2_ROUNDS[1]:
        _unreadable(where, f"pbkdf2 c of {_PBKDF2_ROUNDS[0]} to {_PBKDF2_ROUNDS[1]}", f"c {_short(rounds)}")
    if params.get("prf") != "hmac-sha256":
        _unreadable(where, "prf hmac-sha256", f"prf {_short(params.get('prf'))}")
    return {"c": rounds, "prf": "hmac-sha256", "dklen": _dklen(params, where), "salt": _salt(params, where)}


def _dklen(params: dict[str, Any], where: str) -> int:
    if type(params.get("dklen")) is not int or params["dklen"] != 32:
        _unreadable(where, "dklen 32", f"dklen {_short(params.get('dklen'))}")
    return 32


def _salt(params: dict[str, Any], where: str) -> str:
    return _hex(params.get("salt"), "kdfparams.salt", where, 16, 64)


def _positive(value: object, what: str, where: str) -> int:
    if type(value) is not int or value < 1:
        _unreadable(where, f"{what} as a positive integer", _short(value))
    return value


def _hex(value: object, what: str, where: str, least: int, most: int) -> str:
    match = _DIGITS.fullmatch(value) if isinstance(value, str) else None
    size = f"{least} bytes" if least == most else f"{least} to {most} bytes"
    if match is None:
        _unreadable(where, f"{what} as hexadecimal text", _kind_of(value))
    if len(match[1]) % 2 or not least <= len(match[1]) // 2 <= most:
        _unreadable(where, f"{what} of {size}", f"{len(match[1])} hexadecimal digits")
    return match[1].lower()


def _address(value: object, where: str) -> Address | None:
    if value is None:
        return None
    if not isinstance(value, str):
        _unreadable(where, "address as text", _kind_of(value))
    try:
        return to_address(value if value.startswith("0x") else "0x" + value)
    except ValueError as error:
        _unreadable(where, "an address", str(error))


def _optional_text(value: object, what: str, where: str) -> str | None:
    if value is not None and not isinstance(value, str):
        _unreadable(where, f"{what} as text", _kind_of(value))
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member occurs twice in one object")
    return found


def _kind_of(value: object) -> str:
    return "nothing" if value is None else f"a JSON {type(value).__name__}"


def _short(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if value.bit_length() <= 64 else f"a number of {value.bit_length()} bits"
    text = ascii(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _unreadable(where: str, expected: str, actual: str) -> NoReturn:
    raise KeyUnavailable(f"{where}: expected {expected}, got {actual}", code="keystore_unreadable")
