"""``orchestrator demo``: an account's whole life on a devnet of its own, shown step by step."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.cli.certificate import show
from orchestrator.cli.output import DONE, EXIT_CODES, FAILED, clean, emit, err, options, out
from orchestrator.cli.run import progress
from orchestrator.cli.streams import require_reader
from orchestrator.models import Outcome

if TYPE_CHECKING:
    from orchestrator.app import Orchestrator
    from orchestrator.closure.certificate.report import CertificateReport
    from orchestrator.devnet.devnet import Devnet
    from orchestrator.report import OperationReport

_TIMEOUT = 120.0


@dataclass(slots=True)
class _Transcript:
    """What the demo has shown so far."""

    started: float = field(default_factory=time.monotonic)
    steps: list[dict[str, Any]] = field(default_factory=list)
    failed: int = DONE

    def step(self, name: str, detail: str, seconds: float) -> None:
        self.steps.append({"step": name, "detail": detail, "seconds": round(seconds, 2)})
        if not options.json:
            from rich.padding import Padding

            console = out()
            console.print(f"[green]✓[/] [bold]{len(self.steps)}. {name}[/]  [dim]{seconds:.1f} s[/]")
            console.print(Padding(clean(detail), (0, 0, 0, 5)))
            require_reader()


def run(certificate: Path | None = None) -> int:
    """The demo. ``certificate``: a file for the closure's, else gone with the devnet. Returns the exit code."""
    transcript = _Transcript()
    err().print("starting a local chain, the contracts and the platform simulator …")
    from orchestrator.devnet.devnet import devnet

    with tempfile.TemporaryDirectory(prefix="orchestrator-demo-") as folder, devnet() as net:
        transcript.step(
            "Devnet",
            f"Anvil at {net.anvil.url} (eip155:{net.anvil.chain_id}), platform at {net.programme.url}, "
            f"factory {net.contracts.factory}",
            time.monotonic() - transcript.started,
        )
        report = asyncio.run(_live(net, Path(folder), transcript, certificate))
    if report is not None and not options.json:
        console = out()
        console.print()
        show(console, report)
        console.print(
            "\nWhat is proven: no call, by anyone, ever, changes the closed wallet's storage or makes it act."
            "\nHow: its code and storage were proven against the block's hash, and every path executed from there.",
            style="dim",
        )
        if certificate is not None:
            console.print(f"certificate kept in {clean(str(certificate))}", soft_wrap=True)
        console.print(f"done in {time.monotonic() - transcript.started:.1f} s")
    if options.json:
        document = {"steps": transcript.steps, "certificate": report.to_json() if report else None}
        emit(document, lambda _console: None)
    return transcript.failed


class _Progress:
    """Shows the progress of one step at a time, so that a step's result stands below it."""

    def __init__(self) -> None:
        self._report: Callable[[str, str], None] = lambda _who, _what: None

    def __call__(self, who: str, what: str) -> None:
        self._report(who, what)

    @contextmanager
    def shown(self) -> Iterator[None]:
        with progress() as self._report:
            yield


async def _live(
    net: Devnet, folder: Path, transcript: _Transcript, certificate: Path | None
) -> CertificateReport | None:
    from orchestrator.app import Orchestrator
    from orchestrator.closure.certificate.verifier import verify
    from orchestrator.settings import load_settings

    settings = load_settings(
        net.environment,
        overrides={"database_url": f"sqlite:///{folder / 'journal.db'}", "certificates": folder / "certificates"},
    )
    watch = _Progress()
    async with Orchestrator.open(settings, watch=watch) as orchestrator:
        began = time.monotonic()
        account = await orchestrator.create_account(net.programme.customer_id, "EUR", reference="demo")
        transcript.step("Create", f"account {account.account_id} is {account.status}", time.monotonic() - began)
        identifier = account.account_id
        operations: tuple[tuple[str, Callable[[], Awaitable[OperationReport]]], ...] = (
            ("Activate: challenge, signature, deployment", lambda: orchestrator.activate(identifier, timeout=_TIMEOUT)),
            ("Deactivate", lambda: orchestrator.deactivate(identifier, timeout=_TIMEOUT)),
            ("Reactivate", lambda: orchestrator.reactivate(identifier, timeout=_TIMEOUT)),
            (
                "Close, and prove that it is for ever",
                lambda: orchestrator.close(identifier, certificate=certificate, timeout=_TIMEOUT),
            ),
        )
        for name, operation in operations:
            began = time.monotonic()
            with watch.shown():
                report = await operation()
            if report.outcome is not Outcome.DONE:
                transcript.failed = EXIT_CODES[report.outcome]
                why = f"{report.error.code}: {report.error.message}" if report.error else report.waiting_for
                err().print(f"[red]{name}: {report.outcome}[/] {clean(str(why))}")
                return None
            transcript.step(name, _sides(report), time.monotonic() - began)
        return await _verified(orchestrator, report, transcript, verify)


async def _verified(
    orchestrator: Orchestrator,
    report: OperationReport,
    transcript: _Transcript,
    verify: Callable[[bytes], CertificateReport],
) -> CertificateReport:
    began = time.monotonic()
    data = await asyncio.to_thread(Path(report.certificate or "").read_bytes)
    certificate = verify(data)
    milliseconds = (time.monotonic() - began) * 1000
    journal = await orchestrator.journal.verify()
    detail = (
        f"{len(data)} bytes, checked in {milliseconds:.0f} ms without a network: "
        f"{'valid' if certificate.valid else 'INVALID'}, {certificate.verdict}; "
        f"journal of {journal.events} events: {'whole' if journal.valid else 'BROKEN'}"
    )
    transcript.step("Certificate verified offline", detail, time.monotonic() - began)
    if not certificate.valid or certificate.verdict != "irreversible" or not journal.valid:
        transcript.failed = FAILED
    return certificate


def _sides(report: OperationReport) -> str:
    block = f"block {report.block.number} is {report.block.finality}" if report.block else "no block"
    return f"the platform says {report.status}; the chain agrees: {report.address}, {block}"
