"""The runbook: every code that can be raised or journaled has a row, and every row is of such a code."""

import ast
import inspect
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

import orchestrator
from orchestrator import errors
from orchestrator.errors import Disposition, OrchestratorError
from orchestrator.platform import answers
from orchestrator.runbook import CHAPTERS, RUNBOOK, advice, advice_for

PACKAGE = Path(orchestrator.__file__).parent
CONTRACTS = "factory", "escrow"
"""``chain/node/wallets`` names the code after what differs: ``wrong_…``."""


def _codes(node: ast.expr | None) -> list[str]:
    match node:
        case ast.Constant(value=str(code)):
            return [code]
        case ast.IfExp(body=one, orelse=other):
            return _codes(one) + _codes(other)
        case ast.BoolOp(values=values):
            return [code for value in values for code in _codes(value)]
        case ast.JoinedStr(values=[ast.Constant(value="wrong_"), _]):
            return [f"wrong_{name}" for name in CONTRACTS]
    return []


def _name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


POSITIONS = {"Halt": 0, "End": 1, "recoded": 0, "missing_as": 1, "of_code": 0, "Obstacle": 0}
"""Calls that take a code as this argument."""


@cache
def _uses() -> dict[str, set[str]]:
    """Each code of the package with the dispositions that it is raised with; "" where that is decided elsewhere."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for path in PACKAGE.rglob("*.py"):
        if path.parent.name in ("runbook", "versions"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.AnnAssign | ast.Assign):
                target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
                if getattr(target, "id", "") == "default_code":
                    for code in _codes(node.value):
                        found[code].add("")
            if not isinstance(node, ast.Call):
                continue
            given = {word.arg: word.value for word in node.keywords}
            kind = getattr(errors, _name(node), None)
            usual = kind.default_disposition if inspect.isclass(kind) and issubclass(kind, OrchestratorError) else ""
            match given.get("disposition"):
                case None:
                    disposition = str(usual)
                case ast.Attribute(value=ast.Name(id="Disposition"), attr=attr):
                    disposition = str(Disposition[attr])
                case _:
                    disposition = ""
            position = POSITIONS.get(_name(node))
            at = node.args[position] if position is not None and len(node.args) > position else None
            for code in _codes(given.get("code")) + _codes(given.get("missing")) + _codes(at):
                found[code].add("operator" if _name(node) in ("Halt", "Obstacle") else disposition)
    for code in vars(answers)["_BY_STATUS"].values():
        found[code].add("")
    return dict(found)


def test_every_code_has_a_row_and_every_row_a_code():
    assert sorted(_uses().keys() - RUNBOOK.keys()) == []
    assert sorted(RUNBOOK.keys() - _uses().keys()) == []
    assert len(RUNBOOK) == sum(map(len, CHAPTERS.values())), "a code has two rows"


def test_a_row_has_a_disposition_that_its_code_is_raised_with():
    wrong = {
        code: (str(row.disposition), sorted(_uses()[code]))
        for code, row in RUNBOOK.items()
        if "" not in _uses()[code] and str(row.disposition) not in _uses()[code]
    }
    assert wrong == {}


def test_rows_are_sentences():
    for row in RUNBOOK.values():
        assert re.fullmatch(r"[a-z][a-z0-9_]+", row.code)
        assert row.happened[0] not in " ABCDEFGHIJKLMNOPQRSTUVWXYZ" or row.happened.startswith(("Anvil", "ORCH")), row
        assert not row.happened.endswith("."), row
        assert row.advice, row


def test_advice_comes_from_where_an_error_does_or_else_from_its_code():
    known = errors.KeyUnavailable("a sentence", code="key_not_found")
    assert advice(known) == RUNBOOK["key_not_found"].advice
    own = errors.KeyUnavailable("a sentence", code="key_not_found", fix="Name one account in the URI.")
    assert advice(own) == "Name one account in the URI."


def test_a_code_of_the_platforms_own_gets_its_dispositions_advice():
    texts = {advice_for("currency_unsupported", disposition) for disposition in Disposition}
    assert len(texts) == len(Disposition)
    assert all(texts)
