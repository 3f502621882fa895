"""The process' standard streams, so that what becomes of its output never changes what it does.

A reader may be gone, a disk full, a stream closed before the start (``>&-``), a terminal's alphabet ASCII. Whatever is
written then goes nowhere, without an error in the middle of the work; at its end the exit code is ``UNWRITTEN``.
"""

from __future__ import annotations

import codecs
import io
import os
import select
import sys
from typing import TYPE_CHECKING, BinaryIO, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

UNWRITTEN = 74
"""Exit code of a command whose output could not be written: EX_IOERR of sysexits.h."""

_TWINS = {"…": "...", "→": "->", "—": "-", "·": "|", "✓": "*"}
"""Signs of the command's own texts, as an alphabet without them has them."""
_ERRORS = "orchestrator.cli.streams"


class OutputLost(Exception):
    """What was written on stdout reached nobody, and without that the command has no point."""


class _Raw(io.FileIO):
    """A descriptor on which writing never fails: after the first failure, kept in ``lost``, all goes nowhere."""

    lost: OSError | None = None

    def write(self, data: ReadableBuffer, /) -> int:
        size = memoryview(data).nbytes
        while self.lost is None:
            try:
                written = super().write(data)
            except OSError as error:
                self.lost = error
            else:
                if written is not None:
                    return written
                select.select((), (self,), ())  # somebody made the descriptor non-blocking
        return size


class _Stream(io.TextIOWrapper):
    """Text on such a descriptor. What the alphabet lacks is replaced."""

    def __init__(self, descriptor: int, before: TextIO | None) -> None:
        self.raw = _Raw(descriptor, "w", closefd=False)
        self.bytes = io.BufferedWriter(self.raw)
        super().__init__(
            self.bytes,
            encoding=getattr(before, "encoding", None) or "utf-8",
            errors=_ERRORS,
            newline="\n",
            line_buffering=getattr(before, "line_buffering", True),
        )

    @property
    def buffer(self) -> BinaryIO:
        """Hidden: click writes UTF-8 there, past an alphabet that it takes for a mistake."""
        raise AttributeError("buffer")


def guard() -> None:
    """Sees to it that stdin, stdout and stderr are there and that writing never raises; ``lost`` says what failed.

    Streams that are not the process' own (those of a test) are left. SIDE EFFECTS: for the process, and for good. A
    closed descriptor of the three is taken by ``/dev/null``: else the next file that is opened would get its number,
    and what is written by mistake, or by a child, would go into that file.
    """
    # On stdout's a descriptor that can only be read: what is written there, and nowhere, must be seen.
    for descriptor, flags in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        _fill(descriptor, flags)
    codecs.register_error(_ERRORS, _replaced)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - the process' own, until it ends
    sys.stdout = _guarded(1, sys.stdout)
    sys.stderr = _guarded(2, sys.stderr)


def lost() -> OSError | None:
    """Why stdout could not be written; None where all that was written has arrived."""
    sys.stdout.flush()
    return sys.stdout.raw.lost if isinstance(sys.stdout, _Stream) else None


def require_reader() -> None:
    """For what has no point unless it is read. Raises OutputLost."""
    if lost() is not None:
        raise OutputLost


def write_document(text: str) -> None:
    """Writes a document whose format says that it is UTF-8, whatever the terminal's alphabet is."""
    sys.stdout.flush()
    if isinstance(sys.stdout, _Stream):
        sys.stdout.bytes.write(text.encode("utf-8"))
    else:
        sys.stdout.write(text)
    sys.stdout.flush()


def _guarded(descriptor: int, stream: TextIO | None) -> TextIO:
    if stream is not None and not _is_own(stream, descriptor):
        return stream
    return _Stream(descriptor, stream)


def _is_own(stream: TextIO, descriptor: int) -> bool:
    try:
        return not isinstance(stream, _Stream) and stream.fileno() == descriptor
    except (OSError, ValueError, AttributeError):
        return False


def _fill(descriptor: int, flags: int) -> None:
    try:
        os.fstat(descriptor)
    except OSError:
        opened = os.open(os.devnull, flags)
        if opened != descriptor:
            os.dup2(opened, descriptor)
            os.close(opened)


def _replaced(error: UnicodeError) -> tuple[str, int]:
    """A codec's answer for what it cannot encode: the sign's twin, else its escape, which loses nothing."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(_TWINS.get(sign) or sign.encode("ascii", "backslashreplace").decode() for sign in text), error.end
