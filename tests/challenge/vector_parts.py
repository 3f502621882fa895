"""What the vectors are put together from: the expectation, the honest messages, and a case of each notation."""

from __future__ import annotations

import base64
from typing import Any

Case = dict[str, Any]

ACCOUNT = "5b0fa2bb-9d9b-4d0a-9a26-2dd4b0d8a9b1"
ANOTHER = "0e9c7f4e-6a1d-4f53-8d2e-31a1b7c0f6de"
UUID = "5df359f0-d299-40a1-8023-17c77a50144c"
ADDRESS = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
OTHER = "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb"
KEY = "0x" + "01" * 32
HOST = "api.sandbox.offblocks.xyz"
WALLET = f"eip155:31337:{ADDRESS}"
STRICT = {"kinds": ["eip4361", "uuid"]}
OPAQUE = {"kinds": ["eip4361", "uuid", "opaque"], "opaque_max_bytes": 1024}
SESSION_KEY_PEM = (
    "-----BEGIN PUBLIC KEY-----\n"
    "MFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAE3LL5FWfTX//pIisD/LgxUHOiqvQSIEVN\n"
    "FzIh97KepeZMbeVlPgujFxbNL7lueXQBpiQe36fK7LRmvM4wDifENA==\n"
    "-----END PUBLIC KEY-----"
)
"""The example of the platform's published file: a public key on secp256k1."""
COMPRESSED_KEY = bytes.fromhex("3036301006072a8648ce3d020106052b8104000a03220002" + "5a" * 32)


def pem(der: bytes, lines: int = 0) -> str:
    """In ``lines`` lines, or in as few as RFC 7468 has."""
    packed = base64.b64encode(der).decode()
    full = [packed[at : at + 64] for at in range(0, len(packed), 64)]
    broken = [*packed[: lines - 1], packed[lines - 1 :]] if lines else full
    return "\n".join(("-----BEGIN PUBLIC KEY-----", *broken, "-----END PUBLIC KEY-----"))


COMPRESSED_PEM = pem(COMPRESSED_KEY)
STRETCHED_PEM = pem(COMPRESSED_KEY, 2 + len(SESSION_KEY_PEM) - len(COMPRESSED_PEM))
LONG_FORM_PEM = pem(bytes.fromhex("308136") + COMPRESSED_KEY[2:])
SESSION_KEY_HEX = "0x" + "5a" * 31 + "aB"
SESSION_KEYS = {"kinds": ["session_key"], "session_key_bytes": len(SESSION_KEY_PEM)}
HEX_SESSION_KEYS = {"kinds": ["session_key"], "session_key_bytes": 66}
EXPECTATION = {
    "accountId": ACCOUNT,
    "operation": "creation",
    "signer": WALLET,
    "wallets": [WALLET],
    "rules": STRICT,
    "binding": "required",
    "domains": [HOST, "127.0.0.1:8080"],
    "now": "2024-01-12T15:10:00+00:00",
    "fetchedAt": "2024-01-12T15:09:58+00:00",
    "clockSkew": 60,
    "fetchedFor": [ACCOUNT, "creation"],
    "signedFor": None,
    "knownAccounts": [],
    "resuming": False,
}
MESSAGE = [
    f"{HOST} wants you to sign in with your Ethereum account:",
    ADDRESS,
    "",
    "I accept the terms",
    "",
    f"URI: https://{HOST}/v1",
    "Version: 1",
    "Chain ID: 31337",
    "Nonce: 32891756",
    "Issued At: 2024-01-12T15:07:17.358440283Z",
]
EXPIRES = "Expiration Time: 2024-01-12T16:07:17.358440283Z"
STARTS = "Not Before: 2024-01-12T15:07:17.358440283Z"
RESOURCES = ["Resources:", f"- https://{HOST}/terms"]
FULL = [*MESSAGE, EXPIRES, STARTS, "Request ID: 5df359f0", *RESOURCES]


def raw(name: str, why: str, rule: str, data: bytes, **given: Any) -> Case:
    return {"name": name, "why": why, "rule": rule, "hex": data.hex(), **_given(given)}


def text(name: str, why: str, rule: str, content: str, **given: Any) -> Case:
    return {"name": name, "why": why, "rule": rule, "text": content, **_given(given)}


def lines(name: str, why: str, rule: str, content: list[str], **given: Any) -> Case:
    return {"name": name, "why": why, "rule": rule, "lines": content, **_given(given)}


def changed(name: str, why: str, rule: str, old: str, new: str, **given: Any) -> Case:
    """The full message with one thing replaced."""
    whole = "\n".join(FULL)
    assert old in whole, old
    return lines(name, why, rule, whole.replace(old, new, 1).split("\n"), **given)


def _given(given: dict[str, Any]) -> dict[str, Any]:
    return {"given": given} if given else {}
