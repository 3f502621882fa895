"""The ruleset: the policy together with the settings that decide with it, under one hash.

The journal keeps every ruleset that was ever in force. A changed file or setting is another ruleset: it holds only once
it was adopted, and the one before it says how many people that takes.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Any

import rfc8785
from pydantic import BaseModel, ConfigDict, Field

from orchestrator.policy.document import Policy


class Change(StrEnum):
    """What differs between two rulesets; the names are those of the approvals that it takes."""

    POLICY = "policy"
    ROLES = "roles"
    FINALITY = "finality"


class Ruleset(BaseModel):
    """What decides whether something is signed, and when a block counts as final."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    policy: Policy
    domains: tuple[str, ...]
    """Domains that a challenge may name, where the policy names none."""
    confirmations: int = Field(ge=1)

    @property
    def document(self) -> dict[str, Any]:
        """Its JSON form. A member that rulesets did not always have is left out where it says what held before it: what
        means the same has the same hash, and a new release asks nobody to approve it."""
        document = self.model_dump(mode="json")
        approvals, challenge = document["policy"]["approvals"], document["policy"]["challenge"]
        if approvals["asker"] == "any":
            del approvals["asker"]
        if not challenge["statements"]:
            del challenge["statements"]
        return document

    @property
    def hash(self) -> str:
        """SHA-256, 64 hex digits, of the RFC 8785 form of the document: files that mean the same have the same."""
        return hashlib.sha256(rfc8785.dumps(self.document)).hexdigest()

    def changes(self, after: Ruleset) -> frozenset[Change]:
        """What ``after`` changes of this one."""
        found = set()
        mine, theirs = self.document, after.document
        if mine["policy"].pop("people") != theirs["policy"].pop("people"):
            found.add(Change.ROLES)
        if mine.pop("confirmations") != theirs.pop("confirmations"):
            found.add(Change.FINALITY)
        if mine != theirs:
            found.add(Change.POLICY)
        return frozenset(found)

    def approvals_for(self, after: Ruleset) -> int:
        """How many people must approve that ``after`` takes the place of this one: the most that any change asks."""
        return max((getattr(self.policy.approvals, change.value) for change in self.changes(after)), default=0)
