"""The facts of what people decide, one class each; ``oversight_state`` folds them. What holds for all: ``events``.

An approval of a closure is in the account's stream, all else in the stream ``signing``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from orchestrator.lifecycle.events import Fact


class ApprovalRequested(Fact):
    """Somebody asked for something that takes a second person. ``content`` is exactly what, RFC 8785 JSON;
    ``content_hash`` its SHA-256; ``request`` the id, a hash over all that the approvers sign."""

    type: Literal["approval_requested"] = "approval_requested"
    request: str
    subject: Literal["closure", "ruleset", "keys"]
    role: str
    content: str
    content_hash: str
    needed: int
    by: str
    expires_at: datetime
    address: str | None = None
    """With ``signature``: a person asked, and proved it as one who approves does; that text names her as the asker."""
    signature: str | None = None


class ApprovalGiven(Fact):
    """One person's approval. ``signature`` (0x, 65 bytes) is over ``person_signatures.approval_text``; None
    where the ruleset knows no people and the operating system's user is the person."""

    type: Literal["approval_given"] = "approval_given"
    request: str
    person: str
    address: str | None = None
    signature: str | None = None


class ApprovalUsed(Fact):
    """What was approved has been done: the approval is good for nothing else."""

    type: Literal["approval_used"] = "approval_used"
    request: str


class RulesetAdopted(Fact):
    """This ruleset is in force from here on. ``document`` is its RFC 8785 JSON."""

    type: Literal["ruleset_adopted"] = "ruleset_adopted"
    ruleset: str
    document: str
    by: str
    request: str | None = None


class SigningStopped(Fact):
    """The emergency stop: nothing in this scope is signed, nor is a signature sent. ``scope``: ``all``, ``key:NAME``
    or ``chain:CAIP-2``."""

    type: Literal["signing_stopped"] = "signing_stopped"
    stop: str
    scope: str
    reason: str
    by: str
    address: str | None = None
    """Of the key that is stopped, where it was known: the stop covers that key under any other name too."""


class ResumeAgreed(Fact):
    """One of the two people that end a stop. ``signature`` as in ``ApprovalGiven``, over
    ``person_signatures.resume_text``."""

    type: Literal["resume_agreed"] = "resume_agreed"
    stop: str
    person: str
    address: str | None = None
    signature: str | None = None


class SigningResumed(Fact):
    """Two people have ended a stop."""

    type: Literal["signing_resumed"] = "signing_resumed"
    stop: str
    people: tuple[str, ...]


class KeyChanged(Fact):
    """A managed key was created, imported, attached, bound, rotated, disabled or enabled."""

    type: Literal["key_changed"] = "key_changed"
    action: Literal["created", "imported", "attached", "bound", "rotated", "disabled", "enabled"]
    name: str
    address: str
    backend: str
    wallets: tuple[str, ...]
    disabled: bool
    keystore: str
    by: str
    request: str | None = None


class RequestKeyChanged(Fact):
    """A request-signing key (P-384) was created, uploaded, put in the place of another or revoked. ``fingerprint``: the
    SHA-256 of its public key (DER SubjectPublicKeyInfo)."""

    type: Literal["request_key_changed"] = "request_key_changed"
    action: Literal["created", "uploaded", "rotated", "revoked"]
    name: str
    fingerprint: str
    key_id: str | None
    by: str
    requests: tuple[str, ...] = ()
    """The approvals that it took: none where the ruleset in force asked for none, and in an emergency."""


class JournalReconciled(Fact):
    """After a restored backup: every account was read back from platform and chain, and the signatures that the backup
    had not heard of were taken over from the log beside the keystore."""

    type: Literal["journal_reconciled"] = "journal_reconciled"
    keystore: str
    finding: str
    reason: str
    by: str
    accounts: int
    signatures: int
    unread: tuple[str, ...] = ()
    """Accounts of the programme that are not of this journal and cannot be, such as those of another chain."""
    rows: str | None = None
    """SHA-256 over the lines that were taken over, so that ``journal --verify`` sees a change of them."""


class HistoryImported(Fact):
    """Signatures that another journal or log knows of: none of those challenges is signed again."""

    type: Literal["history_imported"] = "history_imported"
    source: str
    sha256: str
    signatures: int
    by: str
    rows: str | None = None
    """As in ``JournalReconciled``."""
