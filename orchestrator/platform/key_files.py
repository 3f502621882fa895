"""What the changes of managed request-signing keys ask of the files, and how what was done reaches the journal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, Protocol, cast

from orchestrator.lifecycle.oversight_events import RequestKeyChanged
from orchestrator.platform.signing import RequestKey
from orchestrator.platform.signing_keys import RequestKeys

__all__ = ["Change", "KeyFile", "KeyFiles", "Record", "record_changes"]

Record = Callable[[RequestKeyChanged], Awaitable[None]]
"""Puts a change into the journal. It may be called again for a change that is there already, after a kill."""


class KeyFile(Protocol):
    """What is known of a key without opening it."""

    @property
    def name(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def public_key(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def key_id(self) -> str | None: ...
    @property
    def idempotency_key(self) -> str | None: ...
    @property
    def unrecorded(self) -> tuple[str, ...]: ...
    @property
    def created_at(self) -> str: ...
    @property
    def changed_at(self) -> str: ...
    @property
    def generation(self) -> int: ...


class Change(Protocol):
    """The right to change the platform's key, until it is closed."""

    def close(self) -> None: ...


class KeyFiles(RequestKeys, Protocol):
    """Where the keys are kept (``orchestrator.signers.request_keys.RequestKeyFolder``). Everything blocks."""

    def list(self) -> Sequence[KeyFile]: ...
    def get(self, name: str) -> KeyFile: ...
    def in_use(self) -> KeyFile | None: ...
    def open(self, name: str, key_id: str = "") -> RequestKey: ...
    def create(self, name: str) -> KeyFile: ...
    def try_change(self) -> Change | None: ...
    def intend_upload(self, name: str) -> KeyFile: ...
    def withdraw_upload(self, name: str) -> KeyFile: ...
    def switch(self, name: str, key_id: str, action: str) -> KeyFile: ...
    def intend_revocation(self, name: str) -> KeyFile: ...
    def withdraw_revocation(self, name: str) -> KeyFile: ...
    def revoke(self, name: str) -> KeyFile: ...
    def recorded(self, name: str) -> KeyFile: ...


async def record_changes(files: KeyFiles, record: Record, *, by: str) -> None:
    """Puts into the journal what has been done and is not there yet, by whichever process."""
    found = await asyncio.to_thread(files.list)
    for file in sorted(found, key=lambda file: (file.changed_at, file.generation)):
        for action in file.unrecorded:
            await record(
                RequestKeyChanged(
                    action=cast("Literal['created', 'uploaded', 'rotated', 'revoked']", action),
                    name=file.name,
                    fingerprint=file.fingerprint,
                    key_id=None if action == "created" else file.key_id,
                    by=by,
                )
            )
            await asyncio.to_thread(files.recorded, file.name)
