"""Honest challenges, changed: what is still signed means what was expected, in every field that matters.

The meaning of a challenge is what the policy compares: of a UUID its text; of an EIP-4361 message domain, scheme, URI's
authority, address, chain, version, nonce's grammar, times and resources' authorities. A changed challenge that is
allowed must have exactly the honest values there; where a value may differ (nonce, statement, request id, path, times
within their windows), it is checked by an oracle of its own, which shares no code with the policy.
"""

from __future__ import annotations

import dataclasses
import re
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.challenge import ChallengeKind, decide, named_accounts
from orchestrator.models import AccountId
from tests.challenge.cases import Case, cases, challenge
from tests.challenge.vector_parts import ADDRESS, ANOTHER, FULL, HOST, OTHER, UUID

HONEST = cases("honest")
MESSAGES = [case for case in HONEST if case.challenge.kind is ChallengeKind.EIP4361]
ACCOUNT_MESSAGES = [case for case in MESSAGES if case.expectation.account_id is not None]
UUIDS = [case for case in HONEST if case.challenge.kind is ChallengeKind.UUID]
CONFUSABLE = {
    "a": "\u0430", "c": "\u0441", "e": "\u0435", "i": "\u0456", "o": "\u043e", "p": "\u0440", "x": "\u0445",
    "0": "O", "1": "l", "l": "1", "-": "\u2010", ".": "\u3002", ":": "\uff1a", "/": "\u2215", " ": "\u00a0",
    "A": "\u0410", "B": "\u0412", "\n": "\r\n",
}  # fmt: skip
FORM = re.compile(
    r"(?:(?P<scheme>[a-z]+)://)?(?P<domain>\S+) wants you to sign in with your Ethereum account:\n"
    r"(?P<address>0x[0-9a-fA-F]{40})\n\n(?:(?P<statement>[!#-;=?-Z\[\]_a-z~ ]+)\n)?\n"
    r"URI: (?P<uri>\S+)\nVersion: 1\nChain ID: (?P<chain>[0-9]+)\nNonce: (?P<nonce>[A-Za-z0-9]{8,128})\n"
    r"Issued At: (?P<issued>\S+)(?:\nExpiration Time: (?P<expires>\S+))?(?:\nNot Before: (?P<starts>\S+))?"
    r"(?:\nRequest ID: (?P<request>\S*))?(?P<resources>\nResources:(?:\n- \S+)*)?",
    re.ASCII,
)
"""The form of a message, written down a second time, from the EIP's text."""


def means_the_same(case: Case, data: bytes) -> None:
    """Asserts that a changed message, which was allowed, says what the expectation wants."""
    found = FORM.fullmatch(data.decode("ascii"))
    assert found is not None, data
    given = case.expectation
    domains = set(given.policy.domains) or given.allowed_domains
    assert found["domain"] in domains
    assert found["scheme"] in (None, found["uri"].split(":")[0].lower())
    assert found["address"] == given.signer.address
    assert found["chain"] == str(given.signer.chain.number)
    uris = [found["uri"], *re.findall(r"\n- (\S+)", found["resources"] or "")]
    for uri in uris:
        scheme, _, rest = uri.partition("://")
        authority = re.split(r"[/?#]", rest)[0]
        assert authority in domains
        assert scheme.lower() == "https" or (scheme.lower() == "http" and authority.startswith("127.0.0.1:"))
    issued = _moment(found["issued"])
    assert given.now - timedelta(seconds=given.policy.max_age + 1) <= issued
    assert issued <= min(given.now, given.fetched_at) + given.clock_skew + timedelta(seconds=1)
    if found["expires"] is None:
        assert given.policy.expiration == "optional"
    else:
        assert _moment(found["expires"]) > max(given.now, issued) - timedelta(seconds=1)
    if found["starts"] is not None:
        assert _moment(found["starts"]) <= given.now + given.clock_skew + timedelta(seconds=1)
    assert given.policy.resources == "platform" or found["resources"] is None
    named = re.findall(rf"(?i)account[s/ ]{{1,2}}({'-?'.join(['[0-9a-f]{4}'] * 8)})", data.decode("ascii"))
    assert {name.lower().replace("-", "") for name in named} <= {str(given.account_id).replace("-", "")}


def _moment(text: str) -> datetime:
    """To the second: enough to see another time."""
    whole = re.sub(r"\.[0-9]+", "", text).replace("z", "Z").replace("t", "T").replace("Z", "+00:00")
    return datetime.fromisoformat(whole).astimezone(UTC)


@st.composite
def edited(draw, data: bytes) -> bytes:
    """One to three edits: bytes flipped, put in, taken out, doubled, or swapped for what looks like them."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        end = draw(st.integers(at, min(len(data), at + 12)))
        match draw(st.sampled_from(["flip", "put", "cut", "double", "confuse", "case", "digit"])):
            case "flip":
                bit = 1 << draw(st.integers(0, 7))
                data = data[:at] + bytes((data[at] ^ bit,)) + data[at + 1 :] if data else data
            case "put":
                pieces = st.binary(max_size=4) | st.text("0123456789abcdefABCDEF.:/@\n -%?#", max_size=10).map(
                    str.encode
                )
                data = data[:at] + draw(pieces) + data[at:]
            case "cut":
                data = data[:at] + data[end:]
            case "double":
                data = data[:end] + data[at:]
            case "confuse":
                character = chr(data[at]) if data else ""
                data = data[:at] + CONFUSABLE.get(character, character).encode() + data[at + 1 :]
            case "case":
                data = data[:at] + data[at:end].swapcase() + data[end:]
            case "digit":
                data = data[:at] + draw(st.sampled_from(list("0123456789"))).encode() + data[at + 1 :]
    return data


@given(st.data(), st.sampled_from(MESSAGES))
def test_an_edited_message_is_refused_or_means_the_same(data, case):
    changed = data.draw(edited(case.data))
    if changed and decide(challenge(changed), case.expectation).allowed:
        means_the_same(case, changed)


@given(st.data(), st.sampled_from(UUIDS))
def test_an_edited_uuid_is_refused_or_another_canonical_uuid(data, case):
    """A UUID has no fields: that another one is not this account's, only the history can say."""
    changed = data.draw(edited(case.data))
    if not changed:
        return
    decision = decide(challenge(changed), case.expectation)
    if decision.allowed:
        assert re.fullmatch(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", changed)
        assert decision.rule == "uuid"


SWAPS = {
    HOST: ["evil.example", f"{HOST}.evil.example", f"x.{HOST}", f"{HOST}:443", f"{HOST}.", f"me@{HOST}", HOST.upper()],
    ADDRESS: [OTHER, ADDRESS.lower(), ADDRESS[:-2]],
    "31337": ["1", "0", "31338", "031337", "3133", "313370"],
    "https:": ["http:", "ftp:", "HTTP:", "javascript:"],
    "Issued At: 2024": ["Issued At: 2023", "Issued At: 2034", "Issued At: 0001", "Issued at: 2024"],
    "Not Before: 2024": ["Not Before: 2025", "Not Before: 24", "not before: 2024"],
    "2024-01-12T16:07": ["2024-01-12T15:07", "2014-01-12T16:07"],
    "32891756": ["", "1", "1234567", "3289 1756", "a" * 129],
    "Version: 1": ["Version: 2", "Version: 01", "version: 1"],
    "Ethereum": ["Solana", "ethereum", "Bitcoin"],
}


@given(st.data())
def test_a_field_with_another_value_is_refused_wherever_it_stands(data):
    """Fields swapped for hostile values, one occurrence or all of them: none of these is ever allowed."""
    case = data.draw(st.sampled_from([case for case in ACCOUNT_MESSAGES if case.name == "message with all fields"]))
    old = data.draw(st.sampled_from(sorted(SWAPS)))
    new = data.draw(st.sampled_from(SWAPS[old]))
    text = case.data.decode()
    count = data.draw(st.integers(1, text.count(old)))
    place = data.draw(st.integers(0, text.count(old) - 1))
    if data.draw(st.booleans()):
        changed = text.replace(old, new, count)
    else:
        parts = text.split(old)
        changed = old.join(parts[: place + 1]) + new + old.join(parts[place + 1 :])
    assert not decide(challenge(changed), case.expectation).allowed, changed


@given(st.permutations(FULL))
def test_lines_in_another_order_are_refused(lines):
    case = next(case for case in ACCOUNT_MESSAGES if case.name == "message with all fields")
    assert decide(challenge("\n".join(lines)), case.expectation).allowed is (list(lines) == FULL)


@given(st.data(), st.sampled_from(HONEST))
def test_no_honest_challenge_is_signed_in_another_context(data, case):
    """The bytes are the same; the account, the operation, the wallet, the chain, the history or the time is not."""
    given_ = case.expectation
    bound = {wallet.chain.number for wallet in given_.wallets}
    number = data.draw(st.integers(1, 31336).filter(lambda number: number not in bound))
    wallet = dataclasses.replace(given_.signer, chain=type(given_.signer.chain)(number))
    history = given_.history
    changes = data.draw(
        st.sampled_from(
            [
                {"account_id": ANOTHER, "operation": "creation" if given_.account_id is None else given_.operation},
                {"signer": wallet},
                {"signer": dataclasses.replace(given_.signer, address=OTHER)},
                {"wallets": (wallet,)},
                {"history": dataclasses.replace(history, signed_for=(ANOTHER, "creation"))},
                {"history": dataclasses.replace(history, fetched_for=(ANOTHER, "creation"))},
                {"now": given_.now + timedelta(seconds=3601)},
                {"fetched_at": given_.now + given_.clock_skew + timedelta(seconds=1)},
                {"intended": not given_.intended},
            ]
        )
    )
    changed = dataclasses.replace(given_, **changes)
    decision = decide(case.challenge, changed)
    if decision.allowed:  # a key that is bound to nothing may be bound to any wallet, by first_use
        assert given_.key_policy.binding == "first_use"
        assert changes.keys() == {"signer"}


FIELDS = ["I accept the terms", "Request ID: 5df359f0", f"https://{HOST}/terms", f"https://{HOST}/v1", "32891756"]
WRITINGS = [str, str.upper, lambda name: name.replace("-", ""), lambda name: name.replace("-", "").upper()]


@given(st.uuids(), st.uuids(), st.sampled_from(FIELDS), st.sampled_from(WRITINGS), st.booleans())
def test_no_field_names_another_account_that_the_journal_knows(own, other, field, writing, both):
    """Named in any field, in any writing that the grammar takes there, beside this account or alone."""
    case = next(case for case in ACCOUNT_MESSAGES if case.name == "message with all fields")
    ids = (AccountId(str(own)), AccountId(str(other)))
    history = dataclasses.replace(case.expectation.history, fetched_for=(ids[0], "creation"))
    expectation = dataclasses.replace(case.expectation, account_id=ids[0], history=history)
    named = writing(ids[1]) if field != "32891756" else ids[1].replace("-", "")
    value = {"I": f"I do {named}", "R": f"Request ID: {named}", "h": f"{field}/{named}", "3": named}[field[0]]
    text = case.data.decode().replace(field, value, 1)
    if both:
        text = text.replace("I accept", f"I, account {ids[0]}, accept")
    asked = challenge(text)
    known = frozenset({*ids} & {*named_accounts(asked)})
    assert ids[1] in known
    assert decide(asked, expectation).allowed
    decision = decide(asked, dataclasses.replace(expectation, known_accounts=known))
    assert own == other or decision.rule == "account"


def test_the_form_written_down_twice_agrees_on_the_honest_ones():
    for case in MESSAGES:
        means_the_same(case, case.data)
    assert not FORM.fullmatch(UUID)
