"""Changes of request-signing keys (``orchestrator keys request``): upload, rotation, revocation.

The platform takes several keys at once, and each is named by an id that is chosen here. So a new key is uploaded beside
the old one, proven by a read that it signs, and put in use; then the old one is removed. No request fails, and a
request whose answer was lost is repeated: it names its key, so nothing is done twice.

What is about to be sent is written to the key's file first, and its id to the journal. After the death of a process the
same command goes on from there. Approvals are asked for before the first step; a change that has begun is completed
without asking again. ``request_key_journal`` says when an approval is used up.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final, Protocol, TypeVar

from orchestrator.errors import Disposition, KeyUnavailable, PlatformRefused, UncertainAnswer
from orchestrator.oversight.request_key_journal import RequestKeyJournal, record_changes
from orchestrator.request_signing.http_signature import RequestKey
from orchestrator.request_signing.key_file import RequestKeyFile, State
from orchestrator.request_signing.key_folder import RequestKeyFolder

_TRIES: Final = 4
"""Of one request whose answer was lost."""
_AUTHENTICATION: Final = ("request_signature_refused", "platform_unauthorized", "clock_skew")
"""Refusals of a request's signature or token: they say nothing about the key that the request names."""
_SET_ITS_KEY: Final = (
    "Only its own signatures show whether key {key} is gone: set ORCHESTRATOR_SIGNING_KEY and "
    "ORCHESTRATOR_SIGNING_KEY_ID to it for this one command, and run it again."
)
_STAYS_ACTIVE: Final = (
    "Key {key} counts as active until the platform says that it removed it, or refuses its signatures while it takes "
    "another key's (never asked with --emergency). If this is the only key, upload another one."
)
Result = TypeVar("Result")


class SigningKeyCalls(Protocol):
    """The platform's calls about its request-signing keys (``platform.programme``). All raise PlatformError."""

    @property
    def own_signing_key_id(self) -> str: ...

    async def upload_signing_key(self, key_id: str, public_key_pem: str, *, key: str, signed: bool = True) -> str: ...

    async def remove_signing_key(self, key_id: str, *, key: str, signed: bool = True) -> None: ...

    async def accepts_signing_key(self, key: RequestKey | None) -> bool: ...

    def use_signing_key(self, key: RequestKey) -> None: ...


class RequestKeyChanges:
    """Changes of the platform's keys through one client, one at a time over all processes of the folder.

    ``platform``: a client that signs with the keys of ``folder``. ``journal``: gives the approval before a change
    begins, and records what was done. ``patience``: seconds to wait for another process that makes a change.
    """

    def __init__(
        self,
        platform: SigningKeyCalls,
        folder: RequestKeyFolder,
        journal: RequestKeyJournal,
        *,
        patience: float = 60.0,
    ) -> None:
        self._platform = platform
        self._folder = folder
        self._journal = journal
        self._patience = patience

    async def upload(self, name: str) -> RequestKeyFile:
        """Puts this key in use, in the place of any other: the settings' own, or a managed one. Does nothing if it is
        already.

        SIDE EFFECTS: ``PUT /auth/signing``, and ``DELETE /auth/signing`` for the key before. Raises PlatformError,
        KeyUnavailable (``request_key_refused``, ``request_key_state``, ``request_key_busy``).
        """
        async with self._changing():
            await self._upload(name)
        return await asyncio.to_thread(self._folder.get, name)

    async def rotate(self, name: str | None = None) -> RequestKeyFile:
        """Makes a new key and puts it in the place of the current one. ``name``: the new key's; if left out, derived
        from the current one's.

        If a change was interrupted, and no other name is given, this completes it and begins no other. Raises as
        ``upload``.
        """
        async with self._changing() as unfinished:
            new = name or unfinished
            if new is None:
                new = await asyncio.to_thread(self._next_name)
            file = next((one for one in await asyncio.to_thread(self._folder.readable) if one.name == new), None)
            approvals: tuple[str, ...] = ()
            if file is None or file.state is State.CREATED:  # before the first step of a rotation, or after it
                before = await asyncio.to_thread(self._folder.in_use)
                approvals = await self._journal.approvals_for(
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
        return await asyncio.to_thread(self._folder.get, new)

    async def revoke(self, name: str, *, emergency: bool = False) -> RequestKeyFile:
        """Removes the key at the platform if it may be there, and its private half here. Does nothing if both are gone.

        No approval is needed for a key that was never in use, nor in an ``emergency``: in that no key is opened either,
        so a refused removal raises, and a repeat without ``emergency`` finds out what it means.

        SIDE EFFECTS: ``DELETE /auth/signing``. After the current key's end the platform refuses every request until
        another one is uploaded. Raises as ``upload``.
        """
        async with self._changing():
            file, opens = await asyncio.to_thread(self._folder.get, name), not emergency
            if file.state is State.CURRENT:
                if not emergency:  # a wrong password must show before anything is sent
                    await asyncio.to_thread(self._folder.open, name)
                approvals = () if emergency else await self._journal.approvals_for(_content("revoke", file))
                await asyncio.to_thread(self._folder.intend_revocation, name, approvals)
            if file.state not in (State.CREATED, State.RETIRED, State.REVOKED):
                await self._remove(await self._id_of(file, opens=opens), name, opens=opens)
            if file.state in (State.CURRENT, State.REVOKING):
                await self._end_replaced(name, opens=opens)
            if file.state not in (State.RETIRED, State.REVOKED):
                await asyncio.to_thread(self._folder.end, name)
        return await asyncio.to_thread(self._folder.get, name)

    async def record(self) -> None:
        """Records what was done to the keys, by any process, and is not in the journal yet."""
        await record_changes(self._folder, self._journal)

    # --- inside ----------------------------------------------------------------------------------------------------

    async def _upload(self, name: str, approvals: tuple[str, ...] | None = None) -> None:
        """``approvals``: those of the change that this is a part of; None: ask for one, unless the upload has begun."""
        file = await asyncio.to_thread(self._folder.get, name)
        if file.state in (State.CREATED, State.UPLOADING):
            await asyncio.to_thread(self._folder.open, name)  # as above
            if approvals is None:
                begun = file.state is State.UPLOADING
                approvals = () if begun else await self._journal.approvals_for(_content("upload", file))
            own = self._platform.own_signing_key_id
            file = await asyncio.to_thread(self._folder.intend_upload, name, approvals, replaces=own)
            await self.record()
            key_id = await self._put(file)
            opened = await asyncio.to_thread(self._folder.open, name, key_id)
            if not await self._platform.accepts_signing_key(opened):
                raise KeyUnavailable(
                    f"the platform took request-signing key {name!r}, and refuses its signatures under the id "
                    f"{key_id}: nothing else has changed",
                    code="request_key_refused",
                )
            files = await asyncio.to_thread(self._folder.readable)
            in_use = any(file.state in (State.CURRENT, State.REVOKING) for file in files)
            await asyncio.to_thread(self._folder.switch, name, key_id, "rotated" if in_use else "uploaded")
            self._platform.use_signing_key(opened)
        elif file.state is not State.CURRENT:
            raise KeyUnavailable(
                f"request-signing key {name!r} is {file.state}: make another one (orchestrator keys request create)",
                code="request_key_state",
            )
        await self._end_replaced(name)

    async def _put(self, file: RequestKeyFile, *, signed: bool = True) -> str:
        """What the platform calls the key, which it has from here on. A repeat is the same request, so that a platform
        that chooses the id answers with the same one; once that is known nothing is sent."""
        if file.answered is not None:
            return file.answered
        key_id, pem = file.key_id or "", file.public_key
        same = _same_request(key_id, "upload")
        try:
            answered = await self._certainly(
                lambda key: self._platform.upload_signing_key(key_id, pem, key=key, signed=signed), same
            )
        except PlatformRefused as refusal:
            if not signed or not _of_authentication(refusal):
                raise
            return await self._put(file, signed=False)  # the token is enough
        if answered != key_id:
            await asyncio.to_thread(self._folder.note_answer, file.name, answered)
        return answered

    async def _id_of(self, file: RequestKeyFile, *, opens: bool) -> str | None:
        """What the platform calls a key. Where its upload has not come to an end, only the upload's answer says it."""
        if file.key_id is None or file.generation > 0:
            return file.key_id
        try:
            return await self._put(file, signed=opens)
        except PlatformRefused as refusal:
            if refusal.disposition is Disposition.RETRY or _of_authentication(refusal):
                raise
            return file.key_id

    async def _end_replaced(self, name: str, *, opens: bool = True) -> None:
        """Removes what this key has replaced: managed keys, uploads that were left, and the settings' own key."""
        for file in await asyncio.to_thread(self._folder.readable):
            if file.replaces is not None and file.generation > 0 and file.state in (State.CURRENT, State.REVOKING):
                await self._remove(file.replaces, None, opens=opens)
                await asyncio.to_thread(self._folder.forget_replaced, file.name)
            if file.state is State.REVOKING and file.name != name:
                await self._remove(await self._id_of(file, opens=opens), file.name, opens=opens)
                await asyncio.to_thread(self._folder.end, file.name)

    async def _remove(self, key_id: str | None, name: str | None, *, opens: bool = True) -> None:
        """Removes a key at the platform, or raises why it is not removed. ``name``: of the managed key, None for the
        settings' own. ``opens``: whether keys may be opened for it.

        It is asked for signed, then unsigned: the token is enough. What is refused then may be gone already, which its
        own signatures show (``_is_gone``).
        """
        if key_id is None:
            return  # an upload of an earlier release, that never came to its end
        # The id of a managed key is used once, so after the death of a process the same request has the same answer.
        same = _same_request(key_id, "remove") if name is not None else None
        if await self._removal_refused(key_id, same, signed=opens) is None:
            return
        refusal = await self._removal_refused(key_id, None, signed=False)
        if refusal is None:
            return
        if not _of_authentication(refusal):  # else it says nothing about the key
            can_sign = name is not None or self._platform.own_signing_key_id == key_id
            if can_sign and opens and await self._is_gone(key_id, name):
                return
            refusal.fix = (_STAYS_ACTIVE if can_sign else _SET_ITS_KEY).format(key=key_id)
        raise refusal

    async def _removal_refused(self, key_id: str, key: str | None, *, signed: bool) -> PlatformRefused | None:
        """Why the platform does not remove a key; None where it does, or has no such key (404).

        Raises as ``_certainly``, and PlatformRefused (retry) for what passes.
        """
        try:
            await self._certainly(lambda key: self._platform.remove_signing_key(key_id, key=key, signed=signed), key)
        except PlatformRefused as refusal:
            if refusal.disposition is Disposition.RETRY:
                raise
            return None if refusal.status == 404 else refusal
        return None

    async def _is_gone(self, key_id: str, name: str | None) -> bool:
        """Whether this key's signatures are refused, before and after those of another key are taken: so for no reason
        that would hold for any key."""
        try:
            opened = await asyncio.to_thread(self._folder.open, name, key_id) if name is not None else None
            if await self._platform.accepts_signing_key(opened) or not await self._takes_another(key_id):
                return False
        except KeyUnavailable:
            return False
        return not await self._platform.accepts_signing_key(opened)

    async def _takes_another(self, key_id: str) -> bool:
        """Whether the platform takes the signatures of a key other than this one: the settings' own, or the current."""
        if self._platform.own_signing_key_id not in ("", key_id) and await self._platform.accepts_signing_key(None):
            return True
        current = await asyncio.to_thread(self._folder.in_use)
        if current is None or current.key_id == key_id:
            return False
        return await self._platform.accepts_signing_key(await asyncio.to_thread(self._folder.open, current.name))

    @staticmethod
    async def _certainly(call: Callable[[str], Awaitable[Result]], key: str | None = None) -> Result:
        """Makes a call, with an idempotency key, and repeats it where its answer was lost."""
        key = key or str(uuid.uuid4())
        for attempt in range(1, _TRIES):
            try:
                return await call(key)
            except UncertainAnswer:
                await asyncio.sleep(0.1 * 2**attempt)
        return await call(key)

    @asynccontextmanager
    async def _changing(self) -> AsyncIterator[str | None]:
        """One change at a time, over all processes; what is not in the journal is recorded before it and after it.
        Gives the name of a key whose upload was interrupted. Raises KeyUnavailable ``request_key_busy``."""
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
            unfinished = await asyncio.to_thread(self._folder.unfinished)
            await self.record()
            yield unfinished
            await self.record()
        finally:
            change.release()

    def _next_name(self) -> str:
        """``NAME-2``, ``NAME-3``, …, from the key in use: the first that is free, or was created and not uploaded."""
        current = self._folder.in_use()
        created = {file.name for file in self._folder.readable() if file.state is State.CREATED}
        taken = {path.stem for path in self._folder.path.glob("*.json")} - created
        stem, _, last = (current.name if current else "request").rpartition("-")
        stem = stem if stem and last.isdigit() else (current.name if current else "request")
        return next(name for number in range(2, 10_000) if (name := f"{stem[:58]}-{number}") not in taken)


def _content(action: str, file: RequestKeyFile) -> Mapping[str, str | None]:
    return {"action": action, "requestKey": file.name, "fingerprint": file.fingerprint}


def _of_authentication(refusal: PlatformRefused) -> bool:
    return refusal.status == 401 or refusal.code in _AUTHENTICATION


def _same_request(key_id: str, action: str) -> str:
    """The idempotency key of what is done once with a key, in every process."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{key_id} {action}"))
