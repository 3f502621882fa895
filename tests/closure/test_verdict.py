"""The table, row by row; and that nothing but its first row says irreversible, whatever is combined."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import jsonschema
import pytest

from orchestrator import schemas
from orchestrator.closure.evm.facts import AccountFacts, Analysis, Authority, Finding, Needs
from orchestrator.closure.judge import PROOF_CHECKS, judge
from orchestrator.closure.proof.evidence import Check, CodeKind, Proven
from orchestrator.closure.verdict import ANSWER, Residue, Standing, Step, Trouble, Witness
from orchestrator.models import BlockHash, BlockNumber, BlockRef, ChainId, checksum

NUMBER = 0xC0FFEE
ADDRESS = checksum(f"{NUMBER:040x}")
BLOCK = BlockRef(BlockNumber(100), BlockHash("0x" + "ab" * 32))
FACTS = AccountFacts(NUMBER, b"\x00", {0: 3}, {})
PROVEN = Proven(
    block=BLOCK,
    state_root="0x" + "01" * 32,
    timestamp=1_800_000_000,
    exists=True,
    nonce=1,
    balance=0,
    code_hash="0x" + "02" * 32,
    kind=CodeKind.CONTRACT,
    permanence="Cancun",
    no_zero_caller="Ethereum",
    facts=FACTS,
)
ANY_CALLER = replace(PROVEN, no_zero_caller=None)
CHECKS = tuple(Check(name, "pass", "it holds") for name in PROOF_CHECKS)
INERT = Analysis("inert", "inert", "no path acts", slots=(0,), states=3, steps=40)
FINDING = Finding(NUMBER, 17, "SSTORE", (), 0)
ACTING = Analysis("acting", "acting", "SSTORE can be reached", findings=(FINDING,), slots=(0,))
UNDECIDED = Analysis("undecided", "unknown_jump", "a jump to an unknown target", slots=(0,))
FROM_ZERO = Analysis("undecided", "caller_zero", "closed, unless a call comes from the address 0", slots=(0,))
AUTHORITY = (Authority("isValidSignature(bytes32,bytes)", 0x1626BA7E, ()),)
WITNESS = Witness(ADDRESS, 17, "SSTORE", (Step(ADDRESS, 3, True),), b"\x12", ADDRESS, 5, needs="anyone")
CONFIRMED = replace(WITNESS, confirmed=True)
DELEGATES = replace(ACTING, findings=(replace(FINDING, opcode="DELEGATECALL", slot=None),))
IDLE = replace(WITNESS, opcode="DELEGATECALL", idle=True)
ANSWERED = replace(CONFIRMED, opcode=ANSWER)
TROUBLE = Trouble("chain_unreachable", "no answer within 10 s")


def ruled(**changes):
    given = {
        "address": ADDRESS,
        "chain_id": ChainId(1),
        "block": BLOCK,
        "proven": PROVEN,
        "analysis": INERT,
        "standing": Standing.FINAL,
        "standing_detail": "canonical and final",
        "checks": CHECKS,
        **changes,
    }
    verdict = judge(**given)
    schema = json.loads(schemas.text("verify-closure"))
    jsonschema.Draft202012Validator(schema).validate(json.loads(json.dumps(verdict.to_json())))
    return verdict


def kind(of, **more):
    return replace(PROVEN, kind=of, facts=None, **more)


ROWS = {
    "inert, final, no authority": ({}, ("irreversible", "inert", "inert")),
    "acting, confirmed": ({"analysis": ACTING, "witness": CONFIRMED}, ("reversible", "acting", "acting")),
    "acting, not confirmed": (
        {"analysis": ACTING, "witness": WITNESS},
        ("inconclusive", "acting", "acting_unconfirmed"),
    ),
    "acting, no call known": ({"analysis": ACTING}, ("inconclusive", "acting", "acting_unconfirmed")),
    "acting by delegates, idle": (
        {"analysis": DELEGATES, "witness": IDLE},
        ("inconclusive", "acting", "delegate_idle"),
    ),
    "acting by delegates, not confirmed": (
        {"analysis": DELEGATES, "witness": replace(IDLE, idle=False)},
        ("inconclusive", "acting", "acting_unconfirmed"),
    ),
    "acting by delegates, of which something came": (
        {"analysis": DELEGATES, "witness": CONFIRMED},
        ("reversible", "acting", "acting"),
    ),
    "acting in another way too, idle": (
        {"analysis": replace(ACTING, findings=(FINDING, *DELEGATES.findings)), "witness": IDLE},
        ("inconclusive", "acting", "acting_unconfirmed"),
    ),
    "undecided": ({"analysis": UNDECIDED}, ("inconclusive", "undecided", "unknown_jump")),
    "a call from 0 would act": ({"analysis": FROM_ZERO}, ("inconclusive", "undecided", "caller_zero")),
    "inert, answers": (
        {"analysis": replace(INERT, authority=AUTHORITY)},
        ("inconclusive", "inert", "authority_unconfirmed"),
    ),
    "inert, answers, shown": (
        {"analysis": replace(INERT, authority=AUTHORITY), "witness": ANSWERED},
        ("reversible", "inert", "authority_answer"),
    ),
    "undecided, answers, shown": (
        {"analysis": replace(UNDECIDED, authority=AUTHORITY), "witness": ANSWERED},
        ("reversible", "undecided", "authority_answer"),
    ),
    "above finalized": ({"standing": Standing.NOT_FINAL}, ("inconclusive", "inert", "not_final")),
    "above finalized, acting": (
        {"standing": Standing.NOT_FINAL, "analysis": ACTING, "witness": CONFIRMED},
        ("reversible", "acting", "acting"),
    ),
    "replaced": ({"standing": Standing.NOT_CANONICAL}, ("inconclusive", "inert", "not_canonical")),
    "replaced, acting": (
        {"standing": Standing.NOT_CANONICAL, "analysis": ACTING, "witness": CONFIRMED},
        ("inconclusive", "acting", "not_canonical"),
    ),
    "node gone at the end": (
        {"standing": Standing.UNKNOWN, "trouble": TROUBLE},
        ("inconclusive", "inert", "chain_unreachable"),
    ),
    "delegation": (
        {"proven": kind(CodeKind.DELEGATED, delegate=ADDRESS), "analysis": None},
        ("reversible", "not_run", "delegated_7702"),
    ),
    "another format": (
        {"proven": kind(CodeKind.UNSUPPORTED), "analysis": None},
        ("inconclusive", "not_run", "unsupported_code"),
    ),
    "a precompile": (
        {"proven": kind(CodeKind.SYSTEM), "analysis": None},
        ("inconclusive", "not_run", "system_address"),
    ),
    "no code, none later": (
        {"proven": kind(CodeKind.NONE), "analysis": None, "code_at_latest": False},
        ("reversible", "not_run", "no_code"),
    ),
    "no code, some later": (
        {"proven": kind(CodeKind.NONE), "analysis": None, "code_at_latest": True},
        ("inconclusive", "not_run", "not_final"),
    ),
    "no code, later unknown": (
        {"proven": kind(CodeKind.NONE), "analysis": None},
        ("inconclusive", "not_run", "latest_unknown"),
    ),
    "nothing proven": (
        {"proven": None, "analysis": None, "trouble": TROUBLE, "checks": ()},
        ("inconclusive", "not_run", "chain_unreachable"),
    ),
    "not analysed": ({"analysis": None}, ("inconclusive", "not_run", "not_analysed")),
    "a failed proof": (
        {"checks": (Check("account_proof", "fail", "wrong hash"),)},
        ("inconclusive", "inert", "proof_invalid"),
    ),
    "a proof left out": ({"checks": CHECKS[:-1]}, ("inconclusive", "inert", "not_proven")),
    "a slot not proven": ({"analysis": replace(INERT, slots=(0, 9))}, ("inconclusive", "inert", "missing_fact")),
    "a target not proven": ({"analysis": replace(INERT, targets=(7,))}, ("inconclusive", "inert", "missing_fact")),
    "facts still missing": ({"analysis": replace(INERT, needs=Needs((9,)))}, ("inconclusive", "inert", "missing_fact")),
    "facts that nobody proved": (
        {"proven": replace(PROVEN, facts=replace(FACTS, complete=True))},
        ("inconclusive", "inert", "missing_fact"),
    ),
    "a fact that the node did not give, acting without it": (
        {"analysis": replace(ACTING, needs=Needs((9,))), "trouble": TROUBLE},
        ("inconclusive", "acting", "chain_unreachable"),
    ),
    "a fact that the node did not give": (
        {"analysis": replace(UNDECIDED, reason="missing_fact", needs=Needs((9,))), "trouble": TROUBLE},
        ("inconclusive", "undecided", "chain_unreachable"),
    ),
}


@pytest.mark.parametrize("row", ROWS)
def test_the_table(row):
    changes, expected = ROWS[row]
    verdict = ruled(**changes)
    assert (verdict.verdict, verdict.analysis, verdict.reason) == expected
    assert verdict.detail


def test_nothing_but_the_first_row_is_irreversible():
    """Every combination of everything that can be wrong; one is right."""
    proven = [None, PROVEN, *(kind(of) for of in CodeKind if of is not CodeKind.CONTRACT)]
    analyses = [None, INERT, ACTING, UNDECIDED, replace(INERT, authority=AUTHORITY), replace(INERT, slots=(0, 9))]
    witnesses = [None, WITNESS, CONFIRMED, ANSWERED]
    checks = [CHECKS, CHECKS[1:], (*CHECKS[1:], Check("block_hash", "fail", "no"))]
    said = []
    for one in itertools.product(
        proven, analyses, list(Standing), witnesses, checks, [None, TROUBLE], [None, True, False]
    ):
        names = ("proven", "analysis", "standing", "witness", "checks", "trouble", "code_at_latest")
        changes = dict(zip(names, one, strict=True))
        verdict = judge(address=ADDRESS, chain_id=ChainId(1), block=BLOCK, standing_detail="as it is", **changes)
        if verdict.verdict == "irreversible":
            said.append(changes)
        if verdict.verdict == "reversible" and verdict.analysis != "not_run":
            assert verdict.witness is not None
            assert verdict.witness.confirmed
    assert len(said) == 6, "two witnesses that say nothing, times what the newest block may have"
    for changes in said:
        assert changes["proven"] is PROVEN
        assert changes["analysis"] is INERT
        assert changes["standing"] is Standing.FINAL
        assert changes["checks"] is CHECKS
        assert changes["trouble"] is None
        assert changes["witness"] in (None, WITNESS)


def test_every_check_is_named_and_shown():
    names = [check.name for check in ruled().checks]
    assert names == [
        *PROOF_CHECKS,
        "finality",
        "code",
        "code_permanence",
        "callers",
        "analysis",
        "authority",
        "witness",
    ]
    results = {check.name: check.result for check in ruled().checks}
    assert results.pop("witness") == "skipped"
    assert set(results.values()) == {"pass"}


@pytest.mark.parametrize(
    ("changes", "name", "result"),
    [
        ({"standing": Standing.NOT_FINAL}, "finality", "fail"),
        ({"standing": Standing.UNKNOWN}, "finality", "skipped"),
        ({"analysis": ACTING}, "analysis", "fail"),
        ({"analysis": ACTING}, "authority", "skipped"),
        ({"analysis": replace(INERT, authority=AUTHORITY)}, "authority", "fail"),
        ({"analysis": ACTING, "witness": CONFIRMED}, "witness", "fail"),
        ({"analysis": ACTING, "witness": WITNESS}, "witness", "skipped"),
        ({"analysis": ACTING, "witness": replace(WITNESS, calldata=None)}, "witness", "skipped"),
        ({"proven": replace(PROVEN, permanence=None)}, "code_permanence", "pass"),
        ({"proven": replace(PROVEN, permanence=None), "analysis": UNDECIDED}, "code_permanence", "fail"),
        ({"proven": replace(PROVEN, permanence=None), "analysis": ACTING}, "code_permanence", "skipped"),
        ({}, "callers", "pass"),
        ({"proven": ANY_CALLER}, "callers", "pass"),
        ({"proven": ANY_CALLER, "analysis": FROM_ZERO}, "callers", "fail"),
        ({"proven": ANY_CALLER, "analysis": ACTING}, "callers", "skipped"),
        ({"proven": ANY_CALLER, "analysis": None}, "callers", "skipped"),
        ({"proven": None, "analysis": None}, "callers", "skipped"),
        ({"proven": None, "analysis": None}, "code", "skipped"),
        *(({"proven": kind(of), "analysis": None}, "code", "fail") for of in CodeKind if of is not CodeKind.CONTRACT),
    ],
)
def test_a_check_says_what_speaks_against(changes, name, result):
    found = {check.name: check for check in ruled(**changes).checks}
    assert found[name].result == result
    assert found[name].detail


def test_a_verdict_that_rests_on_callers_names_the_chain():
    assert "eip155:42220" in ruled(chain_id=ChainId(42220), proven=ANY_CALLER, analysis=FROM_ZERO).detail


def test_residue_never_changes_the_verdict():
    residue = [Residue("ether", "it holds 5 wei"), Residue("unknown", "nobody could tell")]
    verdict = ruled(residue=residue)
    assert verdict.verdict == "irreversible"
    assert verdict.to_json()["residue"][0] == {"kind": "ether", "detail": "it holds 5 wei"}


def test_the_document():
    codes = {ADDRESS: b"\x60\x00"}
    found = replace(CONFIRMED, timestamp=1_900_000_000, number=200, codes=codes)
    document = ruled(analysis=ACTING, witness=found, milliseconds=1.23456).to_json()
    assert document["slots"] == [{"address": ADDRESS, "slot": "0x" + "0" * 64, "value": "0x" + "0" * 63 + "3"}]
    assert document["witness"] == {
        "address": ADDRESS,
        "pc": 17,
        "opcode": "SSTORE",
        "calldata": "0x12",
        "sender": ADDRESS,
        "value": "5",
        "timestamp": 1_900_000_000,
        "blockNumber": 200,
        "gas": None,
        "codes": {ADDRESS: "0x6000"},
        "path": [{"address": ADDRESS, "pc": 3, "taken": True}],
        "confirmed": True,
        "needs": "anyone",
    }
    assert (document["chainId"], document["milliseconds"]) == ("eip155:1", 1.235)
    bare = ruled(analysis=ACTING, witness=Witness(ADDRESS, 1, "CALL")).to_json()["witness"]
    assert (bare["calldata"], bare["sender"], bare["value"], bare["confirmed"]) == (None, None, None, False)
