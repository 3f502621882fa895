"""The platform's JSON as typed models: camelCase outside, checked field by field, unknown fields ignored.

A value that does not fit is refused with its FIELD named (MalformedAnswer); an identifier of another blockchain
namespace than ``eip155`` is refused with UnsupportedChain, which names the namespace.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import total_ordering
from typing import Annotated, Final, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from orchestrator.errors import MalformedAnswer, UnsupportedChain
from orchestrator.foreign import shown
from orchestrator.models import AccountId, AccountStatus, ChainAccount, CustomerId, canonical_uuid
from orchestrator.ports.platform import PlatformAccount, PlatformCard, PlatformCustomer

__all__ = [
    "AccountWire",
    "CardWire",
    "ChainWire",
    "ChallengeWire",
    "CreatedAccountWire",
    "CustomerWire",
    "Instant",
    "TokenWire",
    "VerificationKeyWire",
    "WebhookWire",
    "items_of",
    "read",
]

_TIME: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)", re.ASCII
)
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MAX_CHALLENGE: Final = 64 * 1024
"""Characters of Base64."""
_MOST_CURRENCIES: Final = 200
Part = TypeVar("Part")


@total_ordering
@dataclass(frozen=True, slots=True)
class Instant:
    """A time of the platform with all of its nine digits, which decide what came later."""

    ns: int
    """Nanoseconds since 1970 in UTC."""

    @property
    def moment(self) -> datetime:
        """In UTC, cut to microseconds."""
        return _EPOCH + timedelta(microseconds=self.ns // 1000)

    def __lt__(self, other: Instant) -> bool:
        return self.ns < other.ns

    @classmethod
    def parse(cls, text: str) -> Instant:
        """ISO-8601 with a zone and at most nine fractional digits. Raises ValueError."""
        match = _TIME.fullmatch(text)
        if match is None:
            raise ValueError(f"expected an ISO-8601 time in UTC with at most nine fractional digits, got {text[:60]!r}")
        *parts, fraction, zone = match.groups()
        year, month, day, hour, minute, second = (int(part) for part in parts)
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        if zone not in "Zz":
            away = timedelta(hours=int(zone[1:3]), minutes=int(zone[4:6]))
            try:
                moment -= away if zone[0] == "+" else -away
            except OverflowError:
                raise ValueError(f"expected a time within the years 1 to 9999 of UTC, got {text!r}") from None
        seconds = (moment - _EPOCH) // timedelta(seconds=1)
        return cls(seconds * 1_000_000_000 + int((fraction or "").ljust(9, "0")))


def _instant(value: object) -> Instant:
    if isinstance(value, Instant):
        return value
    if not isinstance(value, str):
        raise ValueError(f"expected an ISO-8601 time as text, got {type(value).__name__}")
    return Instant.parse(value)


def _chain_account(value: object) -> ChainAccount:
    if isinstance(value, ChainAccount):
        return value
    if not isinstance(value, str):
        raise ValueError(f"expected a CAIP-10 account id as text, got {type(value).__name__}")
    return ChainAccount.parse(value)  # UnsupportedChain passes through pydantic, which knows only ValueError


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _word(value: object) -> str:
    return shown(value[:60]) if isinstance(value, str) and value else "unknown"


def _quoted(value: object) -> str:
    return repr(shown(value[:60])) if isinstance(value, str) else _kind(value)


def _optional_chain_account(value: object) -> ChainAccount | None:
    return None if value is None else _chain_account(value)


def _status(value: object) -> AccountStatus | str:
    try:
        return AccountStatus(str(value))
    except ValueError:
        raise ValueError(f"expected one of {', '.join(AccountStatus)}, got {_quoted(value)}") from None


def _type(value: object) -> None:
    # Documented in lower case, and shown once in capitals.
    if not isinstance(value, str) or value.lower() != "card_account":
        raise ValueError(f"expected card_account, got {_quoted(value)}")


def _currencies(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > _MOST_CURRENCIES or not all(isinstance(one, str) for one in value):
        raise ValueError(f"expected a list of at most {_MOST_CURRENCIES} ISO-4217 codes, got {_quoted(value)}")
    return tuple(_currency(one) for one in value)


def _challenge(text: str) -> str:
    if len(text) > MAX_CHALLENGE or not _BASE64.fullmatch(text):
        raise ValueError(f"expected at most {MAX_CHALLENGE} characters of Base64, got {len(text)} characters")
    return text


def _currency(text: str) -> str:
    if len(text) != 3 or not text.isascii() or not text.isalpha() or not text.isupper():
        raise ValueError(f"expected an ISO-4217 code of three capital letters, got {text[:20]!r}")
    return text


Uuid = Annotated[str, AfterValidator(canonical_uuid)]
Time = Annotated[Instant, BeforeValidator(_instant)]
Wallet = Annotated[ChainAccount, BeforeValidator(_chain_account)]
Challenge = Annotated[str, AfterValidator(_challenge)]
Short = Annotated[str, Field(min_length=1, max_length=200)]


class _Wire(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=False,
        extra="ignore",
        frozen=True,
        strict=True,
        arbitrary_types_allowed=True,
        hide_input_in_errors=True,
        defer_build=True,
    )


class TokenWire(_Wire):
    """``POST /auth/token``."""

    token: str = Field(min_length=1, max_length=16_384, pattern=r"^[\x21-\x7e]+$", repr=False)
    expires_at: int = Field(ge=0, le=253_402_300_799)
    """Unix seconds."""
    token_type: Annotated[str, BeforeValidator(_lower), Field(pattern="^bearer$")]


class AccountWire(_Wire):
    """An account, in an answer or in a webhook."""

    id: Uuid
    customer_id: Uuid
    # Taken as they are: one strange account must not make a whole list unreadable.
    chain_id: object = None
    status: object = None
    type: object = None
    currencies: object = None
    created_at: Time
    updated_at: Time

    def account(self) -> PlatformAccount:
        odd: list[str] = []
        unsupported = 0

        def part(name: str, read_: Callable[[object], Part], value: object, otherwise: Part) -> Part:
            nonlocal unsupported
            try:
                return read_(value)
            except ValueError as error:
                odd.append(f"field {name}: {error}")
            except UnsupportedChain as error:
                odd.append(f"field {name}: {error.message}")
                unsupported += 1
            return otherwise

        status: AccountStatus | str = part("status", _status, self.status, _word(self.status))
        part("type", _type, self.type, None)
        return PlatformAccount(
            id=AccountId(self.id),
            customer_id=CustomerId(self.customer_id),
            status=status,
            wallet=part("chainId", _optional_chain_account, self.chain_id, None),
            currencies=part("currencies", _currencies, self.currencies, ()),
            created_at=self.created_at.moment,
            updated_at=self.updated_at.moment,
            odd=tuple(odd),
            unsupported_chain=0 < len(odd) == unsupported,
        )


class CreatedAccountWire(AccountWire):
    """``POST /customers/{id}/accounts``: the account, and the challenge where the answer carries one."""

    challenge: Challenge | None = None


class ChallengeWire(_Wire):
    """``GET …/challenge``. Null: none is offered."""

    challenge: Challenge | None


class CustomerWire(_Wire):
    """A customer."""

    id: Uuid
    chain_id: Wallet
    status: Short

    def customer(self) -> PlatformCustomer:
        return PlatformCustomer(id=CustomerId(self.id), status=self.status, wallet=self.chain_id)


class CardWire(_Wire):
    """A card of an account."""

    id: Uuid
    status: Short

    def card(self) -> PlatformCard:
        return PlatformCard(id=self.id, status=self.status)


class ChainWire(_Wire):
    """A blockchain that the platform supports."""

    id: Short
    """CAIP-2."""


class WebhookWire(_Wire):
    """A webhook that the platform will call. The URL can hold an unguessable token: it is not in the repr."""

    id: Uuid
    callback_url: str = Field(min_length=1, max_length=4096, repr=False)
    types: list[Short] = Field(max_length=100)


class VerificationKeyWire(_Wire):
    """The public key that deliveries are signed with."""

    key_id: Uuid
    key: str = Field(min_length=1, max_length=8192)


Model = TypeVar("Model", bound=BaseModel)


def read(model: type[Model], value: object, what: str, *, at: str = "") -> Model:
    """``value`` as ``model``. ``what`` names the call in the message, ``at`` the place of the value in the answer.

    Raises MalformedAnswer with the field, and UnsupportedChain with field and namespace.
    """
    if not isinstance(value, dict):
        where = f"field {at}: " if at else ""
        raise MalformedAnswer(f"{what}: {where}expected a JSON object, got {_kind(value)}")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in ([at] if at else []) + list(first["loc"]))
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        reason = first["msg"].removeprefix("Value error, ")
        raise MalformedAnswer(f"{what}: field {place}: {reason}{more}") from None
    except UnsupportedChain as error:
        place = f"{at}.chainId" if at else "chainId"
        raise UnsupportedChain(f"{what}: field {place}: {error.message}") from None


def items_of(model: type[Model], what: str) -> Callable[[object], Model]:
    """Reads the items of one list as ``model``, called with each in turn. It raises as ``read`` does, with the index,
    and for an id that occurs twice."""
    seen: set[str] = set()

    def take(value: object) -> Model:
        index = len(seen)
        one = read(model, value, what, at=f"[{index}]")
        identifier: str = getattr(one, "id")  # noqa: B009 every listed model has one
        if identifier in seen:
            raise MalformedAnswer(f"{what}: field [{index}].id: {identifier} occurs twice in the list")
        seen.add(identifier)
        return one

    return take


def _kind(value: object) -> str:
    kinds: list[tuple[type, str]] = [
        (bool, "a boolean"),
        (str, "text"),
        (list, "an array"),
        (dict, "an object"),
        (int, "a number"),
    ]
    return next((name for kind, name in kinds if isinstance(value, kind)), "null" if value is None else "a number")
