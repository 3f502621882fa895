"""What all parts of the simulator share: the platform with its state and workers, and one request to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeAlias

from .answers import Answer, ApiError
from .chain import Chain
from .clock import Clock
from .config import Options, SimulatorConfig
from .deliveries import Deliveries
from .faults import Fault, Faults
from .http_signatures import Message
from .idempotency import IdempotencyKeys, request_fingerprint
from .schemas import UUID, Schemas
from .store import Store
from .transactions import Jobs, Transactions, Worker

__all__ = ["Access", "Call", "Handler", "Operation", "Platform"]


class Platform:
    """The simulated platform: state, clock, faults and background workers. Used from one event loop.

    ``operations`` is the API's table (see :mod:`routes`); ``jobs`` makes what the worker runs (see :mod:`jobs`).
    """

    def __init__(self, config: SimulatorConfig, operations: Sequence[Operation], jobs: MakeJobs) -> None:
        self.config = config
        self.options: Options = config.options
        self.operations = operations
        self.clock = Clock()
        self.store = Store(config.database)
        self.schemas = Schemas(config.chain_id, self.options.signer_field)
        self.faults = Faults()
        self.keys = IdempotencyKeys(self.store, self.clock, self.options.idempotency_lifetime)
        self.deliveries = Deliveries(self.store, self.clock, self.options, self.faults)
        self.worker = Worker(self.store)
        self.chain: Chain | None = None
        self.transactions: Transactions | None = None
        self._jobs = jobs
        with self.store.transaction():
            for token in config.tokens:
                self.store.write("INSERT OR IGNORE INTO tokens VALUES (?)", token)
        self.store.after_commit += [self.deliveries.wake, self.worker.wake]

    async def start(self) -> None:
        """Continues unfinished deployments and undelivered webhooks."""
        config = self.config
        if config.rpc_url:
            self.chain = Chain(config.rpc_url, config.operator_key, config.factory, config.escrow)
            self.transactions = Transactions(self.store, self.clock, self.options, self.chain)
            self.worker.start(self._jobs(self, self.chain, self.transactions))
        self.deliveries.start()

    async def stop(self) -> None:
        await self.worker.stop()
        if self.chain is not None:
            await self.chain.stop()
        await self.deliveries.stop()
        self.store.close()


class Access(Enum):
    """Who may call an operation."""

    PUBLIC = "no authentication"
    PROGRAMME = "bearer token and request signature"
    ADMIN = "the devnet's admin token"


@dataclass(slots=True)
class Call:
    """One request, after routing. ``key`` is its idempotency key, for the modifying calls of the programme."""

    platform: Platform
    operation: Operation
    message: Message
    path: str
    parameters: dict[str, str]
    query: str
    body: bytes
    key: str | None = None
    replayed: bool = False
    faults: list[str] = field(default_factory=list)

    @property
    def fingerprint(self) -> str:
        """The same for two requests with the same payload, and for no others."""
        return request_fingerprint(self.operation.method, self.path, self.query, self.body)

    @property
    def id(self) -> str:
        """The UUID in the path, lower-case. Raises ApiError 400."""
        value = self.parameters["id"]
        if not UUID.fullmatch(value):
            raise ApiError(400, "invalid_request", "the identifier in the path is not a UUID")
        return value.lower()

    def json(self, schema: str) -> dict[str, Any]:
        """The checked body. Raises ApiError 400 or 415."""
        kind = (self.message.field("content-type") or "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise ApiError(415, "unsupported_media_type", f"expected application/json, got {kind or 'no content type'}")
        return self.platform.schemas.parse(schema, self.body)

    def fault(self, kind: str) -> Fault | None:
        """The ordered fault of a kind that strikes this request, if any; noted in the request's record."""
        found = self.platform.faults.take(kind, (self.operation.method, self.path))
        if found is not None:
            self.faults.append(kind)
        return found

    def answer(self, status: int, value: object = None) -> Answer:
        """The final answer of a modifying call, stored with its effect: inside the same transaction."""
        return self.keep(Answer.of(status, value))

    def keep(self, answer: Answer) -> Answer:
        if not self.platform.store.in_transaction:
            raise AssertionError("the answer belongs into the transaction of the effect")
        if self.key is not None:
            self.platform.keys.keep(self.key, answer)
        return answer


Handler: TypeAlias = Callable[[Platform, Call], Awaitable[Answer]]
MakeJobs: TypeAlias = Callable[[Platform, Chain, Transactions], Jobs]


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of the API's table. ``path`` is under /v1 for all but the admin's calls."""

    method: str
    path: str
    name: str
    handler: Handler
    access: Access = Access.PROGRAMME
    first_key: bool = False
    """May be called without a signature while no signing key is registered."""

    @property
    def modifying(self) -> bool:
        return self.method not in {"GET", "HEAD", "OPTIONS"}
