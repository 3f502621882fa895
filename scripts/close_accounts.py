"""Closes accounts for ever, and collects the proofs.

First it shows what each wallet holds and which cards are live, and asks
(--yes does not ask). Then it closes; what takes approvals asks for them, and
waits: run it again once they are given. Certificates go into one folder, as
JSON and as HTML, with summary.json.

FILE has an account's id on each line, or is a CSV file with the column account
(a result of onboard.py); - is stdin. An account that is closed already gets
its certificate again, so a run that was stopped is finished by the next one.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import io
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from _common import (
    EXIT_CODES,
    OUTCOMES,
    Refused,
    Shown,
    answer,
    clean,
    command,
    make_folder,
    only_copy,
    parser,
    positive,
    script,
    settings,
    tell,
    with_orchestrator,
    worst,
    write_whole,
)

from orchestrator import Orchestrator, OrchestratorError


@dataclass(frozen=True, slots=True)
class Closure:
    """An account to close. ``left``: what its wallet holds (wei, tokens in their smallest units) and its cards."""

    account: str
    status: str = ""
    address: str = ""
    left: tuple[tuple[str, str], ...] = ()
    outcome: str = ""
    message: str = ""
    certificate: str = ""
    page: str = ""

    @property
    def line(self) -> str:
        return f"{self.account}: {self.outcome} {self.message or self.certificate}".rstrip()


def read_ids(file: str) -> list[str]:
    """Raises Refused."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise Refused(f"{file}: expected UTF-8") from None
    except OSError as error:
        raise Refused(f"{file}: {error.strerror}") from None
    first = text.partition("\n")[0].strip()
    if "," not in first and first != "account":
        return _unique(file, [(number, line) for number, line in enumerate(text.splitlines(), 1)])
    try:
        table = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        if "account" not in (table.fieldnames or ()):
            raise Refused(f"{file}: row 1: column account is missing")
        return _unique(file, [(table.line_num, row["account"] or "") for row in table])
    except csv.Error as error:
        raise Refused(f"{file}: {error}") from None


def _unique(file: str, given: Sequence[tuple[int, str]]) -> list[str]:
    seen: dict[str, int] = {}
    for number, text in given:
        account = text.strip().lower()
        if not account:
            continue
        if account in seen:
            tell(f"{file}: row {number}: {account} is in row {seen[account]}, too, and is closed once")
        seen.setdefault(account, number)
    return list(seen)


async def chosen(orchestrator: Orchestrator, options: argparse.Namespace) -> list[str]:
    """The accounts' ids. Raises OrchestratorError."""
    if options.customer is None:
        return list(dict.fromkeys(await orchestrator.named(read_ids(options.file), ask="always")))
    found = await orchestrator.accounts(options.customer)
    elsewhere = [one.account_id for one in found if one.status == "closed" and one.journal is None]
    return [one.account_id for one in found if one.status != "failed" and one.account_id not in elsewhere]


async def look(orchestrator: Orchestrator, account: str) -> Closure:
    """What closing would end. Reads only."""
    try:
        found, left = await orchestrator.preflight(account)
    except OrchestratorError as error:
        return Closure(account, outcome=OUTCOMES[error.disposition], message=f"{error.code}: {error.message}")
    return Closure(account, str(found.status), found.address or "", tuple(left.items()))


async def close(orchestrator: Orchestrator, one: Closure, folder: Path, timeout: float) -> Closure:
    """SIDE EFFECTS: the certificate's file."""
    file = folder / f"{one.account}.json"
    try:
        report = await orchestrator.close(one.account, certificate=file, timeout=timeout)
    except OrchestratorError as error:
        return replace(one, outcome=OUTCOMES[error.disposition], message=f"{error.code}: {error.message}")
    why = f"{report.error.code}: {report.error.message}" if report.error else ""
    if report.outcome == "waiting":
        why = f"waits for {report.waiting_for}" + (f"; {why}" if why else "")
    done = report.outcome == "done"
    status, address = str(report.status or one.status), report.address or one.address
    certificate = str(file) if done else ""
    return replace(
        one, status=status, address=address, outcome=str(report.outcome), message=why, certificate=certificate
    )


def table(closures: Sequence[Closure]) -> list[str]:
    """The preflight: a line for each account, and one below it for each thing that it still has."""
    lines = [f"{'account':<36}  {'platform':<10}  wallet holds"]
    for one in closures:
        holds = [f"{amount} {what}" for what, amount in one.left if not what.startswith("card ") and amount != "0"]
        cards = [f"{what} is {status}" for what, status in one.left if what.startswith("card ")]
        first, *more = [*holds, *cards] or [one.message or "nothing"]
        lines.append(f"{one.account:<36}  {one.status or one.outcome:<10}  {first}")
        lines += [f"{'':<50}{what}" for what in more]
    return lines


def confirm(options: argparse.Namespace, count: int) -> None:
    """Raises Refused unless a person says yes, or ``--yes`` is given."""
    if options.yes:
        return
    if options.json or not sys.stdin.isatty() or not sys.stderr.isatty():
        raise Refused("closing is final: say --yes, or run this on a terminal and without --json to be asked")
    sys.stderr.write(f"Close {count} account(s) for ever? Type yes: ")
    sys.stderr.flush()
    if sys.stdin.readline().strip() != "yes":
        raise Refused("not closed: the answer was no, nothing was done")


async def preflight(orchestrator: Orchestrator, options: argparse.Namespace) -> list[Closure]:
    gate = asyncio.Semaphore(options.at_once)

    async def one(account: str) -> Closure:
        async with gate:
            return await look(orchestrator, account)

    return list(await asyncio.gather(*map(one, await chosen(orchestrator, options))))


async def close_all(
    orchestrator: Orchestrator, looked: Sequence[Closure], shown: Shown, options: argparse.Namespace
) -> list[Closure]:
    gate = asyncio.Semaphore(options.at_once)

    async def one(given: Closure) -> Closure:
        ended = given
        if not given.outcome:
            async with gate:
                ended = await close(orchestrator, given, options.folder, options.timeout)
        shown.change(ended.line, ended=True, trouble=ended.outcome != "done")
        return ended

    return list(await asyncio.gather(*map(one, looked)))


def with_page(options: argparse.Namespace, one: Closure) -> Closure:
    """The certificate once more as HTML, by the verifier: only what holds has a page. SIDE EFFECTS: the page's file."""
    if not one.certificate:
        return one
    page = Path(one.certificate).with_suffix(".html")
    own = settings(options).wallet_profile
    profile = ("--profile", own) if Path(own).is_file() else ()
    words = ("certificate", "verify", one.certificate, "--format", "html", "--output", str(page), "--force", *profile)
    code, _ = command(options, *words)
    if code:
        why = f"orchestrator {' '.join(words)} ended with {code}"
        return replace(one, outcome="operator", message=why)
    return replace(one, page=str(page))


def main() -> int:
    cli = parser(__doc__, "scripts/close_accounts.py leavers.txt --folder closed-2026 --yes")
    which = cli.add_mutually_exclusive_group(required=True)
    which.add_argument("file", metavar="FILE", nargs="?")
    which.add_argument("--customer", metavar="ID", help="all accounts of this customer")
    cli.add_argument("--folder", metavar="DIR", type=Path, default=Path("closed"), help="default: closed")
    cli.add_argument("--yes", action="store_true", help="do not ask")
    cli.add_argument("--timeout", metavar="SECONDS", type=float, default=600.0, help="for each account; default 600")
    cli.add_argument("--at-once", metavar="N", type=positive, default=8, help="accounts at the same time; default 8")
    options = cli.parse_args()
    given = settings(options)
    if not options.dry_run:
        make_folder(options.folder)
    ended = with_orchestrator(given, lambda o: preflight(o, options), create=None)
    for line in table(ended):
        tell(line)
    left = sum(not one.outcome for one in ended)
    if not options.dry_run:
        if left:
            confirm(options, left)
        with only_copy(options.folder / "summary.json"), Shown(len(ended), "closing") as shown:
            ended = with_orchestrator(given, lambda o: close_all(o, ended, shown, options))
            ended = [with_page(options, one) for one in ended]
            write_whole(options.folder / "summary.json", json.dumps(_document(ended, options), indent=2) + "\n")
    counts = Counter(one.outcome or "to close" for one in ended)
    summary = ", ".join(f"{number} {outcome}" for outcome, number in sorted(counts.items())) or "no accounts"
    answer(
        options, _document(ended, options), [summary if options.dry_run else f"{summary}: {clean(str(options.folder))}"]
    )
    return worst([EXIT_CODES.get(one.outcome, 0) for one in ended])


def _document(ended: Sequence[Closure], options: argparse.Namespace) -> dict[str, object]:
    closures = [asdict(one) | {"left": dict(one.left)} for one in ended]
    return {"folder": None if options.dry_run else str(options.folder), "closures": closures}


if __name__ == "__main__":
    script(main)
