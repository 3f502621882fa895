"""Which accounts a challenge names: whoever signs a text about another account may have agreed for that one.

An account's id is a UUID, and so are the ids of sessions, requests and customers. What is an account's, the journal
says (``Expectation.known_accounts``) or the word before it; in opaque bytes, which have no fields, any UUID may be one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import unquote
from uuid import UUID

from orchestrator.challenge.decode import Challenge, ChallengeKind
from orchestrator.challenge.forms import Form, forms_of, plain
from orchestrator.models import AccountId

MOST_NAMED: Final = 256
"""More UUIDs than a challenge has room for; so many are asked of the journal in one query."""

_HEX: Final = "[0-9a-f]"
_WRITTEN: Final = re.compile(rf"{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}")
_ANY_FORM: Final = re.compile(
    rf"(?<!{_HEX}){_HEX}{{8}}[-_ ]?{_HEX}{{4}}[-_ ]?{_HEX}{{4}}[-_ ]?{_HEX}{{4}}[-_ ]?{_HEX}{{12}}(?!{_HEX})"
)
_OF_ACCOUNT: Final = re.compile(
    r"accounts?(?:[^0-9a-z]{0,3}(?:id|no|nr|number|uuid|with|the|of|named|called)){0,4}[^0-9a-z]{1,3}"
    rf"({_ANY_FORM.pattern})"
)
_HYPHENS: Final = re.compile("[\u2010-\u2015\u2212]")


def forms_for(challenge: Challenge) -> tuple[Form, ...]:
    """What the rules read. Sign-in messages, UUIDs and session keys are read strictly as what they are and stand for
    nothing else: a nonce may be any letters and digits, a UUID could be Base64, and a session key a digest."""
    if challenge.kind is ChallengeKind.OPAQUE:
        return forms_of(challenge.decoded)
    return (Form(challenge.decoded, ""),)


def named_accounts(challenge: Challenge) -> tuple[AccountId, ...]:
    """Every UUID that the challenge names, in whichever form, at most MOST_NAMED: those of accounts are among them."""
    found: dict[AccountId, None] = {}
    for form in forms_for(challenge):
        found.update(dict.fromkeys(_possible(form.data)))
    return tuple(found)[:MOST_NAMED]


def written(forms: Sequence[Form]) -> Iterator[AccountId]:
    """The UUIDs with hyphens in the text of ``forms``."""
    for form in forms:
        for text in _texts(form.data):
            yield from map(_identifier, _WRITTEN.findall(text))


def called_accounts(forms: Sequence[Form]) -> Iterator[AccountId]:
    """The UUIDs that the text calls an account's: ``account 5b0f…``, ``accountId=5b0f…``, ``/accounts/5b0f…``."""
    for form in forms:
        for text in _texts(form.data):
            yield from map(_identifier, _OF_ACCOUNT.findall(text))


def _possible(data: bytes) -> Iterator[AccountId]:
    if len(data) == 16:
        yield AccountId(str(UUID(bytes=data)))
    for text in _texts(data):
        for pattern in (_WRITTEN, _ANY_FORM):
            yield from map(_identifier, pattern.findall(text))


def _texts(data: bytes) -> tuple[str, ...]:
    """The text in lower case with plain hyphens, as written and, where it differs, without percent-encoding."""
    text = plain(data)
    return tuple(dict.fromkeys(_HYPHENS.sub("-", one).lower() for one in (text, unquote(text))))


def _identifier(text: str) -> AccountId:
    return AccountId(str(UUID(re.sub("[-_ ]", "", text))))
