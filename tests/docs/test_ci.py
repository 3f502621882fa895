"""What `.ci/run` does, with stand-ins for the programs that would change this machine."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.docs.markdown import ROOT

RUN = ROOT / ".ci" / "run"
PACKAGES = ["git", "make", "python3", "python3-venv", "softhsm2"]


@pytest.fixture
def programs(tmp_path) -> Path:
    """A folder of stand-ins: apt-get, make and sudo note that they were called; only git is installed."""
    folder = tmp_path / "programs"
    folder.mkdir()
    note = f'echo "$(basename "$0") $*" >> {tmp_path}/calls'
    scripts = {
        "apt-get": note,
        "make": note,
        "sudo": f'{note}\nexec "$@"',
        "dpkg-query": 'case "$*" in *" git") echo installed;; *) exit 1;; esac',
    }
    for name, text in scripts.items():
        (folder / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
        (folder / name).chmod(0o755)
    return folder


def run(programs: Path, *arguments: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    done = subprocess.run(
        [RUN, *arguments],
        cwd=programs,
        env={"PATH": f"{programs}{os.pathsep}/usr/bin{os.pathsep}/bin"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    calls = programs.parent / "calls"
    return done, calls.read_text().splitlines() if calls.exists() else []


def test_it_reads_the_packages_from_the_readme(programs):
    done, calls = run(programs, "--list")
    assert (done.returncode, done.stdout.split(), calls) == (0, PACKAGES, [])


def test_only_what_is_missing_is_installed(programs):
    done, calls = run(programs)
    assert done.returncode == 0, done.stderr
    calls = [call for call in calls if not call.startswith("sudo")]
    assert calls[0].startswith("apt-get update")
    assert calls[1].startswith("apt-get install")
    assert calls[1].split()[-4:] == ["make", "python3", "python3-venv", "softhsm2"]
    assert calls[2:] == ["make check test-all"]


def test_nothing_is_installed_where_all_is_there(programs):
    (programs / "dpkg-query").write_text("#!/bin/sh\necho installed\n")
    done, calls = run(programs)
    assert (done.returncode, calls) == (0, ["make check test-all"]), done.stderr


def test_a_failing_check_fails_the_run(programs):
    (programs / "dpkg-query").write_text("#!/bin/sh\necho installed\n")
    (programs / "make").write_text("#!/bin/sh\nexit 2\n")
    assert run(programs)[0].returncode == 2
