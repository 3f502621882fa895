"""Who acts: a person who proves it with a signature, or the user of the operating system that runs the process."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from orchestrator import eip191
from orchestrator.errors import PolicyRefused, SettingsError, SigningError
from orchestrator.lifecycle.person_signatures import SYSTEM_USER
from orchestrator.models import Address
from orchestrator.policy import Person, Role

_SIGNATURE = re.compile(r"0x[0-9a-fA-F]{130}")
_V_OF_OLDER_WALLETS = (0, 1)


class PersonKey(Protocol):
    """The key of a person's own, such as a Web3 Secret Storage file."""

    def sign_message(self, message: bytes) -> bytes:
        """65 bytes r, s, v over EIP-191's personal message. May ask for a password. Raises KeyUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class Proof:
    """A person's word. ``address`` and ``signature`` (0x, 65 bytes) are None for a user of the operating system."""

    person: str
    address: Address | None = None
    signature: str | None = None


@dataclass(frozen=True, slots=True)
class Voice:
    """How somebody proves who she is: a key of her own, or a signature that was made elsewhere; neither: not at all.

    ``person``: who she says she is; compared with what the signature says. ``signature``: 0x and 130 hex digits.
    """

    key: PersonKey | None = None
    person: str | None = None
    signature: str | None = None

    @property
    def is_silent(self) -> bool:
        return self.key is None and self.signature is None


SILENT = Voice()


def system_user() -> str:
    """``os:NAME`` by the process's user id: what the environment says can be anybody's word."""
    uid = os.getuid()
    try:
        return SYSTEM_USER + pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"{SYSTEM_USER}uid-{uid}"


def prove(text: str, people: Mapping[str, Person], role: Role | None, voice: Voice) -> Proof:
    """Who says ``text``: recovered from a signature over it and found among ``people`` (those of the ruleset in force)
    in this role (None: in any). Records nothing.

    Raises SettingsError ``person_needed`` (no proof was given) or ``person_signature``; PolicyRefused
    ``person_unknown``, ``person_role``; SigningError ``signature_mismatch``, ``signature_malformed``; KeyUnavailable.
    """
    if not people:
        if not voice.is_silent or voice.person is not None:
            raise PolicyRefused(
                "the ruleset in force knows no people, so nobody can be proven to be one of them: "
                f"{system_user()} is taken at the system's word",
                code="person_unknown",
            )
        return Proof(system_user())
    if voice.is_silent:
        raise SettingsError(
            f"the ruleset in force knows its people ({', '.join(sorted(people))}) by keys: say who you are with "
            "--person-key FILE, or with --person NAME and --signature 0x…",
            code="person_needed",
        )
    signature = _signature(text, voice)
    address = eip191.recover(text.encode(), signature)
    name = next((name for name, person in people.items() if person.address == address), None)
    if voice.person is not None and voice.person not in people:
        raise PolicyRefused(
            f"expected one of {', '.join(sorted(people))}, got {ascii(voice.person)[:80]}", code="person_unknown"
        )
    if voice.person is not None and voice.person != name:
        raise SigningError(
            f"expected a signature of {voice.person}, {people[voice.person].address}, over exactly this text, got one "
            f"that recovers to {address}",
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


def _signature(text: str, voice: Voice) -> bytes:
    if voice.key is not None and voice.signature is not None:
        raise SettingsError("expected one of --person-key and --signature, got both", code="usage")
    if voice.key is not None:
        return voice.key.sign_message(text.encode())
    given = voice.signature or ""
    if _SIGNATURE.fullmatch(given) is None:
        raise SettingsError(
            f"--signature: expected 0x and 130 hexadecimal digits, got {len(given)} characters", code="person_signature"
        )
    signature = bytes.fromhex(given[2:])
    if signature[64] in _V_OF_OLDER_WALLETS:
        signature = signature[:64] + bytes((signature[64] + 27,))
    return signature
