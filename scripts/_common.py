"""What the operators' scripts share: options, exit codes, one copy at a time, whole files, how progress is shown."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import fcntl
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from orchestrator import Disposition, Orchestrator, OrchestratorError, Settings, load_settings

DONE, FAILED, USAGE, OPERATOR, UNWRITTEN, IN_PROGRESS, INTERRUPTED = 0, 1, 2, 3, 74, 75, 130
"""The exit codes of the command ``orchestrator``."""
EXIT_CODES = {"done": DONE, "failed": FAILED, "operator": OPERATOR, "waiting": IN_PROGRESS}
OUTCOMES = {Disposition.RETRY: "waiting", Disposition.STOP: "failed", Disposition.OPERATOR: "operator"}
"""What an error leaves an account in."""
_CODES = """exit codes: 0 done, 1 failed, 2 usage or settings, 3 a person must look,
74 a file could not be written, 75 call again, 130 interrupted"""
_Result = TypeVar("_Result")


class Refused(Exception):
    """Ends the script with a sentence and an exit code."""

    def __init__(self, message: str, code: int = USAGE) -> None:
        super().__init__(message)
        self.code = code


def parser(about: str | None, example: str) -> argparse.ArgumentParser:
    """The options that every script has; ``about``: the script's documentation string."""
    made = argparse.ArgumentParser(
        description=(about or "").strip(),
        epilog=f"example:\n  {example}\n\n{_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    made.add_argument("--json", action="store_true", help="one JSON document on stdout, nothing else there")
    made.add_argument("--config", metavar="FILE", type=Path, help="settings in a TOML file; the environment wins")
    return made


def positive(text: str) -> int:
    """A whole number above 0, for ``type=``."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def script(main: Callable[[], int]) -> None:
    """Runs ``main`` and ends the process with its exit code; each failure is one line on stderr, never a traceback."""
    try:
        code = main()
    except Refused as refused:
        tell(str(refused))
        code = refused.code
    except OrchestratorError as error:
        tell(sentence(error))
        code = exit_code(error)
    except (KeyboardInterrupt, asyncio.CancelledError):
        tell("interrupted: nothing is lost, run it again")
        code = INTERRUPTED
    except OSError as error:
        tell(f"{error.filename or 'the output'}: {error.strerror or error}; what was done is done, run it again")
        code = UNWRITTEN
        with contextlib.suppress(OSError):
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123  else the interpreter fails again at its end
    sys.exit(code)


def settings(options: argparse.Namespace) -> Settings:
    """Raises SettingsError."""
    return load_settings(None, options.config)


def with_orchestrator(
    given: Settings, work: Callable[[Orchestrator], Awaitable[_Result]], *, create: bool | None = True
) -> _Result:
    """Runs ``work`` with an open orchestrator. SIGTERM ends it as Ctrl-C does. ``create``: as ``Orchestrator.open``."""

    async def body() -> _Result:
        task = asyncio.current_task()
        assert task is not None, "asyncio.run makes one"
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        async with Orchestrator.open(given, create=create) as orchestrator:
            return await work(orchestrator)

    return asyncio.run(body())


def command(options: argparse.Namespace, *arguments: str, environment: dict[str, str] | None = None) -> tuple[int, Any]:
    """The command ``orchestrator`` with ``--json``: its exit code and its document (None where it printed none)."""
    config = () if options.config is None else ("--config", str(options.config))
    words = (sys.executable, "-m", "orchestrator.cli.main", "--json", *config, *arguments)
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=os.environ | (environment or {}))
    for line in done.stderr.splitlines():
        tell(line)
    try:
        return done.returncode, json.loads(done.stdout)
    except ValueError:
        return done.returncode, None


def exit_code(error: OrchestratorError) -> int:
    """Of an error that keeps the whole script from its work."""
    if error.disposition is Disposition.STOP:
        return USAGE
    return EXIT_CODES[OUTCOMES[error.disposition]]


def worst(codes: Sequence[int]) -> int:
    """Of several accounts: the worst, in the order 1, 3, 75, 0, as the command has it."""
    return next((code for code in (FAILED, OPERATOR, IN_PROGRESS) if code in codes), DONE)


def sentence(error: OrchestratorError) -> str:
    return f"{error.code}: {error.message}" + (f" {error.fix}" if error.fix else "")


# --- files ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def only_copy(path: Path) -> Iterator[None]:
    """No other process works on ``path`` meanwhile, by a lock beside it that ends with its process, killed or not.
    Raises Refused (75) where another does."""
    lock = path.with_name(f".{path.name}.lock")
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise Refused(f"{lock}: {error.strerror}", UNWRITTEN) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(f"{path}: another copy of this script is at work on it", IN_PROGRESS) from None
        yield
    finally:
        os.close(descriptor)


def write_whole(path: Path, data: str | bytes) -> None:
    """The file has the old bytes or the new ones, whatever happens: 0600, synced. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        temporary.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """A folder of this user's alone, unless it is there. Raises OSError."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError:
        raise OSError(errno.ENOTDIR, "expected a folder, got something else there", str(path)) from None


# --- what is shown -------------------------------------------------------------------------------------------------


def clean(text: str) -> str:
    """Text of others without what moves a terminal's cursor or hides."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)


def tell(line: str) -> None:
    """A line on stderr."""
    sys.stderr.write(clean(line) + "\n")
    sys.stderr.flush()


def answer(options: argparse.Namespace, document: dict[str, Any], lines: Sequence[str]) -> None:
    """On stdout: with ``--json`` the document on a line, else the lines. Raises OSError."""
    text = json.dumps(document) if options.json else "\n".join(map(clean, lines))
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


class Shown:
    """Progress on stderr: a bar on a terminal, with the troubles above it; elsewhere a line for each change."""

    def __init__(self, total: int, what: str) -> None:
        console = Console(stderr=True, highlight=False, markup=False)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, console=console, transient=True) if sys.stderr.isatty() else None
        self._task = None if self._bar is None else self._bar.add_task(what, total=total)

    def __enter__(self) -> Shown:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def change(self, line: str, *, ended: bool = False, trouble: bool = False) -> None:
        """``ended``: one more of the total is through."""
        if self._bar is None or self._task is None:
            tell(line)
            return
        if trouble:
            self._bar.console.print(clean(line), soft_wrap=True)
        if ended:
            self._bar.advance(self._task)
