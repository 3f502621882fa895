"""A certificate's bytes and what they hold: canonical JSON (RFC 8785 and one newline) with a signature or a digest.

Any change of any byte is noticed here: the bytes must be the canonical form of their own content, and the content must
have the stated digest, or be signed. Who re-hashes a changed file, or signs it with another key, is noticed only by
demanding the signer.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any, Final, NoReturn

from orchestrator.closure.certificate.report import Failed
from orchestrator.eip191 import recover, require
from orchestrator.errors import SigningError
from orchestrator.foreign import MalformedJson, read_json
from orchestrator.models import Address, to_address
from orchestrator.ports.signers import Signer

FORMAT: Final = "offblocks-closure-certificate"
MAX_BYTES: Final = 8 * 1024 * 1024
"""A wallet's certificate has some 25 kB; code and proofs have limits of their own."""
_LONGEST_TEXT: Final = 2 + 2 * 64 * 1024
"""Characters: of 64 KiB of code. The schemas' patterns take some 60 bytes of memory for each byte of a text."""
SCHEMAS: Final = {1: "certificate-v1", 2: "certificate", 3: "certificate-v3"}
"""The shipped schema of each version."""
_SIGNATURES: Final = {
    "unsigned": {"sha256": re.compile(r"[0-9a-f]{64}")},
    "eip191": {"signer": re.compile(r"0x[0-9a-fA-F]{40}"), "value": re.compile(r"0x[0-9a-f]{130}")},
}
"""The members of a signature beside ``scheme``; the schema says the same."""


def seal(document: Mapping[str, Any], signer: Signer | None) -> bytes:
    """The certificate's bytes: signed (EIP-191 over the canonical form), or with their SHA-256 where there is no key.

    Raises SigningError and KeyUnavailable from the signer.
    """
    import rfc8785

    message = rfc8785.dumps(dict(document))
    if signer is None:
        signature = {"scheme": "unsigned", "sha256": hashlib.sha256(message).hexdigest()}
    else:
        value = signer.sign_message(message)
        require(message, value, signer.address)
        signature = {"scheme": "eip191", "signer": signer.address, "value": "0x" + value.hex()}
    return rfc8785.dumps({**document, "signature": signature}) + b"\n"


def parse(data: bytes) -> dict[str, Any]:
    """The JSON object in bytes of which anyone may be the author, if it says that it is a certificate. Raises Failed.

    Only ``format``, ``version`` and ``signature`` are checked here: see ``check_schema``.
    """
    try:
        document = read_json(data, max_bytes=MAX_BYTES, parse_float=_no_float, parse_int=_small_int)
    except MalformedJson as error:
        raise Failed(f"not a certificate: it {error}") from None
    if (longest := max(map(len, _texts(document)), default=0)) > _LONGEST_TEXT:
        raise Failed(f"expected texts of at most {_LONGEST_TEXT} characters, got one of {longest}")
    if not isinstance(document, dict):
        raise Failed(f"expected a JSON object, got {type(document).__name__}")
    kind, version = document.get("format"), document.get("version")
    if kind != FORMAT or not isinstance(version, int) or isinstance(version, bool) or version not in SCHEMAS:
        known = " or ".join(str(number) for number in SCHEMAS)
        raise Failed(
            f"expected format {FORMAT}, version {known}, got {str(kind)[:60]!r}, version {str(version)[:20]!r}"
        )
    signature = document.get("signature")
    if not isinstance(signature, dict) or not any(
        signature.get("scheme") == scheme
        and set(signature) == {"scheme", *members}
        and all(
            isinstance(signature[name], str) and pattern.fullmatch(signature[name]) for name, pattern in members.items()
        )
        for scheme, members in _SIGNATURES.items()
    ):
        raise Failed("signature is not as the certificate's schema has it")
    return document


def check_schema(document: Mapping[str, Any]) -> str:
    """Raises Failed unless the content is as its version's schema has it, and every address that the certificate
    itself states is in its EIP-55 form (those inside of nodes' answers are not)."""
    name = SCHEMAS[document["version"]]
    wrong = next(iter(_validator(name).iter_errors(document)), None)
    if wrong is not None:
        where = ".".join(str(part)[:40] for part in wrong.absolute_path) or "the document"
        raise Failed(f"{where} is not as the certificate's schema has it ({wrong.validator})")
    for address in _addresses(document):
        if to_checksum(address) != address:
            raise Failed(f"expected EIP-55 addresses, got {address}")
    return f"as the schema {name} has it"


def check_canonical(document: Mapping[str, Any], data: bytes) -> str:
    """Raises Failed unless the bytes are the canonical form of their content, and a newline."""
    if canonical(document) + b"\n" != data:
        raise Failed("the bytes are not the canonical form (RFC 8785 and one newline) of their own content")
    return "RFC 8785 and one newline"


def is_signed(document: Mapping[str, Any]) -> bool:
    return bool(document["signature"]["scheme"] == "eip191")


def check_digest(document: Mapping[str, Any]) -> str:
    """Raises Failed unless an unsigned certificate's content has the stated SHA-256."""
    stated = document["signature"]["sha256"]
    actual = hashlib.sha256(_message(document)).hexdigest()
    if actual != stated:
        raise Failed(f"the content's SHA-256 is {actual}, the certificate says {stated}")
    return "unsigned; the content has the stated SHA-256, which anyone could compute again"


def check_signature(document: Mapping[str, Any]) -> Address:
    """Who signed the content. Raises Failed if that is not the stated signer, or nobody."""
    signature = document["signature"]
    try:
        actual = recover(_message(document), bytes.fromhex(signature["value"][2:]))
    except SigningError as error:
        raise Failed(error.message) from error
    if actual != signature["signer"]:
        raise Failed(f"the certificate says {signature['signer']}, the signature is of {actual}")
    return actual


def canonical(document: Mapping[str, Any]) -> bytes:
    """RFC 8785. Raises Failed."""
    import rfc8785

    try:
        return rfc8785.dumps(dict(document))
    except (rfc8785.CanonicalizationError, UnicodeError, RecursionError) as error:
        raise Failed(f"the content has no canonical form ({type(error).__name__})") from error


def to_checksum(text: str) -> str | None:
    """The EIP-55 form of an address whose letters have any case; None if it is not one, or is mistyped."""
    try:
        return to_address(text)
    except ValueError:
        return None


def _message(document: Mapping[str, Any]) -> bytes:
    return canonical({name: value for name, value in document.items() if name != "signature"})


def _addresses(document: Mapping[str, Any]) -> Iterator[str]:
    """Every address that the certificate itself states."""
    yield document["address"]
    account = document.get("account", document)
    if "findings" in account:
        yield account["factory"]
    for name in ("factory", "owner", "operator", "escrow", "entryPoint"):
        if name in account.get("deployment", ()):
            yield account["deployment"][name]
    for target in document.get("targets", ()):
        yield target["address"]
    for slot in document["slots"]:
        yield slot["address"]


def _texts(value: Any) -> Iterator[str]:
    """Every text in a JSON value, members' names included."""
    pending = [value]
    for one in pending:  # grows while it is read
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict):
            pending += [*one, *one.values()]
        elif isinstance(one, list):
            pending += one


def _schema(name: str) -> dict[str, Any]:
    text = resources.files("orchestrator").joinpath("schemas", f"{name}.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


@functools.cache
def _validator(name: str) -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(_schema(name))


def _no_float(_: str) -> NoReturn:
    raise ValueError("a certificate has no fractions")


def _small_int(text: str) -> int:
    if len(text) > 16:
        raise ValueError("a certificate has no integer above 2^53")
    return int(text)
