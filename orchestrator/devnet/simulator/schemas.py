"""The JSON Schemas of the published platform, and what this one demands beside them.

One set for the OpenAPI document, for the server's check of a request, and for the judge of all traffic, so that none
can promise what another does not hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker, ValidationError, validators

from orchestrator.foreign import MalformedJson, read_json

from .answers import ApiError

__all__ = ["CURRENCIES", "EVENTS", "UUID", "Schemas", "found", "published", "validator"]

UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
DATE_TIME = re.compile(r"\d{4}-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-5]\d(\.\d{1,9})?Z", re.ASCII)
BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
URI = re.compile(r"https?://[^\s]+")
CAIP2 = r"[-a-z0-9]{3,8}:[-_a-zA-Z0-9]{1,32}"
CAIP10 = rf"({CAIP2}):[-.%a-zA-Z0-9]{{1,128}}"
CAIP19 = rf"{CAIP2}/[-a-z0-9]{{3,8}}:[-.%a-zA-Z0-9]{{1,128}}(?:/[-.%a-zA-Z0-9]{{1,78}})?"

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

CARD_STATUSES = ("issuing", "issue_failed", "active", "inactive", "blocked", "suspended", "terminated")
PRINTABLE = r"^[ -~]+$"
EVENTS = {"customer.updated": "CustomerUpdate", "account.updated": "AccountUpdate", "card.updated": "CardUpdate"}
"""The schema of a delivery, by its ``webhookType``: of the events that concern accounts."""

Schema = dict[str, Any]


def _enum(values: str) -> Schema:
    return {"type": "string", "enum": values.split()}


def _object(required: Schema, optional: Schema | None = None) -> Schema:
    return {"type": "object", "properties": {**required, **(optional or {})}, "required": list(required)}


def _both(one: Schema, other: Schema) -> Schema:
    """An object that is both: what the file writes as ``allOf``."""
    return {
        "type": "object",
        "properties": {**one["properties"], **other["properties"]},
        "required": [*one["required"], *other["required"]],
    }


def published(signer_member: str = "ownerId") -> dict[str, Schema]:
    """All published schemas by name. Formats and CAIP patterns are checked, too. ``signer_member``: the older
    pages have another."""
    text: Schema = {"type": "string"}
    uuid_: Schema = {"type": "string", "format": "uuid"}
    time: Schema = {"type": "string", "format": "date-time"}
    byte: Schema = {"type": "string", "format": "byte"}
    url: Schema = {"type": "string", "format": "uri"}
    chain, caip10, asset = ({"type": "string", "pattern": f"^{caip}$"} for caip in (CAIP2, CAIP10, CAIP19))
    times = {"createdAt": time, "updatedAt": time}
    webhook_type = _enum("customer.updated account.updated card.updated authorisation.updated transaction.updated")
    account_type, card_type = _enum("card_account"), _enum("virtual physical")
    customer = _object(
        {
            "id": uuid_,
            "externalId": text,
            "chainId": caip10,
            "status": _enum("initiating screening verifying rejected active inactive"),
            **times,
        }
    )
    account = _object(
        {
            "id": uuid_,
            "customerId": uuid_,
            "status": _enum("initiating pending active inactive closed failed"),
            "type": account_type,
            **times,
        },
        {"chainId": caip10, "currencies": {"type": "array", "items": text}},
    )
    address = _object(
        {"firstLine": text, "city": text, "country": text, "postCode": text}, {"secondLine": text, "state": text}
    )
    card = _object(
        {
            "id": uuid_,
            "accountId": uuid_,
            "type": card_type,
            "status": _enum(" ".join(CARD_STATUSES)),
            **times,
        },
        {
            "name": text,
            "network": _enum("visa mastercard"),
            "maskedPan": text,
            "expirationDate": text,
            "billingAddress": address,
        },
    )
    challenge = _object({"challenge": byte})
    subscription = {"callbackUrl": url, "types": {"type": "array", "items": webhook_type}}
    event = _object({"eventId": uuid_, "webhookType": webhook_type})
    one = {
        "ApiCredentials": _object({"apiKey": uuid_, "apiSecret": text}),
        "CredentialsRemoval": _object({"apiKey": uuid_}),
        "Token": _object({"token": text, "expiresAt": {"type": "integer"}, "tokenType": text}),
        "SigningKeyUpload": _object({"signingKeyId": uuid_, "signingKey": byte}),
        "SigningKeyRemoval": _object({"signingKeyId": uuid_}),
        "CustomerCreation": _object({"chainId": caip10, "externalId": text}),
        "Customer": customer,
        "CreatedCustomer": _both(customer, challenge),
        "AccountCreation": _object({"type": account_type, "currencies": {"type": "array", "items": text}}),
        "Account": account,
        "CreatedAccount": _both(account, challenge),
        "Challenge": challenge,
        "SignedChallenge": _object({signer_member: caip10, "challenge": byte, "signature": byte}),
        "Card": card,
        "Chain": _object({"id": chain, "name": text}),
        "Asset": _object({"id": asset, "blockchain": chain, "name": text, "symbol": text}),
        "WebhookUpdate": _object(subscription, {"id": uuid_}),
        "Webhook": _object({"id": uuid_, **subscription, **times}),
        "VerificationKey": _object({"keyId": uuid_, "key": byte}),
        "WebhookReceipt": {"type": "object", "properties": {}, "required": []},
        "CustomerUpdate": _both(event, customer),
        "AccountUpdate": _both(event, account),
        "CardUpdate": _both(event, card),
    }
    lists = {f"{name}s": {"type": "array", "items": one[name]} for name in LISTED}
    return one | lists


LISTED = ("Customer", "Account", "Card", "Chain", "Asset", "Webhook")


def demanded(chain_id: int, signer_member: str) -> dict[str, Schema]:
    """What this platform, on ``eip155:<chain_id>``, demands of requests beside the published: by schema and member."""
    caip10 = {"maxLength": 80, "pattern": rf"^eip155:{chain_id}:0x[0-9a-fA-F]{{40}}$"}
    secret = {"minLength": 16, "maxLength": 256, "pattern": PRINTABLE}
    return {
        "ApiCredentials": {"apiSecret": secret},
        "SigningKeyUpload": {"signingKey": {"minLength": 4, "maxLength": 4096}},
        "CustomerCreation": {
            "chainId": caip10,
            "externalId": {"minLength": 1, "maxLength": 128, "pattern": PRINTABLE},
        },
        "AccountCreation": {
            # The documentation shows the other spelling once.
            "type": {"enum": ["card_account", "CARD_ACCOUNT"]},
            "currencies": {
                "items": {"type": "string", "enum": CURRENCIES},
                "minItems": 1,
                "maxItems": 1,
                "description": "ISO 4217; exactly one is supported.",
            },
        },
        "SignedChallenge": {
            signer_member: caip10,
            "challenge": {"minLength": 4, "maxLength": 8192},
            "signature": {
                "minLength": 4,
                "maxLength": 256,
                "description": "Base64 of the text 0x and 130 hex digits: an EIP-191 signature of the challenge.",
            },
        },
        "WebhookUpdate": {
            "callbackUrl": {
                "maxLength": 2048,
                "pattern": r"^https?://[A-Za-z0-9.-]{1,253}(?::[1-9][0-9]{0,4})?(?:/[A-Za-z0-9._~/-]*)?$",
            },
            "types": {"minItems": 1, "uniqueItems": True},
        },
    }


def served(chain_id: int, signer_member: str) -> dict[str, Schema]:
    """The published schemas, narrower where this platform demands more; and that of errors, which the file leaves
    open."""
    every = published(signer_member)
    for name, members in demanded(chain_id, signer_member).items():
        properties = {member: every[name]["properties"][member] | more for member, more in members.items()}
        every[name] = every[name] | {"properties": every[name]["properties"] | properties}
    text = {"type": "string"}
    detail = _object({"field": text, "message": text})
    every["Error"] = _object(
        {"code": text, "message": text | {"minLength": 1}, "requestId": {"type": "string", "format": "uuid"}},
        {"details": {"type": "array", "items": detail}},
    )
    return every


def _whole_pattern(_: object, pattern: str, instance: object, __: object) -> Iterator[ValidationError]:
    # Python's `$` also matches before a last newline; JSON Schema's does not.
    if isinstance(instance, str) and not re.fullmatch(pattern, instance):
        yield ValidationError(f"does not match {pattern}")


_Validator: Any = validators.extend(  # type: ignore[no-untyped-call]
    Draft202012Validator, {"pattern": _whole_pattern}
)
_formats = FormatChecker(formats=())
for _name, _pattern in {"uuid": UUID, "date-time": DATE_TIME, "byte": BASE64, "uri": URI}.items():
    _formats.checks(_name)(lambda value, pattern=_pattern: not isinstance(value, str) or bool(pattern.fullmatch(value)))


def validator(schema: Schema) -> Any:
    """Checks values against a schema, formats and whole patterns included: see :func:`found`."""
    return _Validator(schema, format_checker=_formats)


class Schemas:
    """The schemas by name, and the check of a request's body against one of them."""

    def __init__(self, chain_id: int, signer_member: str = "ownerId") -> None:
        self.chain_id = chain_id
        self.all = served(chain_id, signer_member)
        self._validators = {name: validator(schema) for name, schema in self.all.items()}

    def parse(self, name: str, body: bytes) -> dict[str, Any]:
        """The body as checked JSON. Raises ApiError 400, naming the first members that are wrong."""
        try:
            value = read_json(body, max_bytes=len(body))  # the server's limit holds
        except MalformedJson as error:
            raise ApiError(400, "invalid_json", f"the body {error}") from error
        problems = found(self._validators[name], value)
        if not problems:
            checked: dict[str, Any] = value
            return checked
        self._refuse_foreign_chain(value)
        details = [{"field": field, "message": message} for field, message in problems[:10]]
        first = details[0]
        raise ApiError(400, "invalid_request", f"{first['field']}: {first['message']}", details=details)

    def _refuse_foreign_chain(self, value: object) -> None:
        """A well-formed account identifier of another chain is refused by name, not as a mere mismatch."""
        for member in ("ownerId", "chainId"):
            text = value.get(member) if isinstance(value, dict) else None
            match = re.fullmatch(CAIP10, text) if isinstance(text, str) else None
            if match is None:
                continue
            namespace, _, chain = match[1].partition(":")
            if namespace != "eip155":
                raise ApiError(
                    400,
                    "unsupported_namespace",
                    f"{member}: expected an account in the namespace eip155, got {namespace!r}",
                )
            if chain != str(self.chain_id):
                raise ApiError(
                    400, "unsupported_chain", f"{member}: expected the chain eip155:{self.chain_id}, got eip155:{chain}"
                )


def found(checked_by: Any, value: object) -> list[tuple[str, str]]:
    """What is wrong with a value, member by member: where, and which rule it breaks. Never the value, which may be a
    secret."""
    problems = sorted(checked_by.iter_errors(value), key=lambda problem: list(map(str, problem.path)))
    return [(".".join(map(str, problem.path)) or "(body)", _broken(problem)) for problem in problems]


def _broken(problem: ValidationError) -> str:
    if problem.validator == "required":
        return problem.message  # names the member that is missing, and nothing else
    return f"breaks {problem.validator}: {str(problem.validator_value)[:200]}"
