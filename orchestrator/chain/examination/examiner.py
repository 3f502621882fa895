"""The verdict on any contract, from one node and nothing else: reads, proves, analyses, tries, and judges.

Everything is asked by the block's hash and believed as far as the proofs go. The stages, each in a file of its own, are
gone through once and in order; for a closed wallet with a round trip each: the block (``pinned``) · proofs, code and
analysis (``evidence``) · a call that shows it (``witnesses``) · the block again, residue and approvals (``settling``).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from orchestrator.chain.examination.evidence import prove_and_analyse
from orchestrator.chain.examination.pinned import TAGS, PinnedBlock, parse_block, pin_block
from orchestrator.chain.examination.record import Ended, Record
from orchestrator.chain.examination.settling import settle
from orchestrator.chain.examination.witnesses import Search
from orchestrator.chain.node.rpc import Rpc
from orchestrator.closure.evm.facts import AccountFacts, Analysis
from orchestrator.closure.verdict import Examination, Standing, Trouble
from orchestrator.errors import ChainError, OrchestratorError
from orchestrator.models import Address

_LOG: Final = logging.getLogger(__name__)

_ATTEMPTS: Final = 3
"""Examinations before a block that is named by a tag and keeps being replaced is given up."""
_SEARCH_SECONDS: Final = 60.0
"""For all of the search for a witness; a verdict without one is better than none."""


async def examine(
    rpc: Rpc,
    address: Address,
    block: str = "finalized",
    *,
    progress: Callable[[str], None] | None = None,
) -> Examination:
    """The verdict on the contract at ``address``, at ``finalized``, ``safe``, ``latest``, a number or a hash.

    Never raises for what a node does or says: that is ``inconclusive`` with its reason. Raises SettingsError for a
    ``block`` that is none. Reads only. ``progress`` is called with what is being done, in a few words.
    """
    wanted = parse_block(block)
    for attempt in range(_ATTEMPTS):
        record = await _run(rpc, address, wanted, progress or (lambda _: None))
        if record.standing is not Standing.NOT_CANONICAL or wanted not in TAGS or attempt == _ATTEMPTS - 1:
            break
    return Examination(record.verdict(address), record.evidence)


async def _run(rpc: Rpc, address: Address, wanted: str, progress: Callable[[str], None]) -> Record:
    """What one run finds until it ends, for whatever reason."""
    record = Record()
    try:
        await _stages(rpc, address, wanted, record, progress)
    except Ended as error:
        record.trouble = error.trouble
    except OrchestratorError as error:
        record.trouble = Trouble(error.code, error.message)
    except Exception as error:  # noqa: BLE001 - "any exception anywhere: inconclusive" is the promise
        _LOG.debug("examination of %s failed", address, exc_info=error)
        record.trouble = Trouble("internal", f"{type(error).__name__}: a defect of this tool; nothing is concluded")
    return record


async def _stages(rpc: Rpc, address: Address, wanted: str, record: Record, progress: Callable[[str], None]) -> None:
    progress("reading the block")
    pinned = await pin_block(rpc, wanted, record)
    progress(f"reading code and proofs at block {pinned.block.number}")
    analysed = await prove_and_analyse(pinned, address, record, progress)
    inert = False
    if analysed is not None:
        facts, analysis = analysed
        inert = analysis.result == "inert"
        if analysis.findings or analysis.authority:
            progress("searching for a call that shows it")
            await _search_witness(pinned, facts, analysis, record, progress)
    progress("reading the block again")
    await settle(pinned, address, record, inert=inert)


async def _search_witness(
    pinned: PinnedBlock, facts: AccountFacts, analysis: Analysis, record: Record, progress: Callable[[str], None]
) -> None:
    """The first call that really does it; else the first finding, with the call that should have."""
    search = Search(pinned.rpc, pinned.at, facts, analysis, pinned.block, pinned.verified.timestamp, progress)
    try:
        async with asyncio.timeout(_SEARCH_SECONDS):
            await search.run()
    except (ChainError, TimeoutError) as error:
        _LOG.info("the search for a witness ended early: %s", error)  # the verdict stands, merely unconfirmed
    finally:
        record.witness = search.witness
