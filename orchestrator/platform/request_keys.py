"""Managed request-signing keys at the platform: uploaded, rotated, revoked; every step safe against a kill.

What is about to be sent is in the key's file before it is sent, with its idempotency key. A change that was left in the
middle is gone on with from there: the same request is sent again, signed as the first was, and the platform's stored
answer tells the key's id. Silent in the API's documentation: whether a key that was replaced may still sign that
repeat. Where it may not, and the platform has taken the new key, its id is known to the platform alone: code
``request_key_uncertain``, for an operator, who reads the id at the platform and gives it to ``adopt``.

Where people have to approve a change (``allow``), they are asked before its first step, under the lock of changes; what
has begun is never asked about again. ``orchestrator.oversight.request_keys`` says when an approval is used up.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from orchestrator.errors import (
    Disposition,
    KeyUnavailable,
    MalformedAnswer,
    PlatformRefused,
    PlatformUnreachable,
    SettingsError,
    UncertainAnswer,
)
from orchestrator.platform.client import PlatformClient
from orchestrator.platform.clock import Clock, SystemClock
from orchestrator.platform.key_files import Allow, KeyFile, KeyFiles, Record, record_changes
from orchestrator.platform.settings import PlatformSettings
from orchestrator.platform.signing import RequestKey

__all__ = ["RequestKeyChanges", "managed_client"]

_TRIES: Final = 4
"""Of one request whose answer was lost, with the same idempotency key."""
_BUSY_SECONDS: Final = 60.0
_SIGNATURE_REFUSED: Final = ("request_signature_refused", "platform_unauthorized")


def managed_client(settings: PlatformSettings, files: KeyFiles) -> PlatformClient:
    """A client that signs with the managed keys (after the settings' own, if there is one), looks the new one up when
    another process has exchanged it, and completes an exchange whose process has died."""
    client = PlatformClient(settings, request_keys=files)
    RequestKeyChanges(client, files, record=None, allow=None, by="")
    return client


class RequestKeyChanges:
    """Changes of the platform's key through one client, one at a time over all processes of the folder.

    ``client`` is one of ``managed_client``, or was made with the same ``files`` as its ``request_keys``. ``allow`` is
    called before a change begins; what it raises ends the change before anything was done. None: nobody is asked.
    """

    def __init__(
        self,
        client: PlatformClient,
        files: KeyFiles,
        *,
        record: Record | None,
        allow: Allow | None,
        by: str,
        clock: Clock | None = None,
    ) -> None:
        self._client = client
        self._files = files
        self._record = record
        self._allow = allow
        self._by = by
        self._clock = clock or SystemClock()
        client.finish_uploads_with(self._finish)

    async def upload(self, name: str) -> KeyFile:
        """Makes the key the platform's, in the place of any other. Done already: nothing happens.

        Signed with the key in use, the settings' own or a managed one; the first key goes unsigned. SIDE EFFECTS:
        ``PUT /auth/signing``. Raises PlatformError, KeyUnavailable (``request_key_pending``, ``request_key_state``,
        ``request_key_uncertain``, ``request_key_busy``).
        """
        async with self._changing():
            await self._upload(name)
        await self.record()
        return await asyncio.to_thread(self._files.get, name)

    async def rotate(self, name: str | None = None) -> KeyFile:
        """Makes a new key and puts it in the place of the current one. ``name``: the new key's; made up if left out.

        A rotation that was left in the middle is completed instead of another one begun. Raises as ``upload``.
        """
        async with self._changing():
            pending: str | None = await asyncio.to_thread(self._files.unfinished)
            if pending is not None and name not in (None, pending):
                raise _pending(pending)
            new = pending or name
            if new is None:
                new = await asyncio.to_thread(self._next_name)
            file = await self._known(new)
            approvals: tuple[str, ...] | None = None
            if file is None or file.state == "created":  # before the first step of a rotation, or after it
                before = await asyncio.to_thread(self._files.in_use)
                approvals = await self._allowed(
                    {
                        "action": "rotate",
                        "requestKey": before.name if before else None,
                        "fingerprint": before.fingerprint if before else None,
                        "newRequestKey": new,
                    }
                )
            if file is None:
                await asyncio.to_thread(self._files.create, new)
            await self._upload(new, approvals)
        await self.record()
        return await asyncio.to_thread(self._files.get, new)

    async def adopt(self, name: str, key_id: str) -> KeyFile:
        """The operator's way on after ``request_key_uncertain``: the key's id as the platform shows it. It counts once
        a read signed with it has been answered. Raises KeyUnavailable ``request_key_refused``."""
        if not key_id or not key_id.isascii() or not key_id.isprintable() or len(key_id) > 500:
            raise SettingsError(
                f"key id: expected up to 500 printable ASCII characters, got {ascii(key_id)[:80]}", code="usage"
            )
        async with self._changing():
            file = await asyncio.to_thread(self._files.get, name)
            if file.state != "uploading":
                raise KeyUnavailable(
                    f"request-signing key {name!r}: expected state uploading, got {file.state}",
                    code="request_key_state",
                )
            if not await self._client.accepts_signing_key(await asyncio.to_thread(self._files.open, name, key_id)):
                raise KeyUnavailable(
                    f"the platform does not take the signatures of request-signing key {name!r} under the id "
                    f"{ascii(key_id)[:80]}",
                    code="request_key_refused",
                )
            approvals = await self._allowed(_about("adopt", file, keyId=key_id))
            await asyncio.to_thread(self._files.switch, name, key_id, await self._action(), approvals)
        await self.record()
        return await asyncio.to_thread(self._files.get, name)

    async def revoke(self, name: str, *, emergency: bool = False) -> KeyFile:
        """Removes the key at the platform if it is there, and its private half here. Done already: nothing happens.

        Nobody is asked about a key that was never uploaded, nor in an ``emergency``.

        SIDE EFFECTS: ``DELETE /auth/signing`` for the current key: no request of anyone is taken until another is
        uploaded. Raises as ``upload``.
        """
        async with self._changing():
            file = await asyncio.to_thread(self._files.get, name)
            match file.state:
                case "created":
                    await asyncio.to_thread(self._files.revoke, name)
                case "uploading":
                    raise _pending(name)
                case "current" | "revoking":
                    await self._remove(file, ask=not emergency)
                case _:
                    pass  # retired, revoked: it is gone
        await self.record()
        return await asyncio.to_thread(self._files.get, name)

    async def record(self) -> None:
        """Puts into the journal what has been done and is not there yet, by whichever process."""
        if self._record is not None:
            await record_changes(self._files, self._record, by=self._by)

    # --- upload ----------------------------------------------------------------------------------------------------

    async def _finish(self, name: str) -> None:
        """For a request whose key was refused, while an upload stands unfinished that nobody works on."""
        async with self._changing():
            if (await asyncio.to_thread(self._files.get, name)).state == "uploading":  # not begun anew if taken back
                await self._upload(name)

    async def _upload(self, name: str, approvals: tuple[str, ...] | None = None) -> None:
        """``approvals``: those of the change that this is a part of; None: it is asked for if it is to begin."""
        file = await asyncio.to_thread(self._files.get, name)
        if file.state == "current":
            return
        pending = await asyncio.to_thread(self._files.unfinished)
        if pending not in (None, name):
            raise _pending(str(pending))
        if file.state not in ("created", "uploading"):
            raise KeyUnavailable(
                f"request-signing key {name!r} is {file.state}: make another one (orchestrator keys request create)",
                code="request_key_state",
            )
        await asyncio.to_thread(self._files.open, name)  # a wrong password must be told before anything is sent
        resumed = file.state == "uploading"
        if not resumed:
            if approvals is None:
                approvals = await self._allowed(_about("upload", file))
            file = await asyncio.to_thread(self._files.intend_upload, name, approvals)
        action = await self._action()

        def taken(key_id: str) -> RequestKey:
            if not key_id:
                raise MalformedAnswer("PUT /auth/signing: expected the key's id, got an empty text")
            self._files.switch(name, key_id, action)
            return self._files.open(name)

        assert file.idempotency_key is not None, "the files see to it in state uploading"
        for attempt in range(1, _TRIES + 1):
            try:
                await self._client.replace_signing_key(file.public_key, key=file.idempotency_key, taken=taken)
            except UncertainAnswer:
                # The same key of idempotency: what the platform has done it does not do again.
                resumed = True
                if attempt == _TRIES:
                    raise
                await self._clock.sleep(0.1 * 2**attempt)
            except PlatformUnreachable:
                raise  # nothing was sent, and the intent stands: the command may be run again
            except PlatformRefused as refusal:
                if refusal.disposition is Disposition.RETRY:
                    raise
                if not resumed:
                    await asyncio.to_thread(self._files.withdraw_upload, name)
                    raise
                if refusal.code not in _SIGNATURE_REFUSED:
                    raise
                await self._settle_unsigned(name, action, refusal)
                return
            else:
                return

    async def _settle_unsigned(self, name: str, action: str, refusal: PlatformRefused) -> None:
        """The old key does not even sign the repeat: the new one was taken. Perhaps the platform kept the id."""
        before = await asyncio.to_thread(self._files.in_use)
        if before is not None and before.key_id:
            trial = await asyncio.to_thread(self._files.open, name, before.key_id)
            if await self._client.accepts_signing_key(trial):
                await asyncio.to_thread(self._files.switch, name, before.key_id, action)
                return
        raise KeyUnavailable(
            f"request-signing key {name!r} was sent, its answer was lost, and the platform takes the old key no longer "
            f"({refusal.message}). It has probably taken the new one, under an id that only it knows: look it up in "
            f"the platform's console, and type orchestrator keys request adopt {name} --key-id ID. If the console "
            f"shows no key, or another one, remove it there, and revoke and upload again",
            code="request_key_uncertain",
            disposition=Disposition.OPERATOR,
        ) from refusal

    async def _action(self) -> str:
        """What the journal calls an upload: in the place of another key it is a rotation."""
        return "uploaded" if await asyncio.to_thread(self._files.in_use) is None else "rotated"

    # --- revoke ----------------------------------------------------------------------------------------------------

    async def _remove(self, file: KeyFile, *, ask: bool) -> None:
        resumed = file.state == "revoking"
        if not resumed:
            await asyncio.to_thread(self._files.open, file.name)
            approvals = await self._allowed(_about("revoke", file)) if ask else ()
            file = await asyncio.to_thread(self._files.intend_revocation, file.name, approvals)
        assert file.idempotency_key is not None, "the files see to it in state revoking"
        for attempt in range(1, _TRIES + 1):
            try:
                await self._client.revoke_signing_key(key=file.idempotency_key)
            except UncertainAnswer:
                resumed = True
                if attempt == _TRIES:
                    raise
                await self._clock.sleep(0.1 * 2**attempt)
            except PlatformUnreachable:
                raise
            except PlatformRefused as refusal:
                if refusal.disposition is Disposition.RETRY:
                    raise
                if resumed and refusal.code in _SIGNATURE_REFUSED:
                    break  # a key that was removed signs nothing any more: the first request was taken
                if not resumed:
                    await asyncio.to_thread(self._files.withdraw_revocation, file.name)
                raise
            else:
                break
        await asyncio.to_thread(self._files.revoke, file.name)

    # --- inside ----------------------------------------------------------------------------------------------------

    async def _allowed(self, change: Mapping[str, str | None]) -> tuple[str, ...]:
        """The approvals that a change takes. Raises what ``allow`` does where it may not begin."""
        request = None if self._allow is None else await self._allow(change)
        return () if request is None else (request,)

    async def _known(self, name: str) -> KeyFile | None:
        try:
            return await asyncio.to_thread(self._files.get, name)
        except KeyUnavailable as error:
            if error.code == "key_not_found":
                return None
            raise

    @asynccontextmanager
    async def _changing(self) -> AsyncIterator[None]:
        """One change at a time, over all processes. Raises KeyUnavailable ``request_key_busy``."""
        until = self._clock.monotonic() + _BUSY_SECONDS
        # Not in a thread: what a cancelled wait would leave behind there is a lock that nobody gives back.
        while (change := self._files.try_change()) is None:
            if self._clock.monotonic() >= until:
                raise KeyUnavailable(
                    f"another process has been changing the request-signing key for {_BUSY_SECONDS:.0f} s",
                    code="request_key_busy",
                    disposition=Disposition.RETRY,
                )
            await self._clock.sleep(0.05)
        try:
            yield
        finally:
            change.close()

    def _next_name(self) -> str:
        """``NAME-2``, ``NAME-3``: after the key in use, the first that is free, or was made and not uploaded."""
        current = self._files.in_use()
        taken = {file.name for file in self._files.list() if file.state != "created"}
        stem, _, last = (current.name if current else "request").rpartition("-")
        stem = stem if stem and last.isdigit() else (current.name if current else "request")
        return next(name for number in range(2, 10_000) if (name := f"{stem[:58]}-{number}") not in taken)


def _about(action: str, file: KeyFile, **more: str) -> dict[str, str | None]:
    return {"action": action, "requestKey": file.name, "fingerprint": file.fingerprint, **more}


def _pending(name: str) -> KeyUnavailable:
    return KeyUnavailable(
        f"the upload of request-signing key {name!r} has begun and is not settled: complete it first "
        f"(orchestrator keys request upload {name})",
        code="request_key_pending",
    )
