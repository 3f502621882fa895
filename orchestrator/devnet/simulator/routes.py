"""The API's table: every operation, by method and path."""

from __future__ import annotations

from . import accounts, admin, auth, customers, openapi, supported, webhooks
from .platform import Access, Handler, Operation
from .published_api import CALLS, PublishedCall

__all__ = ["ADMIN", "API", "HANDLERS", "OPERATIONS"]

HANDLERS: dict[str, Handler] = {
    "getToken": auth.token,
    "updateCredentials": auth.put_credentials,
    "deleteCredentials": auth.delete_credentials,
    "updateSigningKey": auth.put_signing_key,
    "deleteSigningKey": auth.delete_signing_key,
    "getChains": supported.chains,
    "getAssets": supported.assets,
    "createCustomer": customers.create,
    "getCustomers": customers.listed,
    "getCustomer": customers.get,
    "deactivateCustomer": customers.deactivate,
    "activateCustomer": customers.activate,
    "getCustomerChallenge": customers.challenge,
    "signCustomerChallenge": customers.sign,
    "simulateVerifyCustomer": customers.verify,
    "simulateRejectCustomer": customers.reject,
    "createCustomerAccount": accounts.create,
    "getCustomerAccounts": accounts.of_customer,
    "getAccounts": accounts.listed,
    "getAccount": accounts.get,
    "closeAccount": accounts.close,
    "getAccountChallenge": accounts.challenge,
    "signAccountChallenge": accounts.sign,
    "deactivateAccount": accounts.deactivate,
    "activateAccount": accounts.activate,
    "getAccountCards": accounts.list_cards,
    "saveWebhook": webhooks.put,
    "getWebhooks": webhooks.listed,
    "getWebhookVerificationKey": webhooks.verification_key,
    "getWebhook": webhooks.get,
    "deleteWebhook": webhooks.delete,
}
"""Who answers each published call."""


def _served(call: PublishedCall) -> Operation:
    return Operation(
        call.method,
        call.path,
        call.name,
        HANDLERS[call.name],
        Access.PUBLIC if not call.bearer else Access.PROGRAMME if call.signed else Access.BEARER,
        published=call,
    )


API: tuple[Operation, ...] = (
    *(_served(call) for call in CALLS.values()),
    Operation("GET", "/openapi.json", "getOpenApi", openapi.serve, Access.PUBLIC),
)
"""Under /v1."""

ADMIN: tuple[Operation, ...] = (
    Operation("GET", "/simulator/records", "records", admin.records, Access.ADMIN),
    Operation("GET", "/simulator/departures", "departures", admin.departures, Access.ADMIN),
    Operation("GET", "/simulator/faults", "listFaults", admin.list_faults, Access.ADMIN),
    Operation("POST", "/simulator/faults", "addFault", admin.add_fault, Access.ADMIN),
    Operation("DELETE", "/simulator/faults", "clearFaults", admin.clear_faults, Access.ADMIN),
    Operation("DELETE", "/simulator/faults/{id}", "removeFault", admin.remove_fault, Access.ADMIN),
    Operation("POST", "/simulator/customers", "addCustomer", admin.add_customer, Access.ADMIN),
    Operation("POST", "/simulator/webhook-key", "rotateWebhookKey", admin.rotate_webhook_key, Access.ADMIN),
    Operation("POST", "/simulator/tokens", "addToken", admin.add_token, Access.ADMIN),
    Operation("POST", "/simulator/accounts/{id}/cards", "addCard", admin.add_card, Access.ADMIN),
    Operation("POST", "/simulator/accounts/{id}/deactivate", "platformDeactivate", admin.deactivate, Access.ADMIN),
    Operation("POST", "/simulator/accounts/{id}/activate", "platformActivate", admin.activate, Access.ADMIN),
    Operation("POST", "/simulator/accounts/{id}/close", "platformClose", admin.close, Access.ADMIN),
    Operation("POST", "/simulator/accounts/{id}/resubmit", "resubmitAccount", admin.resubmit_account, Access.ADMIN),
    Operation("POST", "/simulator/resubmit", "resubmit", admin.resubmit, Access.ADMIN),
)
"""Under the server's root: the devnet's own, no part of the documented API."""

OPERATIONS = API + ADMIN
