"""A signing client of the suite's own (it shares nothing with the package's client), and simulators to talk to."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import ssl
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from eth_account import Account
from eth_account.messages import encode_defunct

from orchestrator.devnet.anvil import Anvil
from orchestrator.devnet.contracts import Contracts, deploy_contracts
from orchestrator.devnet.dev_accounts import DEV_ACCOUNTS
from orchestrator.devnet.simulator import Credentials, Options, Programme, Simulator, SimulatorConfig
from orchestrator.devnet.simulator.http_signatures import Message, content_digest, sign_message
from tests.departures import deliberate

OPERATOR, OWNER, STRANGER = DEV_ACCOUNTS[0], DEV_ACCOUNTS[1], DEV_ACCOUNTS[2]


@lru_cache(maxsize=64)
def parsed(pem: str) -> Any:
    return serialization.load_pem_private_key(pem.encode(), password=None)


def loopback_client() -> httpx.AsyncClient:
    """Without the system's certificates: loading them takes longer than the test."""
    return httpx.AsyncClient(timeout=30, trust_env=False, verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))


@dataclass
class Client:
    """Signs each request as the platform wants it; every part can be overridden, to send what a client should not."""

    url: str
    credentials: Credentials
    token: str = ""
    http: httpx.AsyncClient = field(default_factory=loopback_client)

    async def login(self) -> str:
        body = {"apiKey": self.credentials.api_key, "apiSecret": self.credentials.api_secret}
        response = await self.http.post(f"{self.url}/auth/token", json=body)
        response.raise_for_status()
        self.token = response.json()["token"]
        return self.token

    def headers(
        self,
        method: str,
        target: str,
        body: bytes,
        *,
        key: str | None = None,
        created: float | None = None,
        covered: list[str] | None = None,
        extra: dict[str, str | None] | None = None,
    ) -> dict[str, str]:
        headers: dict[str, str] = {"authorization": f"Bearer {self.token}"}
        if body:
            headers |= {"content-type": "application/json", "content-digest": content_digest(body)}
        if key is not None:
            headers["idempotency-key"] = key
        for name, value in (extra or {}).items():
            if value is None:
                headers.pop(name, None)
            else:
                headers[name] = value
        private = parsed(self.credentials.signing_key)
        at = int(time.time() if created is None else created)
        return headers | sign_message(
            Message(method, target, list(headers.items())),
            key=private,
            key_id=self.credentials.signing_key_id,
            created=at,
            expires=at + 300,
            covered=covered or ["@method", "@authority", "@path", *(["@query"] if "?" in target else []), *headers],
        )

    async def request(
        self, method: str, path: str, value: Any = None, *, key: str | None = "new", wrong: bool = False, **how: Any
    ) -> httpx.Response:
        """``wrong``: this request departs from the published API on purpose."""
        if not self.token:
            await self.login()
        body = value if isinstance(value, bytes) else b"" if value is None else json.dumps(value).encode()
        if key == "new":
            key = None if method == "GET" else str(uuid.uuid4())
        target = self.url + path
        headers = self.headers(method, target, body, key=key, **how)
        with deliberate() if wrong else contextlib.nullcontext():
            return await self.http.request(method, target, content=body, headers=headers)

    async def ok(self, method: str, path: str, value: Any = None, **how: Any) -> Any:
        response = await self.request(method, path, value, **how)
        assert response.is_success, f"{method} {path}: {response.status_code} {response.text}"
        return response.json() if response.content else None


def signature_text(challenge: str, private_key: str) -> str:
    """What a client submits: Base64 of the 0x-hex text of the EIP-191 signature."""
    signed = Account.sign_message(encode_defunct(base64.b64decode(challenge)), private_key)
    return base64.b64encode(("0x" + bytes(signed.signature).hex()).encode()).decode()


def submission(challenge: str, owner: Any = OWNER, *, chain_id: int = 31337) -> dict[str, str]:
    return {
        "ownerId": f"eip155:{chain_id}:{owner.address}",
        "challenge": challenge,
        "signature": signature_text(challenge, owner.private_key),
    }


@dataclass
class World:
    """A simulator, a ready programme and a client of it."""

    simulator: Simulator
    programme: Programme
    client: Client

    async def create(self) -> dict[str, Any]:
        path = f"/customers/{self.programme.customer_id}/accounts"
        account: dict[str, Any] = await self.client.ok("POST", path, {"type": "card_account", "currencies": ["EUR"]})
        return account

    async def sign(self, account: dict[str, Any], owner: Any = OWNER) -> httpx.Response:
        """Signs a challenge that is asked for. ``submit`` signs one that is there."""
        challenge = (await self.client.ok("GET", f"/accounts/{account['id']}/challenge"))["challenge"]
        return await self.submit(account, challenge, owner)

    async def submit(self, account: dict[str, Any], challenge: str, owner: Any = OWNER) -> httpx.Response:
        path = f"/accounts/{account['id']}/challenge/sign"
        return await self.client.request("POST", path, submission(challenge, owner))

    async def active(self) -> dict[str, Any]:
        account = await self.create()
        assert (await self.sign(account)).is_success
        return await self.reach(account["id"], "active")

    async def reach(self, account_id: str, status: str, seconds: float = 20) -> dict[str, Any]:
        async def there() -> dict[str, Any] | None:
            account: dict[str, Any] = await self.client.ok("GET", f"/accounts/{account_id}")
            return account if account["status"] == status else None

        return await eventually(there, f"{account_id} is {status}", seconds)

    async def admin(self, method: str, path: str, value: Any = None) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.simulator.admin_token}"}
        return await self.client.http.request(method, self.simulator.admin_url + path, json=value, headers=headers)

    async def restart(self, *, crash: bool = False) -> None:
        """Ends the simulator, as a crash does if wanted, and starts a new one on the same database."""
        config = self.simulator.config
        if crash:
            await crash_simulator(self.simulator)
        else:
            await self.simulator.stop()
        self.simulator = await Simulator(config).start()
        self.programme = self.simulator.bootstrap(self.programme.owner, credentials=self.programme.credentials)
        self.client.url = self.simulator.url


async def crash_simulator(simulator: Simulator) -> None:
    """What kill -9 leaves: nothing is finished, and nothing more is written."""
    platform, serving = simulator.platform, simulator._serving
    platform.store._db.close()  # whatever still runs can change nothing any more
    assert serving is not None
    assert simulator._server is not None
    simulator._server.force_exit = True
    simulator._server.should_exit = True
    for transport in list(simulator._transports.values()):
        transport.abort()
    await asyncio.gather(platform.worker.stop(), platform.deliveries.stop(), serving, return_exceptions=True)
    if platform.chain is not None:
        await platform.chain.stop()


async def eventually(
    condition: Callable[[], Awaitable[Any]], what: str, seconds: float = 20, pause: float = 0.02
) -> Any:
    """Waits until ``condition`` gives something true, and returns it."""
    end = time.monotonic() + seconds
    while True:
        value = await condition()
        if value:
            return value
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        await asyncio.sleep(pause)
        pause = min(0.25, pause * 1.5)


Make = Callable[..., Awaitable[World]]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    """Makes worlds: ``await make(options=Options(…), chain=(url, deployed))``."""
    worlds: list[World] = []

    async def build(
        options: Options | None = None, chain: tuple[str, Contracts] | None = None, **changes: Any
    ) -> World:
        config = SimulatorConfig(
            database=tmp_path / f"platform-{len(worlds)}.sqlite",
            options=options or Options(chain_wait=0.0 if chain is None else 20.0, poll_interval=0.01),
        )
        if chain is not None:
            url, deployed = chain
            config = replace(
                config,
                rpc_url=url,
                factory=deployed.factory,
                escrow=deployed.escrow,
                operator_key=OPERATOR.private_key,
                tokens=(deployed.token,),
            )
        simulator = await Simulator(replace(config, **changes)).start()
        programme = simulator.bootstrap(OWNER.address)
        world = World(simulator, programme, Client(simulator.url, programme.credentials))
        worlds.append(world)
        return world

    yield build
    for world in worlds:
        await world.client.http.aclose()
        await world.simulator.stop()


@pytest.fixture
async def world(make: Make) -> World:
    """A platform without a chain."""
    return await make()


@pytest.fixture(scope="module")
def node() -> Iterator[tuple[Anvil, Contracts]]:
    """A real chain that mines with each transaction, with the platform's contracts."""
    with Anvil() as anvil:
        yield anvil, deploy_contracts(anvil)


@pytest.fixture
async def chained(make: Make, node: tuple[Anvil, Contracts]) -> World:
    """A platform on a real chain."""
    anvil, deployed = node
    return await make(chain=(anvil.url, deployed))
