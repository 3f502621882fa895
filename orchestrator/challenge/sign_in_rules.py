"""The rules that hold for an EIP-4361 message, after those that hold for every challenge, in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from orchestrator.challenge.eip4361 import SignInMessage, Timestamp, Uri
from orchestrator.challenge.expectation import Expectation
from orchestrator.challenge.rules import Objection

MAX_NONCE: Final = 128
"""Characters. The grammar knows a least number (8) only; the platform's have 8."""
_SHOWN: Final = 3
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})


@dataclass(frozen=True, slots=True)
class SignInRule:
    """One rule: its name, what it demands in words, and the check."""

    name: str
    demands: str
    check: Callable[[SignInMessage, Expectation], Objection | None]


def _domain(message: SignInMessage, expectation: Expectation) -> Objection | None:
    if message.domain not in expectation.domains:
        return f"a domain of {_names(expectation)}", quoted(message.domain)
    return None


def _statement(message: SignInMessage, expectation: Expectation) -> Objection | None:
    allowed = expectation.policy.statements
    if not allowed or (message.statement or "") in allowed:
        return None
    names = [quoted(text) if text else "none" for text in allowed[:_SHOWN]] + ["another"] * (len(allowed) > _SHOWN)
    return f"as its statement {' or '.join(names)}", "none" if message.statement is None else quoted(message.statement)


def _scheme(message: SignInMessage, _: Expectation) -> Objection | None:
    if message.scheme is None or message.scheme == message.uri.scheme:
        return None
    return f"the scheme of the URI, {quoted(message.uri.scheme)}, before the domain", quoted(message.scheme)


def _uri(message: SignInMessage, expectation: Expectation) -> Objection | None:
    return _foreign(message.uri, expectation)


def _resources(message: SignInMessage, expectation: Expectation) -> Objection | None:
    resources = message.resources
    if resources is None:
        return None
    if expectation.policy.resources == "none":
        return "no resources", f"{len(resources)} of them" if resources else "an empty list of them"
    # A resource can be a delegation of rights (EIP-5573, urn:recap:…): only the platform's own addresses pass.
    return next((objection for uri in resources if (objection := _foreign(uri, expectation)) is not None), None)


def _chain_id(message: SignInMessage, expectation: Expectation) -> Objection | None:
    expected = expectation.signer.chain
    return None if message.chain_id == expected else (f"chain {expected}", f"chain {message.chain_id}")


def _address(message: SignInMessage, expectation: Expectation) -> Objection | None:
    expected = expectation.signer.address
    return None if message.address == expected else (f"address {expected}", f"address {message.address}")


def _nonce(message: SignInMessage, _: Expectation) -> Objection | None:
    size = len(message.nonce)
    return None if size <= MAX_NONCE else (f"a nonce of 8 to {MAX_NONCE} letters and digits", f"one of {size}")


def _issued_at(message: SignInMessage, expectation: Expectation) -> Objection | None:
    issued = message.issued_at
    latest = min(expectation.now, expectation.fetched_at) + expectation.clock_skew
    if issued.at > latest:
        return f"an Issued At of {_moment(latest)} or before", _written(issued)
    if expectation.now - issued.at > expectation.max_age:
        seconds = f"{expectation.max_age.total_seconds():.0f} s"
        return f"an Issued At at most {seconds} before {_moment(expectation.now)}", _written(issued)
    return None


def _expiration(message: SignInMessage, expectation: Expectation) -> Objection | None:
    expires = message.expiration_time
    if expires is None:
        required = expectation.policy.expiration == "required"
        return ("an Expiration Time", "a message without one") if required else None
    if expires.at <= message.issued_at.at:
        return f"an Expiration Time after Issued At, {_written(message.issued_at)}", _written(expires)
    if expectation.now < expires.at:
        return None
    return f"an Expiration Time after {_moment(expectation.now)}", _written(expires)


def _not_before(message: SignInMessage, expectation: Expectation) -> Objection | None:
    starts, expires = message.not_before, message.expiration_time
    if starts is None:
        return None
    if expires is not None and starts.at >= expires.at:
        return f"a Not Before ahead of Expiration Time, {_written(expires)}", _written(starts)
    if starts.at - expectation.now <= expectation.clock_skew:
        return None
    skew = f"{expectation.clock_skew.total_seconds():.0f} s"
    return f"a Not Before at most {skew} after {_moment(expectation.now)}", _written(starts)


SIGN_IN_RULES: Final[tuple[SignInRule, ...]] = (
    SignInRule("eip4361.domain", "a domain that the policy allows", _domain),
    SignInRule("eip4361.statement", "a statement that the policy allows", _statement),
    SignInRule("eip4361.uri", "an https URI on a domain that the policy allows", _uri),
    SignInRule("eip4361.scheme", "before the domain no scheme, or the URI's", _scheme),
    SignInRule("eip4361.chain_id", "the chain of the customer's wallet", _chain_id),
    SignInRule("eip4361.address", "the address of the customer's wallet", _address),
    SignInRule("eip4361.nonce", f"a nonce of 8 to {MAX_NONCE} letters and digits", _nonce),
    SignInRule("eip4361.issued_at", "issued within the policy's max_age, and not in the future", _issued_at),
    SignInRule("eip4361.expiration_time", "not expired; named at all where the policy requires it", _expiration),
    SignInRule("eip4361.not_before", "valid already", _not_before),
    SignInRule("eip4361.resources", "no resources but those that the policy allows", _resources),
)


def _foreign(uri: Uri, expectation: Expectation) -> Objection | None:
    if uri.authority not in expectation.domains:
        return f"a URI on {_names(expectation)}", quoted(uri.text)
    if uri.scheme != "https" and not (uri.scheme == "http" and uri.host in _LOOPBACK):
        return "an https URI (http on a loopback address only)", quoted(uri.text)
    return None


def _names(expectation: Expectation) -> str:
    return " or ".join(sorted(expectation.domains)) or "(no domain is allowed)"


def quoted(text: str) -> str:
    """A part of a message for an error: ASCII, short."""
    return ascii(text if len(text) <= 100 else text[:97] + "...")


def _moment(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def _written(stamp: Timestamp) -> str:
    return ascii(stamp.text[:60])
