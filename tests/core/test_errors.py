"""The errors: one tree, the same in the text as in the code; each with a code, a disposition and a sentence."""

import copy
import re

import pytest

from orchestrator import errors
from orchestrator.errors import Disposition, OrchestratorError
from orchestrator.fixes import fix

CLASSES = {
    name: found
    for name, found in vars(errors).items()
    if isinstance(found, type) and issubclass(found, OrchestratorError)
}


def make(kind, message="a sentence", **options):
    return kind(message, **({"status": 400} if kind is errors.PlatformRefused else {}), **options)


def test_all_is_sorted_and_complete():
    assert errors.__all__ == sorted(errors.__all__)
    assert set(errors.__all__) == {*CLASSES, "Disposition"}


def test_the_tree_in_the_docstring_is_the_tree():
    drawn = re.findall(r"^ *[│ ]*[├└]── (\w+) +(retry|stop|operator)?", errors.__doc__, re.MULTILINE)
    assert {name for name, _ in drawn} == set(CLASSES) - {"OrchestratorError"}
    for name, disposition in drawn:
        if disposition:
            assert CLASSES[name].default_disposition == disposition, name


@pytest.mark.parametrize("kind", CLASSES.values())
def test_every_error_has_a_code_and_a_sentence(kind):
    error = make(kind)
    assert re.fullmatch(r"[a-z][a-z0-9_]+", error.code)
    assert isinstance(error.disposition, Disposition)
    assert str(error) == error.message == "a sentence"
    assert repr(error) == f"{kind.__name__}(code={error.code!r}, message='a sentence')"
    for empty in ("", " \n"):
        with pytest.raises(AssertionError, match=kind.__name__):
            make(kind, empty)


def test_code_and_disposition_can_be_given():
    error = make(errors.JournalError, code="account_busy", disposition=Disposition.RETRY)
    assert (error.code, error.disposition) == ("account_busy", Disposition.RETRY)


def test_what_to_do_is_told_by_where_an_error_comes_from_or_else_by_its_code():
    of_its_code = fix(errors.KeyUnavailable("a sentence", code="key_not_found"))
    assert "orchestrator keys import" in of_its_code
    told = errors.KeyUnavailable("a sentence", code="key_not_found", fix="Name one account in the URI.")
    assert fix(told) == "Name one account in the URI."
    assert copy.copy(told).fix == told.fix


def test_codes_differ():
    codes = [kind.default_code for kind in CLASSES.values()]
    assert len(set(codes)) == len(codes)
