"""The OpenAPI 3.1 document, from the table of operations and the schemas that requests are checked against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .answers import Answer
from .platform import Call, Operation, Platform
from .schemas import Schemas

__all__ = ["document", "serve"]

BODIES = {
    "createToken": "ApiCredentials",
    "replaceCredentials": "ApiCredentials",
    "putSigningKey": "SigningKeyUpload",
    "createCustomer": "CustomerCreation",
    "signCustomerChallenge": "SignedChallenge",
    "createAccount": "AccountCreation",
    "signAccountChallenge": "SignedChallenge",
    "putWebhook": "WebhookUpdate",
}

# Which answers an operation has when it succeeds: status and schema (None: no body).
ANSWERS: dict[str, dict[int, str | None]] = {
    "createToken": {200: "Token"},
    "replaceCredentials": {204: None},
    "revokeCredentials": {204: None},
    "putSigningKey": {200: "SigningKey"},
    "deleteSigningKey": {204: None},
    "createCustomer": {201: "Customer"},
    "getCustomer": {200: "Customer"},
    "getCustomerChallenge": {200: "Challenge"},
    "signCustomerChallenge": {200: "Customer", 202: "Customer", 204: None},
    "listCustomers": {200: "Customers"},
    "deactivateCustomer": {200: "Customer"},
    "activateCustomer": {200: "Customer"},
    "verifyCustomer": {202: None},
    "rejectCustomer": {202: None},
    "createAccount": {201: "Account"},
    "listCustomerAccounts": {200: "Accounts"},
    "listAccounts": {200: "Accounts"},
    "getAccount": {200: "Account"},
    "closeAccount": {200: "Account", 202: "Account", 204: None},
    "getAccountChallenge": {200: "Challenge"},
    "signAccountChallenge": {200: "Account", 202: "Account", 204: None},
    "deactivateAccount": {200: "Account", 202: "Account", 204: None},
    "activateAccount": {200: "Account", 202: "Account", 204: None},
    "listCards": {200: "Cards"},
    "putWebhook": {200: "Webhook", 201: "Webhook"},
    "listWebhooks": {200: "Webhooks"},
    "getWebhook": {200: "Webhook"},
    "deleteWebhook": {204: None},
}

ERRORS = {
    400: "malformed, or refused as it stands",
    401: "token, content digest or signature missing or wrong",
    404: "there is no such thing",
    409: "an invalid state transition, a challenge that is signed already, or what exists already; or still in "
    "progress: wait and repeat with the same key",
    413: "the body is too large",
    415: "the body is not application/json",
    422: "the idempotency key belongs to another request",
}

DIGEST = r"^(?:sha-256=:[A-Za-z0-9+/]{43}=:|sha-512=:[A-Za-z0-9+/]{86}==:)$"

SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "signature": {
        "type": "apiKey",
        "in": "header",
        "name": "Signature",
        "description": "RFC 9421, ecdsa-p384-sha384. Covers @method, @target-uri and authorization, and where present "
        "content-digest, content-type and idempotency-key; the parameters keyid and created are required.",
    },
    "signatureInput": {"type": "apiKey", "in": "header", "name": "Signature-Input", "description": "RFC 9421."},
}


def _content(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _statuses(operation: Operation) -> list[int]:
    """Which errors the operation can answer."""
    has_body, authenticated = operation.name in BODIES, operation.access.name == "PROGRAMME"
    errors = {401, 413}
    if authenticated and operation.modifying:
        errors |= {400, 409, 422}
    if "{id}" in operation.path:
        errors |= {400, 404}
    if has_body:
        errors |= {400, 415}
    if operation.name == "putWebhook":
        errors.add(404)
    return sorted(errors)


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    uuid_ = {"type": "string", "format": "uuid", "minLength": 36, "maxLength": 36}
    parameters: list[dict[str, Any]] = []
    if "{id}" in operation.path:
        parameters.append({"name": "id", "in": "path", "required": True, "schema": uuid_})
    if operation.access.name == "PROGRAMME" and operation.modifying:
        parameters.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": True,
                "schema": uuid_,
                "description": "Valid for 1 hour. The same key with the same request: the stored answer.",
            }
        )
    if operation.access.name == "PROGRAMME" and operation.name in BODIES:
        parameters.append(
            {
                "name": "Content-Digest",
                "in": "header",
                "required": True,
                "schema": {"type": "string", "maxLength": 256, "pattern": DIGEST},
                "example": "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:",
                "description": "RFC 9530, sha-256 or sha-512 of the body; covered by the signature.",
            }
        )
    return parameters


def _operation(operation: Operation) -> dict[str, Any]:
    value: dict[str, Any] = {
        "operationId": operation.name,
        "summary": (operation.handler.__doc__ or operation.name).partition("\n")[0],
        "parameters": _parameters(operation),
        "responses": {
            str(status): {"description": "success"} | ({"content": _content(schema)} if schema else {})
            for status, schema in ANSWERS[operation.name].items()
        }
        | {
            str(status): {"description": ERRORS[status], "content": _content("Error")}
            for status in _statuses(operation)
        },
    }
    if operation.name in BODIES:
        value["requestBody"] = {"required": True, "content": _content(BODIES[operation.name])}
    # An empty requirement says that a call needs no authentication.
    value["security"] = [{name: [] for name in SECURITY_SCHEMES}] if operation.access.name == "PROGRAMME" else []
    return value


def document(operations: Sequence[Operation], schemas: Schemas, host: str) -> dict[str, Any]:
    """The document for a server reached as ``host`` (name and port)."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        if operation.name in ANSWERS:
            paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Card platform (simulator)",
            "version": "1",
            "description": "Accounts and their challenges, as the platform documents them.",
        },
        "servers": [{"url": f"http://{host}/v1"}],
        "paths": paths,
        "components": {"schemas": schemas.all, "securitySchemes": SECURITY_SCHEMES},
    }


async def serve(platform: Platform, call: Call) -> Answer:
    """GET /openapi.json."""
    host = str(call.message.field("host") or "127.0.0.1")
    return Answer.of(200, document(platform.operations, platform.schemas, host))
