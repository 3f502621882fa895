"""The documentation's page of the runbook, written from the table in code: ``python -m tests.docs.runbook_page``."""

from __future__ import annotations

import re
from pathlib import Path

from orchestrator.runbook import CHAPTERS

PAGE = Path(__file__).parents[2] / "docs" / "runbook.md"
_HEAD = """\
# Runbook: error codes

Each error has a stable code, a sentence and one of three dispositions:

- `retry`: transient. The same call may succeed later; the orchestrator itself repeats it while it waits.
- `stop`: final for this input. Another input or another setting is needed; where a setting, an argument or a file is at
  fault, the exit code is 2.
- `operator`: a person must look. The operation halts, and nothing is signed for it, until the cause has passed or a
  person [resolves it](operating.md#decide-for-a-halted-account).

The advice below is also the line `→` under an error and under a report, `fix` in `--json` and `report.error.fix` in the
library. Where the cause is known more closely, that line says more than this page. A code that is not here is the
platform's own; its message has the platform's words.

This page is written from `orchestrator/runbook/` by `python -m tests.docs.runbook_page`.
"""
_COMMANDS = (
    "accounts|activate|adopt|approve|check|close|create|doctor|enable|explain|export|history|import|journal|keys|list|"
    "policy|probe|reactivate|request|resume-signing|resume|schema|show|status|stops|upload|verify-closure"
)
_NAMES = re.compile(
    rf"(ORCHESTRATOR_[A-Z_]+|https://[^\s,]+[^\s,.]|resolve --[a-z]+|--[a-z][a-z-]*(?: [A-Z]+(?![a-z]))?"
    rf"|orchestrator(?: (?:{_COMMANDS})\b)+(?: [A-Z_]{{2,}}| --[a-z]+)*|openssl .*pem)"
)


def page() -> str:
    """The page's text."""
    parts = [_HEAD]
    for title, rows in CHAPTERS.items():
        parts.append(f"\n## {title}\n\n| code | disposition | what happened | what to do |\n|---|---|---|---|\n")
        parts += [
            f"| `{row.code}` | {row.disposition} | {_code(row.happened)} | {_code(row.advice)} |\n" for row in rows
        ]
    return "".join(parts)


def _code(text: str) -> str:
    """With names of settings and commands as code."""
    return _NAMES.sub(r"`\1`", text.replace("|", "\\|"))


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page())
