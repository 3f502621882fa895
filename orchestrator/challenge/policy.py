"""The signing policy of this release: which challenges may be signed. Refusing is the default.

``decide`` is a pure function to a value that says which rule decided, with expected and actual; ``check`` raises where
it refuses. The rules stand in ``RULES``, in the order in which they are asked: what is dangerous in any context first,
then what this challenge must be here. A rule answers None (no objection) or what it expected and got.

What a bare UUID cannot say (for which account, for what) no rule can check; the chain's commitment binds it instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from orchestrator.challenge import lookalikes
from orchestrator.challenge.decode import Challenge, ChallengeKind
from orchestrator.challenge.eip4361 import Eip4361Error, SignInMessage, Timestamp, Uri
from orchestrator.errors import PolicyRefused
from orchestrator.models import AccountId, ChainAccount

_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})


class SigningOperation(StrEnum):
    """What a signature is asked for."""

    CREATION = "creation"
    DELETION = "deletion"
    CUSTOMER = "customer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What a challenge must fit. Every field is required, so that nothing is left unchecked by being left out."""

    account_id: AccountId | None
    """The account; None for operation ``customer``, and only there."""
    operation: SigningOperation
    signer: ChainAccount
    """The key that would sign, on the chain that it would sign for."""
    now: datetime
    """Aware."""
    fetched_at: datetime
    """When the platform gave the challenge. Aware."""
    max_age: timedelta
    """How long after it was fetched or issued a challenge may be signed. The platform's challenges live 1 hour."""
    clock_skew: timedelta
    """How far the platform's clock may be ahead of ours."""
    allowed_domains: frozenset[str]
    """Authorities, lower case: ``api.offblocks.xyz``, ``127.0.0.1:8080``. Compared whole; no wildcards."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "operation", SigningOperation(self.operation))
        if (self.account_id is None) != (self.operation is SigningOperation.CUSTOMER):
            raise ValueError(
                f"operation {self.operation} with account {self.account_id}: an account, but for customers"
            )
        for name in ("now", "fetched_at"):
            if getattr(self, name).tzinfo is None:
                raise ValueError(f"{name} must carry a time zone, got {getattr(self, name).isoformat()}")
        if self.max_age <= timedelta(0) or self.clock_skew < timedelta(0):
            raise ValueError(f"max_age {self.max_age} must be positive and clock_skew {self.clock_skew} not negative")
        if type(self.allowed_domains) is not frozenset:
            # "x in text" would match parts of a domain.
            raise TypeError(f"allowed_domains must be a frozenset, got {type(self.allowed_domains).__name__}")


@dataclass(frozen=True, slots=True)
class Decision:
    """What the policy says: the rule that decided and, for a refusal, what it expected and what it got."""

    allowed: bool
    rule: str
    expected: str
    actual: str

    def __str__(self) -> str:
        if self.allowed:
            return f"rule {self.rule}: allowed, {self.actual}"
        return f"rule {self.rule}: expected {self.expected}, got {self.actual}"


Objection = tuple[str, str]
"""Expected and actual."""
Rule = Callable[[Challenge, Expectation], Objection | None]
SignInRule = Callable[[SignInMessage, Expectation], Objection | None]


def decide(challenge: Challenge, expectation: Expectation) -> Decision:
    """The first rule that objects, or the rule that allows. Pure and total: it never raises."""
    for name, rule in RULES:
        objection = rule(challenge, expectation)
        if objection is not None:
            return Decision(False, name, *objection)
    if challenge.kind is ChallengeKind.UUID:
        return Decision(True, "uuid", "a canonical UUID", f"a UUID for an account's {expectation.operation}")
    try:
        message = SignInMessage.parse(challenge.decoded)
    except Eip4361Error as error:
        return Decision(False, f"eip4361.{error.cause}", error.expected, error.actual)
    for name, sign_in_rule in SIGN_IN_RULES:
        objection = sign_in_rule(message, expectation)
        if objection is not None:
            return Decision(False, name, *objection)
    return Decision(True, "eip4361", "a fitting EIP-4361 message", f"an EIP-4361 message of {_quoted(message.domain)}")


def check(challenge: Challenge, expectation: Expectation) -> None:
    """Returns if the policy allows. Else raises PolicyRefused (``policy_refused``), its message from ``rule NAME:``."""
    decision = decide(challenge, expectation)
    if not decision.allowed:
        raise PolicyRefused(str(decision))


# --- rules for every challenge --------------------------------------------------------------------------------------


def _lookalike(detect: Callable[[bytes], str | None], expected: str) -> Rule:
    def rule(challenge: Challenge, _: Expectation) -> Objection | None:
        found = detect(challenge.decoded)
        return None if found is None else (expected, found)

    return rule


def _kind(challenge: Challenge, expectation: Expectation) -> Objection | None:
    sign_in_only = expectation.operation is SigningOperation.CUSTOMER
    expected = "an EIP-4361 message" if sign_in_only else "an EIP-4361 message or a canonical lower-case UUID"
    if challenge.kind is ChallengeKind.OPAQUE:
        return expected, f"{len(challenge.decoded)} opaque bytes with keccak256 {challenge.digest}"
    if challenge.kind is ChallengeKind.UUID and sign_in_only:
        return f"{expected} as a customer's challenge", "a UUID"
    return None


def _fetched(_: Challenge, expectation: Expectation) -> Objection | None:
    age = expectation.now - expectation.fetched_at
    if age > expectation.max_age:
        return f"a challenge fetched at most {_seconds(expectation.max_age)} ago", f"one fetched {_seconds(age)} ago"
    if -age > expectation.clock_skew:
        return "a challenge fetched in the past", f"one fetched {_seconds(-age)} in the future"
    return None


RULES: Final[tuple[tuple[str, Rule], ...]] = (
    ("transaction", _lookalike(lookalikes.transaction, "no transaction")),
    ("authorization", _lookalike(lookalikes.authorization, "no EIP-7702 authorization")),
    ("eip191", _lookalike(lookalikes.prefixed, "bytes without an EIP-191 or EIP-712 prefix")),
    ("eip712", _lookalike(lookalikes.typed_data, "no EIP-712 typed data")),
    ("digest", _lookalike(lookalikes.digest, "no digest")),
    (
        "characters",
        _lookalike(lookalikes.hidden_characters, "text without control, bidirectional or hidden characters"),
    ),
    ("kind", _kind),
    ("fetched", _fetched),
)


# --- rules for EIP-4361 messages ------------------------------------------------------------------------------------


def _domain(message: SignInMessage, expectation: Expectation) -> Objection | None:
    if message.domain not in expectation.allowed_domains:
        return f"a domain of {_names(expectation)}", _quoted(message.domain)
    return None


def _scheme(message: SignInMessage, _: Expectation) -> Objection | None:
    if message.scheme is None or message.scheme == message.uri.scheme:
        return None
    return f"the scheme of the URI, {_quoted(message.uri.scheme)}, before the domain", _quoted(message.scheme)


def _uri(message: SignInMessage, expectation: Expectation) -> Objection | None:
    return _foreign(message.uri, expectation)


def _resources(message: SignInMessage, expectation: Expectation) -> Objection | None:
    # A resource can be a delegation of rights (EIP-5573, urn:recap:…): only the platform's own addresses pass.
    for resource in message.resources or ():
        objection = _foreign(resource, expectation)
        if objection is not None:
            return objection
    return None


def _chain(message: SignInMessage, expectation: Expectation) -> Objection | None:
    expected = expectation.signer.chain
    return None if message.chain_id == expected else (f"chain {expected}", f"chain {message.chain_id}")


def _address(message: SignInMessage, expectation: Expectation) -> Objection | None:
    expected = expectation.signer.address
    return None if message.address == expected else (f"address {expected}", f"address {message.address}")


def _issued_at(message: SignInMessage, expectation: Expectation) -> Objection | None:
    issued = message.issued_at
    latest = min(expectation.now, expectation.fetched_at) + expectation.clock_skew
    if issued.at > latest:
        return f"an Issued At of {_moment(latest)} or before", _written(issued)
    oldest = expectation.now - expectation.max_age
    if issued.at < oldest:
        return f"an Issued At of {_moment(oldest)} or after", _written(issued)
    return None


def _expiration(message: SignInMessage, expectation: Expectation) -> Objection | None:
    expires = message.expiration_time
    if expires is None or expectation.now < expires.at:
        return None
    return f"an Expiration Time after {_moment(expectation.now)}", _written(expires)


def _not_before(message: SignInMessage, expectation: Expectation) -> Objection | None:
    starts = message.not_before
    latest = expectation.now + expectation.clock_skew
    if starts is None or starts.at <= latest:
        return None
    return f"a Not Before of {_moment(latest)} or before", _written(starts)


SIGN_IN_RULES: Final[tuple[tuple[str, SignInRule], ...]] = (
    ("eip4361.domain", _domain),
    ("eip4361.uri", _uri),
    ("eip4361.scheme", _scheme),
    ("eip4361.chain_id", _chain),
    ("eip4361.address", _address),
    ("eip4361.issued_at", _issued_at),
    ("eip4361.expiration_time", _expiration),
    ("eip4361.not_before", _not_before),
    ("eip4361.resources", _resources),
)


def _foreign(uri: Uri, expectation: Expectation) -> Objection | None:
    if uri.authority not in expectation.allowed_domains:
        return f"a URI on {_names(expectation)}", _quoted(uri.text)
    if uri.scheme != "https" and not (uri.scheme == "http" and uri.host in _LOOPBACK):
        return "an https URI (http on a loopback address only)", _quoted(uri.text)
    return None


def _names(expectation: Expectation) -> str:
    return " or ".join(sorted(expectation.allowed_domains)) or "(no domain is allowed)"


def _quoted(text: str) -> str:
    return ascii(text if len(text) <= 100 else text[:97] + "...")


def _seconds(span: timedelta) -> str:
    return f"{span.total_seconds():.0f} s"


def _moment(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def _written(stamp: Timestamp) -> str:
    return ascii(stamp.text[:60])
