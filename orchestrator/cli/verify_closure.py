"""``verify-closure``: the verdict on any contract, from one node, without settings and without an account."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator import files
from orchestrator.cli.output import DONE, FAILED, OPERATOR, Force, clean, emit, err, options, rows
from orchestrator.errors import OrchestratorError, SettingsError
from orchestrator.models import to_address

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.closure.verdict import Examination, Verdict, Witness
    from orchestrator.models import Address

EXIT_CODES = {"irreversible": DONE, "reversible": FAILED, "inconclusive": OPERATOR}
_STYLES = {"irreversible": "bold green", "reversible": "bold red", "inconclusive": "bold yellow"}
_MARKS = {"pass": "[green]pass[/]", "fail": "[red]FAIL[/]", "skipped": "[yellow]skipped[/]"}
_HEADLINES = {
    "irreversible": "disabled for ever",
    "reversible": "NOT disabled for ever",
    "inconclusive": "not proven to be disabled for ever",
}
_SHOWN = 12
"""Branches of a witness' path that a person is shown."""

RESTS_ON = (
    "The block stays in the chain's canonical history (the node calls it finalized).",
    "keccak256 has no collisions, and nobody finds an input whose hash is below 2^64.",
    "The EVM's rules of this block's fork; later forks keep the meaning of opcodes, and EIP-3607, 6780 and 7702.",
    "No irregular state change: no fork that edits storage by decree, no layer 2's upgrade key that does.",
    "No block's time, and no block's number, reaches 2^46: a consent of ERC-4337 for later than that is none.",
)


def register(app: typer.Typer) -> None:
    """Adds the command to the root."""
    app.command("verify-closure")(verify_closure)


def verify_closure(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="The contract, 0x and 40 hex digits.")],
    rpc_url: Annotated[
        str | None, typer.Option(metavar="URL", help="A node of its chain that answers eth_getProof.")
    ] = None,
    block: Annotated[
        str, typer.Option(metavar="BLOCK", help="finalized, safe, latest, a number, or a hash.")
    ] = "finalized",
    certificate: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a certificate, if the verdict is irreversible.")
    ] = None,
    force: Force = False,
    request_timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, help="For one round trip to the node.")
    ] = 30.0,
) -> int:
    """Prove that a contract is disabled for ever, or show what still works. Needs no account and no settings.

    Exit codes: 0 irreversible, 1 reversible, 3 inconclusive, 74 the output could not be written.

    Example: orchestrator verify-closure 0x5FbDB2315678afecb367f032d93F642f64180aa3 --rpc-url http://127.0.0.1:8545
    """
    import asyncio

    try:
        account = to_address(address.strip())
    except ValueError as error:
        raise SettingsError(f"ADDRESS: {error}", code="usage") from None
    url = rpc_url or options.overrides.get("rpc_url")
    if not url:
        raise SettingsError("a node is missing: --rpc-url URL names one of the contract's chain", code="usage")
    if certificate is not None and not certificate.parent.is_dir():
        raise SettingsError(f"--certificate: there is no folder {certificate.parent}", code="usage")
    if certificate is not None:
        files.require_free(certificate, code="certificate_unwritable", force=force)
    examination = asyncio.run(_examine(url, account, block, request_timeout))
    verdict = examination.verdict
    written = None if certificate is None else _write(examination, certificate, force=force)
    emit(verdict.to_json(), lambda console: show(console, verdict, written))
    return EXIT_CODES[verdict.verdict]


async def _examine(url: str, address: Address, block: str, timeout: float) -> Examination:
    from orchestrator.chain.examination.examiner import examine
    from orchestrator.chain.examination.pinned import parse_block
    from orchestrator.chain.node.rpc import Rpc
    from orchestrator.settings import split_urls

    parse_block(block)
    async with Rpc(split_urls(url), timeout=timeout) as rpc:
        return await examine(rpc, address, block, progress=_progress)


def _progress(what: str) -> None:
    """Progress for a person; a program that reads stdout needs none."""
    if sys.stderr.isatty() and not options.json:
        err().print(f"[dim]{clean(what)} …[/]")


def _write(examination: Examination, file: Path, *, force: bool) -> Path | None:
    """Writes the certificate of an irreversible verdict, unsigned; says on stderr where there is none.

    SIDE EFFECTS: the file. Raises SettingsError if it cannot be written.
    """
    from orchestrator.closure.certificate.builder import build_certificate

    verdict, evidence = examination.verdict, examination.evidence
    if verdict.verdict != "irreversible" or evidence is None:
        err().print(f"[yellow]no certificate is written[/]: the verdict is {verdict.verdict}, not irreversible")
        return None
    try:
        data = build_certificate(evidence, verdict)
    except OrchestratorError as error:
        err().print(f"[bold red]no certificate is written[/]: {clean(error.message)}")
        raise
    files.deliver(file, data, code="certificate_unwritable", force=force)
    return file


# --- for people ----------------------------------------------------------------------------------------------------


def show(console: Console, verdict: Verdict, certificate: Path | None = None) -> None:
    """The verdict as a person reads it: the answer first, then what it is made of."""
    style = _STYLES[verdict.verdict]
    headline = f"{_HEADLINES[verdict.verdict]} ({verdict.reason}): {verdict.detail}"
    console.print(f"[{style}]{verdict.verdict.upper()}[/] {clean(headline)}")
    console.print()
    chain = "an unknown chain" if verdict.chain_id is None else str(verdict.chain_id)
    facts = [
        ("contract", f"{verdict.address} on {chain}"),
        ("block", "none" if verdict.block is None else f"{verdict.block.number} {verdict.block.hash}"),
        ("code hash", verdict.code_hash or "not proven"),
        ("analysis", f"{verdict.analysis}: {_work(verdict)}"),
        *(("slot", f"{slot:#x} = {value:#x}") for slot, value in verdict.slots),
    ]
    if certificate is not None:
        facts.append(("certificate", f"{certificate} (unsigned)"))
    rows(console, [(f"[bold]{name}[/]", text) for name, text in facts])
    console.print()
    rows(console, [(_MARKS[check.result], check.name, check.detail) for check in verdict.checks])
    if verdict.witness is not None:
        _show_witness(console, verdict, verdict.witness)
    if verdict.residue:
        console.print("\n[bold]Beside the verdict[/] (residue: it never turns it into a pass or a fail)")
        rows(console, [("", f"{item.kind}: {item.detail}") for item in verdict.residue])
    if verdict.verdict == "irreversible":
        console.print("\n[bold]It rests on[/]")
        rows(console, [("", line) for line in (*RESTS_ON, *_callers(verdict))])


def _callers(verdict: Verdict) -> list[str]:
    from orchestrator.closure.chains import callers

    return [] if verdict.chain_id is None else [f"Callers: {callers(verdict.chain_id)}."]


def _work(verdict: Verdict) -> str:
    if verdict.analysis == "not_run":
        return "nothing was proven" if verdict.code_hash is None else "there was no code to execute"
    slots = f"{len(verdict.slots)} storage {'slot' if len(verdict.slots) == 1 else 'slots'} read"
    return f"{slots}, {verdict.states} states, {verdict.steps} steps, in {verdict.milliseconds:.1f} ms"


def _show_witness(console: Console, verdict: Verdict, witness: Witness) -> None:
    title = "What still works" if witness.confirmed else "What may still work (not confirmed)"
    console.print(f"\n[bold]{title}[/]")
    console.print(f"  {witness.opcode} at {witness.pc:#x} in the code of {witness.address}")
    console.print(f"  {clean(witness.needs)}", soft_wrap=True)
    if witness.path:
        branches = [f"{step.pc:#x}{'' if step.taken else ' not'}" for step in witness.path]
        more = f" … {len(branches) - _SHOWN} more" if len(branches) > _SHOWN else ""
        console.print(f"  jumps: {', '.join(branches[:_SHOWN])}{more}", soft_wrap=True)
    line = cast_call(verdict, witness)
    if line is not None:
        console.print(f"  {line}", soft_wrap=True, markup=False)
    for address, code in sorted(witness.codes.items()):
        console.print(f"  with this code at {address}: 0x{code.hex()}", soft_wrap=True)


def cast_call(verdict: Verdict, witness: Witness) -> str | None:
    """The witness as a command of Foundry's ``cast``; None if no call is known."""
    if witness.calldata is None or witness.sender is None or witness.value is None:
        return None
    words = ["cast call", verdict.address, "--data", "0x" + witness.calldata.hex(), "--from", witness.sender]
    if witness.value:
        words += ["--value", str(witness.value)]
    if witness.gas is not None:
        words += ["--gas-limit", str(witness.gas)]
    if verdict.block is not None:
        words += ["--block", str(verdict.block.number)]
    return " ".join([*words, "--trace", '--rpc-url "$RPC_URL"'])
