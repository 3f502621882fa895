"""Every vector: hostile challenges are refused by the rule named, honest ones are signed; none depends on luck."""

from __future__ import annotations

import dataclasses

import pytest

from orchestrator.challenge import ChallengeKind, decide
from orchestrator.policy import ChallengePolicy
from tests.challenge.build_vectors import FILES, content
from tests.challenge.cases import VECTORS, Case, cases

HOSTILE, HONEST = cases("hostile"), cases("honest")
IN_ANY_CONTEXT = {
    "transaction", "authorization", "eip191", "eip712", "digest", "signature", "abi", "characters", "uuid.form",
    "eip4361.form", "session_key.form",
}  # fmt: skip
"""Rules that hold whatever the policy's document allows."""
PERMISSIVE = ChallengePolicy(kinds=("eip4361", "uuid", "opaque"), opaque_max_bytes=1024)


def named(case: Case) -> str:
    return case.name


@pytest.mark.parametrize("name", FILES)
def test_the_files_are_what_is_built(name):
    assert (VECTORS / f"{name}.json").read_text() == content(name), "run: python -m tests.challenge.build_vectors"


def test_there_are_enough_and_each_is_another():
    assert len(HOSTILE) >= 110
    assert len(HONEST) >= 20
    assert len({case.name for case in HOSTILE + HONEST}) == len(HOSTILE) + len(HONEST)
    assert len({(case.data, case.expectation) for case in HOSTILE + HONEST}) == len(HOSTILE) + len(HONEST)


@pytest.mark.parametrize("case", HOSTILE, ids=named)
def test_hostile_challenges_are_refused_by_their_rule(case):
    decision = decide(case.challenge, case.expectation)
    assert not decision.allowed, decision
    assert decision.rule == case.rule, decision
    assert decision.expected
    assert decision.actual
    assert str(decision) == f"rule {case.rule}: expected {decision.expected}, got {decision.actual}"
    assert str(decision).isascii()
    assert str(decision).isprintable()


DANGEROUS = [case for case in HOSTILE if case.rule in IN_ANY_CONTEXT]


@pytest.mark.parametrize("case", DANGEROUS, ids=named)
def test_what_has_another_meaning_is_refused_where_opaque_bytes_are_allowed_too(case):
    assert decide(case.challenge, dataclasses.replace(case.expectation, policy=PERMISSIVE)).rule == case.rule


def test_each_rule_has_hostile_vectors():
    from orchestrator.challenge.policy import RULES, SIGN_IN_RULES

    assert {rule.name for rule in (*RULES, *SIGN_IN_RULES)} <= {case.rule for case in HOSTILE}


@pytest.mark.parametrize("case", HONEST, ids=named)
def test_honest_challenges_are_allowed(case):
    decision = decide(case.challenge, case.expectation)
    assert decision.allowed, decision
    assert decision.rule == case.rule == case.challenge.kind


@pytest.mark.parametrize("case", HONEST, ids=named)
def test_an_honest_challenge_is_refused_once_it_does_not_fit(case):
    """The same bytes: for another account, signed before, too old, with an unbound key, of a kind not allowed."""
    given = case.expectation
    other = dataclasses.replace(given.signer, address="0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb")
    kinds = tuple(kind for kind in ("eip4361", "uuid") if kind != case.challenge.kind)
    someone = ("0e9c7f4e-6a1d-4f53-8d2e-31a1b7c0f6de", "creation")
    for rule, changes in (
        ("foreign", {"history": dataclasses.replace(given.history, fetched_for=someone)}),
        ("signed_before", {"history": dataclasses.replace(given.history, signed_for=someone)}),
        ("fetched", {"fetched_at": given.now - given.max_age * 1.01}),
        ("binding", {"wallets": (other,)}),
        ("kind", {"policy": ChallengePolicy(kinds=kinds)}),
        ("chain", {"policy": given.policy.model_copy(update={"chains": ("eip155:999",)})}),
    ):
        assert decide(case.challenge, dataclasses.replace(given, **changes)).rule == rule
    assert case.challenge.kind in ChallengeKind
