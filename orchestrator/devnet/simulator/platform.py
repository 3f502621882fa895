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
from .families import Family
from .faults import Fault, Faults
from .http_signatures import Message
from .idempotency import IdempotencyKeys, request_fingerprint
from .judge import Judge
from .published_api import PublishedCall
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
        self.schemas = Schemas(config.chain_id, config.options.signer_member)
        self.faults = Faults()
        self.keys = IdempotencyKeys(self.store, self.clock, self.options.idempotency_lifetime)
        self.judge = Judge(self.options, self.faults)
        self.deliveries = Deliveries(self.store, self.clock, self.options, self.faults, self.judge)
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
            self.chain = Chain(config.rpc_url, config.operator_key)
            self.transactions = Transactions(self.store, self.clock, self.options, self.chain)
            family = config.family(self.chain, config.factory, config.escrow)
            self.worker.start(self._jobs(self, family, self.transactions))
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
    BEARER = "bearer token"
    PROGRAMME = "bearer token and request signature"
    ADMIN = "the devnet's admin token"


@dataclass(slots=True)
class Call:
    """One request, after routing. ``key`` is its idempotency key: modifying calls have one, those under /auth may."""

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
        (value,) = self.parameters.values()
        if not UUID.fullmatch(value):
            raise ApiError(400, "invalid_request", "the identifier in the path is not a UUID")
        return value.lower()

    def checked_body(self) -> dict[str, Any]:
        """The body, checked against the call's own schema. Raises ApiError 400."""
        published = self.operation.published
        if published is None or published.body is None:
            raise AssertionError(f"{self.operation.name} takes no body")
        kind = (self.message.field("content-type") or "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise ApiError(400, "unsupported_media_type", f"expected application/json, got {kind or 'no content type'}")
        return self.platform.schemas.parse(published.body, self.body)

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
MakeJobs: TypeAlias = Callable[[Platform, Family, Transactions], Jobs]


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of the API's table. ``path`` is under /v1 for all but the admin's calls."""

    method: str
    path: str
    name: str
    handler: Handler
    access: Access = Access.PROGRAMME
    published: PublishedCall | None = None
    """The row of the published call; None for what is the devnet's own."""

    @property
    def modifying(self) -> bool:
        return self.method not in {"GET", "HEAD", "OPTIONS"}

    @property
    def signed(self) -> bool:
        """Whether requests need a signature. Under /auth the token is enough, so that a first signing key gets in."""
        return self.access is Access.PROGRAMME
