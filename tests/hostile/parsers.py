"""Every parser of text that others write, in one table: what it may raise, its limit, what is valid for it, and what
was thought of to make it slow. A new parser gets its line here.

``run`` takes the bytes as they come. ``limit`` is the most that its caller hands on.
"""

from __future__ import annotations

import asyncio
import base64
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from orchestrator.artifacts import load
from orchestrator.chain.examination import frames, pinned
from orchestrator.chain.node import parse
from orchestrator.chain.node.endpoint import read_body
from orchestrator.chain.node.failure import as_error, read_failure
from orchestrator.chain.node.refusals import named_limit, named_pause
from orchestrator.challenge import Challenge, decide, decide_all
from orchestrator.challenge.account_mentions import named_accounts
from orchestrator.challenge.decode import MAX_ISSUED
from orchestrator.challenge.eip4361 import SignInMessage
from orchestrator.closure.certificate import envelope
from orchestrator.closure.certificate.builder import build_certificate
from orchestrator.closure.certificate.rendering import render_html
from orchestrator.closure.certificate.report import Failed
from orchestrator.closure.certificate.verifier import verify
from orchestrator.closure.proof import evidence
from orchestrator.devnet.simulator.admin import _body
from orchestrator.devnet.simulator.answers import ApiError
from orchestrator.devnet.simulator.schemas import Schemas
from orchestrator.errors import OrchestratorError
from orchestrator.foreign import MalformedJson, MalformedToml, read_json, read_toml, shown
from orchestrator.models import ChainAccount, ChainId, canonical_uuid, to_address, to_uuid
from orchestrator.oversight import history
from orchestrator.oversight.stops import to_scope
from orchestrator.passwords import Secret
from orchestrator.people import Signatory
from orchestrator.people import _signature as person_signature
from orchestrator.platform import VerificationKeys, WebhookVerifier, parse_delivery
from orchestrator.platform import wire as w
from orchestrator.platform.answers import parse_json, parsed, refusal_of, retry_after
from orchestrator.platform.lists import ArrayReader
from orchestrator.platform.platform_clock import clock_offset
from orchestrator.platform.programme import VerificationKey
from orchestrator.platform.transport import Answer, Call
from orchestrator.platform.webhook_signature import MAX_HEADER_BYTES
from orchestrator.policy import parse_policy
from orchestrator.ports.signers import LogEntry
from orchestrator.request_signing import key_file
from orchestrator.service.webapp import LONGEST_BODY
from orchestrator.settings import load_settings
from orchestrator.signers import descriptor, document, secret_storage
from orchestrator.signers.backends import awskms
from orchestrator.signers.backends.rpc import RemoteSigner, _signature
from orchestrator.signers.backends.uri import KeyUri, RpcUri
from orchestrator.signers.key_files import parse_private_key
from orchestrator.signers.signing_log import FileSigningLog
from orchestrator.wallet.artifact_files import read_artifact
from orchestrator.wallet.profile import parse_profile
from tests.challenge.cases import cases
from tests.closure.conftest import Case, make_case

Raised = tuple[type[BaseException], ...]
KIB, MIB = 1024, 1024 * 1024


@dataclass(frozen=True)
class Parser:
    name: str
    run: Callable[[bytes], object]
    limit: int
    examples: tuple[bytes, ...]
    raises: Raised = (OrchestratorError,)
    shapes: tuple[str, ...] = ("text", "json")
    """Names of families in ``shapes.py``."""
    on_loop: bool = True
    """Whether it runs in the event loop; the others run in threads, or in commands that do nothing else."""
    own_shapes: dict[str, Callable[[int], bytes]] = field(default_factory=dict)


def _text(run: Callable[[str], object]) -> Callable[[bytes], object]:
    """A parser of text that has been decoded already, as headers, arguments and JSON texts are."""

    def decoded(data: bytes) -> object:
        try:
            return run(data.decode("utf-8", "surrogatepass"))
        except UnicodeDecodeError:
            pass
        return run(data.decode("utf-8", "surrogateescape"))  # as the command line's arguments are

    return decoded


def _json(run: Callable[[Any], object]) -> Callable[[bytes], object]:
    """A parser of what a JSON document holds."""

    def parse_value(data: bytes) -> None:
        try:
            value = read_json(data, max_bytes=len(data), unique=False)
        except MalformedJson:
            return
        run(value)

    return parse_value


CALL = Call("GET", "host", "/path", modifying=False)
POST = Call("POST", "host", "/path", modifying=True)
ACCOUNT = {
    "id": "5b0f1c2d-0000-4000-8000-000000000001",
    "customerId": "5b0f1c2d-0000-4000-8000-000000000002",
    "chainId": "eip155:1:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "status": "active",
    "type": "card_account",
    "currencies": ["EUR"],
    "createdAt": "2024-01-12T15:07:17.358440283Z",
    "updatedAt": "9999-12-31T23:59:59-23:59",
}
LOG = {
    "address": "0x" + "ab" * 20,
    "topics": ["0x" + "00" * 32] * 3,
    "data": "0x" + "11" * 32,
    "blockNumber": "0x10",
    "blockHash": "0x" + "22" * 32,
    "transactionHash": "0x" + "33" * 32,
    "logIndex": "0x0",
    "removed": False,
}
UUID = ACCOUNT["id"]
SIGNED_NOW = b';created=1;keyid="%s"' % UUID.encode()
SIGNATURE = "0x" + "11" * 64 + "1b"
HONEST = {case.name: case for case in cases("honest")}
EXPECTATION = HONEST["message with all fields"].expectation


def encoded(value: object) -> bytes:
    return json.dumps(value).encode()


def answer(body: bytes, status: int = 200, **headers: str) -> Answer:
    return Answer(status, {"content-type": "application/json"} | headers, body, 1.7e9)


@cache
def closed() -> Case:
    return make_case()


@cache
def certificate() -> bytes:
    case = closed()
    return build_certificate(case.evidence, case.verdict, signer=None, account=case.account)


@cache
def key_files() -> tuple[bytes, ...]:
    folder = Path(__file__).parents[1] / "signers" / "vectors"
    vectors = json.loads((folder / "web3_secret_storage.json").read_text("utf-8"))["vectors"]
    facts = {"name": "a", "disabled": False, "createdAt": "2026-01-01T00:00:00Z", "wallets": [ACCOUNT["chainId"]]}
    return tuple(encoded(vector["file"] | {document.EXTENSION: facts}) for vector in vectors)


@cache
def request_key() -> bytes:
    file, _ = key_file.generate("a", Secret("password"), now="2026-01-01T00:00:00Z", work_factor=2**12)
    return file.encode()


def _wires(value: Any) -> None:
    for model in (
        w.AccountWire,
        w.CreatedAccountWire,
        w.CustomerWire,
        w.CardWire,
        w.ChallengeWire,
        w.TokenWire,
        w.VerificationKeyWire,
        w.WebhookWire,
    ):
        try:
            w.read(model, value, "call")
        except OrchestratorError:
            continue


def _list(data: bytes) -> None:
    """In the parts that it comes in."""
    reader = ArrayReader(answer(b""), CALL, w.items_of(w.AccountWire, "call"), 64 * KIB)
    for start in range(0, len(data), 16 * KIB):
        reader.feed(data[start : start + 16 * KIB])
    reader.end()


def _challenge(data: bytes) -> Challenge:
    return Challenge.parse(base64.b64encode(data).decode())


def _trace(value: Any) -> None:
    frames.visited(value)
    frames.last_return(value)
    frames.effects(value, 1)


def _chain_values(value: Any) -> None:
    for run in (
        lambda: parse.header(value, "what"),
        lambda: parse.logs(value if isinstance(value, list) else [value], "what"),
        lambda: parse.quantity(value, "what"),
        lambda: parse.quantity_or_word(value, "what"),
        lambda: parse.data(value, "what"),
        lambda: parse.hash32(value, "what"),
    ):
        try:
            run()
        except OrchestratorError:
            continue


def _proof(value: Any) -> None:
    """A node's ``eth_getProof`` and block, with our own code."""
    case = closed()
    if isinstance(value, dict) and isinstance(value.get("header"), dict) and isinstance(value.get("proof"), dict):
        found = evidence.Evidence(
            case.evidence.chain_id, case.evidence.address, value["header"], value["proof"], case.evidence.code
        )
        evidence.prove(found)


def _certificate(data: bytes) -> None:
    render_html(verify(data), "00")


def _delivery_headers(data: bytes) -> None:
    lines = [line.partition(":") for line in data.decode("latin-1").split("\n")]
    headers = [(name or "x", value.strip()) for name, _, value in lines]
    verifier = WebhookVerifier(VerificationKeys(_verification_key), 60, now=lambda: 1)
    asyncio.run(verifier.verify("POST", "https://a.b/c", headers, b"{}"))


async def _verification_key() -> VerificationKey:
    return VerificationKey(UUID, _key())


@cache
def _key() -> ec.EllipticCurvePublicKey:
    return ec.generate_private_key(ec.SECP384R1()).public_key()


@cache
def _remote_signer() -> RemoteSigner:
    uri = KeyUri.parse("rpc+http://127.0.0.1:1/?method=eth_sign")
    assert isinstance(uri, RpcUri)
    return RemoteSigner(uri, 1.0)


def _remote(data: bytes) -> None:
    signer = _remote_signer()
    _signature(signer._result(signer._document(200, data), "eth_sign", 1, "secret"), "where")


def _config(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.toml"
        path.write_bytes(data)
        load_settings(config=path, environment={})


class _Admin:
    def __init__(self, body: bytes) -> None:
        self.body = body


@cache
def _schemas() -> Schemas:
    return Schemas(31337)


def _refusal(value: Any) -> None:
    failure = read_failure(value, "eth_getLogs", 200)
    as_error(failure, "node")
    named_limit(failure.message, 1000)
    named_pause(failure.message)


def _log_line(data: bytes) -> None:
    FileSigningLog(Path("keystore"))._parsed(Path("log"), data + b"\n")


PARSERS = (
    # --- the readers that the others rest on
    Parser("JSON", lambda data: read_json(data, max_bytes=MIB), MIB, (encoded(ACCOUNT),), (MalformedJson,)),
    Parser("TOML", _text(read_toml), 256 * KIB, (b'a.b = 1\n[c]\nd = ["e", 1.5, 2026-01-01]\n',), (MalformedToml,),
           ("text", "toml"), on_loop=False),
    # --- platform
    Parser("answer", lambda data: (parsed(answer(data), CALL), parse_json(answer(data), CALL)), MIB,
           (encoded([ACCOUNT]),)),
    Parser("list", _list, 4 * MIB, (encoded([ACCOUNT, ACCOUNT | {"id": UUID[:-1] + "0"}]),), on_loop=False),
    Parser("answers' models", _json(_wires), 64 * KIB,
           (encoded(ACCOUNT | {"challenge": "YWJj"}), encoded([ACCOUNT, ACCOUNT]),
            encoded({"token": "a" * 20, "expiresAt": 1_700_000_000, "tokenType": "Bearer"}),
            encoded({"id": UUID, "callbackUrl": "https://a", "types": ["x"]}))),
    Parser("refusal", lambda data: refusal_of(answer(data, 422), POST, lambda text: text), MIB,
           (encoded({"error": {"code": "a_b", "message": "words"}}), encoded({"detail": "x", "type": "y"}))),
    Parser("header Date", _text(lambda text: clock_offset(answer(b"", date=text))), 8 * KIB,
           (b"Sun, 06 Nov 1994 08:49:37 GMT", b"Fri, 31 Dec 9999 23:59:59 GMT",
            b"Sun, 06 Nov 99999999999999999999 08:49:37 GMT", b"Sun, 06 Nov 1994 08:49:37 +240000",
            b"Sun, 31 Feb 1994 08:49:37 GMT"), (), ("text",)),
    Parser("header Retry-After", _text(lambda text: retry_after(answer(b"", **{"retry-after": text}), most=60)),
           8 * KIB, (b"10", "\uff11\uff10".encode(), b"1_0"), (), ("text",)),
    Parser("webhook", parse_delivery, LONGEST_BODY,
           (encoded(ACCOUNT | {"webhookType": "account.updated", "eventId": UUID}),)),
    Parser("webhook's headers", _delivery_headers, MAX_HEADER_BYTES,
           ((b'signature-input: sig=("@method" "content-digest")' + SIGNED_NOW + b"\nsignature: sig=:AAAA:\n"
             b"content-digest: sha-256=:RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=:"),), shapes=("text",),
           own_shapes={
               "members": lambda n: b"signature-input: %sb=1\nsignature: %sb=1" % ((b"a=1," * (n // 8 - 4),) * 2),
               "components": lambda n: (b"signature: sig=:AAAA:\nsignature-input: sig=(" + b'"b" ' * (n // 4)
                                        + b")" + SIGNED_NOW),
               "parameters": lambda n: (b"signature: sig=:AAAA:\nsignature-input: sig=()" + SIGNED_NOW
                                        + b";b=1" * (n // 4)),
               "quotes": lambda n: b'signature: sig=:AAAA:\nsignature-input: sig="' + b'\\"' * (n // 2),
               "digests": lambda n: b"content-digest: " + b"a=:AAAA:," * (n // 9),
           }),
    # --- chain
    Parser("node's answer", lambda data: read_body(data, 32 * MIB), 4 * MIB,
           (encoded([{"jsonrpc": "2.0", "id": 1, "result": LOG}, {"jsonrpc": "2.0", "id": 0, "result": "0x1"}]),),
           on_loop=False),
    Parser("node's refusal", _json(_refusal), 256 * KIB,
           (encoded({"code": -32005, "message": "Try with this block range [0x1, 0x2], retry in 10m0s"}),
            encoded({"code": "-32602", "message": "batch size 1,000 exceeds 100", "data": {"payload": "x"}}))),
    Parser("node's values", _json(_chain_values), 256 * KIB,
           (encoded([LOG, LOG | {"logIndex": "0x1"}]), encoded("0x" + "ab" * 32),
            encoded({"number": "0x1", "hash": "0x" + "22" * 32, "parentHash": "0x" + "22" * 32, "timestamp": "0x1"}))),
    Parser("node's trace", _json(_trace), 256 * KIB,
           (encoded({"failed": False, "structLogs": [
               {"pc": 0, "op": "CALL", "depth": 1, "stack": ["0x0"] * 7}, {"pc": 1, "op": "SSTORE", "depth": 2,
                                                                         "stack": ["1", "2"]}]}),)),
    Parser("node's proofs", _json(_proof), 256 * KIB,
           (encoded({"header": dict(closed().evidence.header), "proof": dict(closed().evidence.account_proof)}),),
           on_loop=False),
    Parser("block argument", _text(pinned.parse_block), 8 * KIB, (b"finalized", b"0x10", "\uff11".encode()),
           shapes=("text",)),
    # --- identifiers
    Parser("UUID", _text(lambda text: to_uuid(text, "an id")), 8 * KIB,
           (UUID.encode(), UUID[:-1].encode() + b"\n", b"urn:uuid:" + UUID.encode()), shapes=("text",)),
    Parser("bare UUID", _text(canonical_uuid), 8 * KIB, (UUID.encode(),), (ValueError,), ("text",)),
    Parser("CAIP-2", _text(ChainId.parse), 8 * KIB, (b"eip155:1", "eip155:\uff11".encode(), b"eip155:1_0"),
           shapes=("text",)),
    Parser("CAIP-10", _text(ChainAccount.parse), 8 * KIB, (ACCOUNT["chainId"].encode(),), shapes=("text",)),
    Parser("address", _text(to_address), 8 * KIB, (b"0x" + b"ab" * 20,), (ValueError,), ("text",)),
    Parser("stop's scope", _text(lambda text: to_scope(key=text)), 8 * KIB, (b"main",), shapes=("text",)),
    # --- challenges
    Parser("Base64 of a challenge", _text(Challenge.parse), MAX_ISSUED, (b"YWJj",), shapes=("text",)),
    Parser("sign-in message", SignInMessage.parse, 6 * KIB,
           tuple(case.data for case in HONEST.values() if b"wants you" in case.data), shapes=("text", "sign-in")),
    *(
        Parser(name, run, 6 * KIB, tuple(case.data for case in (*HONEST.values(), *cases("hostile"))),
               shapes=("text", "json", "wrapped", "sign-in"))
        for name, run in (
            ("challenge's accounts", lambda data: named_accounts(_challenge(data))),
            ("challenge's rules", lambda data: decide(_challenge(data), EXPECTATION)),
            ("challenge's rules, all", lambda data: decide_all(_challenge(data), EXPECTATION)),
        )
    ),
    # --- certificates
    Parser("certificate", _certificate, envelope.MAX_BYTES // 8, (certificate(),), (), on_loop=False),
    Parser("certificate's envelope", envelope.parse, envelope.MAX_BYTES, (certificate(),), (Failed,), on_loop=False),
    # --- keys
    Parser("key file", lambda data: secret_storage.decode(data, "where"), document.MAX_BYTES, key_files(),
           on_loop=False),
    Parser("key descriptor", lambda data: descriptor.from_document(document.parse(data, "where"), "where"),
           document.MAX_BYTES,
           (encoded({"version": 1, "uri": "awskms:alias/a?region=eu-central-1", "address": "0x" + "ab" * 20}),),
           on_loop=False),
    Parser("key URI", _text(KeyUri.parse), 4 * KIB,
           (b"pkcs11:token=a;object=b?module-path=/a/b&pin-source=file:/c", b"awskms:alias/a?region=eu-central-1",
            b"rpc+https://host:1/path?method=eth_sign&address=0x" + b"ab" * 20), shapes=("text",), on_loop=False),
    Parser("private key", _text(lambda text: parse_private_key(Secret(text), "name")), 8 * KIB, (b"0x" + b"11" * 32,),
           shapes=("text",), on_loop=False),
    Parser("request key", lambda data: key_file.decode(data, "where"), key_file.MAX_BYTES,
           (request_key(),), on_loop=False),
    Parser("signing log", _log_line, 64 * KIB,
           (encoded({each.name: 1 if each.name in ("epoch", "seq") else "a" for each in fields(LogEntry)}),),
           on_loop=False),
    Parser("remote signer", _remote, 256 * KIB,
           (encoded({"jsonrpc": "2.0", "id": 1, "result": SIGNATURE}),
            encoded({"jsonrpc": "2.0", "id": 1, "error": {"code": -32000, "message": "no"}})), on_loop=False),
    Parser("AWS KMS", lambda data: awskms._look_at({"status_code": 200, "body": data, "headers": {}}),
           64 * KIB, (encoded({"KeyId": "a"}),), (ValueError,), on_loop=False),
    # --- people's files and arguments
    Parser("policy", _text(lambda text: parse_policy(text, "where")), 256 * KIB,
           (b'version = 1\n[challenge]\nkinds = ["uuid"]\n[people.alice]\naddress = "0x' + b"ab" * 20
            + b'"\nroles = ["approver"]\n',), shapes=("text", "toml"), on_loop=False),
    Parser("wallet profile", _text(lambda text: parse_profile(text, "where", load)), 256 * KIB,
           (files("orchestrator.wallet").joinpath("profiles/smart-wallet.toml").read_bytes(),),
           shapes=("text", "toml"), on_loop=False),
    Parser("compiled contract", read_artifact, MIB,
           ((Path(__file__).parents[1] / "wallet/compiled/solc.json").read_bytes(),), (ValueError,), on_loop=False),
    Parser("settings file", _config, 256 * KIB, (b'platform_url = "https://a/v1"\nconfirmations = 2\n',),
           shapes=("text", "toml"), on_loop=False),
    Parser("signing history", lambda data: history._parse(data, "where"), MIB,
           (encoded({"format": history.FORMAT, "version": 1, "journal": "j", "exportedAt": "2026-01-01T00:00:00Z",
                     "signatures": [{"accountId": UUID, "purpose": "creation", "digest": "0x" + "00" * 32,
                                     "signer": ACCOUNT["chainId"], "key": "k", "made": True,
                                     "at": "9999-12-31T23:59:59-23:59"}]}),), on_loop=False),
    Parser("person's signature", _text(lambda text: person_signature("x", Signatory(signature=text))), 8 * KIB,
           (SIGNATURE.encode(),), shapes=("text",)),
    # --- what is shown, and the devnet
    Parser("shown", _text(shown), 64 * KIB, ("a\u061c\u2028\u200b".encode(),), (), ("text",)),
    Parser("simulator's request", lambda data: _schemas().parse("AccountCreation", data), 64 * KIB,
           (encoded({"chainId": ACCOUNT["chainId"], "currencies": ["EUR"]}),), (ApiError,)),
    Parser("simulator's order", lambda data: _body(_Admin(data)), MIB,  # type: ignore[arg-type]
           (encoded({"kind": "delay", "seconds": 1}),), (ApiError,)),
)  # fmt: skip
