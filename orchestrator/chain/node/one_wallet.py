"""One wallet held against a profile at the pinned head (``orchestrator.wallet.checking``), without index or journal."""

from __future__ import annotations

from dataclasses import dataclass, replace

from orchestrator.chain.node.head import ATTEMPTS, HEAD_CALLS, HeadReads, Moved
from orchestrator.chain.node.logs import LogSearch
from orchestrator.chain.node.reads import read_at
from orchestrator.chain.node.rpc import Rpc
from orchestrator.errors import ChainNonsense
from orchestrator.models import BlockRef, ChainId
from orchestrator.wallet.checking import NOBODY, Question, Row, closed_reads, creation_topics, possible, rows
from orchestrator.wallet.family import ZERO
from orchestrator.wallet.findings import Created
from orchestrator.wallet.reading import Profile


@dataclass(frozen=True, slots=True)
class Checked:
    """What each source says, at one block."""

    chain_id: ChainId
    block: BlockRef
    rows: tuple[Row, ...]


async def check_wallet(rpc: Rpc, profile: Profile, question: Question, from_block: int = 0) -> Checked:
    """Each source of the profile, read at the head. Raises ChainUnreachable, ChainNonsense.

    ``from_block``: where the factory's events begin. Without an account the one that the event names is taken.
    """
    chain_id, reads = await rpc.chain_id(), HeadReads(rpc)
    for _ in range(ATTEMPTS):
        try:
            head = reads.heads(await rpc.batch(HEAD_CALLS)).head
            return Checked(chain_id, head, tuple(await _rows(reads, profile, question, head, from_block)))
        except Moved:
            continue
    raise reads.moving()


async def _rows(reads: HeadReads, profile: Profile, question: Question, head: BlockRef, from_block: int) -> list[Row]:
    left: list[Row] = []
    logged: list[Created] = []
    try:
        logged = await _logged(reads.rpc, profile, question, head, from_block)
    except ChainNonsense as error:
        if error.code != "logs_limited":
            raise
        left.append(Row("address", "the factory's event", "", "unknown", error.message))
        profile = replace(profile, event=None)
    if question.account is None and logged and logged[0].account is not None:
        question = replace(question, account=logged[0].account)
    profile, more = possible(profile, question)
    account, factory, created = question.account or NOBODY, question.factory or ZERO, logged[0] if logged else None
    first = profile.first_reads(account, question.wallet, factory, created)
    answers = await read_at(reads, head, [*first, *closed_reads(profile, question.wallet)])
    while wanted := profile.more_reads(question.wallet, answers):
        answers |= await read_at(reads, head, wanted)
    return [*rows(profile, question, logged, answers), *left, *more]


async def _logged(rpc: Rpc, profile: Profile, question: Question, head: BlockRef, from_block: int) -> list[Created]:
    """What the factory's logs say of the account, or of the wallet where no account is known."""
    topics = creation_topics(profile, question)
    if topics is None:
        return []
    logs = await LogSearch(rpc).logs(question.factory, topics, from_block, head.number)
    found = [created for log in logs if log.address == question.factory and (created := profile.created(log))]
    if profile.event is not None and profile.event.account is not None and question.account is not None:
        return [created for created in found if created.account == question.account]
    return [created for created in found if created.wallet == question.wallet]
