"""The managed request-signing keys: a folder in the keystore, and the key that signs requests now.

    KEYSTORE/request/     0700
      NAME.json           0600  see ``key_file``
      .lock               held while a file is written
      .change             held while the platform's keys are changed, until the change is complete

Every step of a change is written to the files before it is done, so that the next command can complete what a killed
one has begun. A private half is decrypted once in a process.
"""

from __future__ import annotations

import contextlib
import os
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
from orchestrator.request_signing.key_file import Action, RequestKeyFile, State

_IN_USE: Final = (State.CURRENT, State.REVOKING)


class OpenedRequestKey:
    """A request-signing key that can sign. Never shown, pickled or copied. Safe to use from several threads."""

    __slots__ = ("_key", "key_id")

    def __init__(self, key: ec.EllipticCurvePrivateKey, key_id: str) -> None:
        self._key = key
        self.key_id = key_id

    def sign(self, data: bytes) -> bytes:
        """ECDSA over SHA-384 as RFC 9421 wants it: r and s, 48 bytes each."""
        r, s = decode_dss_signature(self._key.sign(data, ec.ECDSA(hashes.SHA384())))
        return r.to_bytes(48, "big") + s.to_bytes(48, "big")

    def __repr__(self) -> str:
        return f"OpenedRequestKey(key_id={self.key_id!r})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a request-signing key can be neither pickled nor copied")


class RequestKeyFolder:
    """The request-signing keys of a keystore. Everything here blocks; safe to use from several threads.

    ``work_factor``: scrypt's N for new files (lower it only for tests and devnets).
    """

    def __init__(
        self,
        keystore: Path,
        passwords: PasswordSource,
        *,
        work_factor: int = key_file.WORK_FACTOR,
    ) -> None:
        self.path = keystore / "request"
        self._keystore = keystore
        self._passwords = passwords
        self._work_factor = work_factor
        self._opened: dict[str, ec.EllipticCurvePrivateKey] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"RequestKeyFolder({str(self.path)!r})"

    # --- reading ---------------------------------------------------------------------------------------------------

    def list(self) -> tuple[RequestKeyFile, ...]:
        """All keys by name; needs no password. Of several current keys all but the newest show as being revoked, and so
        does a key whose upload was left while another one came into use.

        Raises KeyUnavailable for the first file that cannot be read, naming it.
        """
        found, unreadable = self._scan()
        if unreadable:
            raise unreadable[0]
        return self._shown(found)

    def readable(self) -> tuple[RequestKeyFile, ...]:
        """As ``list``, without files that cannot be read: they must not stop the change of another key."""
        return self._shown(self._scan()[0])

    @staticmethod
    def _shown(found: tuple[RequestKeyFile, ...]) -> tuple[RequestKeyFile, ...]:
        newest = _newest(found)

        def left(file: RequestKeyFile) -> bool:
            if file.state is State.UPLOADING:
                return newest is not None and file.begun_after is not None and newest.generation > file.begun_after
            return file.state is State.CURRENT and file is not newest

        return tuple(replace(file, state=State.REVOKING) if left(file) else file for file in found)

    def get(self, name: str) -> RequestKeyFile:
        """The key with this name. Raises KeyUnavailable ``key_not_found``, SettingsError ``key_name``."""
        path = self._path_of(name)
        for file in self.readable():
            if file.name == name:
                return file
        if os.path.lexists(path):
            return self._load(path)  # says why it cannot be read
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
        """The name of a key whose upload was begun and is not complete: it is not in use yet, or what it has replaced
        is still there, or the journal has not heard of it."""
        found = self.readable()
        for file in found:
            replaced = any(other.state is State.REVOKING for other in found) or file.replaces is not None
            unrecorded = "uploaded" in file.unrecorded or "rotated" in file.unrecorded
            if file.state is State.UPLOADING or (file.state is State.CURRENT and (replaced or unrecorded)):
                return file.name
        return None

    def current(self) -> OpenedRequestKey | None:
        """The key to sign with, opened; None where there is none. Raises KeyUnavailable."""
        file = self.in_use()
        return None if file is None else OpenedRequestKey(self._private(file), file.key_id or "")

    def open(self, name: str, key_id: str = "") -> OpenedRequestKey:
        """This key, opened, under an id that the platform may know it by; for a trial. Raises KeyUnavailable."""
        file = self.get(name)
        return OpenedRequestKey(self._private(file), key_id or file.key_id or "")

    # --- writing ---------------------------------------------------------------------------------------------------

    def create(self, name: str) -> RequestKeyFile:
        """Creates a key. Raises SettingsError (``key_name``, ``key_exists``) or KeyUnavailable."""
        path = self._path_of(name)
        taken = SettingsError(f"a request-signing key {name!r} is in {self.path} already", code="key_exists")
        if os.path.lexists(path):
            raise taken
        files.make_private_folder(self._keystore, "keystore folder")
        files.make_private_folder(self.path, "folder of request-signing keys")
        password = self._passwords.password(f"request-signing key {name} (new)", confirm=True)
        file, private = key_file.generate(name, password, now=_now(), work_factor=self._work_factor)
        with files.folder_lock(self.path):
            try:
                files.create(path, file.encode())
            except FileExistsError:
                raise taken from None
        with self._lock:
            self._opened[file.fingerprint] = private
        return file

    def try_change(self) -> files.Lock | None:
        """The lock on changes of the platform's keys, or None while another process holds it; it ends with its process.

        Raises KeyUnavailable: where there are no keys yet, ``key_not_found``.
        """
        if not files.require_private_folder(self.path, "folder of request-signing keys"):
            raise KeyUnavailable(f"there is no request-signing key in {self.path}", code="key_not_found")
        return files.try_lock(self.path / ".change")

    def intend_upload(self, name: str, approvals: tuple[str, ...] = (), *, replaces: str = "") -> RequestKeyFile:
        """Writes the intent to upload the key to its file, with the ids of the approvals, and the id of the settings'
        own key if they have one. Once it is written it stays as it is."""
        with self._writing(name, State.CREATED, State.UPLOADING) as file:
            if file.state is State.UPLOADING and file.key_id is not None:
                return file
            newest = _newest(self._scan()[0])
            return self._replace(
                file,
                state=State.UPLOADING,
                begun_after=0 if newest is None else newest.generation,
                key_id=file.key_id or str(uuid.uuid4()),
                replaces=replaces if key_file.KEY_ID.fullmatch(replaces) else None,
                approvals=file.approvals or approvals,
            )

    def note_answer(self, name: str, key_id: str) -> RequestKeyFile:
        """The platform has answered the upload with this id of its own."""
        with self._writing(name, State.UPLOADING) as file:
            return self._replace(file, answered=key_id)

    def switch(self, name: str, key_id: str, action: Action) -> RequestKeyFile:
        """From now on this key signs, in every process. Of two current keys the one with the higher generation counts,
        so there is no moment without one."""
        with self._writing(name, State.UPLOADING) as file:
            found, unreadable = self._scan()
            return self._replace(
                file,
                state=State.CURRENT,
                key_id=key_id,
                answered=None,
                generation=1 + max(other.generation for other in found) + len(unreadable),
                unrecorded=(*file.unrecorded, action),
            )

    def forget_replaced(self, name: str) -> RequestKeyFile:
        """The settings' own key that this one has replaced was removed at the platform."""
        with self._writing(name, *State) as file:
            return self._replace(file, replaces=None)

    def intend_revocation(self, name: str, approvals: tuple[str, ...] = ()) -> RequestKeyFile:
        """Writes the intent to remove the key at the platform to its file, with the ids of the approvals."""
        with self._writing(name, State.CURRENT) as file:
            return self._replace(file, state=State.REVOKING, approvals=approvals)

    def end(self, name: str) -> RequestKeyFile:
        """The key was removed at the platform, or was never there: this deletes its private half. A key that another
        has replaced is retired; any other was revoked."""
        with self._writing(name, State.CREATED, State.UPLOADING, State.CURRENT, State.REVOKING) as file:
            with self._lock:
                self._opened.pop(file.fingerprint, None)
            if file.state is State.CURRENT:
                return self._replace(file, state=State.RETIRED, locked=None)
            return self._replace(
                file,
                state=State.REVOKED,
                key_id=file.answered or file.key_id,
                answered=None,
                locked=None,
                unrecorded=(*file.unrecorded, "revoked"),
            )

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
        what, code = "request-signing key file", "keystore_unreadable"
        data = files.read_private(path, what, max_bytes=key_file.MAX_BYTES, follow_symlinks=False, code=code)
        file = key_file.decode(data, f"{what} {path}")
        if file.name != path.stem:
            raise KeyUnavailable(f"{what} {path}: expected the key of that name, got {file.name!r}", code=code)
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

    def _path_of(self, name: str) -> Path:
        if key_file.NAME.fullmatch(name) is None:
            raise SettingsError(
                f"key name: expected 1 to 64 of a-z 0-9 . _ - and a letter or digit first, got {ascii(name)[:80]}",
                code="key_name",
            )
        return self.path / f"{name}.json"


def _newest(found: tuple[RequestKeyFile, ...]) -> RequestKeyFile | None:
    return max((file for file in found if file.state in _IN_USE), key=lambda file: file.generation, default=None)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
