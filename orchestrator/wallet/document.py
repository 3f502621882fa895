"""The document of a wallet profile: what its TOML file may say. Its JSON Schema is ``schemas/wallet-profile.json``.

Here is the shape only; what its parts must be to one another is ``profile.py``'s to check.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from orchestrator.models import Address, to_address

_HEX: Final = re.compile(r"0x[0-9a-fA-F]{1,64}")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _filled(value: Any) -> Any:
    """Not what ``wallets learn`` leaves to a person. Raises ValueError."""
    if isinstance(value, str) and value.startswith("TODO"):
        raise ValueError("this is still to be filled in")
    return value


def _number(value: Any) -> Any:
    """A word's number, in decimal or as text in hexadecimal: TOML's own end at 2^63."""
    value = _filled(value)
    return int(value, 16) if isinstance(value, str) and _HEX.fullmatch(value) else value


def _numbers(value: Any) -> Any:
    return tuple(_number(each) for each in value) if isinstance(value, list) else (_number(value),)


def _address(value: Any) -> Any:
    return to_address(value) if isinstance(value, str) else value


def _place(value: Any) -> Any:
    return value if value in ("wallet", "factory") else _address(value)


_WORD: Final = {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^0x[0-9a-fA-F]{1,64}$"}]}
_ADDRESS: Final = {"type": "string", "pattern": "^0x[0-9a-fA-F]{40}$"}
_Word = Annotated[int, Field(ge=0, lt=1 << 256)]
Number = Annotated[_Word, BeforeValidator(_number), WithJsonSchema(_WORD)]
Numbers = Annotated[
    tuple[_Word, ...],
    Field(min_length=1),
    BeforeValidator(_numbers),
    WithJsonSchema({"anyOf": [*_WORD["anyOf"], {"type": "array", "items": _WORD, "minItems": 1}]}),
]
AddressText = Annotated[Address, BeforeValidator(_address), WithJsonSchema(_ADDRESS)]
Place = Annotated[str, BeforeValidator(_place), WithJsonSchema({"anyOf": [{"enum": ["wallet", "factory"]}, _ADDRESS]})]
Text = Annotated[str, Field(min_length=1, max_length=1000), BeforeValidator(_filled)]
Texts = Annotated[tuple[Text, ...], BeforeValidator(_tuple)]


class Accepted(_Part):
    """A contract, by its artifact or by the keccak256 of its runtime code as it stands on the chain."""

    name: Text | None = None
    artifact: Text | None = None
    """A file beside the profile, ``.json``; ``FILE.json:CONTRACT`` of a file with several; or, without ``.json``, one
    of the contracts that this package ships."""
    hash: Annotated[str, Field(pattern="^0x[0-9a-f]{64}$")] | None = None

    @model_validator(mode="after")
    def _one(self) -> Accepted:
        _exactly_one(self, "artifact", "hash")
        return self


class Code(_Part):
    """The wallet's own code (direct), or that of the implementation behind it."""

    kind: Literal["direct", "erc1167", "erc1967", "beacon", "slot"]
    slot: Number | None = None
    """Of kind ``slot``: where the proxy keeps its implementation's address (Safe: 0)."""
    accepts: Annotated[tuple[Accepted, ...], Field(min_length=1), BeforeValidator(_tuple)]
    proxy: Annotated[tuple[Accepted, ...], BeforeValidator(_tuple)] = ()
    """The proxy's own code, one of these."""
    factory: Text | None = None
    """The immutable that must be the factory's address."""


class CreatedEvent(_Part):
    """The factory's event; the other members name its arguments."""

    signature: Text
    wallet: Text
    owner: Text | None = None
    account: Text | None = None
    challenge: Text | None = None


class Registry(_Part):
    """A getter at the factory, or at another address, that names the account's wallet or says that one is its own."""

    call: Text
    at: AddressText | None = None


class Create2(_Part):
    """EIP-1014: how the wallet's address comes from salt and init code."""

    salt: Text | Texts
    types: Texts = ()
    packed: bool = False
    """Whether the salt hashes ``abi.encodePacked`` of the values, and not ``abi.encode``."""
    init_code: Text
    """An artifact, or ``erc1167``: what makes such a clone."""
    arguments: Texts = ()
    argument_types: Texts = ()


class Account(_Part):
    """Which wallet is the account's."""

    by: Literal["event", "registry", "platform"]
    event: CreatedEvent | None = None
    registry: Registry | None = None
    create2: Create2 | None = None


class Owner(_Part):
    """One source of the owner."""

    immutable: Text | None = None
    appended: Annotated[int, Field(ge=0, le=65_535)] | None = None
    """Where its 20 bytes begin in what is appended to an ERC-1167 clone's code (immutable arguments)."""
    slot: Number | None = None
    offset: Annotated[int, Field(ge=0, le=12)] = 0
    """Bytes, from the slot's lowest."""
    size: Literal[20, 32] = 20
    """Bytes. 32: the rest of the slot must be zero."""
    call: Text | None = None
    list: Text | None = None
    """A getter of several owners, of which the customer must be one."""
    renounced: bool = False
    """Whether closing sets it to zero: then zero is what a closed wallet must have, and no finding."""

    @model_validator(mode="after")
    def _one(self) -> Owner:
        if self.offset and self.size != 20:
            raise ValueError("offset goes with a size of 20")
        if self.slot is None and (self.offset or self.size != 20):
            raise ValueError("offset and size go with slot")
        _exactly_one(self, "immutable", "appended", "slot", "call", "list")
        return self


class State(_Part):
    """How the wallet's state is told, and its numbers."""

    event: Text | None = None
    from_: Text | None = Field(default=None, alias="from")
    to: Text | None = None
    slot: Number | None = None
    key: Literal["wallet", "account"] | None = None
    """``slot`` is that of a mapping (Solidity's), and this its key."""
    key_type: Literal["bytes16", "bytes32", "uint128", "uint256", "string"] | None = None
    """Of the key ``account``; ``bytes16`` where nothing is said."""
    mask: Number | None = None
    """Which bits of the slot, or all; the number is theirs, shifted down to the lowest of them."""
    call: Text | None = None
    at: Place = "wallet"
    """Whose slot and getter."""
    created: Numbers | None = None
    active: Numbers
    suspended: Numbers | None = None
    closed: Numbers

    @model_validator(mode="after")
    def _told(self) -> State:
        if self.event is None and self.slot is None and self.call is None:
            raise ValueError("expected an event, a slot or a call that tells the state")
        if self.event is None and (self.from_ or self.to):
            raise ValueError("from and to name arguments of an event, and there is none")
        if self.slot is None and (self.key or self.mask is not None):
            raise ValueError("key and mask go with slot")
        if self.key_type is not None and self.key != "account":
            raise ValueError('key_type goes with key = "account"')
        return self


class Closed(_Part):
    """What closing leaves in one slot of the wallet."""

    slot: Number
    value: Number
    meaning: Text


class Document(_Part):
    """The whole file."""

    model_config = ConfigDict(title="wallet profile, a TOML file")

    format: Literal[1]
    name: Annotated[str, Field(pattern="^[a-z0-9-]{1,40}$")]
    title: Text
    code: Code
    account: Account
    owner: Annotated[tuple[Owner, ...], BeforeValidator(_tuple)] = ()
    state: State | None = None
    closed: Annotated[tuple[Closed, ...], BeforeValidator(_tuple)] = ()


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the document."""
    schema = _without_null(Document.model_json_schema())
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": Document.model_config["title"],
        **schema,
    }


def _without_null(schema: Any) -> Any:
    """TOML has no null, and a title that repeats a name says nothing."""
    if isinstance(schema, list):
        return [_without_null(each) for each in schema if each != {"type": "null"}]
    if not isinstance(schema, dict):
        return schema
    found = {
        name: _without_null(part)
        for name, part in schema.items()
        if part is not None and not (name == "title" and isinstance(part, str))
    }
    alternatives = found.get("anyOf", [])
    if len(alternatives) == 1:
        found = {**found.pop("anyOf")[0], **found}
    return found


def _exactly_one(part: _Part, *names: str) -> None:
    given = [name for name in names if getattr(part, name) is not None]
    if len(given) != 1:
        raise ValueError(f"expected one of {', '.join(names)}, got {' and '.join(given) or 'none'}")
