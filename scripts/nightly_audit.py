"""Proves every closure of the journal again, and tells somebody where one
does not hold.

With --folder it also writes audit.json, audit.txt and audit.html (with a
chart of the last nights). --alert-command is run with the report on its
standard input, and --alert-url gets it as a POST, where anything but "all
hold" comes out, the audit's own failure included.

Exit codes of its own: 0 all hold, 1 one does not, 3 one is unknown.
"""

from __future__ import annotations

import argparse
import html
import json
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from _common import (
    DONE,
    FAILED,
    OPERATOR,
    Refused,
    answer,
    clean,
    exit_code,
    make_folder,
    only_copy,
    parser,
    script,
    sentence,
    settings,
    tell,
    with_orchestrator,
    write_whole,
)

from orchestrator import OrchestratorError

NIGHTS = 30
"""Nights that the chart shows."""
_RESULTS = ("holds", "fails", "unknown")
_COLOURS = {"holds": "#2e7d32", "fails": "#c62828", "unknown": "#f9a825"}
_ALERT_SECONDS = 60


def audited(options: argparse.Namespace) -> tuple[int, dict[str, Any]]:
    """The exit code, and the document: the audit's, or ``error`` where none could be made."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        report = with_orchestrator(settings(options), lambda o: o.audit(), create=False)
    except OrchestratorError as error:
        return exit_code(error), {"at": at, "error": {"code": error.code, "message": sentence(error)}}
    code = FAILED if report.fails else OPERATOR if report.unknown else DONE
    return code, {"at": at} | report.document()


def told(document: Mapping[str, Any]) -> list[str]:
    """The report in words: first what does not hold."""
    if "error" in document:
        return [f"{document['at']}  no audit was made: {document['error']['message']}"]
    counts = ", ".join(f"{document[result]} {result}" for result in _RESULTS)
    lines = [f"{document['at']}  {len(document['closures'])} closures: {counts}"]
    for one in _worst_first(document):
        lines += [f"{one['result']:<8}{one['accountId']}  {one['verdict']}"]
        if one["result"] != "holds":
            lines += [f"        {one['address']}", f"        {one['reason']}: {one['detail']}"]
    return [clean(line) for line in lines]


def _worst_first(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    order = {"fails": 0, "unknown": 1, "holds": 2}
    return sorted(document.get("closures", ()), key=lambda one: order[one["result"]])


# --- the page --------------------------------------------------------------------------------------------------------


def history(path: Path) -> list[dict[str, Any]]:
    """The nights before, from audit.json. A file that is damaged is no reason to make no audit: it is begun again."""
    try:
        nights = json.loads(path.read_text(encoding="utf-8"))["nights"]
        return [{"at": str(one["at"]), **{result: int(one[result]) for result in _RESULTS}} for one in nights[-NIGHTS:]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        tell(f"{path}: cannot be read as a report of this script: the chart begins anew")
        return []


def chart(nights: Sequence[Mapping[str, Any]]) -> str:
    """A column for each night, as SVG: how many closures hold, fail, are unknown."""
    most = max((sum(one[result] for result in _RESULTS) for one in nights), default=0) or 1
    bars = []
    for place, one in enumerate(nights):
        top = 100.0
        for result in _RESULTS:
            height = 96 * one[result] / most
            top -= height
            bars.append(
                f'<rect x="{place * 20 + 2}" y="{top:.2f}" width="16" height="{height:.2f}" fill="{_COLOURS[result]}">'
                f"<title>{html.escape(one['at'])}: {one[result]} {result}</title></rect>"
            )
    width = NIGHTS * 20
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} 101" width="{width}" height="101" role="img" '
        f'aria-label="closures of the last {len(nights)} nights">{"".join(bars)}'
        f'<line x1="0" y1="100.5" x2="{width}" y2="100.5" stroke="#888"/></svg>'
    )


def page(document: Mapping[str, Any], nights: Sequence[Mapping[str, Any]]) -> str:
    """One self-contained page: nothing is loaded, and every word of others is escaped."""
    heads = ("result", "account", "address", "verdict", "why")
    rows = [
        (one["result"], one["accountId"], one["address"], one["verdict"], f"{one['reason']}: {one['detail']}")
        for one in _worst_first(document)
    ]
    cells = "".join(
        f'<tr class="{row[0]}">' + "".join(f"<td>{html.escape(clean(str(cell)))}</td>" for cell in row) + "</tr>\n"
        for row in rows
    )
    style = "body{font:14px sans-serif;margin:2em}td,th{text-align:left;padding:.2em .8em .2em 0}" + "".join(
        f".{result} td:first-child{{color:{colour};font-weight:bold}}" for result, colour in _COLOURS.items()
    )
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Audit of closures</title>\n'
        f"<style>{style}</style></head><body>\n<h1>Audit of closures</h1>\n"
        f"<p>{html.escape(told(document)[0])}</p>\n{chart(nights)}\n"
        f"<table><tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr>\n{cells}</table>\n</body></html>\n"
    )


def write(folder: Path, document: dict[str, Any]) -> None:
    """SIDE EFFECTS: the three files. Raises OSError."""
    with only_copy(folder / "audit.json"):
        nights = history(folder / "audit.json")
        if "error" not in document:
            nights = [*nights, {name: document[name] for name in ("at", *_RESULTS)}][-NIGHTS:]
        write_whole(folder / "audit.json", json.dumps(document | {"nights": nights}, indent=2) + "\n")
        write_whole(folder / "audit.txt", "\n".join(told(document)) + "\n")
        write_whole(folder / "audit.html", page(document, nights))


# --- the alert -------------------------------------------------------------------------------------------------------


class _NoRedirects(HTTPRedirectHandler):
    """A report goes where the operator said, and nowhere else."""

    def redirect_request(self, *_: Any) -> None:
        return None


def alert(options: argparse.Namespace, document: Mapping[str, Any]) -> bool:
    """Whether everybody who is to be told was told. SIDE EFFECTS: the command, the request."""
    reached = True
    if options.alert_command:
        try:
            subprocess.run(
                shlex.split(options.alert_command),
                input="\n".join(told(document)) + "\n",
                stdout=sys.stderr,
                text=True,
                check=True,
                timeout=_ALERT_SECONDS,
            )
        except (OSError, subprocess.SubprocessError) as error:
            tell(f"--alert-command: {error}")
            reached = False
    if options.alert_url:
        body, head = json.dumps(document).encode(), {"Content-Type": "application/json"}
        try:
            asked = Request(options.alert_url, body, head, method="POST")  # noqa: S310  http or https: see ``main``
            with build_opener(_NoRedirects).open(asked, timeout=_ALERT_SECONDS):
                pass
        except (OSError, URLError) as error:
            tell(f"--alert-url: {error}")  # never the URL, which may have a secret in it
            reached = False
    return reached


def main() -> int:
    cli = parser(__doc__, "scripts/nightly_audit.py --folder audits --alert-command 'mail -s Audit ops'")
    cli.add_argument("--folder", metavar="DIR", type=Path, help="where the three files go; default: none are written")
    cli.add_argument("--alert-command", metavar="COMMAND", help="no shell: words as a shell would split them")
    cli.add_argument("--alert-url", metavar="URL", help="http or https; gets the JSON document")
    options = cli.parse_args()
    if options.alert_url and urlsplit(options.alert_url).scheme not in ("http", "https"):
        raise Refused("--alert-url: expected an http or https URL")
    if options.dry_run:
        overview = with_orchestrator(settings(options), lambda o: o.status(), create=False)
        closed = [one.account_id for one in overview if one.certificate is not None]
        answer(options, {"wouldProve": closed}, [f"would prove {len(closed)} closures again"])
        return DONE
    if options.folder is not None:
        make_folder(options.folder)
    code, document = audited(options)
    reached = code == DONE or alert(options, document)  # before any file: a full disk must not keep it
    answer(options, document, told(document))
    if options.folder is not None:
        write(options.folder, document)
    return code if reached or code != DONE else OPERATOR


if __name__ == "__main__":
    script(main)
