"""Changes of request-signing keys (``orchestrator keys request``): upload, rotation, revocation.

Each step survives the death of its process. What is about to be sent is written to the key's file first, with its
idempotency key. A change that was interrupted is completed from there: the same request is sent again, signed like the
first one, and the platform's stored answer holds the key's id. The API's documentation does not say whether a key that
was replaced may still sign that repeat. Where it may not, and the platform has taken the new key, only the platform
knows its id: the change ends with code ``request_key_uncertain``, and an operator reads the id at the platform and
passes it to ``adopt``.

Approvals are asked for before the first step, under the lock on changes; a change that has begun is completed without
asking again. ``request_key_journal`` says when an approval is used up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final, Protocol

from orchestrator.errors import (
    Disposition,
    KeyUnavailable,
    MalformedAnswer,
    PlatformRefused,
    PlatformUnreachable,
    SettingsError,
    UncertainAnswer,
)
from orchestrator.oversight.request_key_journal import RequestKeyJournal, record_changes
from orchestrator.request_signing.http_signature import RequestKey
from orchestrator.request_signing.key_file import Action, RequestKeyFile, State
from orchestrator.request_signing.key_folder import RequestKeyFolder

_TRIES: Final = 4
"""Of one request whose answer was lost, with the same idempotency key."""
_SIGNATURE_REFUSED: Final = ("request_signature_refused", "platform_unauthorized")


class SigningKeyCalls(Protocol):
    """The platform's calls about its request-signing key (``platform.client``). All raise PlatformError."""

    async def replace_signing_key(
        self, public_key_pem: str, *, key: str, taken: Callable[[str], RequestKey]
    ) -> RequestKey: ...

    async def accepts_signing_key(self, key: RequestKey) -> bool: ...

    async def revoke_signing_key(self, *, key: str) -> None: ...


class RequestKeyChanges:
    """Changes of the platform's key through one client, one at a time over all processes of the folder.

    ``platform``: a client that signs with the keys of ``folder`` (``connect.client_with_request_keys``). ``journal``:
    gives the approval before a change begins, and records what was done; None: neither. ``patience``: seconds to wait
    for another process that changes the key.
    """

    def __init__(
        self,
        platform: SigningKeyCalls,
        folder: RequestKeyFolder,
        journal: RequestKeyJournal | None = None,
        *,
        patience: float = 60.0,
    ) -> None:
        self._platform = platform
        self._folder = folder
        self._journal = journal
        self._patience = patience

    async def upload(self, name: str) -> RequestKeyFile:
        """Makes this the platform's key, in place of any other. Does nothing if it is already.

        The request is signed with the key in use, the settings' own or a managed one; for the first key it is unsigned.
        SIDE EFFECTS: ``PUT /auth/signing``. Raises PlatformError, KeyUnavailable (``request_key_pending``,
        ``request_key_state``, ``request_key_uncertain``, ``request_key_busy``).
        """
        async with self._changing():
            await self._upload(name)
        await self.record()
        return await asyncio.to_thread(self._folder.get, name)

    async def rotate(self, name: str | None = None) -> RequestKeyFile:
        """Makes a new key and puts it in place of the current one. ``name``: the new key's; derived from the current
        one's if left out.

        If a rotation was interrupted, this completes it and begins no other. Raises as ``upload``.
        """
        async with self._changing():
            pending: str | None = await asyncio.to_thread(self._folder.unfinished)
            if pending is not None and name not in (None, pending):
                raise _pending(pending)
            new = pending or name
            if new is None:
                new = await asyncio.to_thread(self._next_name)
            file = await self._find(new)
            approvals: tuple[str, ...] | None = None
            if file is None or file.state is State.CREATED:  # before the first step of a rotation, or after it
                before = await asyncio.to_thread(self._folder.in_use)
                approvals = await self._approvals_for(
                    {
                        "action": "rotate",
                        "requestKey": before.name if before else None,
                        "fingerprint": before.fingerprint if before else None,
                        "newRequestKey": new,
                    }
                )
            if file is None:
                await asyncio.to_thread(self._folder.create, new)
            await self._upload(new, approvals)
        await self.record()
        return await asyncio.to_thread(self._folder.get, new)

    async def adopt(self, name: str, key_id: str) -> RequestKeyFile:
        """The operator's remedy after ``request_key_uncertain``: the key's id as the platform shows it. It is accepted
        if the platform answers a read that is signed with this key. Raises KeyUnavailable ``request_key_refused``."""
        if not key_id or not key_id.isascii() or not key_id.isprintable() or len(key_id) > 500:
            raise SettingsError(
                f"key id: expected up to 500 printable ASCII characters, got {ascii(key_id)[:80]}", code="usage"
            )
        async with self._changing():
            file = await asyncio.to_thread(self._folder.get, name)
            if file.state is not State.UPLOADING:
                raise KeyUnavailable(
                    f"request-signing key {name!r}: expected state uploading, got {file.state}",
                    code="request_key_state",
                )
            if not await self._platform.accepts_signing_key(await asyncio.to_thread(self._folder.open, name, key_id)):
                raise KeyUnavailable(
                    f"the platform does not take the signatures of request-signing key {name!r} under the id "
                    f"{ascii(key_id)[:80]}",
                    code="request_key_refused",
                )
            approvals = await self._approvals_for(_content("adopt", file, keyId=key_id))
            await asyncio.to_thread(self._folder.switch, name, key_id, await self._action(), approvals)
        await self.record()
        return await asyncio.to_thread(self._folder.get, name)

    async def revoke(self, name: str, *, emergency: bool = False) -> RequestKeyFile:
        """Removes the key at the platform if it is there, and its private half here. Does nothing if both are gone.

        No approval is needed for a key that was never uploaded, nor in an ``emergency``.

        SIDE EFFECTS: ``DELETE /auth/signing`` for the current key: the platform refuses every request until another key
        is uploaded. Raises as ``upload``.
        """
        async with self._changing():
            file = await asyncio.to_thread(self._folder.get, name)
            match file.state:
                case State.CREATED:
                    await asyncio.to_thread(self._folder.revoke, name)
                case State.UPLOADING:
                    raise _pending(name)
                case State.CURRENT | State.REVOKING:
                    await self._remove(file, ask=not emergency)
                case _:
                    pass  # retired, revoked: it is gone
        await self.record()
        return await asyncio.to_thread(self._folder.get, name)

    async def record(self) -> None:
        """Records what was done to the keys, by any process, and is not in the journal yet."""
        if self._journal is not None:
            await record_changes(self._folder, self._journal)

    async def complete_upload(self, name: str) -> None:
        """Completes the upload that another process has left unfinished; begins none. For a client whose key was
        refused. Raises as ``upload``."""
        async with self._changing():
            if (await asyncio.to_thread(self._folder.get, name)).state is State.UPLOADING:
                await self._upload(name)

    # --- upload ----------------------------------------------------------------------------------------------------

    async def _upload(self, name: str, approvals: tuple[str, ...] | None = None) -> None:
        """``approvals``: those of the change that this is a part of; None: ask for one, unless the upload has begun."""
        file = await asyncio.to_thread(self._folder.get, name)
        if file.state is State.CURRENT:
            return
        pending = await asyncio.to_thread(self._folder.unfinished)
        if pending not in (None, name):
            raise _pending(str(pending))
        if file.state not in (State.CREATED, State.UPLOADING):
            raise KeyUnavailable(
                f"request-signing key {name!r} is {file.state}: make another one (orchestrator keys request create)",
                code="request_key_state",
            )
        await asyncio.to_thread(self._folder.open, name)  # a wrong password must show before anything is sent
        resumed = file.state is State.UPLOADING
        if not resumed:
            if approvals is None:
                approvals = await self._approvals_for(_content("upload", file))
            file = await asyncio.to_thread(self._folder.intend_upload, name, approvals)
        action = await self._action()

        def taken(key_id: str) -> RequestKey:
            if not key_id:
                raise MalformedAnswer("PUT /auth/signing: expected the key's id, got an empty text")
            self._folder.switch(name, key_id, action)
            return self._folder.open(name)

        assert file.idempotency_key is not None, "decode() requires it in state uploading"
        for attempt in range(1, _TRIES + 1):
            try:
                await self._platform.replace_signing_key(file.public_key, key=file.idempotency_key, taken=taken)
            except UncertainAnswer:
                # With the same idempotency key the platform does nothing twice.
                resumed = True
                if attempt == _TRIES:
                    raise
                await asyncio.sleep(0.1 * 2**attempt)
            except PlatformUnreachable:
                raise  # nothing was sent; the intent stays, and the same command goes on from it
            except PlatformRefused as refusal:
                if refusal.disposition is Disposition.RETRY:
                    raise
                if not resumed:
                    await asyncio.to_thread(self._folder.withdraw_upload, name)
                    raise
                if refusal.code not in _SIGNATURE_REFUSED:
                    raise
                await self._take_over_id(name, action, refusal)
                return
            else:
                return

    async def _take_over_id(self, name: str, action: Action, refusal: PlatformRefused) -> None:
        """The platform refuses the old key's signature of the repeat, so it has taken the new key. Tries the old id
        with the new key, in case the platform keeps ids. Raises KeyUnavailable ``request_key_uncertain``."""
        before = await asyncio.to_thread(self._folder.in_use)
        if before is not None and before.key_id:
            trial = await asyncio.to_thread(self._folder.open, name, before.key_id)
            if await self._platform.accepts_signing_key(trial):
                await asyncio.to_thread(self._folder.switch, name, before.key_id, action)
                return
        raise KeyUnavailable(
            f"request-signing key {name!r} was sent, its answer was lost, and the platform takes the old key no longer "
            f"({refusal.message}). It has probably taken the new one, under an id that only it knows: look it up in "
            f"the platform's console, and type orchestrator keys request adopt {name} --key-id ID. If the console "
            f"shows no key, or another one, remove it there, and revoke and upload again",
            code="request_key_uncertain",
            disposition=Disposition.OPERATOR,
        ) from refusal

    async def _action(self) -> Action:
        """The journal's word for an upload: in place of another key it is a rotation."""
        return "uploaded" if await asyncio.to_thread(self._folder.in_use) is None else "rotated"

    # --- revoke ----------------------------------------------------------------------------------------------------

    async def _remove(self, file: RequestKeyFile, *, ask: bool) -> None:
        resumed = file.state is State.REVOKING
        if not resumed:
            await asyncio.to_thread(self._folder.open, file.name)
            approvals = await self._approvals_for(_content("revoke", file)) if ask else ()
            file = await asyncio.to_thread(self._folder.intend_revocation, file.name, approvals)
        assert file.idempotency_key is not None, "decode() requires it in state revoking"
        for attempt in range(1, _TRIES + 1):
            try:
                await self._platform.revoke_signing_key(key=file.idempotency_key)
            except UncertainAnswer:
                resumed = True
                if attempt == _TRIES:
                    raise
                await asyncio.sleep(0.1 * 2**attempt)
            except PlatformUnreachable:
                raise
            except PlatformRefused as refusal:
                if refusal.disposition is Disposition.RETRY:
                    raise
                if resumed and refusal.code in _SIGNATURE_REFUSED:
                    break  # a key that was removed signs nothing any more: the first request was taken
                if not resumed:
                    await asyncio.to_thread(self._folder.withdraw_revocation, file.name)
                raise
            else:
                break
        await asyncio.to_thread(self._folder.revoke, file.name)

    # --- inside ----------------------------------------------------------------------------------------------------

    async def _approvals_for(self, change: Mapping[str, str | None]) -> tuple[str, ...]:
        """The ids of the approvals that a change takes. Raises AwaitsApproval where it may not begin."""
        return () if self._journal is None else await self._journal.approvals_for(change)

    async def _find(self, name: str) -> RequestKeyFile | None:
        try:
            return await asyncio.to_thread(self._folder.get, name)
        except KeyUnavailable as error:
            if error.code == "key_not_found":
                return None
            raise

    @asynccontextmanager
    async def _changing(self) -> AsyncIterator[None]:
        """One change at a time, over all processes. Raises KeyUnavailable ``request_key_busy``."""
        until = time.monotonic() + self._patience
        # Not in a thread: a wait that is cancelled there would leave a lock that nobody releases.
        while (change := self._folder.try_change()) is None:
            if time.monotonic() >= until:
                raise KeyUnavailable(
                    f"another process has been changing the request-signing key for {self._patience:.0f} s",
                    code="request_key_busy",
                    disposition=Disposition.RETRY,
                )
            await asyncio.sleep(0.05)
        try:
            yield
        finally:
            change.close()

    def _next_name(self) -> str:
        """``NAME-2``, ``NAME-3``, …, from the key in use: the first that is free, or was created and not uploaded."""
        current = self._folder.in_use()
        taken = {file.name for file in self._folder.list() if file.state is not State.CREATED}
        stem, _, last = (current.name if current else "request").rpartition("-")
        stem = stem if stem and last.isdigit() else (current.name if current else "request")
        return next(name for number in range(2, 10_000) if (name := f"{stem[:58]}-{number}") not in taken)


def _content(action: str, file: RequestKeyFile, **more: str) -> dict[str, str | None]:
    return {"action": action, "requestKey": file.name, "fingerprint": file.fingerprint, **more}


def _pending(name: str) -> KeyUnavailable:
    return KeyUnavailable(
        f"the upload of request-signing key {name!r} has begun and is not settled: complete it first "
        f"(orchestrator keys request upload {name})",
        code="request_key_pending",
    )
