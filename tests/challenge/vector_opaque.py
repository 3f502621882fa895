"""Hostile bytes where the policy allows opaque ones, and challenges of any kind that name another account."""

# ruff: noqa: E501 (tables: a case a line)

from __future__ import annotations

import base64
import json

import rlp

from tests.challenge.vector_bytes import (
    AUTHORIZATION,
    BLOB,
    DIGEST,
    DYNAMIC,
    LEGACY,
    PREHASH,
    TO,
    base64_text,
)
from tests.challenge.vector_parts import (
    ACCOUNT,
    ADDRESS,
    ANOTHER,
    COMPRESSED_PEM,
    HEX_SESSION_KEYS,
    HOST,
    LONG_FORM_PEM,
    OPAQUE,
    OTHER,
    SESSION_KEY_HEX,
    SESSION_KEY_PEM,
    SESSION_KEYS,
    STRETCHED_PEM,
    UUID,
    Case,
    changed,
    text,
)
from tests.challenge.vector_parts import raw as raw_case

HEX = DIGEST.hex()
BLOBS = b"\x03" + rlp.encode([rlp.decode(BLOB[1:]), [], [], []])
FULL_WIDTH = "".join(chr(ord(digit) + 0xFEE0) for digit in HEX)


def wrapped() -> list[Case]:
    seen = "what is shown is not what is signed"
    why = "what it is the hash of cannot be seen"
    pays = "signed, it moves value"
    found = [
        ("escape sequence and a byte", seen, "characters", b"\x1b[2J\x1b[1;31mApproved\xff"),
        ("escape sequence in bytes", seen, "characters", b"\xff\xfe\xfd\xfc\x81\x82\x83\x1b[2J\xff\xfe\xfd\xfc\x81"),
        ("right-to-left override and a byte", seen, "characters", "safe\u202eevil".encode() + b"\xff"),
        ("byte before a control character", seen, "characters", b"\xff\x1b[2Jabc"),
        ("C1 control of Latin-1", seen, "characters", b"Approved\x9b31m"),
        ("Latin-1", "text, and no UTF-8", "characters", "Bitte best\u00e4tigen".encode("latin-1")),
        ("payment", "all that eth_sendTransaction needs", "transaction", json.dumps({"to": OTHER, "value": "0xde0b6b3a7640000"})),
        ("call", "all that eth_sendTransaction needs", "transaction", json.dumps({"to": OTHER, "data": "0xa9059cbb"})),
        ("deployment", "all that eth_sendTransaction needs", "transaction", json.dumps({"from": ADDRESS, "data": "0x60006000"})),
        ("payment in upper case", "as tools of other languages name it", "transaction", json.dumps({"To": OTHER, "Value": "0x1"})),
        ("transaction in snake case", "as tools of other languages name it", "transaction", json.dumps({"to": "a", "gas_price": 1, "gas_limit": 1})),
        ("payment in text", "a document with words before it", "transaction", "Please sign " + json.dumps({"to": OTHER, "value": "0x1"})),
        ("payment in JSON lines", "the second document", "transaction", '{"a": 1}\n' + json.dumps({"to": OTHER, "value": "0x1"})),
        ("EIP-712 in lower case", "as tools of other languages name it", "eip712", '{"primarytype": "Permit", "Message": {}}'),
        ("transaction in JSON in Base64", pays, "transaction", json.dumps({"raw": base64_text(DYNAMIC)})),
        ("legacy in JSON in Base64", pays, "transaction", json.dumps([base64.urlsafe_b64encode(LEGACY).decode()])),
        ("transaction as a name in JSON", pays, "transaction", json.dumps({"0x" + LEGACY.hex(): 1})),
        ("authorization in JSON in Base64", "hands the account to other code", "authorization", json.dumps({"a": base64_text(AUTHORIZATION)})),
        ("prehash in JSON in Base64", "typed data", "eip191", json.dumps({"a": base64_text(PREHASH)})),
        ("blobs in Base64", "the network's wrapping: a list of lists", "transaction", base64_text(BLOBS)),
        ("blobs in JSON in Base64", "the network's wrapping: a list of lists", "transaction", json.dumps({"raw": base64_text(BLOBS)})),
        ("transaction after a space", "a decoder that trims sends it", "transaction", b" " + DYNAMIC),
        ("legacy after zeros", "a decoder that trims sends it", "transaction", b"\x00\x00" + LEGACY),
        ("transaction in a sentence", pays, "transaction", f"sign 0x{DYNAMIC.hex()} now"),
        ("digest and a line feed", why, "digest", DIGEST + b"\n"),
        ("digest after a zero", why, "digest", b"\x00" + DIGEST),
        ("digest that ends in space", why, "digest", DIGEST[:31] + b" \n"),
        ("digest in JSON in Base64", why, "digest", json.dumps({"h": base64_text(DIGEST)})),
        ("digest in quotes", why, "digest", f"'{HEX}'"),
        ("digest in parentheses", why, "digest", f"({HEX})"),
        ("digest and a full stop", why, "digest", f"{HEX}."),
        ("digest with 0x twice", why, "digest", f"0x0x{HEX}"),
        ("digest in full-width digits", why, "digest", FULL_WIDTH),
        ("digest in a sentence", why, "digest", f"the hash: 0x{HEX}"),
        ("digest in Base64 in a sentence", why, "digest", f"the hash: {base64_text(DIGEST)}"),
        ("digest as a literal", why, "digest", f"x'{HEX}'"),
        ("digest with hyphens", why, "digest", DIGEST.hex("-")),
        ("digest with underscores", why, "digest", DIGEST.hex("_", 4)),
        ("digest byte by byte", why, "digest", ",".join(f"0x{byte:02x}" for byte in DIGEST)),
        ("digest with backslashes", why, "digest", "".join(f"\\x{byte:02x}" for byte in DIGEST)),
        ("digest with percent signs", why, "digest", "".join(f"%{byte:02x}" for byte in DIGEST)),
        ("decoys", "what is behind them was not looked at", "opaque.form", json.dumps([f"{n:03d}" for n in range(300)])),
    ]  # fmt: skip
    return [
        text(name, reason, rule, data, rules=OPAQUE)
        if isinstance(data, str)
        else raw_case(name, reason, rule, data, rules=OPAQUE)
        for name, reason, rule, data in found
    ]


def accounts() -> list[Case]:
    rule = "account"
    known = {"knownAccounts": [ACCOUNT, ANOTHER]}
    opaque = {"rules": OPAQUE}
    statement, request, resource = "I accept the terms", "Request ID: 5df359f0", f"https://{HOST}/terms"
    words = "signed, it could be shown as consent for that account"
    return [
        changed("statement", words, rule, statement, f"I agree to close account {ANOTHER}"),
        changed("statement with words between", words, rule, statement, f"Close the account with the id: {ANOTHER}"),
        changed("statement of both", words, rule, statement, f"From account {ACCOUNT} to account {ANOTHER}"),
        changed("statement in upper case", words, rule, statement, f"I AGREE TO CLOSE ACCOUNT {ANOTHER.upper()}"),
        changed("statement without hyphens", words, rule, statement, f"close account #{ANOTHER.replace('-', '')}"),
        changed("statement, known", "the journal knows it", rule, statement, f"I agree to close {ANOTHER}", **known),
        changed("request id, known", "the journal knows it", rule, request, f"Request ID: {ANOTHER}", **known),
        changed("request id", "the word before it", rule, request, f"Request ID: account:{ANOTHER}"),
        changed("request id with percent signs", "the word before it", rule, request, f"Request ID: account%3A{ANOTHER.replace('-', '%2D')}"),
        changed("nonce, known", "a UUID without hyphens", rule, "Nonce: 32891756", f"Nonce: {ANOTHER.replace('-', '')}", **known),
        changed("resource", "another account's path", rule, resource, f"https://{HOST}/v1/accounts/{ANOTHER}"),
        changed("resource, known", "the journal knows it", rule, resource, f"https://{HOST}/{ANOTHER}", **known),
        changed("URI", "another account's path", rule, f"URI: https://{HOST}/v1", f"URI: https://{HOST}/v1/accounts/{ANOTHER}/challenge"),
        changed("query", "another account's", rule, f"URI: https://{HOST}/v1", f"URI: https://{HOST}/v1?accountId={ANOTHER}"),
        text("UUID, known", "another account's id", rule, ANOTHER, **known),
        text("opaque text", words, rule, f"close account {ANOTHER}", **opaque),
        text("opaque UUID in text", "opaque text has no field that says whose it is", rule, f"session: {UUID}", **opaque),
        text("two UUIDs", "which one is meant", rule, f"{UUID}\n{ANOTHER}", **opaque),
        text("two UUIDs, one its own", "which one is meant", rule, f"{ACCOUNT}\n{ANOTHER}", **opaque),
        text("opaque JSON", "another account's id", rule, json.dumps({"account": ANOTHER}), **opaque),
        text("opaque, without hyphens, known", "the journal knows it", rule, f"session:{ANOTHER.replace('-', '')}", **opaque, **known),
        text("opaque in Base64 in JSON", "another account's id", rule, json.dumps({"for": base64_text(f"account: {ANOTHER}".encode())}), **opaque),
        raw_case("opaque, 16 bytes, known", "the journal knows it", rule, bytes.fromhex(ANOTHER.replace("-", "")), **opaque, **known),
        text("opaque address and account", words, rule, f"{TO.hex()} {ANOTHER}", **opaque),
    ]  # fmt: skip


def session_keys() -> list[Case]:
    """Keys where the policy allows none, or others; and what is nearly one where opaque bytes are allowed."""
    opaque = {"rules": OPAQUE}
    form, kind = "session_key.form", "kind"
    private = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----"
    return [
        text("PEM", "not allowed unless the policy names the kind", kind, SESSION_KEY_PEM),
        text("hexadecimal", "not allowed unless the policy names the kind", kind, SESSION_KEY_HEX),
        text(
            "PEM among opaque bytes", "a kind of its own, which opaque does not allow", kind, SESSION_KEY_PEM, **opaque
        ),
        text("hexadecimal among opaque bytes", "it may be a digest", kind, SESSION_KEY_HEX, **opaque),
        text("hexadecimal of another length than allowed", "PEM is allowed", kind, SESSION_KEY_HEX, rules=SESSION_KEYS),
        text("PEM of another length than allowed", "hexadecimal is", kind, SESSION_KEY_PEM, rules=HEX_SESSION_KEYS),
        text(
            "PEM and a line feed, longer than allowed",
            "exactly so long",
            kind,
            SESSION_KEY_PEM + "\n",
            rules=SESSION_KEYS,
        ),
        raw_case(
            "32 bytes", "only in hexadecimal", "digest", bytes.fromhex(SESSION_KEY_HEX[2:]), rules=HEX_SESSION_KEYS
        ),
        text("hexadecimal without 0x", "only with it", "digest", SESSION_KEY_HEX[2:], rules=HEX_SESSION_KEYS),
        text("PEM with a word before it", "what is signed is more", form, "key: " + SESSION_KEY_PEM, **opaque),
        text("PEM in Base64", "wrapped", form, base64_text(SESSION_KEY_PEM.encode()), **opaque),
        text("PEM that is no key", "armour alone", form, SESSION_KEY_PEM.replace("MFYw", "AAAA"), **opaque),
        text(
            "PEM with bytes after the key", "not all of it is read", form, SESSION_KEY_PEM.replace("==", "AA"), **opaque
        ),
        text(
            "PEM in other lines, as long as is allowed",
            "the same key may be written in many ways",
            form,
            SESSION_KEY_PEM.replace("IEVN\n", "\nIEVN"),
            rules=SESSION_KEYS,
        ),
        text(
            "PEM of another key, stretched to the length that is allowed",
            "a compressed point, a line for each few characters",
            form,
            STRETCHED_PEM,
            rules=SESSION_KEYS,
        ),
        text("PEM of the other key", "another length than allowed", kind, COMPRESSED_PEM, rules=SESSION_KEYS),
        text("PEM with a length in two ways", "not DER", form, LONG_FORM_PEM, **opaque),
        text("private key", "nobody signs one", form, private, **opaque),
        text(
            "PEM with CRLF",
            "control characters",
            "characters",
            SESSION_KEY_PEM.replace("\n", "\r\n"),
            rules=SESSION_KEYS,
        ),
    ]
