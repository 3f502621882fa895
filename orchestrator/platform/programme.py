"""The calls about the programme itself: credentials, the request-signing key, webhooks."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from orchestrator.errors import MalformedAnswer
from orchestrator.models import to_uuid
from orchestrator.platform.answers import Refusal, parse_json, uncertain
from orchestrator.platform.calls import Calls, missing_as
from orchestrator.platform.lists import read_all
from orchestrator.platform.wire import ChainWire, WebhookWire, read
from orchestrator.request_signing.http_signature import RequestKey

__all__ = ["PlatformWebhook", "ProgrammeCalls"]


@dataclass(frozen=True, slots=True)
class PlatformWebhook:
    """A webhook that the platform will call. The URL can hold an unguessable token: it is not in the repr."""

    id: str
    callback_url: str = field(repr=False)
    types: tuple[str, ...]


class ProgrammeCalls(Calls):
    """Credentials, the request-signing key, webhooks."""

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

    async def login(self) -> None:
        """Gets a token if none is held, a check of the credentials.

        Raises PlatformRefused (``platform_login_refused``) or PlatformUnreachable.
        """
        await self._session.tokens.token()

    async def revoke_credentials(self, *, key: str) -> None:
        """``DELETE /auth/credentials``. SIDE EFFECTS: no further login is possible."""
        await self._session.call("DELETE", ("auth", "credentials"), key=key)
        self._session.tokens.forget()

    async def upload_signing_key(self, public_key_pem: str, *, key: str) -> str:
        """``PUT /auth/signing``: the public key (PEM); answers its id, to be the setting ``signing_key_id``.

        Without a key id in the settings the request goes unsigned, as it must for the first key.
        """
        body = {self._settings.signing_key_field: base64.b64encode(public_key_pem.encode()).decode()}
        answer = await self._session.call("PUT", ("auth", "signing"), body=body, key=key)
        call = self._session.describe("PUT", ("auth", "signing"))
        try:
            value = parse_json(answer, call)
        except MalformedAnswer as error:
            raise uncertain(error) from None
        name = self._settings.signing_key_id_field
        key_id = value.get(name) if isinstance(value, dict) else None
        if not isinstance(key_id, str) or not key_id.isascii() or not key_id.isprintable() or len(key_id) > 500:
            raise MalformedAnswer(f"{call}: field {name}: expected the key id as text")
        return key_id

    async def replace_signing_key(
        self, public_key_pem: str, *, key: str, taken: Callable[[str], RequestKey]
    ) -> RequestKey:
        """``PUT /auth/signing``, signed with the key in use if there is one, and the exchange of that key.

        ``taken`` (called in a thread) gets the new key's id, stores the exchange, and returns the key to sign with from
        now on. No request of this client fails for it: those in flight are awaited, others are held meanwhile.
        Raises as ``upload_signing_key``, and what ``taken`` raises.
        """
        async with self._session.signing_key.held():
            await self._session.signing_key.refresh()
            key_id = await self.upload_signing_key(public_key_pem, key=key)
            opened = await asyncio.to_thread(taken, key_id)
            self._session.signing_key.use(opened)
        return opened

    def complete_uploads_with(self, complete: Callable[[str], Awaitable[None]]) -> None:
        """``complete(name)`` completes the upload of a managed key that another process has left unfinished. It is
        called when the platform refuses the key in use."""
        self._session.signing_key.complete_upload = complete

    async def accepts_signing_key(self, key: RequestKey) -> bool:
        """Whether the platform accepts this key's signatures, tried with a read (``GET /webhooks``). If so, this client
        signs with it from now on. Raises PlatformError where no answer decides it."""

        async def read_() -> bool:
            try:
                await self._session.call("GET", ("webhooks",))
            except Refusal as refusal:
                if refusal.code in ("request_signature_refused", "platform_unauthorized"):
                    return False
                raise
            return True

        return await self._session.signing_key.accepts(key, read_)

    async def revoke_signing_key(self, *, key: str) -> None:
        """``DELETE /auth/signing``, with no other request under way. The managed key is read again for the next
        request."""
        async with self._session.signing_key.held():
            await self._session.signing_key.refresh()
            await self.remove_signing_key(key=key)
            self._session.signing_key.use(None)

    async def remove_signing_key(self, *, key: str) -> None:
        """``DELETE /auth/signing``."""
        await self._session.call("DELETE", ("auth", "signing"), key=key)

    # --- blockchains -----------------------------------------------------------------------------------------------

    async def chains(self) -> list[str]:
        """``GET /chains``: the blockchains that the platform supports, as CAIP-2 identifiers of any namespace."""
        return await read_all(self._session, self._settings, ("chains",), ChainWire, lambda chain: chain.id)

    # --- webhooks --------------------------------------------------------------------------------------------------

    async def put_webhook(
        self, callback_url: str, types: Sequence[str], *, webhook_id: str | None = None, key: str
    ) -> PlatformWebhook | None:
        """``PUT /webhooks``: creates one, or updates the one with ``webhook_id``. None where there is no body."""
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


def _webhook(wire: WebhookWire) -> PlatformWebhook:
    return PlatformWebhook(id=wire.id, callback_url=wire.callback_url, types=tuple(wire.types))
