"""Keys in AWS KMS (``ECC_SECG_P256K1``, for signing), by botocore. The only module that imports it.

    GetPublicKey  the address, from the SubjectPublicKeyInfo (RFC 5480)
    Sign          MessageType DIGEST, ECDSA_SHA_256: the service signs the 32 bytes as they are; ASN.1 DER comes back
    CreateKey, CreateAlias     for ``keys create`` with ``alias/NAME``

Source: AWS KMS API Reference, 2014-11-01. Credentials are botocore's to find (environment, profile, instance role) and
never part of an error here; an endpoint of the environment's is ignored, because only the key's URI may name one.
botocore itself repeats nothing, so that one timeout bounds a call. To sign a digest twice does no harm, so a request
that died with a kept-alive connection is sent once more; making a key is never repeated.

What the credentials must allow: ``kms:GetPublicKey`` and ``kms:Sign``; for ``create`` also ``kms:DescribeKey``,
``kms:CreateKey`` and ``kms:CreateAlias``. Known gap: botocore reads an answer of any size, and the one that answers is
the endpoint that the URI names, over TLS or on this machine.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from orchestrator.errors import Disposition, KeyUnavailable, OrchestratorError, SettingsError
from orchestrator.foreign import read_json, too_deep
from orchestrator.models import Address
from orchestrator.signers.backends import awskms_errors, backend, ecdsa
from orchestrator.signers.backends.bounded import Bounded
from orchestrator.signers.backends.uri import AwsKmsUri, KeyUri

if TYPE_CHECKING:
    from orchestrator.passwords import PasswordSource

_KEY_SPEC: Final = "ECC_SECG_P256K1"
_KEY_USAGE: Final = "SIGN_VERIFY"
_ALGORITHM: Final = "ECDSA_SHA_256"
_CONNECTIONS: Final = 32
_MAX_ANSWER_BYTES: Final = 64 * 1024
_PREPARATION: Final = 10.0
"""Seconds, beside the timeout of the first call in a process: the library reads its files and finds credentials."""


def open_backend(uri: KeyUri, *, pin: PasswordSource, timeout: float = backend.DEFAULT_TIMEOUT) -> AwsKms:  # noqa: ARG001
    """``pin`` is not asked: AWS has credentials of its own. Raises SettingsError ``extra_missing``."""
    if not isinstance(uri, AwsKmsUri):
        raise AssertionError(f"expected an awskms URI, got {uri.scheme}")
    try:
        import botocore.session  # type: ignore[import-untyped]  # noqa: F401 - whether it is there
    except ImportError:
        pass  # raised below, without the library's own error
    else:
        return AwsKms(uri, timeout)
    raise backend.extra_missing("AWS KMS keys", "aws", "botocore")


class AwsKms:
    """One key of AWS KMS."""

    name: Final = "awskms"

    def __init__(self, uri: AwsKmsUri, timeout: float) -> None:
        self._uri = uri
        self._timeout = timeout
        self._where = f"awskms key {uri.key} at {uri.endpoint or 'AWS'} ({uri.region})"
        self._shared: _Shared | None = None

    def __repr__(self) -> str:
        return f"AwsKms({self._uri.text!r})"

    def address(self) -> Address:
        """``GetPublicKey``. Raises KeyUnavailable; ``key_backend_denied`` (stop) for a key of another kind."""
        answer = self._call("get_public_key", KeyId=self._uri.key)
        for member, expected in (("KeySpec", _KEY_SPEC), ("KeyUsage", _KEY_USAGE)):
            actual = answer.get(member)
            if actual != expected:
                raise backend.denied(
                    self._where,
                    f"expected a key with {member} {expected}, got {actual!s:.40}",
                    fix="Name another key in the URI: orchestrator keys create NAME --uri URI makes one that fits.",
                )
        return ecdsa.address_of_point(_point(_bytes(answer, "PublicKey", self._where), self._where), self._where)

    def create(self) -> Address:
        """``CreateKey`` and ``CreateAlias``: needs a URI with ``alias/NAME``.

        SIDE EFFECTS: a key in KMS, which costs money until it is deleted there. If the alias cannot be given to it, or
        no answer comes, the error (disposition operator) says so: a key without an alias may have been left.
        """
        if not self._uri.key.startswith("alias/"):
            raise backend.create_unsupported(self._where, "AWS chooses key ids: give alias/NAME as the key")
        self._require_free()
        key_id = self._new_key()
        try:
            self._call("create_alias", AliasName=self._uri.key, TargetKeyId=key_id)
        except OrchestratorError as error:
            failed = _but(error, f"the new key {backend.short(key_id)} is left there without an alias")
        else:
            return self.address()
        raise failed

    def sign_digest(self, digest: bytes) -> tuple[int, int]:
        """``Sign`` with MessageType DIGEST. r and s as they come: s may be in the upper half."""
        from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

        answer = self._call(
            "sign", KeyId=self._uri.key, Message=digest, MessageType="DIGEST", SigningAlgorithm=_ALGORITHM
        )
        if answer.get("SigningAlgorithm") != _ALGORITHM:
            actual = f"{answer.get('SigningAlgorithm')!s:.40}"
            raise backend.malformed(self._where, f"a signature by {_ALGORITHM}", actual)
        signature = _bytes(answer, "Signature", self._where)
        try:
            return decode_dss_signature(signature)
        except ValueError:
            pass  # raised below, so that the library's error is not carried along
        raise backend.malformed(self._where, "r and s in DER", f"{len(signature)} bytes that are not")

    def close(self) -> None:
        """The connections end with the last key of this endpoint that is closed."""
        self._shared = None

    # --- below: calls -------------------------------------------------------------------------------------------

    def _require_free(self) -> None:
        try:
            self._call("describe_key", KeyId=self._uri.key)
        except KeyUnavailable as error:
            if error.code != "key_not_found":
                raise
        else:
            raise SettingsError(f"{self._where} exists already; attach it instead", code="key_exists")

    def _new_key(self) -> str:
        try:
            answer = self._call(
                "create_key",
                KeySpec=_KEY_SPEC,
                KeyUsage=_KEY_USAGE,
                Origin="AWS_KMS",
                Description=f"offblocks-orchestrator {self._uri.key}",
            )
        except OrchestratorError as error:
            failed = _but(error, "a key may have been made") if error.code == "key_backend_unreachable" else error
        else:
            metadata = answer.get("KeyMetadata")
            key_id = metadata.get("KeyId") if isinstance(metadata, Mapping) else None
            if isinstance(key_id, str) and key_id:
                return key_id
            failed = _but(backend.malformed(self._where, "a KeyId of the new key", "none"), "a key was made")
        raise failed

    def _call(self, operation: str, **arguments: Any) -> Mapping[str, Any]:
        shared = self._shared
        if shared is None or shared.pid != os.getpid():
            shared = self._shared = _shared(self._uri.endpoint, self._uri.region, self._timeout)
        outcome = _within(shared, operation, arguments, self._timeout, self._where)
        if isinstance(outcome, OrchestratorError):
            raise outcome
        if not isinstance(outcome, Mapping):
            raise backend.malformed(self._where, "an object", type(outcome).__name__)
        return outcome


class _Shared:
    """The client of one endpoint: made when first used, thread-safe, for all keys there."""

    def __init__(self, endpoint: str | None, region: str, timeout: float) -> None:
        self.pid: Final = os.getpid()
        self.bounded: Final = Bounded()
        self._endpoint = endpoint
        self._region = region
        self._timeout = timeout
        self._lock = threading.Lock()
        self._client: Any = None
        self._end: Callable[[], Any] = _nothing

    def client(self) -> Any:
        """Made by the first call, which may search for credentials in the network. Raises TimeoutError."""
        return self._client or self.bounded.run(self._make_once, max(self._timeout, _PREPARATION))

    def _make_once(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = self._new()
                self._end = weakref.finalize(self, self._client.close)
            return self._client

    def forget(self) -> None:
        """The next call makes a new client, which searches for credentials again."""
        with self._lock:
            self._client = None
            self._end()

    def _new(self) -> Any:
        from botocore.config import Config  # type: ignore[import-untyped]
        from botocore.session import Session

        # Whoever turns DEBUG on for all would log requests, the session token among their headers.
        logging.getLogger("botocore").setLevel(logging.WARNING)
        local = self._endpoint is not None and self._endpoint.startswith("http:")
        config = Config(
            connect_timeout=self._timeout,
            read_timeout=self._timeout,
            retries={"total_max_attempts": 1, "mode": "standard"},
            max_pool_connections=_CONNECTIONS,
            ignore_configured_endpoint_urls=True,
            proxies={} if local else None,  # plain http never leaves this machine, whatever HTTP_PROXY says
        )
        session = Session()
        session.register_component("data_loader", _descriptions())
        client = session.create_client("kms", region_name=self._region, endpoint_url=self._endpoint, config=config)
        client.meta.events.register("before-parse.kms", _look_at)
        return client


def _look_at(response_dict: Mapping[str, Any], **_: Any) -> None:
    """An answer before botocore parses it: whole, and JSON that a parser survives.

    botocore would take an answer that broke off for a malformed one, and it is worth another try.
    """
    from botocore.exceptions import IncompleteReadError  # type: ignore[import-untyped]

    body, length = response_dict.get("body"), response_dict.get("headers", {}).get("Content-Length")
    if not isinstance(body, bytes):
        raise ValueError("an answer without a body")
    if isinstance(length, str) and length.isdecimal() and len(length) < 20 and len(body) < int(length):
        raise IncompleteReadError(actual_bytes=len(body), expected_bytes=int(length))
    if len(body) > _MAX_ANSWER_BYTES or too_deep(body):
        raise ValueError("larger or deeper than an answer is")
    if body and response_dict.get("status_code") == 200:  # errors can come from something on the way
        read_json(body, max_bytes=_MAX_ANSWER_BYTES)  # for what it refuses: the library reads the body itself


@cache
def _descriptions() -> Any:
    """botocore's own descriptions of services, read once: a further client takes 20 ms then instead of 150."""
    from botocore.loaders import create_loader  # type: ignore[import-untyped]

    return create_loader()


_open: Final[weakref.WeakValueDictionary[tuple[int, str | None, str, float], _Shared]] = weakref.WeakValueDictionary()
"""What keys of this process share: a client weighs megabytes and keeps connections, and there may be 1,000 keys. Held
by the keys alone, and by the process id, so that a forked process makes its own."""
_opening: Final = threading.Lock()


def _shared(endpoint: str | None, region: str, timeout: float) -> _Shared:
    key = (os.getpid(), endpoint, region, timeout)
    with _opening:
        shared = _open.get(key)
        if shared is None:
            shared = _open[key] = _Shared(endpoint, region, timeout)
        return shared


def _within(shared: _Shared, operation: str, arguments: dict[str, Any], seconds: float, where: str) -> object:
    """The answer, or our error: returned, so that none of the library's is carried along with it."""
    from botocore.exceptions import ConnectionClosedError

    def call() -> object:
        method = getattr(client, operation)
        try:
            return method(**arguments)
        except ConnectionClosedError:
            if operation.startswith("create"):
                raise
            return method(**arguments)

    client = None
    try:
        client = shared.client()
        return shared.bounded.run(call, seconds)
    except TimeoutError:
        if client is None:
            return backend.unreachable(where, "finding AWS credentials takes too long")
        return backend.unreachable(where, f"no answer within {seconds:g} s")
    except Exception as error:  # noqa: BLE001 - a hostile answer can raise anything inside of botocore
        if awskms_errors.code_of(error) in awskms_errors.CREDENTIALS:
            shared.forget()
        return awskms_errors.translate(error, where, operation)


def _but(error: OrchestratorError, what: str) -> OrchestratorError:
    """The error and what was left behind: for a person, because another try would make another key."""
    return type(error)(f"{error.message}; {what}", code=error.code, disposition=Disposition.OPERATOR)


def _bytes(answer: Mapping[str, Any], member: str, where: str) -> bytes:
    value = answer.get(member)
    if not isinstance(value, bytes):
        raise backend.malformed(where, f"{member} as bytes", type(value).__name__)
    return value


def _point(public_key: bytes, where: str) -> bytes:
    """The 65 bytes of the point in a SubjectPublicKeyInfo. Raises KeyUnavailable."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256K1, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

    actual = "bytes that are none"
    try:
        key = load_der_public_key(public_key)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if isinstance(key, EllipticCurvePublicKey):
        if isinstance(key.curve, SECP256K1):
            return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        actual = f"one of {key.curve.name}"
    elif key is not None:
        actual = "one of another algorithm"
    raise backend.malformed(where, "a public key of secp256k1 in DER (SubjectPublicKeyInfo)", actual)


def _nothing() -> None:
    pass
