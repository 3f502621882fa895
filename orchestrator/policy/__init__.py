"""What may be signed, by which keys, how often, and what needs a second person: one declarative document. Pure.

``document`` reads it (TOML), ``ruleset`` adds the settings that decide with it and gives both one hash.
"""

from __future__ import annotations

from orchestrator.policy.document import (
    Approvals,
    Asker,
    ChallengePolicy,
    KeyPolicy,
    Limit,
    Person,
    Policy,
    Role,
    parse_policy,
)
from orchestrator.policy.ruleset import Change, Ruleset, approvals_to_adopt

__all__ = [
    "Approvals",
    "Asker",
    "Change",
    "ChallengePolicy",
    "KeyPolicy",
    "Limit",
    "Person",
    "Policy",
    "Role",
    "Ruleset",
    "approvals_to_adopt",
    "parse_policy",
]
