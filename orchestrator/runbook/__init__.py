"""The runbook: what each error code means and what to do about it, where an error's own ``fix`` does not say it more
closely (``advice``).

From it come the line ``→`` below an error and below a halted report, ``fix`` in ``--json``, the advice of ``doctor``
and the documentation's table of codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from orchestrator.errors import Disposition, OrchestratorError
from orchestrator.runbook.account import CHALLENGES, CREATION, OPERATIONS
from orchestrator.runbook.chain import CLOSURE, DEVNET, NODE, WALLETS
from orchestrator.runbook.entry import Entry
from orchestrator.runbook.local import COMMAND, JOURNAL, KEYS, KEYSTORE, PEOPLE, POLICY
from orchestrator.runbook.platform import PLATFORM, REQUEST_KEYS

__all__ = ["CHAPTERS", "RUNBOOK", "Entry", "advice", "advice_for"]

CHAPTERS: Final[Mapping[str, tuple[Entry, ...]]] = MappingProxyType(
    {
        "Operations": OPERATIONS,
        "Creation": CREATION,
        "Challenges and signatures": CHALLENGES,
        "Wallets": WALLETS,
        "Closure and certificates": CLOSURE,
        "The platform": PLATFORM,
        "Request-signing keys": REQUEST_KEYS,
        "The node": NODE,
        "Keys": KEYS,
        "Keystore": KEYSTORE,
        "People": PEOPLE,
        "Policy": POLICY,
        "Journal": JOURNAL,
        "Command and settings": COMMAND,
        "Devnet": DEVNET,
    }
)
"""Each part of the runbook, in the order in which the documentation shows them."""

RUNBOOK: Final[Mapping[str, Entry]] = MappingProxyType(
    {entry.code: entry for entries in CHAPTERS.values() for entry in entries}
)

_BY_DISPOSITION: Final = {
    Disposition.RETRY: "This may pass: wait a moment and run it again.",
    Disposition.OPERATOR: "Compare what is said with what you expect of the other side; its operator may have to look.",
    Disposition.STOP: "Mend what is named, then run it again.",
}


def advice(error: OrchestratorError) -> str:
    """What to do about an error, in a sentence: its own word where it has one, else the runbook's."""
    return error.fix or advice_for(error.code, error.disposition)


def advice_for(code: str, disposition: Disposition = Disposition.OPERATOR) -> str:
    """What to do about a code. A code of the platform's own, which no runbook knows, gets its disposition's advice."""
    entry = RUNBOOK.get(code)
    return entry.advice if entry is not None else _BY_DISPOSITION[disposition]
