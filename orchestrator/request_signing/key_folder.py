"""The managed request-signing keys: a folder in the keystore, and the key that signs requests now.

    KEYSTORE/request/     0700
      NAME.json           0600  see ``key_file``
      .lock               held while a file is written
      .change             held while the platform's key is changed, until the change is complete

Every step of a change is written to the files before it is done, so that another process can complete what a killed one
has begun. A private half is decrypted once in a process.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NoReturn

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from orchestrator import files
from orchestrator.errors import KeyUnavailable, SettingsError
from orchestrator.passwords import PasswordSource
from orchestrator.request_signing import key_file
from orchestrator.request_signing.change_lock import Change, ChangeLock
from orchestrator.request_signing.key_file import Action, RequestKeyFile, State

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_IN_USE: Final = (State.CURRENT, State.REVOKING)


class OpenedRequestKey:
    """A request-signing key that can sign. Never shown, pickled or copied. Safe to use from several threads."""

    __slots__ = ("_key", "_key_id")

    def __init__(self, key: ec.EllipticCurvePrivateKey, key_id: str) -> None:
        self._key = key
        self._key_id = key_id

    @property
    def key_id(self) -> str:
        """The platform's id of it."""
        return self._key_id

    def sign(self, data: bytes) -> bytes:
        """ECDSA over SHA-384 as RFC 9421 wants it: r and s, 48 bytes each."""
        r, s = decode_dss_signature(self._key.sign(data, ec.ECDSA(hashes.SHA384())))
        return r.to_bytes(48, "big") + s.to_bytes(48, "big")

    def __repr__(self) -> str:
        return f"OpenedRequestKey(key_id={self._key_id!r})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a request-signing key can be neither pickled nor copied")


class RequestKeyFolder:
    """The request-signing keys of a keystore. Everything here blocks; safe to use from several threads.

    ``patience``: seconds that ``current`` waits for a change by another process. ``work_factor``:
    scrypt's N for new files (lower it only for tests and devnets).
    """

    def __init__(
        self,
        keystore: Path,
        passwords: PasswordSource,
        *,
        patience: float = 30.0,
        work_factor: int = key_file.WORK_FACTOR,
    ) -> None:
        self.path = keystore / "request"
        self._keystore = keystore
        self._passwords = passwords
        self._patience = patience
        self._change = ChangeLock(self.path / ".change")
        self._work_factor = work_factor
        self._opened: dict[str, ec.EllipticCurvePrivateKey] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"RequestKeyFolder({str(self.path)!r})"

    # --- reading ---------------------------------------------------------------------------------------------------

    def list(self) -> tuple[RequestKeyFile, ...]:
        """All keys by name; needs no password. Of several current keys all but the newest show as retired.

        Raises KeyUnavailable for the first file that cannot be read, naming it.
        """
        found, unreadable = self._scan()
        if unreadable:
            raise unreadable[0]
        newest = _newest(found)
        return tuple(
            replace(file, state=State.RETIRED) if file.state is State.CURRENT and file is not newest else file
            for file in found
        )

    def get(self, name: str) -> RequestKeyFile:
        """The key with this name. Raises KeyUnavailable ``key_not_found``, SettingsError ``key_name``."""
        self._path_of(name)
        for file in self.list():
            if file.name == name:
                return file
        raise KeyUnavailable(
            f"no request-signing key {name!r} in {self.path}",
            code="key_not_found",
            fix="orchestrator keys request list shows those that there are.",
        )

    def in_use(self) -> RequestKeyFile | None:
        """The file of the key that requests are signed with; None before the first upload."""
        found, unreadable = self._scan()
        newest = _newest(found)
        if newest is None and unreadable:
            raise unreadable[0]
        return newest

    def unfinished(self) -> str | None:
        """The name of a key whose upload was begun and not completed."""
        found, _ = self._scan()
        return next((file.name for file in found if file.state is State.UPLOADING), None)

    def current(self, *, refused: str | None = None) -> OpenedRequestKey | None:
        """The key to sign with, opened; None where there is none.

        ``refused``: the id of a key that the platform no longer accepts. Then this waits for a change that is under
        way, in any process, and returns another key or None. Raises KeyUnavailable.
        """
        if refused is not None and self.path.is_dir():
            self._change.await_free(self._patience)
        file = self.in_use()
        if file is None or file.key_id is None or file.key_id == refused:
            return None
        return OpenedRequestKey(self._private(file), file.key_id)

    def open(self, name: str, key_id: str = "") -> OpenedRequestKey:
        """This key, opened, under an id that the platform may know it by; for a trial. Raises KeyUnavailable."""
        file = self.get(name)
        return OpenedRequestKey(self._private(file), key_id or file.key_id or "")

    # --- writing ---------------------------------------------------------------------------------------------------

    def create(self, name: str) -> RequestKeyFile:
        """Creates a key. Raises SettingsError (``key_name``, ``key_exists``) or KeyUnavailable."""
        path = self._path_of(name)
        if os.path.lexists(path):
            raise self._taken(name)
        files.make_private_folder(self._keystore, "keystore folder")
        files.make_private_folder(self.path, "folder of request-signing keys")
        password = self._passwords.password(f"request-signing key {name} (new)", confirm=True)
        file, private = key_file.generate(name, password, now=_now(), work_factor=self._work_factor)
        with files.folder_lock(self.path):
            try:
                files.create(path, file.encode())
            except FileExistsError:
                raise self._taken(name) from None
        with self._lock:
            self._opened[file.fingerprint] = private
        return file

    def try_change(self) -> Change | None:
        """The lock on changes of the platform's key, or None while another process holds it. Needs the folder."""
        return self._change.try_take()

    def intend_upload(self, name: str, approvals: tuple[str, ...] = ()) -> RequestKeyFile:
        """Writes the intent to upload the key to its file, with the idempotency key for that and the ids of the
        approvals. Needs the lock on changes."""
        with self._writing(name, State.CREATED) as file:
            found, _ = self._scan()
            return self._replace(
                file,
                state=State.UPLOADING,
                idempotency_key=str(uuid.uuid4()),
                generation=1 + max((other.generation for other in found), default=0),
                approvals=approvals,
            )

    def withdraw_upload(self, name: str) -> RequestKeyFile:
        """Withdraws the intent: the platform has surely not taken the key."""
        with self._writing(name, State.UPLOADING) as file:
            return self._replace(file, state=State.CREATED, idempotency_key=None, approvals=())

    def switch(self, name: str, key_id: str, action: Action, approvals: tuple[str, ...] = ()) -> RequestKeyFile:
        """From now on this key signs, in every process; the keys before it lose their private half.

        The new key's file is written first: of two current keys the one with the higher generation counts.
        ``approvals``: those that were needed besides the upload's own.
        """
        with self._writing(name, State.UPLOADING) as file:
            current = self._replace(
                file,
                state=State.CURRENT,
                key_id=key_id,
                idempotency_key=None,
                unrecorded=(*file.unrecorded, action),
                approvals=(*file.approvals, *approvals),
            )
            self._retire_older(current)
            return current

    def intend_revocation(self, name: str, approvals: tuple[str, ...] = ()) -> RequestKeyFile:
        """Writes the intent to remove the key at the platform to its file, with the ids of the approvals."""
        with self._writing(name, State.CURRENT) as file:
            return self._replace(file, state=State.REVOKING, idempotency_key=str(uuid.uuid4()), approvals=approvals)

    def withdraw_revocation(self, name: str) -> RequestKeyFile:
        """Withdraws the intent: the platform has surely not removed the key."""
        with self._writing(name, State.REVOKING) as file:
            return self._replace(file, state=State.CURRENT, idempotency_key=None, approvals=())

    def revoke(self, name: str) -> RequestKeyFile:
        """The key was removed at the platform, or was never there: this deletes its private half."""
        with self._writing(name, State.REVOKING, State.CREATED) as file:
            gone = key_file.without_private(file, State.REVOKED)
            return self._replace(gone, state=State.REVOKED, unrecorded=(*file.unrecorded, "revoked"))

    def drop_recorded_change(self, name: str) -> RequestKeyFile:
        """Removes the oldest entry of ``unrecorded``: it is in the journal now."""
        with self._writing(name, *State) as file:
            return self._replace(file, unrecorded=file.unrecorded[1:])

    # --- inside ----------------------------------------------------------------------------------------------------

    def _scan(self) -> tuple[tuple[RequestKeyFile, ...], tuple[KeyUnavailable, ...]]:
        if not files.require_private_folder(self._keystore, "keystore folder"):
            return (), ()
        if not files.require_private_folder(self.path, "folder of request-signing keys"):
            return (), ()
        found: list[RequestKeyFile] = []
        unreadable: list[KeyUnavailable] = []
        for path in sorted(self.path.glob("[!.]*.json"), key=lambda path: path.stem):
            try:
                found.append(self._load(path))
            except KeyUnavailable as error:
                unreadable.append(error)
        return tuple(found), tuple(unreadable)

    @staticmethod
    def _load(path: Path) -> RequestKeyFile:
        what = "request-signing key file"
        data = files.read_private(
            path, what, max_bytes=key_file.MAX_BYTES, follow_symlinks=False, code="keystore_unreadable"
        )
        file = key_file.decode(data, f"{what} {path}")
        if file.name != path.stem:
            raise KeyUnavailable(
                f"{what} {path}: expected the key of that name, got {file.name!r}", code="keystore_unreadable"
            )
        return file

    def _private(self, file: RequestKeyFile) -> ec.EllipticCurvePrivateKey:
        with self._lock:  # one scrypt, however many ask at once
            key = self._opened.get(file.fingerprint)
            if key is None:
                where = f"request-signing key file {self.path / file.name}.json"
                password = self._passwords.password(f"request-signing key {file.name}")
                key = self._opened[file.fingerprint] = key_file.unlock(file, password, where)
            return key

    @contextlib.contextmanager
    def _writing(self, name: str, *expected: State) -> Iterator[RequestKeyFile]:
        """The file as it is now, while nobody else writes. Raises KeyUnavailable ``request_key_state``."""
        path = self._path_of(name)
        with files.folder_lock(self.path):
            file = self._load(path)
            if file.state not in expected:
                wanted = " or ".join(state.value for state in expected)
                raise KeyUnavailable(
                    f"request-signing key {name!r}: expected state {wanted}, got {file.state.value}",
                    code="request_key_state",
                )
            yield file

    def _replace(self, file: RequestKeyFile, **changes: object) -> RequestKeyFile:
        """SIDE EFFECTS: writes the file. Under the folder's lock."""
        changed_at = file.changed_at if set(changes) == {"unrecorded"} else _now()
        fresh = replace(file, changed_at=changed_at, **changes)  # type: ignore[arg-type]  # from this module only
        files.replace(self._path_of(file.name), fresh.encode())
        return fresh

    def _retire_older(self, current: RequestKeyFile) -> None:
        found, _ = self._scan()
        for other in found:
            if other.name != current.name and other.state in _IN_USE and other.generation < current.generation:
                self._replace(key_file.without_private(other, State.RETIRED))
                with self._lock:
                    self._opened.pop(other.fingerprint, None)

    def _path_of(self, name: str) -> Path:
        if _NAME.fullmatch(name) is None:
            raise SettingsError(
                f"key name: expected 1 to 64 of a-z 0-9 . _ - and a letter or digit first, got {ascii(name)[:80]}",
                code="key_name",
            )
        return self.path / f"{name}.json"

    def _taken(self, name: str) -> SettingsError:
        return SettingsError(f"a request-signing key {name!r} is in {self.path} already", code="key_exists")


def _newest(found: tuple[RequestKeyFile, ...]) -> RequestKeyFile | None:
    return max((file for file in found if file.state in _IN_USE), key=lambda file: file.generation, default=None)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
