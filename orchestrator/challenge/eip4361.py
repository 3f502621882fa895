"""Sign-In with Ethereum messages (EIP-4361), read strictly to the grammar in the EIP.

The reader works on bytes and accepts nothing outside of the grammar: one message has one meaning, and rendering what
was read gives the same bytes again. Narrower than the grammar in three places, each on purpose: the address must carry
its EIP-55 checksum (the EIP asks for it in words), ``Chain ID`` has no leading zeros, and a date must exist (no 31
February, no leap second).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from orchestrator.errors import MalformedAnswer
from orchestrator.models import Address, ChainId, to_address

_ANNOUNCEMENT: Final = " wants you to sign in with your Ethereum account:"

# RFC 3986, appendix A. ASCII only by construction: no class here matches a character above 0x7e.
_UNRESERVED = r"A-Za-z0-9\-._~"
_SUB_DELIMS = r"!$&'()*+,;="
_PCT = r"%[0-9A-Fa-f]{2}"
_PCHAR = rf"(?:[{_UNRESERVED}{_SUB_DELIMS}:@]|{_PCT})"
_SCHEME = r"[A-Za-z][A-Za-z0-9+\-.]*"
_HOST = (
    rf"(?:\[(?:[0-9A-Fa-f:.]+|[vV][0-9A-Fa-f]+\.[{_UNRESERVED}{_SUB_DELIMS}:]+)\]"
    rf"|(?:[{_UNRESERVED}{_SUB_DELIMS}]|{_PCT})*)"
)
_AUTHORITY_PATTERN = (
    rf"(?:(?P<userinfo>(?:[{_UNRESERVED}{_SUB_DELIMS}:]|{_PCT})*)@)?(?P<host>{_HOST})(?::(?P<port>[0-9]*))?"
)
_AUTHORITY = re.compile(_AUTHORITY_PATTERN)
_URI = re.compile(
    rf"(?P<scheme>{_SCHEME}):"
    rf"(?://(?P<authority>{_AUTHORITY_PATTERN})(?:/{_PCHAR}*)*|/(?:{_PCHAR}+(?:/{_PCHAR}*)*)?|{_PCHAR}+(?:/{_PCHAR}*)*|)"
    rf"(?:\?(?:{_PCHAR}|[/?])*)?(?:#(?:{_PCHAR}|[/?])*)?"
)
_STATEMENT = re.compile(rf"[{_UNRESERVED}{_SUB_DELIMS}:/?#\[\]@ ]+")
_NONCE = re.compile(r"[A-Za-z0-9]{8,}")
_CHAIN_ID = re.compile(r"0|[1-9][0-9]{0,77}")
_REQUEST_ID = re.compile(rf"{_PCHAR}*")
_DATE_TIME = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})[Tt](?P<time>[0-9]{2}:[0-9]{2}:[0-9]{2})(?P<fraction>\.[0-9]+)?"
    r"(?P<offset>[Zz]|[+-][0-9]{2}:[0-9]{2})"
)


class Eip4361Cause(StrEnum):
    """What is wrong with a message: one cause for each thing that the grammar asks for."""

    ENCODING = "encoding"
    FIRST_LINE = "first_line"
    SCHEME = "scheme"
    DOMAIN = "domain"
    ADDRESS = "address"
    STATEMENT = "statement"
    LAYOUT = "layout"
    URI = "uri"
    VERSION = "version"
    CHAIN_ID = "chain_id"
    NONCE = "nonce"
    ISSUED_AT = "issued_at"
    EXPIRATION_TIME = "expiration_time"
    NOT_BEFORE = "not_before"
    REQUEST_ID = "request_id"
    RESOURCES = "resources"


class Eip4361Error(MalformedAnswer):
    """A message outside of EIP-4361's grammar. ``cause`` says which part, with ``expected`` and ``actual``."""

    default_code = "eip4361_malformed"

    def __init__(self, cause: Eip4361Cause, expected: str, actual: str | None) -> None:
        self.cause = cause
        self.expected = expected
        self.actual = "nothing" if actual is None else ascii(actual if len(actual) <= 100 else actual[:97] + "...")
        super().__init__(f"EIP-4361 {cause.value}: expected {expected}, got {self.actual}")


@dataclass(frozen=True, slots=True)
class Timestamp:
    """A date-time of RFC 3339: its text as written, and the instant.

    ``at`` is in UTC and cut to microseconds (fractions may have more digits than datetime holds).
    """

    text: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Uri:
    """A URI of RFC 3986. ``authority`` is None where it has none (``urn:…``), else host and port with any userinfo."""

    text: str
    scheme: str
    """Lower case."""
    authority: str | None
    host: str | None


@dataclass(frozen=True, slots=True)
class SignInMessage:
    """The values of one message and the bytes that they were read from (``original``, which is what is signed)."""

    scheme: str | None
    domain: str
    """An authority of RFC 3986: host, perhaps with a port."""
    address: Address
    statement: str | None
    uri: Uri
    chain_id: ChainId
    nonce: str
    issued_at: Timestamp
    expiration_time: Timestamp | None
    not_before: Timestamp | None
    request_id: str | None
    resources: tuple[Uri, ...] | None
    """None: no ``Resources:`` line; empty: the line alone, which the grammar allows."""
    original: bytes = field(repr=False)

    @classmethod
    def parse(cls, message: bytes) -> SignInMessage:
        """Reads one message. Raises Eip4361Error with the first cause found."""
        try:
            text = message.decode("ascii")
        except UnicodeDecodeError as error:
            at = f"byte 0x{message[error.start]:02x} at offset {error.start}"
            raise Eip4361Error(Eip4361Cause.ENCODING, "ASCII text", at) from None
        lines = _Lines(text)
        scheme, domain = _first_line(lines.next())
        address = _address(lines.next())
        lines.expect_empty("an empty line after the address")
        statement = lines.statement()
        uri = _uri(lines.value("URI: ", Eip4361Cause.URI), Eip4361Cause.URI)
        version = lines.value("Version: ", Eip4361Cause.VERSION)
        if version != "1":
            raise Eip4361Error(Eip4361Cause.VERSION, "1", version)
        chain_id = _matched(
            _CHAIN_ID, lines.value("Chain ID: ", Eip4361Cause.CHAIN_ID), Eip4361Cause.CHAIN_ID, "a decimal number"
        )
        nonce = _matched(
            _NONCE, lines.value("Nonce: ", Eip4361Cause.NONCE), Eip4361Cause.NONCE, "8 or more letters and digits"
        )
        issued_at = _timestamp(lines.value("Issued At: ", Eip4361Cause.ISSUED_AT), Eip4361Cause.ISSUED_AT)
        expiration = lines.optional("Expiration Time: ")
        not_before = lines.optional("Not Before: ")
        request_id = lines.optional("Request ID: ")
        if request_id is not None:
            _matched(_REQUEST_ID, request_id, Eip4361Cause.REQUEST_ID, "characters of a URI path segment")
        resources = lines.resources()
        lines.expect_end()
        return cls(
            scheme=scheme,
            domain=domain,
            address=address,
            statement=statement,
            uri=uri,
            chain_id=ChainId(int(chain_id)),
            nonce=nonce,
            issued_at=issued_at,
            expiration_time=None if expiration is None else _timestamp(expiration, Eip4361Cause.EXPIRATION_TIME),
            not_before=None if not_before is None else _timestamp(not_before, Eip4361Cause.NOT_BEFORE),
            request_id=request_id,
            resources=resources,
            original=message,
        )


def announces_itself(message: bytes) -> bool:
    """Whether the first line is EIP-4361's, whatever follows. ``SignInMessage.parse`` says whether it is one."""
    return message.split(b"\n", 1)[0].endswith(_ANNOUNCEMENT.encode("ascii"))


class _Lines:
    """The lines of a message, taken in order."""

    def __init__(self, text: str) -> None:
        self._lines = text.split("\n")  # not splitlines: CR, VT and the like are no line ends in this grammar
        self._at = 0

    def peek(self) -> str | None:
        return self._lines[self._at] if self._at < len(self._lines) else None

    def next(self) -> str | None:
        line = self.peek()
        self._at += 1
        return line

    def expect_empty(self, what: str) -> None:
        line = self.next()
        if line != "":
            raise Eip4361Error(Eip4361Cause.LAYOUT, what, line)

    def statement(self) -> str | None:
        """``[ statement LF ] LF``: either one empty line, or the statement and an empty line."""
        line = self.next()
        if line == "":
            return None
        statement = _matched(_STATEMENT, line, Eip4361Cause.STATEMENT, "one line of URI characters and spaces")
        self.expect_empty("an empty line after the statement")
        return statement

    def value(self, label: str, cause: Eip4361Cause) -> str:
        line = self.next()
        if line is None or not line.startswith(label):
            raise Eip4361Error(cause, f"a line {label.strip()!r}", line)
        return line[len(label) :]

    def optional(self, label: str) -> str | None:
        line = self.peek()
        if line is None or not line.startswith(label):
            return None
        self._at += 1
        return line[len(label) :]

    def resources(self) -> tuple[Uri, ...] | None:
        if self.peek() != "Resources:":
            return None
        self._at += 1
        found: list[Uri] = []
        while (line := self.optional("- ")) is not None:
            found.append(_uri(line, Eip4361Cause.RESOURCES))
        return tuple(found)

    def expect_end(self) -> None:
        if (line := self.peek()) is not None:
            raise Eip4361Error(
                Eip4361Cause.LAYOUT,
                "the end of the message, or the fields Expiration Time, Not Before, Request ID and Resources once each "
                "and in this order",
                line,
            )


def _matched(pattern: re.Pattern[str], text: str | None, cause: Eip4361Cause, expected: str) -> str:
    if text is None or pattern.fullmatch(text) is None:
        raise Eip4361Error(cause, expected, text)
    return text


def _first_line(line: str | None) -> tuple[str | None, str]:
    if line is None or not line.endswith(_ANNOUNCEMENT):
        raise Eip4361Error(Eip4361Cause.FIRST_LINE, f"a domain and {_ANNOUNCEMENT!r}", line)
    origin = line.removesuffix(_ANNOUNCEMENT)
    scheme, separator, domain = origin.rpartition("://")
    if separator:
        _matched(re.compile(_SCHEME), scheme, Eip4361Cause.SCHEME, "a URI scheme before '://'")
    authority = _AUTHORITY.fullmatch(domain)
    if authority is None or not authority["host"]:
        raise Eip4361Error(Eip4361Cause.DOMAIN, "an authority of RFC 3986 (host, perhaps a port)", domain)
    return (scheme if separator else None), domain


def _address(line: str | None) -> Address:
    expected = "an address with its EIP-55 checksum"
    if line is None:
        raise Eip4361Error(Eip4361Cause.ADDRESS, expected, None)
    try:
        address = to_address(line)
    except ValueError as error:
        raise Eip4361Error(Eip4361Cause.ADDRESS, f"{expected} ({error})", line) from None
    if address != line:
        raise Eip4361Error(Eip4361Cause.ADDRESS, f"the EIP-55 form {address}", line)
    return address


def _uri(text: str, cause: Eip4361Cause) -> Uri:
    match = _URI.fullmatch(text)
    if match is None:
        raise Eip4361Error(cause, "a URI of RFC 3986", text)
    return Uri(text=text, scheme=match["scheme"].lower(), authority=match["authority"], host=match["host"])


def _timestamp(text: str, cause: Eip4361Cause) -> Timestamp:
    match = _DATE_TIME.fullmatch(text)
    if match is None:
        raise Eip4361Error(cause, "a date-time of RFC 3339", text)
    fraction = (match["fraction"] or ".0")[1:7].ljust(6, "0")
    offset = "+00:00" if match["offset"] in "Zz" else match["offset"]
    try:
        local = datetime.strptime(f"{match['date']} {match['time']}.{fraction} {offset}", "%Y-%m-%d %H:%M:%S.%f %z")
        at = local.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Eip4361Error(cause, f"a date and time that exist ({error})", text) from None
    return Timestamp(text=text, at=at)
