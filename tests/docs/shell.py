"""Runs the commands of a document as a reader does: one shell after the other, in a folder of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.devnet.toolchain import user_cache
from tests.departures import none_told
from tests.docs.markdown import Command, missing

SECONDS = 800


@dataclass(frozen=True)
class Shell:
    """A shell in ``folder``, with a home there, the program and this Python first on PATH, and no settings."""

    folder: Path

    def environment(self) -> dict[str, str]:
        programs = Path(sys.executable).parent
        return {
            "HOME": str(self.folder),
            "XDG_CACHE_HOME": str(user_cache().parents[1]),  # an Anvil that is there is not fetched again
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "LANG": "C.UTF-8",
            "COLUMNS": "240",
        }

    def run(self, commands: Sequence[Command]) -> None:
        """Runs them all in one shell; fails with the command that does not do what the document says."""
        script = "".join(f'{command.words}\necho "<<< exit $? >>>"\n' for command in commands)
        done = subprocess.run(
            ["bash", "-u", "-o", "pipefail", "-c", script],
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        none_told(done.stderr)
        ended = re.split(r"<<< exit (\d+) >>>\n", done.stdout)
        outputs, codes = ended[0::2], [int(code) for code in ended[1::2]]
        assert len(codes) == len(commands), f"the shell ended early: {done.stdout[-500:]} {done.stderr[-2000:]}"
        for command, output, code in zip(commands, outputs, codes, strict=False):
            assert code == command.code, (
                f"$ {command.words}\nexit {code}, expected {command.code}\n{output}{done.stderr}"
            )
            absent = missing(command.output, output)
            assert absent is None, f"$ {command.words}\ndoes not print {absent!r}, but\n{output}"
