"""Decides which challenges may be signed. Refusing is the default.

``decide_all`` asks the rules in order (``rules``, then ``sign_in_rules`` for an EIP-4361 message) up to the first that
objects; ``decide`` is what came of it, so that the two cannot disagree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

from orchestrator.challenge.account_mentions import forms_for
from orchestrator.challenge.decode import Challenge, ChallengeKind, session_key_form
from orchestrator.challenge.eip4361 import Eip4361Error, SignInMessage
from orchestrator.challenge.expectation import Expectation, SigningOperation
from orchestrator.challenge.rules import RULES, Objection
from orchestrator.challenge.sign_in_rules import SIGN_IN_RULES, quoted

__all__ = [
    "GRAMMAR",
    "RULES",
    "SIGN_IN_RULES",
    "Decision",
    "Expectation",
    "RuleResult",
    "SigningOperation",
    "decide",
    "decide_all",
]

GRAMMAR: Final = "eip4361.grammar"
"""The rule that a message keeps to EIP-4361's grammar; its refusal is named by the cause, such as ``eip4361.nonce``."""


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


@dataclass(frozen=True, slots=True)
class RuleResult:
    """What one rule said. ``expected`` is what it demands in general or, where it refuses, of this challenge."""

    name: str
    result: Literal["pass", "refuse", "not_reached"]
    expected: str
    actual: str | None
    """Where it refuses, what it got."""


def decide(challenge: Challenge, expectation: Expectation) -> Decision:
    """The first rule that objects, or the kind that allows. Pure and total: it never raises."""
    for said in decide_all(challenge, expectation):
        if said.result == "refuse":
            return Decision(False, said.name, said.expected, said.actual or "nothing")
    match challenge.kind:
        case ChallengeKind.UUID:
            return Decision(True, "uuid", "a canonical UUID", f"a UUID for an account's {expectation.operation}")
        case ChallengeKind.EIP4361:
            origin = quoted(challenge.decoded.split(b" ", 1)[0].decode("ascii"))
            return Decision(True, "eip4361", "a fitting EIP-4361 message", f"an EIP-4361 message of {origin}")
        case ChallengeKind.SESSION_KEY:
            size, form = len(challenge.decoded), session_key_form(challenge.decoded)
            return Decision(True, "session_key", f"a session key of {size} bytes", f"a session key ({form})")
        case ChallengeKind.OPAQUE:
            size, most = len(challenge.decoded), expectation.policy.opaque_max_bytes
            return Decision(True, "opaque", f"1 to {most} opaque bytes", f"{size} opaque bytes")


def decide_all(challenge: Challenge, expectation: Expectation) -> tuple[RuleResult, ...]:
    """What each rule says, in the order in which they are asked; after the first refusal none is asked. Pure, total."""
    asked = _Asked()
    data = challenge.decoded
    forms = forms_for(challenge)
    for rule in RULES:
        asked.ask(rule.name, rule.demands, partial(rule.check, challenge, forms, expectation))
    if challenge.kind is ChallengeKind.EIP4361:
        _ask_of_message(asked, data, expectation)
    return tuple(asked.results)


def _ask_of_message(asked: _Asked, data: bytes, expectation: Expectation) -> None:
    demands = "a message in EIP-4361's grammar"
    try:
        message = SignInMessage.parse(data)
    except Eip4361Error as error:
        # The refusal has the cause's name, which some later rule has too; that one is not reached then.
        name = GRAMMAR if asked.refused else f"eip4361.{error.cause}"
        objection = (error.expected, error.actual)
        asked.ask(name, demands, lambda: objection)
        for rule in SIGN_IN_RULES:
            if rule.name != name:
                asked.ask(rule.name, rule.demands, _unreachable)
        return
    asked.ask(GRAMMAR, demands, lambda: None)
    for rule in SIGN_IN_RULES:
        asked.ask(rule.name, rule.demands, partial(rule.check, message, expectation))


class _Asked:
    """Asks one rule after the other until one objects, and keeps what they say."""

    def __init__(self) -> None:
        self.results: list[RuleResult] = []
        self.refused = False

    def ask(self, name: str, demands: str, question: Callable[[], Objection | None]) -> None:
        if self.refused:
            self.results.append(RuleResult(name, "not_reached", demands, None))
            return
        objection = question()
        if objection is None:
            self.results.append(RuleResult(name, "pass", demands, None))
        else:
            self.refused = True
            self.results.append(RuleResult(name, "refuse", *objection))


def _unreachable() -> Objection | None:
    raise AssertionError("no rule is asked after a refusal")
