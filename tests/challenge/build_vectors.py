"""Builds the vectors in ``vectors/hostile.json`` and ``vectors/honest.json``: run as a module, it writes them.

    python -m tests.challenge.build_vectors

A test compares the files with what is built here; transactions, prehashes and signatures are made by eth_account.
"""

# ruff: noqa: E501 (tables: a case a line)

from __future__ import annotations

import json
from typing import Any

from tests.challenge import vector_bytes, vector_messages, vector_opaque
from tests.challenge.cases import VECTORS
from tests.challenge.vector_parts import (
    ACCOUNT,
    ADDRESS,
    EXPECTATION,
    EXPIRES,
    FULL,
    HEX_SESSION_KEYS,
    HOST,
    MESSAGE,
    OPAQUE,
    SESSION_KEY_HEX,
    SESSION_KEY_PEM,
    SESSION_KEYS,
    STRICT,
    UUID,
    WALLET,
    changed,
    lines,
    raw,
    text,
)


def hostile() -> dict[str, Any]:
    groups = {
        "transaction": vector_bytes.transactions(),
        "authorization": vector_bytes.authorizations(),
        "typed data": vector_bytes.typed(),
        "digest": vector_bytes.digests(),
        "characters": vector_bytes.characters(),
        "form": vector_bytes.forms(),
        "opaque": vector_opaque.wrapped(),
        "session key": vector_opaque.session_keys(),
        "accounts": vector_opaque.accounts(),
        "context": vector_messages.context(),
        "names": vector_messages.names(),
        "statements": vector_messages.statements(),
        "fields": vector_messages.fields(),
    }
    cases = [{**case, "name": f"{group}: {case['name']}"} for group, found in groups.items() for case in found]
    return {
        "about": "Challenges that must be refused, each by the rule named.",
        "expectation": EXPECTATION,
        "cases": cases,
    }


def honest() -> dict[str, Any]:
    deletion = {"operation": "deletion", "fetchedFor": [ACCOUNT, "deletion"]}
    local = "\n".join(FULL).replace(f"https://{HOST}", "http://127.0.0.1:8080").replace(HOST, "127.0.0.1:8080")
    required = {**STRICT, "expiration": "required", "resources": "none"}
    uuid, message, opaque = "uuid", "eip4361", "opaque"
    cases = [
        text("UUID to create", "the documentation's example", uuid, UUID),
        text("UUID to close", "the same form", uuid, UUID, **deletion),
        text("UUID of another version", "any UUID is one", uuid, "0190163d-8694-739b-aea5-966c26f8ad91"),
        text("UUID of zeros", "canonical all the same", uuid, "00000000-0000-0000-0000-000000000000"),
        text("UUID after a crash", "intended, and never signed", uuid, UUID, resuming=True, signedFor=[ACCOUNT, "creation"]),
        text("UUID with a key not yet bound", "first_use binds it", uuid, UUID, binding="first_use", wallets=[]),
        text("UUID with a key of several wallets", "this one among them", uuid, UUID, wallets=[f"eip155:1:{ADDRESS}", WALLET]),
        text("UUID on a chain of the policy", "listed", uuid, UUID, rules={**STRICT, "chains": ["eip155:1", "eip155:31337"]}),
        text("UUID fetched by a clock that is ahead", "within the tolerance", uuid, UUID, fetchedAt="2024-01-12T15:11:00+00:00"),
        text("UUID just in time", "max_age seconds old", uuid, UUID, fetchedAt="2024-01-12T14:15:00+00:00"),
        lines("message", "the documentation's form", message, MESSAGE),
        lines("message with all fields", "each of them fits", message, FULL),
        lines("message to close", "the same form", message, FULL, **deletion),
        lines("message without statement", "optional", message, [*MESSAGE[:2], "", "", *MESSAGE[5:]]),
        lines("message with the policy's statement", "exactly that", message, FULL, rules={**STRICT, "statements": ["I open", "I accept the terms"]}),
        lines("message without statement where that is allowed", "the empty text", message, [*MESSAGE[:2], "", "", *MESSAGE[5:]], rules={**STRICT, "statements": ["", "I open"]}),
        changed("message that states anything", "a policy that names no statement", message, "I accept the terms", "I transfer all assets"),
        lines("message with a scheme", "the URI's", message, [f"https://{MESSAGE[0]}", *MESSAGE[1:]]),
        changed("message that names the account", "this one", message, "I accept the terms", f"I create account {ACCOUNT}"),
        changed("message with the account as its request", "this one, known", message, "Request ID: 5df359f0", f"Request ID: {ACCOUNT}", knownAccounts=[ACCOUNT]),
        changed("message of the account's resource", "this one's", message, f"https://{HOST}/terms", f"https://{HOST}/v1/accounts/{ACCOUNT}"),
        changed("message with a request's UUID", "a UUID that is no account's", message, "Request ID: 5df359f0", f"Request ID: {UUID}"),
        changed("message with a session's UUID", "a UUID that is no account's", message, "I accept the terms", f"I accept session {UUID}"),
        changed("message with a long nonce in hexadecimal", "a nonce is any letters and digits", message, "Nonce: 32891756", "Nonce: " + "5a" * 32),
        text("UUID of the account", "its own id", uuid, ACCOUNT, knownAccounts=[ACCOUNT]),
        text("message on loopback", "the only place for http", message, local),
        lines("message with what is required", "an expiration, no resources", message, [*MESSAGE, EXPIRES], rules=required),
        lines("message with an empty list of resources", "the grammar has it", message, [*MESSAGE, "Resources:"]),
        lines("message in another zone", "the same instant", message, [*MESSAGE[:-1], "Issued At: 2024-01-12T16:07:17+01:00"]),
        lines("message with a long nonce", "as long as may be", message, [*MESSAGE[:-2], "Nonce: " + "aB3" * 42, MESSAGE[-1]]),
        lines("message of the policy's domain", "the document's domains", message, FULL, domains=[], rules={**STRICT, "domains": [HOST]}),
        lines("message from a clock that is ahead", "within the tolerance", message, [*MESSAGE[:-1], "Issued At: 2024-01-12T15:10:58Z"]),
        text("session key in PEM", "as the platform's published file has it", "session_key", SESSION_KEY_PEM, rules=SESSION_KEYS),
        text("session key in hexadecimal", "where the policy allows it", "session_key", SESSION_KEY_HEX, rules=HEX_SESSION_KEYS),
        text("opaque text", "where the policy allows it", opaque, "session-key:7f3a9c", rules=OPAQUE),
        text("opaque text of several lines", "LF is no hidden character", opaque, "Please sign\nthis session", rules=OPAQUE),
        text("opaque text in German", "letters are letters", opaque, "Bitte best\u00e4tigen", rules=OPAQUE),
        raw("opaque bytes", "where the policy allows them", opaque, bytes.fromhex("ff00fe8877665544332211"), rules=OPAQUE),
        text("opaque, as long as may be", "16 bytes", opaque, "x" * 16, rules={**OPAQUE, "opaque_max_bytes": 16}),
        text("opaque text that names the account", "this one", opaque, f"create account {ACCOUNT}", rules=OPAQUE, knownAccounts=[ACCOUNT]),
        text("opaque JSON that names the account", "this one", opaque, json.dumps({"account": ACCOUNT}), rules=OPAQUE, knownAccounts=[ACCOUNT]),
        text("opaque JSON with a nonce", "32 characters, among others", opaque, json.dumps({"nonce": "5a" * 16, "session": "x-7"}), rules=OPAQUE),
        text("opaque text of a range", "no addresses", opaque, '{"from": "2024-01-12", "to": "2024-01-13", "n": 7}', rules=OPAQUE),
        text("opaque text with short hexadecimal", "too short for a digest", opaque, f"session 0x{'5a' * 24}.", rules=OPAQUE),
        raw("opaque bytes of a digest's size and more", "48 random ones", opaque, bytes.fromhex("b7b1a3e4fda2e7e5f1b46cb3a4f5c8dd5b0ed3c2ae8d7ea1c6a92f8e9db4a3f0c1d2e3f4a5b6c7d8e9fa0b1c2d3e4f5a"), rules=OPAQUE),
        text("opaque JSON", "a document with nothing dangerous in it", opaque, '{"session": "a1-b2", "n": 7}', rules=OPAQUE),
    ]  # fmt: skip
    return {"about": "Challenges that are signed, each as the kind named.", "expectation": EXPECTATION, "cases": cases}


FILES = {"hostile": hostile, "honest": honest}


def content(name: str) -> str:
    """The file as it must be."""
    return json.dumps(FILES[name](), indent=2, ensure_ascii=True) + "\n"


if __name__ == "__main__":
    for file_name in FILES:
        (VECTORS / f"{file_name}.json").write_text(content(file_name))
