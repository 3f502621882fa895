"""A real Anvil node as a child process: started on a port that the system chooses, ready when it answers, surely ended
(see :mod:`orchestrator.devnet.child`)."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import re
import ssl
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

import httpx

from orchestrator.devnet import toolchain
from orchestrator.devnet.child import Child
from orchestrator.devnet.control import ChainControl
from orchestrator.errors import ChainError, ChainUnreachable
from orchestrator.foreign import read_json

__all__ = ["Anvil"]

_START_TIMEOUT: Final = 30.0
"""Seconds until the node answers: a tenth is usual, a busy machine takes longer."""
_RPC_TIMEOUT: Final = 30.0
_POLL: Final = 0.01
_DIRECT: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Whatever proxy the environment names: the node is on loopback."""


class Anvil:
    """An Anvil node of one's own; a synchronous and an asynchronous context manager.

    ``block_time``: seconds between blocks, or None for a block with each transaction (``finalized`` then stands still
    until :meth:`mine` or :meth:`finalize`). ``slots_in_an_epoch``: ``safe`` and ``finalized`` are one and two epochs
    behind ``latest``. ``state``: a file to start from, if it exists, and to write on an orderly end. ``log``: a file
    that gets the node's output, overwritten. ``port``: 0 lets the system choose. ``states``: how many of the newest
    blocks keep their state, for reads and reorganisations; each takes some 200 bytes for every block of the chain.

    The helpers raise ChainUnreachable if the node does not answer, and ChainError (code ``rpc_error``) if it refuses.
    """

    def __init__(
        self,
        *,
        block_time: float | None = None,
        slots_in_an_epoch: int = 1,
        states: int = 1000,
        chain_id: int = 31337,
        state: Path | None = None,
        log: Path | None = None,
        port: int = 0,
    ) -> None:
        self.block_time = block_time
        self.slots_in_an_epoch = slots_in_an_epoch
        self.states = states
        self.control = ChainControl(self.rpc_sync)
        """Blocks, finality, time, reorganisations, without an event loop."""
        self.chain_id = chain_id
        self._state = state
        self._log_path = log
        self._wanted_port = port
        self._running: _Running | None = None
        # Without the system's certificates: the node is on loopback, and loading them takes longer than most calls.
        self._ssl = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    @property
    def url(self) -> str:
        """The JSON-RPC address, ``http://127.0.0.1:<port>``."""
        return f"http://127.0.0.1:{self._started().port}"

    @property
    def pid(self) -> int:
        """The node's process id."""
        return self._started().child.process.pid

    @property
    def running(self) -> bool:
        return self._running is not None and self._running.child.process.poll() is None

    # ------------------------------------------------------------------------------------------------ start and end

    def start(self) -> Self:
        """Starts the node and returns when it answers. Raises ChainUnreachable with its output if it does not.

        SIDE EFFECTS: two processes, the node and its watchdog; see :func:`orchestrator.devnet.toolchain.ensure`.
        """
        if self._running is not None:
            raise AssertionError("this node has been started before and not been stopped")
        self.control = ChainControl(self.rpc_sync)
        binary = toolchain.ensure("anvil")
        with contextlib.ExitStack() as undo:
            log = undo.enter_context(_open_log(self._log_path))
            child = Child([str(binary), *self._arguments()], log)
            undo.callback(child.end)
            self._running = running = _Running(child, log, undo)
            undo.callback(self._forget)
            self._wait_until_ready(running)
            running.undo = undo.pop_all()
        return self

    def stop(self) -> None:
        """Ends the node: asks it to, then kills it; returns when it is gone. Does nothing if it is not started."""
        if self._running is not None:
            self._running.undo.close()

    async def astart(self) -> Self:
        """:meth:`start` for a running event loop. A cancelled start leaves nothing behind."""
        starting = asyncio.get_running_loop().run_in_executor(None, self.start)
        cancelled: asyncio.CancelledError | None = None
        while not starting.done():  # a second cancellation, too, must not leave the node behind
            try:
                await asyncio.wait({starting})
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is None:
            return starting.result()
        if starting.exception() is None:
            await self.astop()
        raise cancelled

    async def astop(self) -> None:
        """:meth:`stop` for a running event loop."""
        await asyncio.shield(asyncio.to_thread(self.stop))

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return await self.astart()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.astop()

    # ------------------------------------------------------------------------------------------------------ JSON-RPC

    async def rpc(self, method: str, *params: object) -> Any:
        """One JSON-RPC call. A connection for each, so that one node serves any number of event loops."""
        try:
            async with httpx.AsyncClient(trust_env=False, verify=self._ssl, timeout=_RPC_TIMEOUT) as client:
                answer = await client.post(self.url, json=_request(method, params))
                return _result(method, answer.raise_for_status().content)
        except httpx.HTTPError as error:
            raise self._unreachable(method, error) from error

    def rpc_sync(self, method: str, *params: object) -> Any:
        """:meth:`rpc` without an event loop. By the standard library: tests mine 20 blocks a second so, and an httpx
        client takes four times the processor time."""
        body = json.dumps(_request(method, params)).encode()
        request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})  # noqa: S310  (http)
        try:
            with _DIRECT.open(request, timeout=_RPC_TIMEOUT) as answer:
                return _result(method, answer.read())
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(method, error) from error

    def receipt_sync(self, transaction: str) -> dict[str, Any]:
        """The receipt of a transaction, once it is mined. The answer to a sent transaction may come before its block.

        Raises ChainError (code ``rpc_error``) if it is not mined within 30 s: mine, or give the node a block time.
        """
        deadline = time.monotonic() + _RPC_TIMEOUT
        while (receipt := self.rpc_sync("eth_getTransactionReceipt", transaction)) is None:
            if time.monotonic() >= deadline:
                raise ChainError(f"transaction {transaction} is not mined after {_RPC_TIMEOUT:.0f} s", code="rpc_error")
            time.sleep(_POLL)
        return dict(receipt)

    async def block_number(self, tag: str = "latest") -> int:
        """The number of the block that ``tag`` names."""
        block = await self.rpc("eth_getBlockByNumber", tag, False)
        return int(block["number"], 16)

    async def mine(self, blocks: int = 1) -> int:
        """:meth:`ChainControl.mine`; returns the newest block's number."""
        heads = await asyncio.to_thread(self.control.mine, blocks)
        return int(heads["block"]["number"])

    async def finalize(self) -> int:
        """:meth:`ChainControl.finalize`; returns the finalized block's number."""
        heads = await asyncio.to_thread(self.control.finalize)
        return int(heads["finalized"])

    async def reorg(self, depth: int, *, drop: bool = False) -> None:
        """:meth:`ChainControl.reorg`."""
        await asyncio.to_thread(self.control.reorg, depth, drop=drop)

    async def warp(self, seconds: int) -> None:
        """:meth:`ChainControl.warp`."""
        await asyncio.to_thread(self.control.warp, seconds)

    async def snapshot(self) -> str:
        """Keeps the chain's present state; the answer is for :meth:`revert`."""
        return str(await self.rpc("evm_snapshot"))

    async def revert(self, snapshot: str) -> None:
        """Goes back to a snapshot, which is used up by it (take a new one to come back again)."""
        if await self.rpc("evm_revert", snapshot) is not True:
            raise ChainError(f"anvil has no snapshot {snapshot}: it was used before, or never taken", code="rpc_error")

    async def set_balance(self, address: str, wei: int) -> None:
        await self.rpc("anvil_setBalance", address, hex(wei))

    # ----------------------------------------------------------------------------------------------------- internals

    def _arguments(self) -> Iterator[str]:
        yield from ("--host", "127.0.0.1", "--port", str(self._wanted_port), "--chain-id", str(self.chain_id))
        yield from ("--slots-in-an-epoch", str(self.slots_in_an_epoch))
        # Else Anvil moves all states but ten to its disk cache (gigabytes within two hours), from where a
        # reorganisation restores accounts without their code.
        yield from ("--prune-history", str(self.states))
        if self.block_time is not None:
            yield from ("--block-time", f"{self.block_time:g}")
        if self._state is not None:
            yield from ("--state", str(self._state))

    def _started(self) -> _Running:
        if self._running is None:
            raise AssertionError("this node is not started, or has been stopped")
        return self._running

    def _forget(self) -> None:
        self._running = None

    def _wait_until_ready(self, running: _Running) -> None:
        deadline = time.monotonic() + _START_TIMEOUT
        while True:
            if running.child.process.poll() is not None:
                raise _no_start(f"ended with exit code {running.child.process.returncode}", running)
            if running.port == 0 and (line := re.search(r"Listening on 127\.0\.0\.1:(\d+)", running.output())):
                running.port = int(line[1])
            if running.port:
                with contextlib.suppress(ChainUnreachable):
                    self.rpc_sync("eth_chainId")
                    return
            if time.monotonic() > deadline:
                raise _no_start(f"did not answer within {_START_TIMEOUT:g} s", running)
            time.sleep(_POLL)

    def _unreachable(self, method: str, error: Exception) -> ChainUnreachable:
        return ChainUnreachable(f"anvil at {self.url} did not answer {method}: {type(error).__name__} {error}".rstrip())


@dataclass(slots=True)
class _Running:
    child: Child
    log: IO[bytes]
    undo: contextlib.ExitStack
    port: int = 0

    def output(self) -> str:
        # The node writes through the same open file, so its position must stay: read by offset.
        size = os.fstat(self.log.fileno()).st_size
        return os.pread(self.log.fileno(), size, 0).decode(errors="replace")


def _open_log(path: Path | None) -> IO[bytes]:
    return tempfile.TemporaryFile("w+b") if path is None else path.open("w+b")


def _no_start(what: str, running: _Running) -> ChainUnreachable:
    last = " ".join(running.output().split())[-500:] or "no output"
    return ChainUnreachable(f"anvil {what}: {last}", code="anvil_not_started")


def _request(method: str, params: tuple[object, ...]) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}


def _result(method: str, body: bytes) -> Any:
    document = read_json(body, max_bytes=len(body), max_values=len(body))  # our own child process
    if "error" in document:
        error = document["error"]
        raise ChainError(f"anvil refused {method}: {error.get('message')} ({error.get('code')})", code="rpc_error")
    return document["result"]
