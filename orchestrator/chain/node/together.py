"""Reads of many accounts at one block, in one request: those that are asked for at about the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from orchestrator.chain.node.head import HeadReads
from orchestrator.chain.node.rpc import Call
from orchestrator.models import BlockRef

_SECONDS: Final = 0.02
"""For which a read waits for others: accounts that one block has woken come within it."""
_MOST: Final = 20
"""Reads in one request."""

Calls = Callable[[Any], list[Call]]


class Together:
    """``HeadReads.pinned`` for many callers. They share its trouble, too: all read again then."""

    def __init__(self, reads: HeadReads) -> None:
        self._reads = reads
        self._waiting: dict[BlockRef, list[tuple[Calls, asyncio.Future[list[Any]]]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def pinned(self, block: BlockRef, calls: Calls) -> list[Any]:
        """As ``HeadReads.pinned``."""
        future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(block, [])
        waiting.append((calls, future))
        if len(waiting) == 1:
            task = asyncio.create_task(self._after_a_moment(block))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await future

    async def _after_a_moment(self, block: BlockRef) -> None:
        await asyncio.sleep(_SECONDS)
        waiting = self._waiting.pop(block)
        parts = [waiting[start : start + _MOST] for start in range(0, len(waiting), _MOST)]
        await asyncio.gather(*(self._read(block, part) for part in parts))

    async def _read(self, block: BlockRef, part: list[tuple[Calls, asyncio.Future[list[Any]]]]) -> None:
        try:
            answers = await self._reads.pinned(block, lambda at: [call for calls, _ in part for call in calls(at)])
        except Exception as error:  # noqa: BLE001  whatever it is, each of those who wait is told
            for _, future in part:
                if not future.done():
                    future.set_exception(error)
            return
        for calls, future in part:
            count = len(calls(None))
            mine, answers = answers[:count], answers[count:]
            if not future.done():  # cancelled
                future.set_result(mine)
