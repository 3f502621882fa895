"""Where output goes never changes a verdict or the work: a reader that is gone, a full disk, closed streams, ASCII."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
from contextlib import ExitStack
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from orchestrator.blocking import BlockingOrchestrator
from orchestrator.cli import streams
from orchestrator.cli.certificate import show
from orchestrator.closure.certificate.verifier import verify
from orchestrator.journal.store import Journal
from tests.cli.test_verify_closure import CLOSED, OPEN, node  # noqa: F401 - a fixture
from tests.e2e.commands import COMMAND, CommandLine
from tests.forked import Forked
from tests.profile import FULL, full_only

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")

CERTIFICATE = Path(__file__).parents[1] / "closure" / "certificates" / "v2-signed.json"
SINKS = ("gone", "full", "closed", "all closed", "full, and stderr gone")
LOCAL = {
    "--help": ("--help",),
    "--version": ("--version",),
    "close --help": ("close", "--help"),
    "schema": ("schema", "operation"),
    "status": ("status",),
    "journal": ("journal",),
    "journal --verify": ("journal", "--verify"),
    "stop-signing": ("stop-signing",),
    "certificate verify": ("certificate", "verify", str(CERTIFICATE)),
    "certificate as html": ("certificate", "verify", str(CERTIFICATE), "--format", "html"),
    "doctor": ("doctor",),
    "policy show": ("policy", "show"),
    "keys list": ("keys", "list"),
}
"""Commands that need no other side; all have something to say on stdout."""


@pytest.fixture
def alone(alone):
    """With a journal, which commands that only read do not make."""

    async def make() -> None:
        await (await Journal.open(alone.environment["ORCHESTRATOR_DATABASE_URL"])).close()

    asyncio.run(make())
    return alone


def into(sink: str, cli: CommandLine, *arguments: str, **environment: str) -> tuple[int, str]:
    """A process of its own, its stdout (and stderr) such a sink. The exit code, and stderr."""
    command = [*COMMAND, *arguments]
    redirection = {"closed": ">&-", "all closed": "<&- >&- 2>&-"}.get(sink)
    with ExitStack() as stack:
        streams_given = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        if "full" in sink:
            streams_given["stdout"] = stack.enter_context(Path("/dev/full").open("wb"))
        if "gone" in sink:
            reading, writing = os.pipe()
            os.close(reading)
            stack.callback(os.close, writing)
            streams_given["stderr" if "stderr" in sink else "stdout"] = writing
        process = (Forked if redirection is None else subprocess.Popen)(
            command if redirection is None else ["/bin/sh", "-c", f'exec "$@" {redirection}', "sh", *command],
            env={**cli.environment, **environment},
            stdin=subprocess.DEVNULL,
            **streams_given,
        )
        _, err = process.communicate(timeout=120)
    return process.returncode, (err or b"").decode()


def lost(sink: str, code: int, err: str) -> None:
    """The code of a lost output; nothing else but one sentence about it, where it can be said."""
    assert code == streams.UNWRITTEN == 74, err
    for word in ("defect", "Traceback", "Exception ignored", "Error"):
        assert word not in err
    told = [line for line in err.splitlines() if "could not be written" in line]
    assert len(told) == ("stderr" not in sink and sink != "all closed"), err


CASES = [
    (sink, name, form)
    for number, (name, sink, form) in enumerate(itertools.product(LOCAL, SINKS, ("text", "json")))
    if FULL or number % 23 == 0  # each is a process: some of all combinations
]


@pytest.mark.parametrize(("sink", "name", "form"), CASES)
def test_output_that_is_lost_is_74(alone, sink, name, form):
    code, err = into(sink, alone, *LOCAL[name], *(["--json"] if form == "json" else []))
    lost(sink, code, err)


@pytest.mark.parametrize("sink", SINKS if FULL else ["gone"])
def test_a_verdict_that_nobody_can_read_is_no_verdict(alone, node, sink):  # noqa: F811
    forms: tuple[tuple[str, ...], ...] = ((), ("--json",))
    for address, form in itertools.product((OPEN, CLOSED), forms) if FULL else ((OPEN, forms[0]),):
        lost(sink, *into(sink, alone, "verify-closure", address, "--rpc-url", node.url, *form))


@pytest.mark.parametrize("sink", SINKS if FULL else ["full"])
def test_an_error_s_document_that_is_lost_is_74_and_its_text_is_not(alone, sink):
    words = ("activate", "not-a-uuid")
    lost(sink, *into(sink, alone, *words, "--json"))
    code, err = into(sink, alone, *words)
    assert (code, "could not be written" in err) == (2, False), "an error is told on stderr"


@pytest.mark.parametrize("sink", ["gone", "all closed"] if FULL else ["gone"])
def test_the_work_is_done_whatever_becomes_of_its_output(devnet, cli, sink):
    with BlockingOrchestrator(cli.settings()) as orchestrator:
        ids = [orchestrator.create_account(devnet.programme.customer_id, "EUR").account_id for _ in range(2)]
    lost(sink, *into(sink, cli, "activate", *ids, "--json"))
    told = [cli.json("status", account) for account in ids]
    assert [(one["operation"], one["outcome"]) for one in told] == [("activate", "done")] * 2
    lost(sink, *into(sink, cli, "close", ids[0], "--yes"))
    assert cli.json("status", ids[0])["outcome"] == "done"
    if FULL:
        lost(sink, *into(sink, cli, "accounts", "list"))
    assert cli.json("journal", "--verify")["valid"]


def test_progress_that_nobody_reads_is_no_trouble(devnet, cli):
    with BlockingOrchestrator(cli.settings()) as orchestrator:
        account = orchestrator.create_account(devnet.programme.customer_id, "EUR").account_id
    reading, writing = os.pipe()
    os.close(reading)
    process = Forked(
        [*COMMAND, "activate", account, "--json"], env=cli.environment, stdout=subprocess.PIPE, stderr=writing
    )
    os.close(writing)
    told, _ = process.communicate(timeout=120)
    assert (process.returncode, b'"outcome": "done"' in told) == (0, True)


def test_a_devnet_that_nobody_can_find_ends(alone):
    lost("gone", *into("gone", alone, "devnet", "up", "--json"))


@full_only("a demo's start")
def test_a_demo_that_nobody_watches_ends(alone):
    code, err = into("gone", alone, "demo")
    lost("gone", code, err)
    assert "activate" not in err, "not after the first step"


ASCII = [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}]


@pytest.mark.parametrize("environment", ASCII)
def test_an_ascii_terminal_shows_the_whole_text(alone, node, environment):  # noqa: F811
    commands = (
        (("close", "--help"), 0),
        (("accounts", "list"), 2),
        (("certificate", "verify", str(CERTIFICATE)), 0),
        (("verify-closure", OPEN, "--rpc-url", node.url), 1),
    )
    for command, code in commands if FULL else commands[ASCII.index(environment) : 3 : 2]:
        there = alone.here(*command)
        words = [*COMMAND, *command]
        told = subprocess.run(words, env=alone.environment | environment, capture_output=True, text=True)
        assert (told.returncode, there.code) == (code, code), told.stderr
        assert (told.stdout + told.stderr).isascii()
        assert len(told.stdout.splitlines()) >= len(there.stdout.splitlines())


def test_a_page_is_utf_8_whatever_the_terminal_is(alone):
    words = [*COMMAND, *LOCAL["certificate as html"]]
    done = subprocess.run(words, env={**alone.environment, "PYTHONIOENCODING": "latin-1"}, capture_output=True)
    assert done.stdout.decode("utf-8") == alone.here(*LOCAL["certificate as html"]).stdout


_DESCRIPTORS = """
import os, sys
from orchestrator.cli import streams
from orchestrator.cli.certificate import show
from orchestrator.closure.certificate.verifier import verify
streams.guard()
opened = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
print("into nothing \\udcff \\u2026")
os.write(2, b"nor this")
os._exit(0 if opened > 2 and streams.lost() and sys.stdin.read() == "" else 1)
"""


def test_no_file_gets_the_number_of_a_closed_stream(tmp_path):
    """Else what is written on stderr by mistake, or by a child, would go into the journal's database."""
    file = tmp_path / "database"
    words = [sys.executable, "-c", _DESCRIPTORS, str(file)]
    done = subprocess.run(["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *words])
    assert (done.returncode, file.read_bytes()) == (0, b"")


def test_a_pipe_that_is_full_is_waited_for(alone):
    """A parent that made the pipe non-blocking, and reads slowly, gets all of it."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    process = subprocess.Popen([*COMMAND, *LOCAL["certificate as html"]], env=alone.environment, stdout=writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as source:
        data = source.read()
    assert process.wait() == 0
    assert data.endswith(b"</html>\n")


def test_no_line_ends_in_blanks(alone):
    for words in (LOCAL["certificate verify"], LOCAL["policy show"], LOCAL["doctor"]):
        lines = alone.here(*words).stdout.splitlines()
        assert lines
        assert not [line for line in lines if line != line.rstrip()]


def test_a_narrow_terminal_breaks_between_words_only():
    text = StringIO()
    report = verify(CERTIFICATE.read_bytes())
    show(Console(file=text, width=80, highlight=False, emoji=False), report)
    shown = text.getvalue()
    said = [word for check in report.checks for word in check.detail.split()]
    assert set(said) <= set(shown.split())
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= 80


def test_examples_stay_on_a_line(alone):
    wide = "Example: orchestrator keys import alice --keystore-file ./UTC--2026-01-01T00-00-00Z--0123abcd"
    assert wide in [line.strip() for line in alone.here("keys", "import", "--help", COLUMNS="60").stdout.splitlines()]
