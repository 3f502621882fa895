"""The API's table: every operation, by method and path."""

from __future__ import annotations

from . import accounts, admin, auth, customers, openapi, webhooks
from .platform import Access, Operation

__all__ = ["ADMIN", "API", "OPERATIONS"]

API: tuple[Operation, ...] = (
    Operation("POST", "/auth/token", "createToken", auth.token, Access.PUBLIC),
    Operation("PUT", "/auth/credentials", "replaceCredentials", auth.put_credentials),
    Operation("DELETE", "/auth/credentials", "revokeCredentials", auth.delete_credentials),
    Operation("PUT", "/auth/signing", "putSigningKey", auth.put_signing_key, first_key=True),
    Operation("DELETE", "/auth/signing", "deleteSigningKey", auth.delete_signing_key),
    Operation("POST", "/customers", "createCustomer", customers.create),
    Operation("GET", "/customers", "listCustomers", customers.listed),
    Operation("GET", "/customers/{id}", "getCustomer", customers.get),
    Operation("GET", "/customers/{id}/challenge", "getCustomerChallenge", customers.challenge),
    Operation("POST", "/customers/{id}/challenge/sign", "signCustomerChallenge", customers.sign),
    Operation("PATCH", "/customers/{id}/deactivate", "deactivateCustomer", customers.deactivate),
    Operation("PATCH", "/customers/{id}/activate", "activateCustomer", customers.activate),
    Operation("PATCH", "/simulator/customers/{id}/verify", "verifyCustomer", customers.verify),
    Operation("PATCH", "/simulator/customers/{id}/reject", "rejectCustomer", customers.reject),
    Operation("POST", "/customers/{id}/accounts", "createAccount", accounts.create),
    Operation("GET", "/customers/{id}/accounts", "listCustomerAccounts", accounts.of_customer),
    Operation("GET", "/accounts", "listAccounts", accounts.listed),
    Operation("GET", "/accounts/{id}", "getAccount", accounts.get),
    Operation("DELETE", "/accounts/{id}", "closeAccount", accounts.close),
    Operation("GET", "/accounts/{id}/challenge", "getAccountChallenge", accounts.challenge),
    Operation("POST", "/accounts/{id}/challenge/sign", "signAccountChallenge", accounts.sign),
    Operation("PATCH", "/accounts/{id}/deactivate", "deactivateAccount", accounts.deactivate),
    Operation("PATCH", "/accounts/{id}/activate", "activateAccount", accounts.activate),
    Operation("GET", "/accounts/{id}/cards", "listCards", accounts.list_cards),
    Operation("PUT", "/webhooks", "putWebhook", webhooks.put),
    Operation("GET", "/webhooks", "listWebhooks", webhooks.listed),
    Operation("GET", "/webhooks/{id}", "getWebhook", webhooks.get),
    Operation("DELETE", "/webhooks/{id}", "deleteWebhook", webhooks.delete),
    Operation("GET", "/openapi.json", "getOpenApi", openapi.serve, Access.PUBLIC),
)
"""Under /v1."""

ADMIN: tuple[Operation, ...] = (
    Operation("GET", "/simulator/records", "records", admin.records, Access.ADMIN),
    Operation("GET", "/simulator/faults", "listFaults", admin.list_faults, Access.ADMIN),
    Operation("POST", "/simulator/faults", "addFault", admin.add_fault, Access.ADMIN),
    Operation("DELETE", "/simulator/faults", "clearFaults", admin.clear_faults, Access.ADMIN),
    Operation("DELETE", "/simulator/faults/{id}", "removeFault", admin.remove_fault, Access.ADMIN),
    Operation("POST", "/simulator/customers", "addCustomer", admin.add_customer, Access.ADMIN),
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
