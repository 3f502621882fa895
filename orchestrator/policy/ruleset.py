"""The ruleset: the policy together with the settings that decide with it, under one hash.

The journal keeps every ruleset that was ever in force. A changed file or setting is another ruleset: it holds only once
it was adopted, and the one before it says how many people that takes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property
from typing import Any, Self

import rfc8785
from pydantic import BaseModel, ConfigDict, Field

from orchestrator.policy.document import Policy
from orchestrator.wallet.reading import DEFAULT_PROFILE


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
    wallets: str = DEFAULT_PROFILE
    """The id of the wallets' profile: what decides which contract is an account's."""

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
        if not challenge["session_key_bytes"]:
            del challenge["session_key_bytes"]
        if document["wallets"] == DEFAULT_PROFILE:
            del document["wallets"]
        return document

    @cached_property
    def hash(self) -> str:
        """SHA-256, 64 hex digits, of the RFC 8785 form of the document: files that mean the same have the same."""
        return hashlib.sha256(rfc8785.dumps(self.document)).hexdigest()

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("hash", None)  # pydantic copies what was computed, too
        return copied

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

    @property
    def signs_session_keys(self) -> bool:
        return "session_key" in self.policy.challenge.kinds


def approvals_to_adopt(before: Ruleset | None, after: Ruleset) -> int:
    """How many people must approve that ``after`` takes the place of ``before`` (None: it is the first): the most that
    any change asks of them. Session keys are signed under no ruleset that nobody has approved."""
    if before is None:
        return int(after.signs_session_keys)
    asked: list[int] = [getattr(before.policy.approvals, change.value) for change in before.changes(after)]
    return max([*asked, int(after.signs_session_keys and not before.signs_session_keys)])
