"""Reading challenges and deciding whether they may be signed. Pure: values in, values out, no input or output.

``decode`` keeps the issued text and its exact bytes, ``eip4361`` reads Sign-In with Ethereum messages to their
grammar, ``forms`` takes off what bytes may be wrapped in, ``lookalikes`` knows what must never be signed,
``account_mentions`` finds which accounts are named, ``policy`` decides by the rules in ``rules`` and ``sign_in_rules``.
"""

from __future__ import annotations

from orchestrator.challenge.account_mentions import named_accounts
from orchestrator.challenge.decode import Challenge, ChallengeKind
from orchestrator.challenge.eip4361 import Eip4361Cause, Eip4361Error, SignInMessage
from orchestrator.challenge.expectation import ChallengeHistory, Expectation, SigningOperation
from orchestrator.challenge.policy import Decision, RuleResult, decide, decide_all

__all__ = [
    "Challenge",
    "ChallengeHistory",
    "ChallengeKind",
    "Decision",
    "Eip4361Cause",
    "Eip4361Error",
    "Expectation",
    "RuleResult",
    "SignInMessage",
    "SigningOperation",
    "decide",
    "decide_all",
    "named_accounts",
]
