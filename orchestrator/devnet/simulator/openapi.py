"""The OpenAPI 3.1 document, from the table of published calls and the schemas that requests are checked against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .answers import Answer
from .platform import Call, Operation, Platform
from .published_api import CONVENTIONS, DELIVERY, PublishedCall
from .schemas import EVENTS, Schemas

__all__ = ["DIGEST", "document", "serve"]

REFUSALS = {
    400: "malformed, or refused as it stands",
    401: "token, content digest or signature missing or wrong",
    404: "there is no such thing",
    409: "it exists already, is signed already, or its state does not allow it; or the first request with this "
    "Idempotency-Key is still in flight: wait and repeat with the same key",
    422: "the Idempotency-Key belongs to another request",
    500: "the simulator failed",
}

DIGEST = r"^(?:sha-256=:[A-Za-z0-9+/]{43}=:|sha-512=:[A-Za-z0-9+/]{86}==:)$"
UUID = {"type": "string", "format": "uuid"}
HEADERS: dict[str, dict[str, Any]] = {
    "signature": {
        "name": "Signature",
        "schema": {"type": "string"},
        "description": "RFC 9421, ecdsa-p384-sha384. The parameters keyid and created are required.",
    },
    "signature-input": {"name": "Signature-Input", "schema": {"type": "string"}, "description": "RFC 9421."},
    "idempotency-key": {
        "name": "Idempotency-Key",
        "schema": UUID,
        "description": "Valid for 1 hour. The same key with the same request: the stored answer.",
    },
    "content-digest": {
        "name": "Content-Digest",
        "schema": {"type": "string", "maxLength": 256, "pattern": DIGEST},
        "example": "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:",
        "description": "RFC 9530, sha-256 or sha-512 of the body; covered by the signature.",
    },
}


def _content(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _parameters(call: PublishedCall) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in call.path.split("/") if part.startswith("{")]
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": UUID} for name in names if call is not DELIVERY
    ]
    parameters += [{"in": "header", "required": True, **HEADERS[name]} for name in call.required_headers]
    return parameters + [{"name": name, "in": "query", "schema": {"type": "string"}} for name in call.query]


def _operation(call: PublishedCall, summary: str) -> dict[str, Any]:
    refusals = call.refusals | (CONVENTIONS if call.keyed else frozenset())
    value: dict[str, Any] = {
        "operationId": call.name,
        "summary": summary,
        "parameters": _parameters(call),
        "responses": {
            str(call.status): {"description": "success"} | ({"content": _content(call.answer)} if call.answer else {})
        },
        "security": [{"bearer": []}] if call.bearer else [],  # empty: a call needs no authentication
    }
    if call is not DELIVERY:
        for status in sorted(refusals):
            value["responses"][str(status)] = {"description": REFUSALS[status], "content": _content("Error")}
    if call.body:
        value["requestBody"] = {"required": True, "content": _content(call.body)}
    return value


def document(operations: Sequence[Operation], schemas: Schemas, host: str) -> dict[str, Any]:
    """The document for a server reached as ``host`` (name and port)."""
    paths: dict[str, dict[str, Any]] = {}
    for row in operations:
        if row.published is not None:
            summary = (row.handler.__doc__ or row.name).partition("\n")[0]
            paths.setdefault(row.path, {})[row.method.lower()] = _operation(row.published, summary)
    delivery = _operation(DELIVERY, "An event, on its way to a subscription.")
    delivery["requestBody"] = {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"oneOf": [{"$ref": f"#/components/schemas/{name}"} for name in EVENTS.values()]}
            }
        },
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Card platform (simulator)",
            "version": "1",
            "description": "Accounts and their challenges, as the platform publishes them.",
        },
        "servers": [{"url": f"http://{host}/v1"}],
        "paths": paths,
        "webhooks": {"event": {"post": delivery}},
        "components": {
            "schemas": schemas.all,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


async def serve(platform: Platform, call: Call) -> Answer:
    """GET /openapi.json."""
    host = str(call.message.field("host") or "127.0.0.1")
    return Answer.of(200, document(platform.operations, platform.schemas, host))
