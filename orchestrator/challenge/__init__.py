"""Reading challenges and deciding whether they may be signed. Pure: values in, values out, no input or output.

``decode`` keeps the issued text and its exact bytes, ``eip4361`` reads Sign-In with Ethereum messages to their
grammar, ``policy`` decides.
"""

from __future__ import annotations

from orchestrator.challenge.decode import Challenge, ChallengeKind
from orchestrator.challenge.eip4361 import Eip4361Cause, Eip4361Error, SignInMessage
from orchestrator.challenge.policy import Decision, Expectation, check, decide

__all__ = [
    "Challenge",
    "ChallengeKind",
    "Decision",
    "Eip4361Cause",
    "Eip4361Error",
    "Expectation",
    "SignInMessage",
    "check",
    "decide",
]
