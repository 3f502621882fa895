"""The card platform's API, call by call: implements ``orchestrator.ports.platform.Platform`` and the rest of the API.

Stable codes of PlatformRefused: ``account_not_found``, ``customer_not_found``, ``customer_not_active``,
``webhook_not_found``, ``signature_refused``, ``challenge_expired``, ``challenge_already_signed``,
``invalid_transition``, ``idempotency_mismatch``,
``platform_login_refused``, ``platform_unauthorized``, ``request_signature_refused``, ``clock_skew``,
``platform_forbidden``, ``platform_rate_limited``; else the platform's own, where it is snake_case.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

from orchestrator.errors import Disposition, PlatformError, PlatformRefused, SettingsError
from orchestrator.models import AccountId, CustomerId, CustomerStatus, to_uuid
from orchestrator.platform.answers import Refusal
from orchestrator.platform.calls import missing_as
from orchestrator.platform.lists import read_all
from orchestrator.platform.programme import PlatformWebhook, ProgrammeCalls
from orchestrator.platform.settings import SignerFields
from orchestrator.platform.transport import Answer
from orchestrator.platform.wire import (
    AccountWire,
    CardWire,
    ChallengeWire,
    CreatedAccountWire,
    CustomerWire,
    read,
)
from orchestrator.ports.platform import Permit, PlatformAccount, PlatformCard, PlatformCustomer, Submission

__all__ = ["PlatformClient", "PlatformWebhook"]

_OF_THE_REQUEST = ("idempotency_mismatch", "clock_skew", "request_signature_refused")
"""Refusals of the request itself: they say nothing of the account or the customer."""


class PlatformClient(ProgrammeCalls):
    """The platform, over HTTP. Use as an async context manager, within one event loop.

    Every call raises PlatformUnreachable, UncertainAnswer, PlatformRefused or MalformedAnswer (UnsupportedChain where
    an answer names another blockchain namespace than eip155). ``key`` is the idempotency key, UUID text, which the
    caller journaled before; a modifying call is repeated inside only where it was surely not processed.
    """

    # --- customers -------------------------------------------------------------------------------------------------

    async def customer(self, customer_id: CustomerId) -> PlatformCustomer:
        """``GET /customers/{id}``. An unknown one: code ``customer_not_found``."""
        segments = ("customers", _customer(customer_id))
        value = await self._get(segments, missing="customer_not_found")
        found = read(CustomerWire, value, self._what("GET", segments)).customer()
        self._same(found.id, segments[1], "GET", segments)
        return found

    # --- accounts --------------------------------------------------------------------------------------------------

    async def account(self, account_id: AccountId) -> PlatformAccount:
        """``GET /accounts/{id}``. An unknown one: code ``account_not_found``."""
        segments = ("accounts", _account(account_id))
        value = await self._get(segments, missing="account_not_found")
        found = read(AccountWire, value, self._what("GET", segments)).account()
        self._same(found.id, segments[1], "GET", segments)
        return found

    async def accounts(self) -> list[PlatformAccount]:
        """``GET /accounts``: all of the programme."""
        return await self._accounts(("accounts",))

    async def customer_accounts(self, customer_id: CustomerId) -> list[PlatformAccount]:
        """``GET /customers/{id}/accounts``. An unknown customer: code ``customer_not_found``."""
        segments = ("customers", _customer(customer_id), "accounts")
        try:
            found = await self._accounts(segments)
        except Refusal as refusal:
            raise missing_as(refusal, "customer_not_found") from None
        for account in found:
            self._same(account.customer_id, segments[1], "GET", segments, field_name="customerId")
        return found

    async def cards(self, account_id: AccountId) -> list[PlatformCard]:
        """``GET /accounts/{id}/cards``. An unknown account: code ``account_not_found``."""
        segments = ("accounts", _account(account_id), "cards")
        try:
            return await read_all(self._session, self._settings, segments, CardWire, CardWire.card)
        except Refusal as refusal:
            raise missing_as(refusal, "account_not_found") from None

    async def create_account(
        self, customer_id: CustomerId, currency: str, *, key: str
    ) -> tuple[PlatformAccount, str | None]:
        """``POST /customers/{id}/accounts``: the account, and its challenge where the answer carries one.

        ``currency``: ISO-4217. Codes ``customer_not_found``, ``customer_not_active`` (found by reading the customer
        back), else the platform's.
        """
        segments = ("customers", _customer(customer_id), "accounts")
        body = {"type": self._settings.account_type, "currencies": [currency]}
        try:
            answer = await self._session.call("POST", segments, body=body, key=key)
        except Refusal as refusal:
            if refusal.status == 404:
                raise missing_as(refusal, "customer_not_found") from None
            if refusal.status in (400, 403, 409, 422) and refusal.code not in _OF_THE_REQUEST:
                raise await self._why_no_account(refusal, customer_id) from None
            raise
        created = self._taken(CreatedAccountWire, answer, "POST", segments)
        self._same(created.customer_id, segments[1], "POST", segments, field_name="customerId")
        return created.account(), created.challenge

    async def challenge(self, account_id: AccountId) -> str | None:
        """``GET /accounts/{id}/challenge``: the Base64 text exactly as issued; None where none is offered.

        A read that writes: "this operation invalidates any previously issued challenges for the account" (published
        file). So it is asked only for what will be signed. An unknown account: code ``account_not_found``.
        """
        segments = ("accounts", _account(account_id), "challenge")
        try:
            answer = await self._session.call("GET", segments)
        except Refusal as refusal:
            if refusal.status == 404:
                await self.account(account_id)  # raises where it is the account that is unknown
                return None
            if refusal.status == 409:
                return None
            raise
        if not answer.body.strip():
            return None
        return read(ChallengeWire, *self._value(answer, "GET", segments)).challenge

    async def submit(
        self, account_id: AccountId, submission: Submission, *, key: str, permit: Permit
    ) -> PlatformAccount | None:
        """``POST /accounts/{id}/challenge/sign``. None where the answer has no body (204).

        Codes ``challenge_already_signed`` (409: this signature, or a repeat of it, was taken before),
        ``signature_refused`` and ``challenge_expired`` (a new challenge is to be fetched), ``account_not_found``.
        Raises what ``permit`` raises before a try, the first or a repeat.
        """
        segments = ("accounts", _account(account_id), "challenge", "sign")
        signature = submission.signature
        if len(signature) != 65 or signature[64] not in (27, 28):
            raise AssertionError(f"a signature has 65 bytes and ends with 27 or 28, got {len(signature)} bytes")
        fields = self._settings.signer_fields
        names = ("ownerId", "chainId") if fields is SignerFields.BOTH else (fields.value,)
        body = dict.fromkeys(names, str(submission.signer)) | {
            "challenge": submission.challenge,
            "signature": base64.b64encode(b"0x" + signature.hex().encode()).decode(),
        }
        try:
            answer = await self._session.call("POST", segments, body=body, key=key, permit=permit, own_conflict=True)
        except Refusal as refusal:
            raise _why_not_signed(refusal) from None
        return self._account_in(answer, "POST", segments)

    async def deactivate(self, account_id: AccountId, *, key: str) -> PlatformAccount | None:
        """``PATCH /accounts/{id}/deactivate``. None where the answer has no body. A 409: ``invalid_transition``."""
        return await self._change("PATCH", ("accounts", _account(account_id), "deactivate"), key)

    async def reactivate(self, account_id: AccountId, *, key: str) -> PlatformAccount | None:
        """``PATCH /accounts/{id}/activate``: undoes a deactivation. As ``deactivate``."""
        return await self._change("PATCH", ("accounts", _account(account_id), "activate"), key)

    async def close(self, account_id: AccountId, *, key: str) -> PlatformAccount | None:
        """``DELETE /accounts/{id}``: closes the account, for good, once its owner has signed. As ``deactivate``."""
        return await self._change("DELETE", ("accounts", _account(account_id)), key)

    # --- inside ----------------------------------------------------------------------------------------------------

    async def _accounts(self, segments: Sequence[str]) -> list[PlatformAccount]:
        return await read_all(self._session, self._settings, segments, AccountWire, AccountWire.account)

    async def _change(self, method: str, segments: Sequence[str], key: str) -> PlatformAccount | None:
        try:
            answer = await self._session.call(method, segments, key=key, own_conflict=True)
        except Refusal as refusal:
            if refusal.code == "platform_conflict":
                raise refusal.recoded("invalid_transition") from None
            raise missing_as(refusal, "account_not_found") from None
        return self._account_in(answer, method, segments)

    def _account_in(self, answer: Answer, method: str, segments: Sequence[str]) -> PlatformAccount | None:
        if not answer.body.strip():
            return None
        found = self._taken(AccountWire, answer, method, segments).account()
        self._same(found.id, segments[1], method, segments)
        return found

    async def _why_no_account(self, refusal: Refusal, customer_id: CustomerId) -> Refusal:
        """Only an active customer can get an account: reads the customer back to say so."""
        try:
            customer = await self.customer(customer_id)
        except (PlatformError, SettingsError):
            return refusal
        if customer.status.lower() == CustomerStatus.ACTIVE:
            return refusal
        return refusal.recoded(
            "customer_not_active", f"the customer's status is {customer.status[:40]!r}, expected 'active'"
        )


_OF_THE_CALLER = frozenset({"idempotency_mismatch", "clock_skew", "request_signature_refused"})
"""What is not about the signature that was submitted."""
_SIGNATURE_CODES = frozenset({"invalid_signature", "signature_invalid", "signature_refused"})
_OTHER_CONFLICTS = ("transition", "state", "closed", "mismatch", "exist", "active")
"""Words of a 409 that is about the account or the customer."""


def _why_not_signed(refusal: Refusal) -> PlatformRefused:
    """The refusal of a signature, told by its words: nothing is asked, since asking for the challenge ends it.

    The published file knows 409, "Challenge already signed", and 400 for all else.
    """
    if refusal.code in _OF_THE_CALLER or refusal.disposition is Disposition.RETRY:
        return refusal
    if refusal.mentions("expire"):
        return refusal.recoded("challenge_expired", "a new challenge is fetched")
    if refusal.status == 409:
        if refusal.platform_code in _SIGNATURE_CODES:
            return refusal.recoded("signature_refused", "a new challenge is fetched")
        silent = not refusal.platform_code and not refusal.words
        taken = refusal.mentions("already", "signed", "conflict") and not refusal.mentions(*_OTHER_CONFLICTS)
        return refusal.recoded("challenge_already_signed") if silent or taken else refusal
    if refusal.status in (400, 422) and refusal.mentions("already") and not refusal.mentions(*_OTHER_CONFLICTS):
        return refusal.recoded("challenge_already_signed")
    if refusal.status in (400, 403, 422) and refusal.mentions("signature"):
        return refusal.recoded("signature_refused", "a new challenge is fetched")
    if refusal.status == 400 and not refusal.mentions("signer", "ownerid", "chainid", "state"):
        return refusal.recoded("signature_refused", "a new challenge is fetched")
    return missing_as(refusal, "account_not_found")


def _account(account_id: str) -> str:
    return to_uuid(account_id, "account id")


def _customer(customer_id: str) -> str:
    return to_uuid(customer_id, "customer id")
