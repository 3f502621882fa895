"""What all parts of the simulator share: one platform with its state and workers, and one call upon it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeAlias

from .answers import Answer, ApiError
from .clock import Clock
from .config import Options, SimulatorConfig
from .faults import Faults
from .http_signatures import Message
from .idempotency import IdempotencyKeys, fingerprint
from .schemas import UUID, Schemas
from .store import Store
from .webhooks import WebhookQueue
from .worker import Worker

__all__ = ["Access", "Call", "Handler", "Operation", "Platform"]


class Platform:
    """The simulated platform: state, clock, faults and background workers. Used from one event loop."""

    def __init__(self, config: SimulatorConfig) -> None:
        self.config = config
        self.options: Options = config.options
        self.clock = Clock()
        self.store = Store(config.database)
        self.schemas = Schemas(config.chain_id)
        self.faults = Faults()
        self.keys = IdempotencyKeys(self.store, self.clock, self.options.idempotency_lifetime)
        self.webhooks = WebhookQueue(self)
        self.worker = Worker(self)
        with self.store.transaction():
            for token in config.tokens:
                self.store.write("INSERT OR IGNORE INTO tokens VALUES (?)", token)
        self.store.after_commit += [self.webhooks.wake, self.worker.wake]

    async def start(self) -> None:
        """Continues unfinished deployments and undelivered webhooks."""
        await self.worker.start()
        self.webhooks.start()

    async def stop(self) -> None:
        await self.worker.stop()
        await self.webhooks.stop()
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
    def print(self) -> str:
        """What tells this payload from another."""
        return fingerprint(self.operation.method, self.path, self.query, self.body)

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
