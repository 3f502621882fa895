"""Who may call: API credentials, JWTs, request-signing keys, and the verification of each signed request."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import uuid
from functools import lru_cache

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from .answers import Answer, ApiError, PlainRefusal
from .http_signatures import Message, SignatureRefused, verify_content_digest, verify_message
from .platform import Call, Platform

__all__ = [
    "delete_credentials",
    "delete_signing_key",
    "issue_token",
    "put_credentials",
    "put_signing_key",
    "token",
    "verify_request",
]


def _unauthorized(code: str, message: str) -> ApiError:
    return ApiError(401, code, message, keep=False, headers={"www-authenticate": "Bearer"})


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


# --- tokens --------------------------------------------------------------------------------------------------------


def _secret(platform: Platform) -> str:
    secret = platform.store.setting("jwt_secret")
    if secret is None:
        secret = secrets.token_hex(32)
        with platform.store.transaction():
            platform.store.put_setting("jwt_secret", secret)
    return secret


def expire_all_tokens(platform: Platform) -> None:
    """Ends every token at once. Inside a transaction."""
    platform.store.put_setting("token_generation", str(_generation(platform) + 1))


def _generation(platform: Platform) -> int:
    return int(platform.store.setting("token_generation") or 0)


def issue_token(platform: Platform, api_key: str) -> tuple[str, int]:
    """A new JWT, and its end in unix seconds."""
    now = int(platform.clock.seconds())
    expires = now + int(platform.options.token_lifetime)
    claims = {
        "iss": platform.options.domain,
        "sub": api_key,
        "iat": now,
        "exp": expires,
        "jti": str(uuid.uuid4()),
        "generation": _generation(platform),
    }
    return jwt.encode(claims, _secret(platform), algorithm="HS256"), expires


def _check_token(platform: Platform, header: str | None) -> None:
    scheme, _, text = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not text:
        raise _unauthorized("token_missing", "the request needs the header Authorization: Bearer <token>")
    try:
        claims = jwt.decode(
            text,
            _secret(platform),
            algorithms=["HS256"],
            # The times are checked below, against the platform's own clock, which tests may move.
            options={"verify_exp": False, "verify_iat": False, "require": ["exp", "iat", "sub"]},
        )
    except jwt.PyJWTError as error:
        raise _unauthorized("token_invalid", "the token was not issued by this platform") from error
    if claims["exp"] <= platform.clock.seconds():
        raise _unauthorized("token_expired", "the token has expired")
    if claims.get("generation") != _generation(platform):
        raise _unauthorized("token_expired", "the token was invalidated by a change of credentials")


async def token(platform: Platform, call: Call) -> Answer:
    """POST /auth/token."""
    body = call.checked_body()
    row = platform.store.one(
        "SELECT secret_hash FROM credentials WHERE api_key = ? AND active = 1", body["apiKey"].lower()
    )
    expected = "" if row is None else str(row["secret_hash"])
    if not hmac.compare_digest(_hash(body["apiSecret"]), expected):
        raise _unauthorized("credentials_invalid", "apiKey or apiSecret is wrong")
    text, expires = issue_token(platform, body["apiKey"].lower())
    return Answer.of(200, {"token": text, "expiresAt": expires, "tokenType": "Bearer"})


# --- credentials ---------------------------------------------------------------------------------------------------


def set_credentials(platform: Platform, api_key: str, api_secret: str) -> None:
    """Adds a pair of API credentials, or gives the one with this key another secret; ends all tokens. Inside a
    transaction."""
    platform.store.write(
        "INSERT OR REPLACE INTO credentials (api_key, secret_hash, active, created_at) VALUES (?, ?, 1, ?)",
        api_key.lower(),
        _hash(api_secret),
        platform.clock.iso(),
    )
    expire_all_tokens(platform)


async def put_credentials(platform: Platform, call: Call) -> Answer:
    """PUT /auth/credentials: the caller chooses the pair."""
    body = call.checked_body()
    with platform.store.transaction():
        set_credentials(platform, body["apiKey"], body["apiSecret"])
        return call.answer(204)


async def delete_credentials(platform: Platform, call: Call) -> Answer:
    """DELETE /auth/credentials: the pair that is named."""
    api_key = call.checked_body()["apiKey"].lower()
    with platform.store.transaction():
        if not platform.store.write("UPDATE credentials SET active = 0 WHERE api_key = ? AND active = 1", api_key):
            raise ApiError(400, "credentials_unknown", "apiKey: the programme has no such credentials")
        expire_all_tokens(platform)
        return call.answer(204)


# --- request-signing keys ------------------------------------------------------------------------------------------


def set_signing_key(platform: Platform, key_id: str, pem: bytes) -> None:
    """Registers a request-signing key beside the others. Inside a transaction. Raises ApiError 400."""
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ApiError(400, "signing_key_invalid", "signingKey: expected a public key as PEM, in Base64") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise ApiError(400, "signing_key_invalid", "signingKey: expected an ECDSA key on the curve P-384")
    platform.store.write(
        "INSERT OR REPLACE INTO signing_keys (id, pem, active, created_at) VALUES (?, ?, 1, ?)",
        key_id.lower(),
        pem.decode(),
        platform.clock.iso(),
    )


async def put_signing_key(platform: Platform, call: Call) -> Answer:
    """PUT /auth/signing: the caller chooses the id."""
    body = call.checked_body()
    answers_id = platform.options.answer_signing == 200
    key_id = str(uuid.uuid4()) if answers_id else body["signingKeyId"]
    with platform.store.transaction():
        set_signing_key(platform, key_id, base64.b64decode(body["signingKey"], validate=True))
        return call.answer(200, {"signingKeyId": key_id}) if answers_id else call.answer(204)


async def delete_signing_key(platform: Platform, call: Call) -> Answer:
    """DELETE /auth/signing: the key that is named, also the last one."""
    key_id = call.checked_body()["signingKeyId"].lower()
    with platform.store.transaction():
        if not platform.store.write("UPDATE signing_keys SET active = 0 WHERE id = ? AND active = 1", key_id):
            raise ApiError(400, "signing_key_unknown", "signingKeyId: the programme has no such key")
        return call.answer(204)


# --- each request --------------------------------------------------------------------------------------------------


@lru_cache(maxsize=16)
def _parsed(pem: str) -> ec.EllipticCurvePublicKey | None:
    key = serialization.load_pem_public_key(pem.encode())
    return key if isinstance(key, ec.EllipticCurvePublicKey) else None


def verify_request(platform: Platform, call: Call) -> None:
    """The token of an authenticated request; its content digest and signature, where the operation asks for them.
    Raises ApiError 401, or as the options say."""
    message = call.message
    authorization = message.values("authorization")
    _check_token(platform, authorization[0] if len(authorization) == 1 else None)
    if not call.operation.signed:
        return
    asked = platform.options.signature_components
    required = {name for name in asked if name.startswith("@") or message.values(name)}
    if call.body:
        required.add("content-digest")

    def key_for(key_id: str) -> ec.EllipticCurvePublicKey | None:
        row = platform.store.one("SELECT pem FROM signing_keys WHERE id = ? AND active = 1", key_id.lower())
        return None if row is None else _parsed(row["pem"])

    try:
        if call.body or message.values("content-digest"):
            verify_content_digest(message.field("content-digest"), call.body)
        verify_message(
            message,
            key_for=key_for,
            now=platform.clock.seconds(),
            required=required,
        )
    except SignatureRefused as error:
        if platform.options.signature_refusal == 400:
            raise PlainRefusal(400, error.code, "invalid required signature", keep=False) from error
        raise _unauthorized(error.code, error.message) from error


def request_message(
    method: str, target_uri: str, headers: list[tuple[bytes, bytes]], *, whole_target_uri: bool
) -> Message:
    """An ASGI request as the verifier sees it."""
    return Message(
        method=method,
        target_uri=target_uri,
        request_line=None if whole_target_uri else "/" + target_uri.split("/", 3)[3],
        headers=[(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in headers],
    )
