"""The JSON Schemas of the API: published in the OpenAPI document, and the very ones that requests are checked against.

One set for both, so that the document cannot promise what the server does not enforce.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker, ValidationError, validators

from orchestrator.foreign import MalformedJson, read_json

from .answers import ApiError

__all__ = ["CURRENCIES", "UUID", "Schemas"]

UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
CAIP10 = re.compile(r"([-a-z0-9]{3,8}):[-_a-zA-Z0-9]{1,32}:[-.%a-zA-Z0-9]{1,128}")

# ISO 4217, active currencies.
# fmt: off
CURRENCIES = [
    "AED", "AFN", "ALL", "AMD", "AOA", "ARS", "AUD", "AWG", "AZN", "BAM", "BBD", "BDT", "BHD", "BIF",
    "BMD", "BND", "BOB", "BRL", "BSD", "BTN", "BWP", "BYN", "BZD", "CAD", "CDF", "CHF", "CLP", "CNY",
    "COP", "CRC", "CUP", "CVE", "CZK", "DJF", "DKK", "DOP", "DZD", "EGP", "ERN", "ETB", "EUR", "FJD",
    "FKP", "GBP", "GEL", "GHS", "GIP", "GMD", "GNF", "GTQ", "GYD", "HKD", "HNL", "HTG", "HUF", "IDR",
    "ILS", "INR", "IQD", "IRR", "ISK", "JMD", "JOD", "JPY", "KES", "KGS", "KHR", "KMF", "KPW", "KRW",
    "KWD", "KYD", "KZT", "LAK", "LBP", "LKR", "LRD", "LSL", "LYD", "MAD", "MDL", "MGA", "MKD", "MMK",
    "MNT", "MOP", "MRU", "MUR", "MVR", "MWK", "MXN", "MYR", "MZN", "NAD", "NGN", "NIO", "NOK", "NPR",
    "NZD", "OMR", "PAB", "PEN", "PGK", "PHP", "PKR", "PLN", "PYG", "QAR", "RON", "RSD", "RUB", "RWF",
    "SAR", "SBD", "SCR", "SDG", "SEK", "SGD", "SHP", "SLE", "SOS", "SRD", "SSP", "STN", "SVC", "SYP",
    "SZL", "THB", "TJS", "TMT", "TND", "TOP", "TRY", "TTD", "TWD", "TZS", "UAH", "UGX", "USD", "UYU",
    "UZS", "VED", "VES", "VND", "VUV", "WST", "XAF", "XCD", "XOF", "XPF", "YER", "ZAR", "ZMW", "ZWG",
]
# fmt: on

ACCOUNT_STATUSES = ["initiating", "pending", "active", "inactive", "closed", "failed"]
CUSTOMER_STATUSES = ["initiating", "screening", "verifying", "rejected", "active", "inactive"]
CARD_STATUSES = ["issuing", "issue_failed", "active", "inactive", "blocked", "suspended", "terminated"]
WEBHOOK_TYPES = [
    "account.updated",
    "customer.updated",
    "card.updated",
    "authorisation.updated",
    "transaction.updated",
]
BASE64 = r"^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
PRINTABLE = r"^[ -~]+$"


def _object(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


def _base64(longest: int) -> dict[str, Any]:
    return {"type": "string", "minLength": 4, "maxLength": longest, "pattern": BASE64}


def build(chain_id: int, signer_field: str = "ownerId") -> dict[str, dict[str, Any]]:
    """All schemas by name, for a platform on the chain ``eip155:<chain_id>``. ``signer_field``: see ``Options``."""
    uuid_ = {"type": "string", "format": "uuid", "minLength": 36, "maxLength": 36}
    time = {"type": "string", "format": "date-time"}
    caip10 = {"type": "string", "maxLength": 80, "pattern": rf"^eip155:{chain_id}:0x[0-9a-fA-F]{{40}}$"}
    challenge = {"challenge": _base64(8192)}
    expiry = {"expiresAt": time}
    times = {"createdAt": time, "updatedAt": time}
    customer = {
        "id": uuid_,
        "externalId": {"type": "string"},
        "chainId": caip10,
        "status": {"enum": CUSTOMER_STATUSES},
        **times,
    }
    account = {
        "id": uuid_,
        "customerId": uuid_,
        "status": {"enum": ACCOUNT_STATUSES},
        "type": {"const": "card_account"},
        **times,
    }
    currencies = {"currencies": {"type": "array", "items": {"enum": CURRENCIES}, "minItems": 1}}
    webhook = {
        "callbackUrl": {
            "type": "string",
            "maxLength": 2048,
            "pattern": r"^https?://[A-Za-z0-9.-]{1,253}(?::[1-9][0-9]{0,4})?(?:/[A-Za-z0-9._~/-]*)?$",
        },
        "types": {"type": "array", "items": {"enum": WEBHOOK_TYPES}, "minItems": 1, "uniqueItems": True},
    }
    currency_list = {
        "type": "array",
        "items": {"enum": CURRENCIES},
        "minItems": 1,
        "maxItems": 1,
        "description": "ISO 4217; exactly one is supported.",
    }
    return {
        "Error": _object(
            {"code": {"type": "string"}, "message": {"type": "string", "minLength": 1}, "requestId": uuid_},
            {
                "details": {
                    "type": "array",
                    "items": _object({"field": {"type": "string"}, "message": {"type": "string"}}),
                }
            },
        ),
        "ApiCredentials": _object(
            {"apiKey": uuid_, "apiSecret": {"type": "string", "minLength": 16, "maxLength": 256, "pattern": PRINTABLE}}
        ),
        "Token": _object(
            {"token": {"type": "string"}, "expiresAt": {"type": "integer"}, "tokenType": {"const": "Bearer"}}
        ),
        "SigningKeyUpload": _object(
            {
                "publicKey": {
                    **_base64(4096),
                    "description": "The public key's PEM (SubjectPublicKeyInfo, curve P-384), encoded in Base64 again.",
                }
            }
        ),
        "SigningKey": _object({"keyId": uuid_}),
        "CustomerCreation": _object(
            {
                "chainId": caip10,
                "externalId": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": PRINTABLE},
            }
        ),
        "Customer": _object(customer, {**challenge, **expiry}),
        "Customers": {"type": "array", "items": {"$ref": "#/components/schemas/Customer"}},
        "AccountCreation": _object(
            {"type": {"enum": ["card_account", "CARD_ACCOUNT"]}, "currencies": currency_list},
        ),
        "Account": _object(account, {"chainId": caip10, **currencies, **challenge, **expiry}),
        "Accounts": {"type": "array", "items": {"$ref": "#/components/schemas/Account"}},
        "Challenge": _object(challenge, expiry),
        "SignedChallenge": _object(
            {
                signer_field: caip10,
                **challenge,
                "signature": {
                    **_base64(256),
                    "description": "Base64 of the text 0x and 130 hex digits: an EIP-191 signature of the challenge.",
                },
            },
            {"chainId" if signer_field == "ownerId" else "ownerId": caip10},
        ),
        "Card": _object(
            {
                "id": uuid_,
                "accountId": uuid_,
                "type": {"enum": ["virtual", "physical"]},
                "status": {"enum": CARD_STATUSES},
                **times,
            }
        ),
        "Cards": {"type": "array", "items": {"$ref": "#/components/schemas/Card"}},
        "WebhookUpdate": _object(webhook, {"id": uuid_}),
        "Webhook": _object({"id": uuid_, **webhook, **times}),
        "Webhooks": {"type": "array", "items": {"$ref": "#/components/schemas/Webhook"}},
    }


def _whole_pattern(_: object, pattern: str, instance: object, __: object) -> Iterator[ValidationError]:
    # Python's `$` also matches before a last newline; JSON Schema's does not.
    if isinstance(instance, str) and not re.fullmatch(pattern, instance):
        yield ValidationError(f"does not match {pattern}")


_Validator: Any = validators.extend(  # type: ignore[no-untyped-call]
    Draft202012Validator, {"pattern": _whole_pattern}
)
_formats = FormatChecker(formats=())


@_formats.checks("uuid")
def _is_uuid(value: object) -> bool:
    return not isinstance(value, str) or UUID.fullmatch(value) is not None


class Schemas:
    """The schemas by name, and the check of a request's body against one of them."""

    def __init__(self, chain_id: int, signer_field: str = "ownerId") -> None:
        self.chain_id = chain_id
        self.all = build(chain_id, signer_field)
        self._validators = {name: _Validator(schema, format_checker=_formats) for name, schema in self.all.items()}

    def parse(self, name: str, body: bytes) -> dict[str, Any]:
        """The body as checked JSON. Raises ApiError 400, naming the first members that are wrong."""
        try:
            value = read_json(body, max_bytes=len(body))  # the server's limit holds
        except MalformedJson as error:
            raise ApiError(400, "invalid_json", f"the body {error}") from error
        problems = sorted(self._validators[name].iter_errors(value), key=lambda problem: list(map(str, problem.path)))
        if not problems:
            checked: dict[str, Any] = value
            return checked
        self._refuse_foreign_chain(value)
        details = [
            {"field": ".".join(map(str, problem.path)) or "(body)", "message": problem.message[:300]}
            for problem in problems[:10]
        ]
        first = details[0]
        raise ApiError(400, "invalid_request", f"{first['field']}: {first['message']}", details=details)

    def _refuse_foreign_chain(self, value: object) -> None:
        """A well-formed account identifier of another chain is refused by name, not as a mere mismatch."""
        name = "ownerId" if isinstance(value, dict) and "ownerId" in value else "chainId"
        text = value.get(name) if isinstance(value, dict) else None
        match = CAIP10.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            return
        if match[1] != "eip155":
            raise ApiError(
                400, "unsupported_namespace", f"{name}: expected an account in the namespace eip155, got {match[1]!r}"
            )
        chain = text.split(":")[1] if isinstance(text, str) else ""
        if chain != str(self.chain_id):
            raise ApiError(
                400, "unsupported_chain", f"{name}: expected the chain eip155:{self.chain_id}, got eip155:{chain}"
            )
