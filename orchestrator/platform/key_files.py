"""What the changes of managed request-signing keys ask of the files, and how what was done reaches the journal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal, Protocol, cast

from orchestrator.lifecycle.oversight_events import RequestKeyChanged
from orchestrator.platform.signing import RequestKey
from orchestrator.platform.signing_keys import RequestKeys

__all__ = ["Allow", "Change", "KeyFile", "KeyFiles", "Record", "record_changes"]

Record = Callable[[RequestKeyChanged], Awaitable[None]]
"""Puts a change into the journal. It may be called again for a change that is there already, after a kill."""

Allow = Callable[[Mapping[str, str | None]], Awaitable[str | None]]
"""Returns if exactly this change may be begun now, with the id of the approval that it takes, None where it takes none.
Raises where people have yet to approve it. The same change is asked about again until it has begun."""


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
    def approvals(self) -> tuple[str, ...]: ...
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
    def intend_upload(self, name: str, approvals: tuple[str, ...] = ()) -> KeyFile: ...
    def withdraw_upload(self, name: str) -> KeyFile: ...
    def switch(self, name: str, key_id: str, action: str, approvals: tuple[str, ...] = ()) -> KeyFile: ...
    def intend_revocation(self, name: str, approvals: tuple[str, ...] = ()) -> KeyFile: ...
    def withdraw_revocation(self, name: str) -> KeyFile: ...
    def revoke(self, name: str) -> KeyFile: ...
    def recorded(self, name: str) -> KeyFile: ...


async def record_changes(files: KeyFiles, record: Record, *, by: str) -> None:
    """Puts into the journal what has been done and is not there yet, by whichever process."""
    found = await asyncio.to_thread(files.list)
    for file in sorted(found, key=lambda file: (file.changed_at, file.generation)):
        for number, action in enumerate(file.unrecorded, 1):
            # The approvals are the last change's, which is one that has begun and is not done if there is such a one.
            is_last = number == len(file.unrecorded) and file.idempotency_key is None
            await record(
                RequestKeyChanged(
                    action=cast("Literal['created', 'uploaded', 'rotated', 'revoked']", action),
                    name=file.name,
                    fingerprint=file.fingerprint,
                    key_id=None if action == "created" else file.key_id,
                    by=by,
                    requests=file.approvals if is_last and action != "created" else (),
                )
            )
            await asyncio.to_thread(files.recorded, file.name)
