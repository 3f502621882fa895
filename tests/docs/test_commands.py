"""The documents' commands and snippets, run: what they show is what a reader gets."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
import tomllib

import pytest

from orchestrator.devnet.remote import announced
from orchestrator.policy.document import Policy, parse_policy
from orchestrator.settings import load_settings
from tests.departures import none_told
from tests.docs.markdown import DOCUMENTS, ROOT, Block, Command, blocks, consoles, missing, text
from tests.docs.shell import Shell
from tests.e2e.commands import wait_for
from tests.profile import full_only

full = full_only("what a reader would type, in a shell")


def _named(block: Block) -> str:
    return block.place


def test_each_console_block_says_how_it_is_run():
    found = blocks("console")
    assert found
    assert [one.place for one in found if one.run not in {"quick", "devnet", "background", "demo", "suite"}] == []


@full
def test_no_placeholder_is_left():
    left = [word for name in DOCUMENTS for word in re.findall(r"\b(?:TIME|TEST|DATE)_[A-Z]+\b", text(name))]
    assert left == []


@pytest.mark.parametrize("block", consoles("quick"), ids=_named)
def test_commands_that_need_nothing(block, tmp_path):
    Shell(tmp_path).run(block.commands())


@full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("document", sorted({block.document for block in consoles("devnet")}))
def test_commands_on_a_devnet(document, devnet, tmp_path, monkeypatch):
    """All blocks of a page one after the other, as they are read: a later one may rest on an earlier one."""
    folder = tmp_path / "reader"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))  # the reader's, where her commands look for the devnet
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    found = [block for block in consoles("devnet") if block.document == document]
    with announced(devnet.document()):
        Shell(folder).run([command for block in found for command in block.commands()])


@full
def test_the_devnet_in_the_other_terminal(tmp_path):
    (block,) = consoles("background")
    (command,) = block.commands()
    screen = tmp_path / "screen"
    with screen.open("w") as output:
        process = subprocess.Popen(
            ["bash", "-c", f"exec {command.words}"],
            cwd=tmp_path,
            env=Shell(tmp_path).environment(),
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
        )
    try:
        wait_for(lambda: process.poll() is not None or "\nready" in screen.read_text(), seconds=120, what="the devnet")
        assert process.poll() is None, process.communicate()
        assert missing(command.output, screen.read_text()) is None
    finally:
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0
    none_told(stderr)


@full
def test_the_demo_prints_what_the_readme_shows(tmp_path):
    (block,) = consoles("demo")
    (command,) = block.commands()
    assert command.words == "make demo", "which runs orchestrator demo, after its set-up"
    assert "orchestrator demo" in (ROOT / "Makefile").read_text()
    Shell(tmp_path).run([Command("orchestrator demo", command.code, command.output)])


# --- snippets ----------------------------------------------------------------------------------------------------


SNIPPETS = blocks("python")
TESTS = [block for block in SNIPPETS if "def test_" in block.text]
"""Run by ``tests/packaging``, in a project of their own."""


@pytest.fixture
def reader(devnet, monkeypatch, tmp_path):
    """The process as a reader's: settings in the environment, a journal of its own, the customer as the argument."""
    for name, value in devnet.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ORCHESTRATOR_DATABASE_URL", f"sqlite:///{tmp_path / 'journal.db'}")
    monkeypatch.setenv("ORCHESTRATOR_POLL_INTERVAL", "0.1")
    monkeypatch.setattr(sys, "argv", ["order.py", devnet.programme.customer_id])
    return {"customer_id": devnet.programme.customer_id}


def test_there_is_a_snippet_of_each_kind():
    kinds = sorted("test" if block in TESTS else "async" if "await" in block.text else "blocking" for block in SNIPPETS)
    assert kinds == ["async", "blocking", "test"]


@pytest.mark.parametrize("block", [block for block in SNIPPETS if block not in TESTS], ids=_named)
async def test_a_snippet_runs(block, reader, capsys):
    await asyncio.to_thread(exec, compile(block.text, block.document, "exec"), reader)
    assert re.fullmatch(r"done eip155:31337:0x[0-9a-fA-F]{40}\n", capsys.readouterr().out)


def test_the_settings_file_is_one(tmp_path):
    (block,) = [block for block in blocks("toml") if "platform_url" in block.text]
    given = tomllib.loads(block.text)
    file = tmp_path / "orchestrator.toml"
    file.write_text(block.text)
    assert load_settings({}, file).platform_url == given["platform_url"]


def test_the_policys_defaults_are_those_shown():
    (block,) = [block for block in blocks("toml") if block.text.startswith("version = 1")]
    assert parse_policy(block.text, block.place) == Policy()
    shown = tomllib.loads(block.text)
    assert {part: set(shown[part]) for part in ("challenge", "keys", "approvals")} == {
        part: set(type(getattr(Policy(), part)).model_fields) for part in ("challenge", "keys", "approvals")
    }
