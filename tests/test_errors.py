"""The errors: one tree, the same in the text as in the code; each with a code, a disposition and a sentence."""

import asyncio
import copy
import importlib
import pickle
import pkgutil
import re
from concurrent.futures import ProcessPoolExecutor

import pytest

import orchestrator
from orchestrator import errors
from orchestrator.challenge.eip4361 import Eip4361Cause, Eip4361Error
from orchestrator.errors import Disposition, OrchestratorError, PlatformRefused, SettingsError
from orchestrator.runbook import advice
from tests.forked import CONTEXT

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
    of_its_code = advice(errors.KeyUnavailable("a sentence", code="key_not_found"))
    assert "orchestrator keys import" in of_its_code
    told = errors.KeyUnavailable("a sentence", code="key_not_found", fix="Name one account in the URI.")
    assert advice(told) == "Name one account in the URI."
    assert copy.copy(told).fix == told.fix


def test_codes_differ():
    codes = [kind.default_code for kind in CLASSES.values()]
    assert len(set(codes)) == len(codes)


# --- copied and pickled -----------------------------------------------------------------------------------------------

WAYS = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{
        f"pickle {protocol}": lambda error, protocol=protocol: pickle.loads(pickle.dumps(error, protocol))
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    },
}


def every_class() -> set[type[OrchestratorError]]:
    """Of the whole package, wherever it stands."""
    for module in pkgutil.walk_packages(orchestrator.__path__, "orchestrator."):
        if "migrations" not in module.name and "__main__" not in module.name:
            importlib.import_module(module.name)
    found, pending = set(), [OrchestratorError]
    for kind in pending:
        found.add(kind)
        pending += kind.__subclasses__()
    return {kind for kind in found if kind.__module__.startswith("orchestrator.")}


def examples() -> list[OrchestratorError]:
    """One of each class; one that asks for more than a sentence has its way of being made here."""
    from orchestrator.platform.answers import Refusal

    special = {
        PlatformRefused: lambda: PlatformRefused("refused", status=422, code="a_code"),
        Refusal: lambda: Refusal("refused", status=409, code="a_code", words="words", platform_code="its_code"),
        Eip4361Error: lambda: Eip4361Error(Eip4361Cause.NONCE, "8 letters", "none"),
    }
    return [special.get(kind, lambda kind=kind: kind("a sentence", fix="do that"))() for kind in every_class()]


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_every_class_survives_copying_and_pickling(way):
    made = examples()
    assert len(made) > len(CLASSES)
    for error in made:
        error.disposition = Disposition.RETRY
        error.add_note("a note")
        again = way(error)
        assert type(again) is type(error)
        assert again is not error
        assert (again.args, vars(again), str(again)) == (error.args, vars(error), str(error))


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_cause_of_ours_comes_along_and_another_ones_stays(way):
    for cause, kept in ((errors.ChainUnreachable("no answer"), True), (OSError("no disk"), False), (None, False)):
        with pytest.raises(SettingsError) as caught:
            raise SettingsError("a sentence") from cause
        again = way(caught.value)
        assert (type(again.__cause__) is type(cause)) == (kept or cause is None)
        assert again.__suppress_context__
    nested = errors.Disagreement("b")
    nested.__cause__ = PlatformRefused("a", status=400)
    error = errors.JournalError("c")
    error.__cause__ = nested
    deep = way(error).__cause__.__cause__
    assert (type(deep), deep.status) == (PlatformRefused, 400)


def raises(index: int) -> None:
    raise sorted(examples(), key=lambda error: type(error).__name__)[index]


async def test_what_is_raised_in_a_process_pool_is_caught_outside_of_it():
    expected = sorted(examples(), key=lambda error: type(error).__name__)
    names = [type(error).__name__ for error in expected]
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(1, mp_context=CONTEXT) as pool:
        for index in (names.index("PlatformRefused"), names.index("Refusal"), names.index("Eip4361Error")):
            with pytest.raises(OrchestratorError) as caught:
                await loop.run_in_executor(pool, raises, index)
            assert type(caught.value) is type(expected[index])
            assert vars(caught.value) == vars(expected[index])
