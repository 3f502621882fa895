"""Creates and activates an account for each row of a CSV file.

FILE has a header with the columns customer (the platform's UUID), currency
(ISO 4217) and reference (your own name for the account). The results are
written beside it as it goes: one row for each, with outcome and account.

Run it again, after a kill too, and it finishes what is left: a reference is
never created twice. A wrong row is named and left out; the others go on.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import csv
import io
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from _common import (
    EXIT_CODES,
    OUTCOMES,
    Refused,
    Shown,
    answer,
    only_copy,
    parser,
    positive,
    script,
    settings,
    with_orchestrator,
    worst,
    write_whole,
)

from orchestrator import Orchestrator, OrchestratorError

COLUMNS = ("customer", "currency", "reference")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
_ISO_4217 = """
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY COP
CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR
IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU
MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG
SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VED VES VND VUV
WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG
"""
CURRENCIES = frozenset(_ISO_4217.split())
"""ISO 4217, list one of 2026: what is money in daily life; BGN has ended."""
_MOST_BYTES = 64 * 1024 * 1024
_SECONDS_BETWEEN_WRITES = 0.5


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the result file; ``row`` counts the lines of FILE from 1, the header's."""

    row: int
    customer: str
    currency: str
    reference: str
    outcome: str = ""
    account: str = ""
    address: str = ""
    message: str = ""

    @property
    def line(self) -> str:
        return f"row {self.row} {self.reference}: {self.outcome} {self.account} {self.message}".rstrip()


RESULT_COLUMNS = tuple(field.name for field in fields(Row))


def read_rows(path: Path) -> list[Row]:
    """The rows, those that cannot be taken as ``failed`` with row and column named. Raises Refused, OSError."""
    with path.open("rb") as file:
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise Refused(f"{path}: expected at most {_MOST_BYTES} bytes, got more")
    try:
        reader = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise Refused(f"{path}: row 1: column {', '.join(missing)} is missing: expected {', '.join(COLUMNS)}")
        doubled = [name for name in COLUMNS if (reader.fieldnames or ()).count(name) > 1]
        if doubled:
            raise Refused(f"{path}: row 1: column {', '.join(doubled)} is there twice")
        given = [(reader.line_num, line) for line in reader]
    except UnicodeDecodeError as error:
        raise Refused(f"{path}: expected UTF-8, got another byte at position {error.start}") from None
    except csv.Error as error:
        raise Refused(f"{path}: row {reader.reader.line_num}: {error}") from None
    uses = Counter((line["reference"] or "").strip() for _, line in given)
    return [_row(number, line, uses) for number, line in given]


def _row(number: int, line: Mapping[str, str | None], uses: Mapping[str, int]) -> Row:
    customer, currency, reference = ((line[name] or "").strip() for name in COLUMNS)
    row = Row(number, customer.lower(), currency.upper(), reference)
    if None in line:
        wrong = f"expected {len(line) - 1} columns, got more"
    elif not UUID.fullmatch(customer):
        wrong = f"column customer: expected the platform's UUID of a customer, got {customer[:80]!r}"
    elif row.currency not in CURRENCIES:
        wrong = f"column currency: expected a code of ISO 4217, got {currency[:80]!r}"
    elif not reference:
        wrong = "column reference: expected your name for the account, got none"
    elif uses[reference] > 1:
        wrong = f"column reference: {reference[:80]!r} is in {uses[reference]} rows, and none of them is done"
    else:
        return row
    return replace(row, outcome="failed", message=wrong)


class Results:
    """The result file: whole at any moment, and at most ``_SECONDS_BETWEEN_WRITES`` behind."""

    def __init__(self, path: Path, rows: Sequence[Row]) -> None:
        self._path = path
        self._written = 0.0
        before = self._read()
        self.rows = {row.row: row if row.outcome else _known(row, before) for row in rows}

    def _read(self) -> dict[tuple[str, ...], Row]:
        """What an earlier run has done. Half a file is no harm: what it does not say is done again, which finds what is
        there. Raises Refused where the file is something else."""
        try:
            text = self._path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return {}
        header = ",".join(RESULT_COLUMNS)
        first, _, _ = text.partition("\n")
        if first.rstrip("\r") != header:
            if header.startswith(text):
                return {}
            raise Refused(f"{self._path}: expected a result of this script, got another file; name one with --result")
        found: dict[tuple[str, ...], Row] = {}
        for line in _lines(text):
            whole = None not in line and None not in line.values()
            if whole and line["outcome"] == "done" and UUID.fullmatch(line["account"]) and line["row"].isdecimal():
                row = Row(int(line["row"]), **{name: line[name] for name in RESULT_COLUMNS[1:]})
                found[_key(row)] = row
        return found

    def put(self, row: Row) -> None:
        self.rows[row.row] = row
        if time.monotonic() - self._written > _SECONDS_BETWEEN_WRITES:
            self.write()

    def write(self) -> None:
        """Raises OSError."""
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, RESULT_COLUMNS)
        writer.writeheader()
        writer.writerows(asdict(row) for row in self.rows.values())
        write_whole(self._path, text.getvalue())
        self._written = time.monotonic()


def _lines(text: str) -> Iterator[dict[str, str]]:
    """Up to the first that is no CSV."""
    with contextlib.suppress(csv.Error):
        yield from csv.DictReader(io.StringIO(text, newline=""))


def _known(row: Row, before: Mapping[tuple[str, ...], Row]) -> Row:
    found = before.get(_key(row))
    return row if found is None else replace(found, row=row.row)


def _key(row: Row) -> tuple[str, ...]:
    return (row.customer, row.currency, row.reference)


async def onboard(orchestrator: Orchestrator, row: Row, timeout: float) -> Row:
    """Creates the row's account, or finds it, and activates it."""
    account = ""
    try:
        made = await orchestrator.create_account(row.customer, row.currency, reference=row.reference, timeout=timeout)
        account = made.account_id
        report = await orchestrator.activate(account, timeout=timeout)
    except OrchestratorError as error:
        column = "column customer: " if error.code.startswith("customer_") else ""
        message = f"{column}{error.code}: {error.message}"
        return replace(row, outcome=OUTCOMES[error.disposition], account=account, message=message)
    why = f"{report.error.code}: {report.error.message}" if report.error else ""
    if report.outcome == "waiting":
        why = f"waits for {report.waiting_for}" + (f"; {why}" if why else "")
    return replace(row, outcome=str(report.outcome), account=account, address=report.address or "", message=why)


async def onboard_all(orchestrator: Orchestrator, results: Results, shown: Shown, options: argparse.Namespace) -> None:
    gate = asyncio.Semaphore(options.at_once)

    async def one(row: Row) -> None:
        async with gate:
            row = await onboard(orchestrator, row, options.timeout)
        shown.change(row.line, ended=True, trouble=row.outcome != "done")
        results.put(row)

    try:
        async with asyncio.TaskGroup() as group:
            for row in list(results.rows.values()):
                if row.outcome:
                    shown.change(row.line, ended=True, trouble=row.outcome != "done")
                else:
                    group.create_task(one(row))
    except ExceptionGroup as errors:  # a full disk ends all of them, and each would say so
        raise errors.exceptions[0] from None


async def foresee(orchestrator: Orchestrator, results: Results, shown: Shown) -> None:
    """What a run would do with each row. Reads only."""
    unknown: dict[str, str] = {}
    left = [row for row in results.rows.values() if not row.outcome]
    for customer in dict.fromkeys(row.customer for row in left):
        try:
            await orchestrator.accounts(customer)
        except OrchestratorError as error:
            unknown[customer] = f"column customer: {error.code}: {error.message}"
    for row in left:
        if row.customer in unknown:
            found = replace(row, outcome="failed", message=unknown[row.customer])
        else:
            try:
                account = await orchestrator.account_of(row.reference)
                found = replace(row, account=account.account_id, message=f"is {account.status}; would be activated")
                if account.status == "active":
                    found = replace(found, outcome="done", address=account.address or "", message="")
            except OrchestratorError as error:
                wanted = error.code in ("reference_unknown", "creation_unsettled")
                what = "would be created and activated" if wanted else f"{error.code}: {error.message}"
                found = replace(row, outcome="" if wanted else OUTCOMES[error.disposition], message=what)
        results.rows[row.row] = found
    for row in results.rows.values():
        shown.change(row.line, ended=True, trouble=True)


def main() -> int:
    cli = parser(__doc__, "scripts/onboard.py customers.csv --timeout 3600")
    cli.add_argument("file", metavar="FILE", type=Path)
    cli.add_argument("--result", metavar="FILE", type=Path, help="default: beside FILE, ending in .result.csv")
    cli.add_argument("--timeout", metavar="SECONDS", type=float, default=600.0, help="for each row; default 600")
    cli.add_argument("--at-once", metavar="N", type=positive, default=16, help="rows at the same time; default 16")
    options = cli.parse_args()
    path: Path = options.result or options.file.with_suffix(".result.csv")
    try:
        rows = read_rows(options.file)
    except OSError as error:
        raise Refused(f"{options.file}: {error.strerror}") from None
    alone = contextlib.nullcontext() if options.dry_run else only_copy(path)
    with alone, Shown(len(rows), "onboarding") as shown:
        results = Results(path, rows)
        if options.dry_run:
            with_orchestrator(settings(options), lambda o: foresee(o, results, shown), create=None)
        else:
            results.write()  # a full disk, or a folder that is not ours, is seen before anything is created
            try:
                with_orchestrator(settings(options), lambda o: onboard_all(o, results, shown, options))
            finally:
                results.write()
    ended = list(results.rows.values())
    counts = Counter(row.outcome or "to do" for row in ended)
    document = {"result": None if options.dry_run else str(path), "rows": [asdict(row) for row in ended]}
    summary = ", ".join(f"{number} {outcome}" for outcome, number in sorted(counts.items())) or "no rows"
    answer(options, document, [summary if options.dry_run else f"{summary}: {path}"])
    return worst([EXIT_CODES.get(row.outcome, 0) for row in ended])


if __name__ == "__main__":
    script(main)
