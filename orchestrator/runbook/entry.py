"""One row of the runbook."""

from __future__ import annotations

from typing import NamedTuple

from orchestrator.errors import Disposition

OPERATOR, RETRY, STOP = Disposition.OPERATOR, Disposition.RETRY, Disposition.STOP


class Entry(NamedTuple):
    """What an error's code means and what its reader can do.

    ``disposition`` is the usual one: an error may carry another where it knows more. ``happened`` is a clause,
    ``advice`` one or two sentences; both are plain text that may hold `code`.
    """

    code: str
    disposition: Disposition
    happened: str
    advice: str
