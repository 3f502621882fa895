"""A stand-in for AWS KMS: not the service, and no emulation of it, but its JSON protocol and real signatures.

It speaks AWS JSON 1.1 over HTTP for GetPublicKey, Sign, CreateKey, CreateAlias and DescribeKey; checks each request's
SigV4 signature by the specification's steps (with none of botocore's code); and signs 32-byte digests with secp256k1,
with a random nonce, DER-encoded, ``s`` in either half as it falls: what the service does and what mocks of it do not.
Trouble comes on order (``fault``). What the real service does beyond that (policies, grants, quotas) is not here.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
import socket
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

REGION = "eu-central-1"
ACCOUNT = "111122223333"
CURVES = {"ECC_SECG_P256K1": ec.SECP256K1, "ECC_NIST_P256": ec.SECP256R1}
ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141


class Refusal(Exception):
    """An answer of the service's that is an error."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(code, message, status)


@dataclass
class StoredKey:
    spec: str
    usage: str
    private: ec.EllipticCurvePrivateKey
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def arn(self) -> str:
        return f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{self.id}"

    @property
    def point(self) -> bytes:
        return self.private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


Fault = Callable[["Handler", str, dict[str, Any]], dict[str, Any] | None]
"""What happens instead, for one request: an answer, None for "as ever", Refusal, or the connection's end."""


class KmsStandIn:
    """A context manager. ``fault`` is asked before each operation; ``release`` ends what hangs."""

    def __init__(self) -> None:
        self.access_key = f"AKIA{secrets.token_hex(8).upper()}"
        self.secret_key = secrets.token_urlsafe(30)
        self.session_token = secrets.token_urlsafe(60)
        self.keys: dict[str, StoredKey] = {}
        self.aliases: dict[str, str] = {}
        self.requests: list[str] = []
        self.connections = 0
        self.fault: Fault | None = None
        self.release = threading.Event()
        self.half: str | None = None
        """"low" or "high": which half ``s`` is in; None as it falls."""
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()

    # --- for tests --------------------------------------------------------------------------------------------------

    def __enter__(self) -> KmsStandIn:
        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.stand_in = self
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release.set()
        self._server.shutdown()
        self.break_connections()
        self._server.server_close()  # waits for the handlers' threads
        self._thread.join()

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_SESSION_TOKEN": self.session_token,
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def uri(self, key: str) -> str:
        return f"awskms://127.0.0.1:{self.port}/{key}?region={REGION}"

    def add(self, alias: str | None = None, *, spec: str = "ECC_SECG_P256K1", usage: str = "SIGN_VERIFY") -> StoredKey:
        key = StoredKey(spec, usage, ec.generate_private_key(CURVES[spec]()))
        self.keys[key.id] = key
        if alias is not None:
            self.aliases[f"alias/{alias}"] = key.id
        return key

    def break_connections(self) -> None:
        """Every connection that is open now ends in the middle."""
        with self._lock:
            sockets = list(self._sockets)
        for sock in sockets:
            _shut(sock)

    # --- the service's operations -----------------------------------------------------------------------------------

    def operate(self, operation: str, body: dict[str, Any]) -> dict[str, Any]:
        return {
            "GetPublicKey": self._get_public_key,
            "Sign": self._sign,
            "CreateKey": self._create_key,
            "CreateAlias": self._create_alias,
            "DescribeKey": lambda body: {"KeyMetadata": _metadata(self.find(body["KeyId"]))},
        }[operation](body)

    def find(self, key_id: str) -> StoredKey:
        name = re.sub(rf"^arn:aws:kms:{REGION}:{ACCOUNT}:(key/)?", "", key_id)
        key = self.keys.get(self.aliases.get(name, name))
        if key is None:
            raise Refusal("NotFoundException", f"Key {key_id!r} does not exist")
        return key

    def _get_public_key(self, body: dict[str, Any]) -> dict[str, Any]:
        key = self.find(body["KeyId"])
        der = key.private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return {
            "KeyId": key.arn,
            "PublicKey": base64.b64encode(der).decode(),
            "KeySpec": key.spec,
            "CustomerMasterKeySpec": key.spec,
            "KeyUsage": key.usage,
            "SigningAlgorithms": ["ECDSA_SHA_256"],
        }

    def _sign(self, body: dict[str, Any]) -> dict[str, Any]:
        key = self.find(body["KeyId"])
        if body["SigningAlgorithm"] != "ECDSA_SHA_256" or key.usage != "SIGN_VERIFY":
            raise Refusal("InvalidKeyUsageException", f"{key.arn} cannot be used with {body['SigningAlgorithm']}")
        message = base64.b64decode(body["Message"], validate=True)
        if body.get("MessageType", "RAW") == "RAW":
            message = hashlib.sha256(message).digest()
        elif len(message) != 32:
            raise Refusal("ValidationException", "Digest is invalid length for algorithm ECDSA_SHA_256.")
        signature = signature_of(key.private, message, self.half)
        return {"KeyId": key.arn, "Signature": _text(signature), "SigningAlgorithm": "ECDSA_SHA_256"}

    def _create_key(self, body: dict[str, Any]) -> dict[str, Any]:
        if body["KeySpec"] not in CURVES or body["KeyUsage"] != "SIGN_VERIFY":
            raise Refusal("ValidationException", "this stand-in makes keys for signing only")
        return {"KeyMetadata": _metadata(self.add(spec=body["KeySpec"], usage=body["KeyUsage"]))}

    def _create_alias(self, body: dict[str, Any]) -> dict[str, Any]:
        name = body["AliasName"]
        if name in self.aliases:
            raise Refusal("AlreadyExistsException", f"An alias with the name {name} already exists")
        self.aliases[name] = self.find(body["TargetKeyId"]).id
        return {}


def signature_of(private: ec.EllipticCurvePrivateKey, digest: bytes, half: str | None = None) -> bytes:
    """DER; a random nonce, so that no two are the same."""
    r, s = utils.decode_dss_signature(private.sign(digest, ec.ECDSA(utils.Prehashed(SHA256()))))
    if half is not None and (s > ORDER // 2) != (half == "high"):
        s = ORDER - s
    return utils.encode_dss_signature(r, s)


def refuse(code: str, message: str = "no reason", status: int = 400) -> Fault:
    def fault(handler: Handler, operation: str, body: dict[str, Any]) -> None:
        raise Refusal(code, message, status)

    return fault


def drop(handler: Handler, operation: str, body: dict[str, Any]) -> None:
    """Reads the request and ends the connection."""
    _shut(handler.connection)


def hang(handler: Handler, operation: str, body: dict[str, Any]) -> None:
    """No answer until ``release``, then the connection's end."""
    handler.server.stand_in.release.wait()
    _shut(handler.connection)


def answer(document: dict[str, Any] | bytes, *, to: str = "Sign") -> Fault:
    """Another answer, raw or as JSON, to one operation."""

    def fault(handler: Handler, operation: str, body: dict[str, Any]) -> dict[str, Any] | None:
        if operation != to:
            return None
        if isinstance(document, bytes):
            handler.reply(200, document)
            return {}
        return {**handler.server.stand_in.operate(operation, body), **document}

    return fault


def der_answer(signature: bytes) -> Fault:
    return answer({"Signature": _text(signature)})


def other_key(handler: Handler, operation: str, body: dict[str, Any]) -> dict[str, Any] | None:
    """Signs with a key that nobody knows, under the right key's name."""
    if operation != "Sign":
        return None
    stand_in = handler.server.stand_in
    key = StoredKey("ECC_SECG_P256K1", "SIGN_VERIFY", ec.generate_private_key(ec.SECP256K1()))
    signature = signature_of(key.private, base64.b64decode(body["Message"]))
    return {**stand_in.operate(operation, body), "Signature": _text(signature)}


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True
    request_queue_size = 128
    stand_in: KmsStandIn

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Broken connections are on order here; what else goes wrong shows in the client's answer."""


class Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body leave in two writes, which else cost 40 ms
    timeout = 30

    def setup(self) -> None:
        super().setup()
        stand_in = self.server.stand_in
        with stand_in._lock:
            stand_in._sockets.add(self.connection)
            stand_in.connections += 1

    def finish(self) -> None:
        stand_in = self.server.stand_in
        with stand_in._lock:
            stand_in._sockets.discard(self.connection)
        super().finish()

    def do_POST(self) -> None:
        stand_in = self.server.stand_in
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answered = False
        try:
            operation = self._operation(body)
            document = json.loads(body)
            stand_in.requests.append(operation)
            result = stand_in.fault(self, operation, document) if stand_in.fault is not None else None
            if result is None and not _is_shut(self.connection):
                result = stand_in.operate(operation, document)
            status = 200
        except Refusal as refusal:
            code, message, status = refusal.args
            result = {"__type": code, "message": message}
        if not self.answered and result is not None:
            self.reply(status, json.dumps(result).encode())

    def reply(self, status: int, body: bytes) -> None:
        self.answered = True
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("x-amzn-RequestId", str(uuid.uuid4()))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        pass

    def _operation(self, body: bytes) -> str:
        if self.headers["Content-Type"] != "application/x-amz-json-1.1":
            raise Refusal("UnknownOperationException", "the content type is another one")
        service, _, operation = (self.headers["X-Amz-Target"] or "").partition(".")
        if service != "TrentService":
            raise Refusal("UnknownOperationException", f"no service {service}")
        self._require_signature(body)
        return operation

    def _require_signature(self, body: bytes) -> None:
        """AWS Signature Version 4, step by step."""
        stand_in = self.server.stand_in
        given = re.fullmatch(
            r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, ?"
            r"SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})",
            self.headers["Authorization"] or "",
        )
        if given is None:
            raise Refusal("MissingAuthenticationTokenException", "Missing Authentication Token")
        access_key, day, region, service, signed, signature = given.groups()
        if access_key != stand_in.access_key or self.headers["X-Amz-Security-Token"] != stand_in.session_token:
            raise Refusal("UnrecognizedClientException", "The security token included in the request is invalid.")
        at = self.headers["X-Amz-Date"]
        when = datetime.strptime(at, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        names = signed.split(";")
        demanded = {"host", "x-amz-date", "x-amz-target", "x-amz-security-token"}
        if abs(datetime.now(UTC) - when) > timedelta(minutes=5) or not demanded <= set(names):
            raise Refusal("InvalidSignatureException", "Signature expired, or headers missing")
        headers = "".join(f"{name}:{' '.join(self.headers[name].split())}\n" for name in names)
        canonical = "\n".join([self.command, self.path, "", headers, signed, hashlib.sha256(body).hexdigest()])
        scope = f"{day}/{region}/{service}/aws4_request"
        to_sign = "\n".join(["AWS4-HMAC-SHA256", at, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = ("AWS4" + stand_in.secret_key).encode()
        for part in (day, region, service, "aws4_request", to_sign):
            key = hmac.digest(key, part.encode(), "sha256")
        if (region, service) != (REGION, "kms") or day != at[:8] or not hmac.compare_digest(key.hex(), signature):
            # As the service does: the whole request, session token included, is in the message.
            raise Refusal("InvalidSignatureException", f"The Canonical String should have been '{canonical}'")


def _metadata(key: StoredKey) -> dict[str, Any]:
    return {"KeyId": key.id, "Arn": key.arn, "KeySpec": key.spec, "KeyUsage": key.usage, "Enabled": True}


def _text(signature: bytes) -> str:
    return base64.b64encode(signature).decode()


def _shut(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it has ended already


def _is_shut(sock: socket.socket) -> bool:
    try:
        sock.getpeername()
    except OSError:
        return True
    return False
