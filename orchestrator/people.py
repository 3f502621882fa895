"""Who acts: a person who proves it with a signature, or the user of the operating system that runs the process."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from orchestrator import eip191
from orchestrator.errors import PolicyRefused, SettingsError, SigningError
from orchestrator.lifecycle import oversight_events as o
from orchestrator.lifecycle.oversight_state import request_approval
from orchestrator.lifecycle.person_signatures import SYSTEM_USER, approval_text
from orchestrator.models import Address
from orchestrator.policy import Person, Role

_SIGNATURE = re.compile(r"0x[0-9a-fA-F]{130}")
_V_OF_OLDER_WALLETS = (0, 1)
_WHO = "I ask for something that takes an approval, for the orchestrator of card-platform accounts."
"""Signed only to learn which of the people somebody is, before the request that names her is made."""


class PersonKey(Protocol):
    """The key of a person's own, such as a Web3 Secret Storage file."""

    def sign_message(self, message: bytes) -> bytes:
        """65 bytes r, s, v over EIP-191's personal message. May ask for a password. Raises KeyUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class Proof:
    """Who decided. ``address`` and ``signature`` (0x, 65 bytes) are None for a user of the operating system."""

    person: str
    address: Address | None = None
    signature: str | None = None


@dataclass(frozen=True, slots=True)
class Signatory:
    """A person who signs what she asks for or decides: with a key of her own, or with a signature that another wallet
    made. With neither she proves nothing.

    ``person``: the name that she gives, compared with the signature's. ``signature``: 0x and 130 hex digits.
    """

    key: PersonKey | None = None
    person: str | None = None
    signature: str | None = None

    @property
    def is_anonymous(self) -> bool:
        return self.key is None and self.signature is None


ANONYMOUS = Signatory()


def system_user() -> str:
    """``os:NAME`` by the process's user id; anybody can set environment variables."""
    uid = os.getuid()
    try:
        return SYSTEM_USER + pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"{SYSTEM_USER}uid-{uid}"


def identify(text: str, people: Mapping[str, Person], role: Role | None, signatory: Signatory) -> Proof:
    """Who signs ``text``: recovered from a signature over it, and found among ``people`` (of the ruleset in force) in
    this role (None: in any). Records nothing.

    Raises SettingsError ``person_needed`` (no proof was given) or ``person_signature``; PolicyRefused
    ``person_unknown``, ``person_role``; SigningError ``signature_mismatch``, ``signature_malformed``; KeyUnavailable.
    """
    if not people:
        if not signatory.is_anonymous or signatory.person is not None:
            raise PolicyRefused(
                "the ruleset in force knows no people, so nobody can be proven to be one of them: "
                f"{system_user()} is taken at the system's word",
                code="person_unknown",
            )
        return Proof(system_user())
    if signatory.is_anonymous:
        raise SettingsError(
            f"the ruleset in force knows its people ({', '.join(sorted(people))}) by keys: say who you are with "
            "--person-key FILE, or with --person NAME and --signature 0x…",
            code="person_needed",
        )
    signature = _signature(text, signatory)
    address = eip191.recover(text.encode(), signature)
    name = next((name for name, person in people.items() if person.address == address), None)
    if signatory.person is not None and signatory.person not in people:
        raise PolicyRefused(
            f"expected one of {', '.join(sorted(people))}, got {ascii(signatory.person)[:80]}", code="person_unknown"
        )
    if signatory.person is not None and signatory.person != name:
        raise SigningError(
            f"expected a signature of {signatory.person}, {people[signatory.person].address}, over exactly this text, "
            f"got one that recovers to {address}",
            code="signature_mismatch",
        )
    if name is None:
        raise PolicyRefused(
            "expected the key of one of "
            + ", ".join(f"{known} ({person.address})" for known, person in sorted(people.items()))
            + f", got a signature that recovers to {address}",
            code="person_unknown",
        )
    if role is not None and role not in people[name].roles:
        has = ", ".join(people[name].roles) or "none"
        raise PolicyRefused(f"{name}: expected the role {role}, got the roles {has}", code="person_role")
    return Proof(name, address, "0x" + signature.hex())


def approval_request_by(
    subject: str,
    role: Role,
    content: dict[str, Any],
    *,
    needed: int,
    by: str,
    signatory: Signatory,
    people: Mapping[str, Person],
    journal_id: str,
    now: datetime,
    expires_at: datetime,
) -> o.ApprovalRequested:
    """The request for an approval of ``content``. ``by`` asks, unless ``signatory`` proves to be one of ``people``
    (those of the ruleset in force): then the request has her name, address and signature, and she cannot approve it.

    ``journal_id``: its id. Raises as ``identify``, and blocks as the signatory's key does.
    """
    if signatory.is_anonymous or not people:
        return request_approval(subject, role, content, needed=needed, by=by, now=now, expires_at=expires_at)
    person = identify(_WHO, people, None, signatory).person
    asked = request_approval(subject, role, content, needed=needed, by=person, now=now, expires_at=expires_at)
    proof = identify(approval_text(asked, journal_id), people, None, signatory)
    return asked.model_copy(update={"address": proof.address, "signature": proof.signature})


def _signature(text: str, signatory: Signatory) -> bytes:
    if signatory.key is not None and signatory.signature is not None:
        raise SettingsError("expected one of --person-key and --signature, got both", code="usage")
    if signatory.key is not None:
        return signatory.key.sign_message(text.encode())
    given = signatory.signature or ""
    if _SIGNATURE.fullmatch(given) is None:
        raise SettingsError(
            f"--signature: expected 0x and 130 hexadecimal digits, got {len(given)} characters", code="person_signature"
        )
    signature = bytes.fromhex(given[2:])
    if signature[64] in _V_OF_OLDER_WALLETS:
        signature = signature[:64] + bytes((signature[64] + 27,))
    return signature
