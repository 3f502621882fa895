"""Verifies a closure certificate: offline, pure, every check run again, nothing believed because the file says it.

What the file's bytes can show is relative to its block's hash; ``orchestrator.chain.canonical`` asks nodes about that.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final, Literal, NoReturn

from orchestrator.artifacts import Artifact, load
from orchestrator.closure.proof import ProvenHeader, ProvenState, verify_account, verify_code, verify_header
from orchestrator.closure.wallet import CLOSED_SLOTS, Immutables, wallet_address, wallet_immutables, wallet_salt
from orchestrator.eip191 import recover
from orchestrator.errors import ProofInvalid, SigningError
from orchestrator.json_depth import MAX_JSON_DEPTH, too_deep
from orchestrator.models import AccountId, Address, BlockHash, BlockNumber, BlockRef, to_address

MAX_BYTES: Final = 4 * 1024 * 1024
"""A wallet's certificate has some 50 kB; code and proofs have limits of their own."""

Result = Literal["pass", "fail", "skipped"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    result: Result
    detail: str


@dataclass(frozen=True, slots=True)
class CertificateReport:
    """What a verifier found. ``valid`` says that the file holds together, ``verdict`` what it then means."""

    valid: bool
    verdict: str
    """Never ``irreversible`` in this release; ``inconclusive`` for every valid certificate of this version."""
    reason: str
    claim: str | None
    """``state_proven`` if the certificate is valid."""
    address: Address | None
    chain_id: str | None
    block: BlockRef | None
    signer: Address | None
    """Who signed it: known, not trusted, unless a signer was demanded."""
    signed: bool
    canonical: bool | None
    """Whether the block is in the canonical chain; None if nobody was asked, or could tell."""
    checks: tuple[Check, ...]

    def to_json(self) -> dict[str, Any]:
        """The document that ``orchestrator certificate verify --json`` prints."""
        return {
            "valid": self.valid,
            "verdict": self.verdict,
            "reason": self.reason,
            "claim": self.claim,
            "address": self.address,
            "chainId": self.chain_id,
            "block": None if self.block is None else {"number": self.block.number, "hash": self.block.hash},
            "signer": self.signer,
            "signed": self.signed,
            "canonical": self.canonical,
            "checks": [{"name": c.name, "result": c.result, "detail": c.detail} for c in self.checks],
        }


class _Failed(Exception):
    """A check that does not hold, with the sentence that says so."""


def verify(data: bytes, *, signer: Address | None = None, artifact: Artifact | None = None) -> CertificateReport:
    """Checks a certificate's bytes, of which anyone may be the author. Raises nothing for any bytes.

    ``signer`` demands that signer; without it a certificate that somebody changed AND signed or hashed again is not
    noticed, so the signer is only reported. ``artifact`` is the contract that the code must be; default: the shipped.
    """
    return _Verification(data, signer, artifact or load("SmartWallet")).run()


class _Verification:
    """One run of the checks, in order. Checks that need a failed one are ``skipped``."""

    def __init__(self, data: bytes, signer: Address | None, artifact: Artifact) -> None:
        self.data = data
        self.demanded = signer
        self.artifact = artifact
        self.checks: list[Check] = []
        self.document: dict[str, Any] = {}
        self.signer: Address | None = None
        self.signed = False
        self.header: ProvenHeader | None = None
        self.state: ProvenState | None = None
        self.values: Immutables | None = None

    def run(self) -> CertificateReport:
        readable = self._check("format", self._format)
        if readable:
            self._check("canonical_form", self._canonical_form)
            self._check("signature" if self.signed_scheme else "digest", self._signature)
            if self.demanded is not None:
                self._check("signer", self._demanded_signer)
            header = self._check("header", self._header)
            account = self._check("account_proof", self._account, header)
            self._check("code_hash", self._code_hash, account)
            self._check("slots", self._slots, account)
            code = self._check("code", self._code)
            self._check("deployment", self._deployment, code)
            self._check("create2_address", self._create2, code)
            self._check("account_record", self._record, header)
            self._add("closing_transaction", "skipped", "reported by a node when the certificate was made, not proven")
        valid = all(check.result != "fail" for check in self.checks)
        return CertificateReport(
            valid=valid,
            verdict="inconclusive",
            reason="analysis_not_run" if valid else "certificate_invalid",
            claim="state_proven" if valid else None,
            address=Address(self.document["address"]) if readable else None,
            chain_id=self.document["chainId"] if readable else None,
            block=self._stated_block() if readable else None,
            signer=self.signer,
            signed=self.signed,
            canonical=None,
            checks=tuple(self.checks),
        )

    def _check(self, name: str, function: Callable[[], str], possible: bool = True) -> bool:
        if not possible:
            self._add(name, "skipped", "an earlier check that this one needs failed")
            return False
        try:
            detail = function()
        except _Failed as error:
            self._add(name, "fail", str(error))
        except ProofInvalid as error:
            self._add(name, "fail", error.message)
        else:
            self._add(name, "pass", detail)
            return True
        return False

    def _add(self, name: str, result: Result, detail: str) -> None:
        self.checks.append(Check(name, result, detail))

    # --- the file -----------------------------------------------------------------------------------------------

    def _format(self) -> str:
        if len(self.data) > MAX_BYTES:
            raise _Failed(f"expected at most {MAX_BYTES} bytes, got {len(self.data)}")
        if too_deep(self.data):
            raise _Failed(f"not a certificate: nested deeper than {MAX_JSON_DEPTH}")
        try:
            document = json.loads(
                self.data.decode("utf-8"), parse_constant=_not_json, parse_float=_no_float, parse_int=_small_int
            )
        except (ValueError, RecursionError) as error:
            raise _Failed(f"not a JSON document ({type(error).__name__})") from error
        if not isinstance(document, dict):
            raise _Failed(f"expected a JSON object, got {type(document).__name__}")
        kind, version = document.get("format"), document.get("version")
        if kind != "offblocks-closure-certificate" or version != 1:
            raise _Failed(
                "expected format offblocks-closure-certificate, version 1, "
                f"got {str(kind)[:60]!r}, version {str(version)[:20]!r}"
            )
        wrong = next(iter(_schema_validator().iter_errors(document)), None)
        if wrong is not None:
            where = ".".join(str(part)[:40] for part in wrong.absolute_path) or "the document"
            raise _Failed(f"{where} is not as the certificate's schema has it ({wrong.validator})")
        for address in (document["address"], *(document["deployment"][name] for name in _DEPLOYMENT_ADDRESSES)):
            if to_checksum(address) != address:
                raise _Failed(f"expected EIP-55 addresses, got {address}")
        self.document = document
        return "certificate version 1"

    def _canonical_form(self) -> str:
        if _canonical(self.document) + b"\n" != self.data:
            raise _Failed("the bytes are not the canonical form (RFC 8785 and one newline) of their own content")
        return "RFC 8785 and one newline"

    @property
    def signed_scheme(self) -> bool:
        return bool(self.document["signature"]["scheme"] == "eip191")

    def _signature(self) -> str:
        signature = self.document["signature"]
        message = _canonical({name: value for name, value in self.document.items() if name != "signature"})
        if not self.signed_scheme:
            actual = hashlib.sha256(message).hexdigest()
            if actual != signature["sha256"]:
                raise _Failed(f"the content's SHA-256 is {actual}, the certificate says {signature['sha256']}")
            return "unsigned; the content has the stated SHA-256, which anyone could compute again"
        try:
            actual_signer = recover(message, bytes.fromhex(signature["value"][2:]))
        except SigningError as error:
            raise _Failed(error.message) from error
        if actual_signer != signature["signer"]:
            raise _Failed(f"the certificate says {signature['signer']}, the signature is of {actual_signer}")
        self.signer, self.signed = actual_signer, True
        trust = (
            "the demanded signer" if self.demanded == actual_signer else "known, not trusted: no signer was demanded"
        )
        return f"signed by {actual_signer} ({trust})"

    def _demanded_signer(self) -> str:
        if self.signer != self.demanded:
            raise _Failed(f"expected the signer {self.demanded}, got {self.signer or 'no valid signature'}")
        return f"signed by {self.signer}, as demanded"

    # --- the proofs ---------------------------------------------------------------------------------------------

    def _header(self) -> str:
        block = self.document["block"]
        self.header = verify_header(self.document["header"], expected_hash=block["hash"])
        if self.header.number != block["number"]:
            raise _Failed(f"the header is of block {self.header.number}, the certificate says {block['number']}")
        return f"block {self.header.number} hashes to {self.header.hash}"

    def _account(self) -> str:
        assert self.header is not None
        self.state = verify_account(
            self.header.state_root,
            self.document["address"],
            self.document["accountProof"],
            [slot for slot, _, _ in CLOSED_SLOTS],
        )
        if not self.state.exists:
            raise _Failed("the proof shows that there is no account at this address")
        return f"account and {len(CLOSED_SLOTS)} storage slots proven against the state root"

    def _code_hash(self) -> str:
        assert self.state is not None
        code = bytes.fromhex(self.document["code"][2:])
        verify_code(code, self.state.code_hash)
        return f"{len(code)} bytes of code hash to the proven 0x{self.state.code_hash.hex()}"

    def _slots(self) -> str:
        assert self.state is not None
        expected = [
            {"address": self.document["address"], "slot": _word(slot), "value": _word(value), "meaning": meaning}
            for slot, value, meaning in CLOSED_SLOTS
        ]
        if self.document["slots"] != expected:
            raise _Failed("the slots are not stated as a closed wallet's")
        for slot, value, meaning in CLOSED_SLOTS:
            if self.state.slots[slot] != value:
                raise _Failed(f"slot {slot}: expected {value:#x} ({meaning}), proven is {self.state.slots[slot]:#x}")
        return "proven storage is that of a closed wallet: " + "; ".join(meaning for _, _, meaning in CLOSED_SLOTS)

    # --- whose wallet it is -------------------------------------------------------------------------------------

    def _code(self) -> str:
        self.values = wallet_immutables(self.artifact, bytes.fromhex(self.document["code"][2:]))
        if self.values is None:
            raise _Failed(f"the code, with immutables masked, is not that of {self.artifact.name} in this release")
        return f"{self.artifact.name} of this release, immutables masked"

    def _deployment(self) -> str:
        assert self.values is not None
        stated = self.document["deployment"]
        for name, actual in (
            ("owner", self.values.owner),
            ("operator", self.values.operator),
            ("escrow", self.values.escrow),
            ("entryPoint", self.values.entry_point),
            ("factory", self.values.factory),
        ):
            if stated[name] != actual:
                raise _Failed(f"the certificate says {name} {stated[name]}, the code has {actual}")
        return f"owner {self.values.owner}, factory {self.values.factory}, as in the code"

    def _create2(self) -> str:
        assert self.values is not None
        account = AccountId(self.document["platform"]["accountId"])
        salt = "0x" + wallet_salt(self.values.owner, account).hex()
        if self.document["deployment"]["salt"] != salt:
            raise _Failed(f"the salt of owner and account is {salt}, got {self.document['deployment']['salt']}")
        address = wallet_address(self.artifact, self.values, account)
        if address != self.document["address"]:
            raise _Failed(f"account {account} has its wallet at {address}, the certificate is for another address")
        return f"the wallet of account {account}: factory, owner, account and init code give this address (EIP-1014)"

    def _record(self) -> str:
        assert self.header is not None
        deployed = self.document["deployment"]["block"]["number"]
        closed = self.document["closing"]["block"]
        if not deployed <= closed["number"] <= self.header.number:
            raise _Failed(
                f"expected deployment, closing and proof in this order, got the blocks {deployed}, "
                f"{closed['number']}, {self.header.number}"
            )
        if closed["number"] == self.header.number and closed["hash"] != self.header.hash:
            raise _Failed(f"block {self.header.number} has two hashes: {closed['hash']} and {self.header.hash}")
        return (
            f"closed in block {closed['number']}, proven at block {self.header.number}; platform: closed (as reported)"
        )

    def _stated_block(self) -> BlockRef:
        block = self.document["block"]
        return BlockRef(BlockNumber(block["number"]), BlockHash(block["hash"]))


_DEPLOYMENT_ADDRESSES: Final = ("factory", "owner", "operator", "escrow", "entryPoint")


def certificate_schema() -> dict[str, Any]:
    """The certificate's JSON Schema (draft 2020-12), as shipped."""
    text = resources.files("orchestrator").joinpath("schemas", "certificate.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


@functools.cache
def _schema_validator() -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(certificate_schema())


def to_checksum(text: str) -> str | None:
    """The EIP-55 form of an address whose letters have any case; None if it is not one, or is mistyped."""
    try:
        return to_address(text)
    except ValueError:
        return None


def _canonical(document: Mapping[str, Any]) -> bytes:
    import rfc8785

    try:
        return rfc8785.dumps(dict(document))
    except (rfc8785.CanonicalizationError, UnicodeError) as error:
        raise _Failed(f"the content has no canonical form ({type(error).__name__})") from error


def _word(value: int) -> str:
    return "0x" + value.to_bytes(32, "big").hex()


def _not_json(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


def _no_float(_: str) -> NoReturn:
    raise ValueError("a certificate has no fractions")


def _small_int(text: str) -> int:
    if len(text) > 16:
        raise ValueError("a certificate has no integer above 2^53")
    return int(text)
