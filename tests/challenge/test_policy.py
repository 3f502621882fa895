"""The policy as a function: total, in one order, with nothing left out, and the same told twice."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest
import rlp
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.challenge import Challenge, ChallengeHistory, ChallengeKind, Expectation, decide, decide_all
from orchestrator.challenge.policy import GRAMMAR, RULES, SIGN_IN_RULES
from orchestrator.policy import ChallengePolicy
from tests.challenge.cases import cases, challenge
from tests.challenge.vector_parts import FULL, UUID

HOSTILE, HONEST = cases("hostile"), cases("honest")
EXPECTED = next(case.expectation for case in HONEST if case.name == "message with all fields")
MESSAGE = "\n".join(FULL)
OPAQUE = dataclasses.replace(
    EXPECTED, policy=ChallengePolicy(kinds=("eip4361", "uuid", "opaque"), opaque_max_bytes=1024)
)
EXPECTATIONS = st.sampled_from([EXPECTED, OPAQUE])
PREFIXES = [b"", b"0x", b"\x19\x01", b"\x02", b"\x05", b"\xf8", b"\xc0", b'{"', b"[", b"\xef\xbb\xbf", UUID.encode()]


def hostile_bytes():
    whole = [case.data for case in HOSTILE + HONEST]
    pieces = st.one_of(st.binary(max_size=200), st.text(max_size=60).map(_utf8), st.sampled_from(whole))
    return st.builds(lambda prefix, *rest: prefix + b"".join(rest), st.sampled_from(PREFIXES), pieces, pieces)


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def test_expected_and_actual_are_shown():
    refused = decide(challenge(MESSAGE.replace("Chain ID: 31337", "Chain ID: 1")), EXPECTED)
    assert str(refused) == "rule eip4361.chain_id: expected chain eip155:31337, got chain eip155:1"
    assert str(decide(challenge(UUID), EXPECTED)) == "rule uuid: allowed, a UUID for an account's creation"


def test_an_expectation_leaves_nothing_out():
    for field in dataclasses.fields(Expectation):
        given_fields = {name: getattr(EXPECTED, name) for name in EXPECTED.__slots__ if name != field.name}
        with pytest.raises(TypeError, match=field.name):
            Expectation(**given_fields)
    for field in dataclasses.fields(ChallengeHistory):
        with pytest.raises(TypeError, match=field.name):
            ChallengeHistory(**{other.name: None for other in dataclasses.fields(ChallengeHistory) if other != field})
    with pytest.raises(TypeError):
        decide(challenge(UUID))


@pytest.mark.parametrize(
    "wrong",
    [
        {"account_id": None},
        {"operation": "customer"},
        {"operation": "transfer"},
        {"now": EXPECTED.now.replace(tzinfo=None)},
        {"fetched_at": EXPECTED.now.replace(tzinfo=None)},
        {"clock_skew": timedelta(-1)},
        {"allowed_domains": "api.sandbox.offblocks.xyz"},
        {"allowed_domains": {"api.sandbox.offblocks.xyz"}},
        {"wallets": str(EXPECTED.signer)},
        {"wallets": [EXPECTED.signer]},
        {"policy": {"kinds": ["uuid"]}},
        {"key_policy": None},
        {"history": None},
        {"history": (None, None)},
        {"known_accounts": None},
        {"known_accounts": ["5b0fa2bb-9d9b-4d0a-9a26-2dd4b0d8a9b1"]},
        {"known_accounts": "5b0fa2bb-9d9b-4d0a-9a26-2dd4b0d8a9b1"},
        {"intended": None},
        {"intended": 1},
    ],
    ids=str,
)
def test_a_senseless_expectation_cannot_be_made(wrong):
    with pytest.raises((ValueError, TypeError)):
        dataclasses.replace(EXPECTED, **wrong)


def test_rule_names_are_unique_and_each_demand_is_told():
    names = [rule.name for rule in (*RULES, *SIGN_IN_RULES)]
    assert len({*names, GRAMMAR}) == len(names) + 1
    assert all(rule.demands for rule in (*RULES, *SIGN_IN_RULES))


@given(hostile_bytes(), EXPECTATIONS)
@example(b"", OPAQUE)
@example(b"\x00", OPAQUE)
@example(b"\xbf", OPAQUE)
@example(b"\xff" * 9, OPAQUE)
def test_the_decision_is_total_and_is_what_the_rules_say(data, expectation):
    kind = Challenge.parse(challenge(data).issued).kind if data else ChallengeKind.OPAQUE
    made = Challenge(issued="", decoded=data, kind=kind)
    decision, told = decide(made, expectation), decide_all(made, expectation)
    refused = [one for one in told if one.result == "refuse"]
    assert decision.allowed is (refused == [])
    names = [one.name for one in told]
    assert len(set(names)) == len(names)
    assert str(decision).isascii()
    if refused:
        (one,) = refused
        assert (decision.rule, decision.expected, decision.actual) == (one.name, one.expected, one.actual)
        at = names.index(one.name)
        assert [other.result for other in told] == ["pass"] * at + ["refuse"] + ["not_reached"] * (len(told) - at - 1)
    else:
        assert decision.rule == kind
    general = [rule.name for rule in RULES]
    assert names[: len(general)] == general
    assert (len(names) > len(general)) is (kind is ChallengeKind.EIP4361)
    assert decide(made, expectation) == decision


@pytest.mark.parametrize("case", HONEST + HOSTILE, ids=lambda case: case.name)
def test_all_rules_are_told_in_their_order(case):
    told = [one.name for one in decide_all(case.challenge, case.expectation)]
    whole = [rule.name for rule in RULES]
    if case.challenge.kind is ChallengeKind.EIP4361:
        whole += [GRAMMAR, *(rule.name for rule in SIGN_IN_RULES)]
    if GRAMMAR in whole and GRAMMAR not in told:  # the refusal has the name of the grammar's cause
        whole = [case.rule if name == GRAMMAR else name for name in whole if name != case.rule]
    assert told == whole


@given(st.binary(min_size=1, max_size=200))
def test_random_bytes_are_never_allowed_where_opaque_ones_are_not(data):
    assert not decide(challenge(data), EXPECTED).allowed


@given(st.uuids())
def test_no_uuid_is_taken_for_something_else(uuid):
    """A canonical UUID could be read as Base64, and its bytes as anything: it is refused by no chance."""
    assert decide(challenge(str(uuid)), EXPECTED).rule == "uuid"


def test_nested_lists_do_not_break_the_decision():
    for nested in (b"[" * 6000, b'{"types":' * 600, b"\xc0" * 6000, b'["' * 2000, b" " * 6000, b"(" * 6000):
        assert not decide(challenge(nested), OPAQUE).allowed
    deep = rlp.encode([])
    for _ in range(1500):
        deep = _list(deep)
    assert decide(challenge(deep), EXPECTED).rule == "kind"


def test_an_oracle_for_sizes():
    """Opaque bytes: as many as the policy says, and not one more."""
    for most in (1, 31, 33, 1024):
        expectation = dataclasses.replace(EXPECTED, policy=ChallengePolicy(kinds=("opaque",), opaque_max_bytes=most))
        for size in {1, most - 1, most, most + 1} - {0, 32}:
            assert decide(challenge(b"?" * size), expectation).allowed is (size <= most), (most, size)


def _list(payload: bytes) -> bytes:
    if len(payload) < 56:
        return bytes((0xC0 + len(payload),)) + payload
    size = len(payload).to_bytes((len(payload).bit_length() + 7) // 8, "big")
    return bytes((0xF7 + len(size),)) + size + payload
