"""The published platform's calls, one row each: what a request must carry, and which answers it can get.

From its OpenAPI file of 2024-02-02. The server routes and checks requests by these rows, :mod:`openapi` publishes them,
:mod:`judge` holds all traffic to them, and the suite compares each fact with that file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["CALLS", "CONVENTIONS", "DELIVERY", "PublishedCall"]

CONVENTIONS: Final = frozenset({400, 409, 422})
"""What the documentation's page on idempotency adds for each call with a key: 400 without a key, 409 while the first
request is in flight, 422 where the key was used with another payload."""


@dataclass(frozen=True, slots=True)
class PublishedCall:
    """One call. ``path`` is under /v1; a parameter in it is a UUID."""

    name: str
    method: str
    path: str
    status: int
    """Of success."""
    answer: str | None = None
    """The name of the success's schema; None: no body."""
    body: str | None = None
    """The name of the request's schema; None: no body."""
    query: tuple[str, ...] = ()
    """Parameters that may follow the path."""
    conflict: bool = False
    """Whether 409 is an answer of the call itself: it exists, is signed, or the state does not allow it."""
    bearer: bool = True
    signed: bool = True
    """Whether ``Signature`` and ``Signature-Input`` are required; and of a modifying call ``Idempotency-Key``, of one
    with a body ``Content-Digest``."""

    @property
    def keyed(self) -> bool:
        return self.bearer and self.signed and self.method != "GET"

    @property
    def required_headers(self) -> tuple[str, ...]:
        """Lower-case, without ``authorization``."""
        names = ["signature", "signature-input"] if self.signed else []
        names += ["idempotency-key"] if self.keyed else []
        names += ["content-digest"] if self.keyed and self.body else []
        return tuple(names)

    @property
    def refusals(self) -> frozenset[int]:
        """The statuses of failure that the file names."""
        return frozenset({400, 401, 500} | ({404} if "{" in self.path else set()) | ({409} if self.conflict else set()))


def _rows() -> list[PublishedCall]:
    row = PublishedCall
    account, customer, webhook = "/accounts/{accountId}", "/customers/{customerId}", "/webhooks/{webhookId}"
    return [
        row("getToken", "POST", "/auth/token", 200, "Token", body="ApiCredentials", bearer=False, signed=False),
        row("updateCredentials", "PUT", "/auth/credentials", 204, body="ApiCredentials", signed=False),
        row("deleteCredentials", "DELETE", "/auth/credentials", 204, body="CredentialsRemoval", signed=False),
        row("updateSigningKey", "PUT", "/auth/signing", 204, body="SigningKeyUpload", signed=False),
        row("deleteSigningKey", "DELETE", "/auth/signing", 204, body="SigningKeyRemoval", signed=False),
        row("getChains", "GET", "/chains", 200, "Chains"),
        row("getAssets", "GET", "/assets", 200, "Assets", query=("chain",)),
        row("createCustomer", "POST", "/customers", 201, "CreatedCustomer", body="CustomerCreation", conflict=True),
        row("getCustomers", "GET", "/customers", 200, "Customers"),
        row("deactivateCustomer", "PATCH", f"{customer}/deactivate", 200, "Customer", conflict=True),
        row("activateCustomer", "PATCH", f"{customer}/activate", 200, "Customer", conflict=True),
        row("getCustomer", "GET", customer, 200, "Customer"),
        row("getCustomerChallenge", "GET", f"{customer}/challenge", 200, "Challenge"),
        row(
            "signCustomerChallenge",
            "POST",
            f"{customer}/challenge/sign",
            204,
            body="SignedChallenge",
            conflict=True,
        ),
        row("simulateVerifyCustomer", "PATCH", f"/simulator{customer}/verify", 202),
        row("simulateRejectCustomer", "PATCH", f"/simulator{customer}/reject", 202),
        row("createCustomerAccount", "POST", f"{customer}/accounts", 201, "CreatedAccount", body="AccountCreation"),
        row("getCustomerAccounts", "GET", f"{customer}/accounts", 200, "Accounts"),
        row("getAccounts", "GET", "/accounts", 200, "Accounts"),
        row("getAccount", "GET", account, 200, "Account"),
        row("closeAccount", "DELETE", account, 204, conflict=True),
        row("getAccountChallenge", "GET", f"{account}/challenge", 200, "Challenge"),
        row("signAccountChallenge", "POST", f"{account}/challenge/sign", 204, body="SignedChallenge", conflict=True),
        row("deactivateAccount", "PATCH", f"{account}/deactivate", 200, "Account", conflict=True),
        row("activateAccount", "PATCH", f"{account}/activate", 200, "Account", conflict=True),
        row("getAccountCards", "GET", f"{account}/cards", 200, "Cards"),
        row("saveWebhook", "PUT", "/webhooks", 200, "Webhook", body="WebhookUpdate"),
        row("getWebhooks", "GET", "/webhooks", 200, "Webhooks"),
        row("getWebhookVerificationKey", "GET", "/webhooks/verification-key", 200, "VerificationKey"),
        row("getWebhook", "GET", webhook, 200, "Webhook"),
        row("deleteWebhook", "DELETE", webhook, 204),
    ]


CALLS: Final[Mapping[str, PublishedCall]] = {row.name: row for row in _rows()}
"""By name; in the order in which paths are tried."""

DELIVERY: Final = PublishedCall("webhook", "POST", "{callbackUrl}", 200, "WebhookReceipt", bearer=False)
"""What the platform calls. Its body is the event that ``webhookType`` names (:mod:`schemas`)."""
