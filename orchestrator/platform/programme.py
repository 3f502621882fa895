"""The calls about the programme itself: credentials, request-signing keys, webhooks."""

from __future__ import annotations

import base64
import binascii
import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from orchestrator.errors import MalformedAnswer
from orchestrator.models import to_uuid
from orchestrator.platform.answers import Refusal, parse_json, uncertain
from orchestrator.platform.calls import Calls, missing_as
from orchestrator.platform.current_request_key import CurrentRequestKey
from orchestrator.platform.lists import read_all
from orchestrator.platform.subscription import shown_parts
from orchestrator.platform.wire import ChainWire, VerificationKeyWire, WebhookWire, read
from orchestrator.request_signing.http_signature import RequestKey
from orchestrator.request_signing.key_file import KEY_ID

__all__ = ["PlatformWebhook", "ProgrammeCalls", "VerificationKey"]

_KEY_ID_FIELDS = ("signingKeyId", "keyId", "id")
"""Where an answer to an upload may name an id: the documentation says that one is returned, and not in which field."""


@dataclass(frozen=True, slots=True)
class PlatformWebhook:
    """A webhook that the platform will call. The URL can hold an unguessable token: it is not in the repr."""

    id: str
    callback_url: str = field(repr=False)
    types: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """The platform's public key for the signatures of its deliveries."""

    id: str
    """UUID text, lower-case."""
    key: ec.EllipticCurvePublicKey = field(repr=False)
    """On P-384."""


class ProgrammeCalls(Calls):
    """Credentials, request-signing keys, webhooks."""

    # --- authentication --------------------------------------------------------------------------------------------

    @property
    def clock_offset(self) -> timedelta | None:
        """The platform's clock minus this machine's, by the last answer; None before the first."""
        return self._session.platform_clock.offset

    @property
    def signing_key_id(self) -> str | None:
        """The id of the key that the last request was signed with; None before the first, and where requests go
        unsigned."""
        return self._session.signing_key.key_id

    @property
    def own_signing_key_id(self) -> str:
        """The id of the settings' own request-signing key; empty where they have none."""
        return self._settings.signing_key_id

    async def login(self) -> None:
        """Gets a token if none is held, a check of the credentials.

        Raises PlatformRefused (``platform_login_refused``) or PlatformUnreachable.
        """
        await self._session.tokens.token()

    async def revoke_credentials(self, *, key: str) -> None:
        """``DELETE /auth/credentials`` of this client's own pair. SIDE EFFECTS: ends all tokens, and no further login
        with this pair is possible."""
        await self._session.call("DELETE", ("auth", "credentials"), body={"apiKey": self._settings.api_key}, key=key)
        self._session.tokens.forget()

    async def upload_signing_key(self, key_id: str, public_key_pem: str, *, key: str, signed: bool = True) -> str:
        """``PUT /auth/signing``: the public key (PEM) under an id that the caller has chosen (UUID). The other keys
        stay. Published is an answer without a body; where one names an id, that is returned, else ``key_id``.

        It goes unsigned where there is no key, as it must for the first one, and where it is not to be ``signed``.
        """
        pem = base64.b64encode(public_key_pem.encode()).decode()
        body = {"signingKeyId": to_uuid(key_id, "signing key id"), "signingKey": pem}
        answer = await self._session.call("PUT", ("auth", "signing"), body=body, key=key, signed=signed)
        if not answer.body.strip():
            return key_id
        try:
            value = parse_json(answer, self._session.describe("PUT", ("auth", "signing")))
        except MalformedAnswer as error:
            raise uncertain(error) from None
        named = [value.get(name) for name in _KEY_ID_FIELDS] if isinstance(value, dict) else []
        return next((text for text in named if isinstance(text, str) and KEY_ID.fullmatch(text)), key_id)

    async def remove_signing_key(self, key_id: str, *, key: str, signed: bool = True) -> None:
        """``DELETE /auth/signing`` of the key with this id, and of no other."""
        body = {"signingKeyId": key_id}
        await self._session.call("DELETE", ("auth", "signing"), body=body, key=key, signed=signed)

    async def accepts_signing_key(self, key: RequestKey | None) -> bool:
        """Whether the platform takes the signatures of this key (None: of the settings' own), tried with a read that is
        signed with it (``GET /webhooks``). Raises PlatformError where no answer decides it."""
        trial = copy.copy(self._session)
        trial.signing_key = CurrentRequestKey(self._settings)
        if key is not None:
            trial.signing_key.use(key)
        try:
            await trial.call("GET", ("webhooks",))
        except Refusal as refusal:
            if refusal.code in ("request_signature_refused", "platform_unauthorized"):
                return False
            raise
        return True

    def use_signing_key(self, key: RequestKey) -> None:
        """Signs with this managed key from now on."""
        self._session.signing_key.use(key)

    # --- blockchains -----------------------------------------------------------------------------------------------

    async def chains(self) -> list[str]:
        """``GET /chains``: the blockchains that the platform supports, as CAIP-2 identifiers of any namespace."""
        return await read_all(self._session, self._settings, ("chains",), ChainWire, lambda chain: chain.id)

    # --- webhooks --------------------------------------------------------------------------------------------------

    async def put_webhook(
        self, callback_url: str, types: Sequence[str], *, webhook_id: str | None = None, key: str
    ) -> PlatformWebhook | None:
        """``PUT /webhooks``: creates one, or updates the one with ``webhook_id``. None where there is no body.

        A refusal that quotes the URL shows it without its token.
        """
        self._session.shown_as |= shown_parts(callback_url)
        body: dict[str, Any] = {"callbackUrl": callback_url, "types": list(types)}
        if webhook_id is not None:
            body["id"] = to_uuid(webhook_id, "webhook id")
        answer = await self._session.call("PUT", ("webhooks",), body=body, key=key)
        if not answer.body.strip():
            return None
        return _webhook(self._taken(WebhookWire, answer, "PUT", ("webhooks",)))

    async def webhooks(self) -> list[PlatformWebhook]:
        """``GET /webhooks``."""
        return await read_all(self._session, self._settings, ("webhooks",), WebhookWire, _webhook)

    async def webhook(self, webhook_id: str) -> PlatformWebhook:
        """``GET /webhooks/{id}``. An unknown one: code ``webhook_not_found``."""
        segments = ("webhooks", to_uuid(webhook_id, "webhook id"))
        value = await self._get(segments, missing="webhook_not_found")
        return _webhook(read(WebhookWire, value, self._what("GET", segments)))

    async def delete_webhook(self, webhook_id: str, *, key: str) -> None:
        """``DELETE /webhooks/{id}``."""
        try:
            await self._modify("DELETE", ("webhooks", to_uuid(webhook_id, "webhook id")), key)
        except Refusal as refusal:
            raise missing_as(refusal, "webhook_not_found") from None

    async def verification_key(self) -> VerificationKey:
        """``GET /webhooks/verification-key``: Base64 of the PEM. Raises MalformedAnswer for a key that is not on P-384,
        which is the only curve that the platform signs with."""
        segments = ("webhooks", "verification-key")
        value, _ = await self._session.json("GET", segments)
        wire = read(VerificationKeyWire, value, self._what("GET", segments))
        try:
            key = load_pem_public_key(base64.b64decode(wire.key, validate=True))
        except (binascii.Error, ValueError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
            raise MalformedAnswer(
                f"{self._what('GET', segments)}: field key: expected Base64 of the PEM of a P-384 public key"
            )
        return VerificationKey(wire.key_id, key)


def _webhook(wire: WebhookWire) -> PlatformWebhook:
    return PlatformWebhook(id=wire.id, callback_url=wire.callback_url, types=tuple(wire.types))
