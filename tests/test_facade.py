"""Both facades: one signature each, wrong arguments and a forked process told as this project's errors."""

import inspect
import math
import os
import signal

import pytest

from orchestrator.app import Orchestrator
from orchestrator.blocking import BlockingOrchestrator
from orchestrator.errors import SettingsError
from orchestrator.settings import load_settings

UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def settings(tmp_path):
    return load_settings({"ORCHESTRATOR_DATABASE_URL": f"sqlite:///{tmp_path / 'journal.db'}"})


@pytest.fixture
def opened(settings):
    with BlockingOrchestrator(settings) as orchestrator:
        yield orchestrator


def methods(facade) -> dict[str, inspect.Signature]:
    return {
        name: inspect.signature(method)
        for name, method in inspect.getmembers(facade, inspect.isfunction)
        if not name.startswith("_") and name != "require_own_process"
    }


def test_the_blocking_facade_has_the_same_signatures():
    blocking, of_async = methods(BlockingOrchestrator), methods(Orchestrator)
    assert set(blocking) > {"activate", "status", "resolve"}
    assert blocking == {name: of_async[name] for name in blocking}


WRONG = {
    str: (None, 4711, b"x", ["x"], True, "\ud800"),
    float: (None, "600", math.nan, -1, True),
}


@pytest.mark.parametrize("name", sorted(set(methods(Orchestrator)) - {"open"}))
async def test_every_argument_of_a_wrong_type_is_named(settings, name):
    """Also of methods that are added later: each parameter that has to be text or a time is tried."""
    async with Orchestrator.open(settings) as orchestrator:
        method = getattr(orchestrator, name)
        parameters = inspect.signature(method).parameters.values()
        right = {p.name: "retry" if p.name == "decision" else "x" for p in parameters if p.default is p.empty}
        right |= {"texts": ["x"]} if "texts" in right else {}
        right |= {"ask": "never"} if "ask" in right else {}
        for parameter in parameters:
            kind = float if parameter.name == "timeout" else str
            wrong = WRONG[kind]
            if parameter.default is None:
                wrong = [value for value in wrong if value is not None]
            if parameter.name in {"account_ids", "texts"}:
                wrong = [None, 4711, [4711]]
            for value in wrong:
                with pytest.raises(SettingsError) as raised:
                    await method(**right | {parameter.name: value})
                assert raised.value.code == "argument", (parameter.name, value)
                assert f"{name}({parameter.name}=" in raised.value.message


@pytest.mark.parametrize("value", [None, {}, "sqlite:///x"])
def test_settings_that_are_none(value):
    with pytest.raises(SettingsError, match="load_settings"), BlockingOrchestrator(value):
        pass


@pytest.mark.parametrize("reference", ["", " ", "\n\t", "\u2003"])
def test_a_blank_reference_is_refused_before_anything(opened, reference):
    with pytest.raises(SettingsError) as raised:
        opened.create_account(UNKNOWN, "EUR", reference=reference)
    assert raised.value.code == "reference_blank"


def test_status_takes_one_id_or_several(opened):
    assert opened.status() == opened.status([]) == []
    for accounts in (UNKNOWN, [UNKNOWN], (UNKNOWN,)):  # unknown to the journal, and there is no platform to ask
        with pytest.raises(SettingsError) as raised:
            opened.status(accounts)
        assert raised.value.code == "settings_missing"


def test_outside_of_its_with_statement(settings):
    closed = BlockingOrchestrator(settings)
    for _ in range(2):
        with pytest.raises(SettingsError) as raised:
            closed.status()
        assert raised.value.code == "not_open"
        with closed as orchestrator:
            assert orchestrator.status() == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # from Python 3.12 on, of every fork with threads
def test_a_fork_is_told_at_once_and_leaves_the_other_alone(opened, settings):
    """In the child nothing hangs: neither a call, nor the end of the block, nor the collection of what it has."""
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(20)
        code = 1
        try:
            opened.status()
        except SettingsError as error:
            code = {"forked": 0}.get(error.code, 2)
        opened.__exit__(None, None, None)
        del opened
        with BlockingOrchestrator(settings) as own:
            code += 0 if own.status() == [] else 4
        os._exit(code)
    assert os.waitpid(child, 0) == (child, 0)
    assert opened.status() == []


def test_a_fork_ends_as_any_process(settings):
    """Also where it never leaves the block: what is collected at its end waits for no thread of its parent."""
    import subprocess
    import sys

    code = (
        "import os, sys\nfrom orchestrator import BlockingOrchestrator, load_settings\n"
        "with BlockingOrchestrator(load_settings()) as o:\n"
        "    child = os.fork()\n    if child == 0: sys.exit(7)\n"
        "    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), o.status())\n"
    )
    environment = {**os.environ, "ORCHESTRATOR_DATABASE_URL": settings.database_url}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=60, env=environment
    )
    assert (done.stdout, done.stderr, done.returncode) == ("7 []\n", "", 0)


async def test_the_async_facade_in_a_fork(settings):
    async with Orchestrator.open(settings) as orchestrator:
        orchestrator._made_in -= 1
        with pytest.raises(SettingsError) as raised:
            await orchestrator.status()
        assert raised.value.code == "forked"
