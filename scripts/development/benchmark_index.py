"""What waiting accounts cost `serve`: requests and bytes to the node, and CPU, for each block; memory for each account.

    .venv/bin/python scripts/development/benchmark_index.py [--accounts 10,100,1000,3000] [--settle 150] [--blocks 60]
        [--check]

A devnet with a block a second, and for each row a service of its own, all at the same time: the accounts are pending on
the platform, and no wallet of theirs is ever deployed. It is measured from ``--settle`` seconds after the start, when
each account was polled and only waits. ``--check`` ends with 1 if a promise is broken: at most 3 requests a block in
each row, less than 5 % of a core at 1,000 accounts, less than 2 kB of memory an account.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from aiohttp import ClientSession, web  # noqa: E402

from orchestrator.devnet.devnet import Devnet, devnet  # noqa: E402
from orchestrator.journal.store import Journal  # noqa: E402
from orchestrator.lifecycle import events as e  # noqa: E402
from orchestrator.models import OperationKind  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")


class Counter:
    """Stands before the node, and counts what one service asks of it."""

    def __init__(self, target: str, client: ClientSession) -> None:
        self._target, self._client = target, client
        self.requests = self.bytes = 0
        self.url = ""

    async def start(self, stack: AsyncExitStack) -> Counter:
        app = web.Application(client_max_size=1 << 26)
        app.router.add_post("/{rest:.*}", self._serve)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return self

    async def _serve(self, request: web.Request) -> web.Response:
        body = await request.read()
        async with self._client.post(self._target, data=body, headers={"content-type": "application/json"}) as answer:
            found = await answer.read()
        self.requests += 1
        self.bytes += len(body) + len(found)
        return web.Response(body=found, content_type="application/json", status=answer.status)


@dataclass(frozen=True)
class Sample:
    """What a service has used so far."""

    requests: int
    bytes: int
    cpu: float
    """Seconds."""
    memory: int
    """Bytes."""


@dataclass
class Service:
    accounts: int
    counter: Counter
    process: subprocess.Popen[bytes]
    log: Path

    def sample(self) -> Sample:
        if self.process.poll() is not None:
            raise SystemExit(f"the service of {self.accounts} accounts has ended: {self.log.read_text()[-2000:]}")
        stat = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(") ")[2].split()
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        cpu = (int(stat[11]) + int(stat[12])) / TICKS
        return Sample(self.counter.requests, self.counter.bytes, cpu, pages * os.sysconf("SC_PAGE_SIZE"))


def insert(net: Devnet, count: int) -> list[str]:
    """So many accounts, pending on the platform: their ids."""
    names = [str(uuid.uuid4()) for _ in range(count)]

    def work() -> None:
        platform = net.simulator.simulator.platform
        at = platform.clock.iso()
        with platform.store.transaction():
            for name in names:
                platform.store.insert(
                    "accounts",
                    id=name,
                    customer_id=net.programme.customer_id,
                    status="pending",
                    type="card_account",
                    currencies='["EUR"]',
                    created_at=at,
                    updated_at=at,
                )

    net.simulator.run(work)
    return names


async def seeded(folder: Path, names: list[str]) -> str:
    """A journal with an activation of each account under way: its URL."""
    url, now = f"sqlite:///{folder}/{len(names)}/journal.db", datetime.now(UTC)
    async with await Journal.open(url) as journal:
        for name in names:
            await journal.append(name, [e.OperationStarted(operation=OperationKind.ACTIVATE)], after=0, at=now)
    return url


def started(net: Devnet, url: str, counter: Counter, log: Path) -> subprocess.Popen[bytes]:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")},
        **net.environment,
        "ORCHESTRATOR_RPC_URL": counter.url,
        "ORCHESTRATOR_DATABASE_URL": url,
        "ORCHESTRATOR_POLL_INTERVAL": "2",
        "ORCHESTRATOR_WEBHOOK_TOKEN": "a-token-of-the-benchmark-0123456789",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "orchestrator.cli.main", "serve", "--port", "0"]
    with log.open("wb") as output:
        return subprocess.Popen(command, env=environment, stdout=output, stderr=output, cwd=log.parent)


async def measured(rows: list[int], settle: float, blocks: int) -> list[tuple[int, Sample, Sample, int]]:
    """For each number of accounts, what its service had used at the start and at the end, and the blocks between."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        net = stack.enter_context(devnet())
        async with AsyncExitStack() as closing:
            client = await closing.enter_async_context(ClientSession())
            services, names = [], insert(net, max(rows))
            for count in rows:
                counter = await Counter(net.anvil.url, client).start(closing)
                log = folder / f"{count}.log"
                process = started(net, await seeded(folder, names[:count]), counter, log)
                stack.callback(process.wait)
                stack.callback(process.terminate)
                services.append(Service(count, counter, process, log))
            end = time.monotonic() + settle
            while (left := end - time.monotonic()) > 0:
                print(f"settling: {left:.0f} s ", end="\r", file=sys.stderr, flush=True)
                await asyncio.sleep(min(10.0, left))
            first, before = await net.anvil.block_number(), [service.sample() for service in services]
            await asyncio.sleep(blocks)
            last, after = await net.anvil.block_number(), [service.sample() for service in services]
            return [(one.accounts, *pair, last - first) for one, *pair in zip(services, before, after, strict=True)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--accounts", default="10,100,1000,3000", help="rows, separated by commas")
    parser.add_argument("--settle", type=float, default=150.0, help="seconds before it is measured")
    parser.add_argument("--blocks", type=int, default=60, help="blocks (seconds) that are measured")
    parser.add_argument("--check", action="store_true", help="end with 1 if a promise is broken")
    options = parser.parse_args()
    rows = sorted(int(text) for text in options.accounts.split(","))
    found = asyncio.run(measured(rows, options.settle, options.blocks))
    # Below 50 accounts no list is read, and of that every row here reads all: the memory it takes is not the accounts'.
    base = next((row for row in found if row[0] >= 50), found[0])
    print("accounts  requests/block  kB/block  CPU ms/block  % of a core  B/account")
    broken = []
    for count, before, after, blocks in found:
        requests, cpu = (after.requests - before.requests) / blocks, (after.cpu - before.cpu) / blocks
        size = (after.bytes - before.bytes) / blocks / 1000
        share = 100 * (after.cpu - before.cpu) / options.blocks
        more = count - base[0]
        memory = (after.memory - base[2].memory) / more if more >= 900 else None  # below, it is noise
        shown = "-" if memory is None else f"{memory:.0f}"
        print(f"{count:>8} {requests:>15.2f} {size:>9.1f} {cpu * 1000:>13.1f} {share:>12.1f} {shown:>10}")
        broken += [f"{count} accounts: {requests:.2f} requests a block"] if requests > 3 else []
        broken += [f"{count} accounts: {share:.1f} % of a core"] if count == 1000 and share >= 5 else []
        broken += [f"{count} accounts: {memory:.0f} bytes an account"] if memory is not None and memory >= 2000 else []
    for line in broken:
        print(f"broken: {line}")
    return 1 if broken and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
