"""The managed request-signing keys: a folder beside the keystore, and the key that signs requests now.

    KEYSTORE/request/     0700
      NAME.json           0600  see ``request_key_file``
      .lock               taken by whoever writes a file, for that moment
      .change             taken by whoever changes the platform's key, until the change is settled

Every step of a change is in the files before it is done, so that a process that is killed leaves something to go on
from. A private half is opened once in a process.
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
from orchestrator.signers import request_key_file
from orchestrator.signers.change_lock import Change, ChangeLock
from orchestrator.signers.passwords import PasswordSource
from orchestrator.signers.request_key_file import RequestKeyFile, State

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
        """What the platform calls it."""
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

    ``patience``: seconds that ``current`` waits for a change by another process to be settled. ``work_factor``:
    scrypt's N for new files (lower it only for tests and devnets).
    """

    def __init__(
        self,
        keystore: Path,
        passwords: PasswordSource,
        *,
        patience: float = 30.0,
        work_factor: int = request_key_file.WORK_FACTOR,
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
        """All keys by name; needs no password. A key that another has overtaken shows as retired.

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
        """The file of the key that requests are signed with; None where there is none yet."""
        found, unreadable = self._scan()
        newest = _newest(found)
        if newest is None and unreadable:
            raise unreadable[0]
        return newest

    def unfinished(self) -> str | None:
        """The name of a key whose upload has begun, and has not been settled."""
        found, _ = self._scan()
        return next((file.name for file in found if file.state is State.UPLOADING), None)

    def current(self, *, refused: str | None = None) -> OpenedRequestKey | None:
        """The key to sign with, opened; None where there is none.

        ``refused``: the id of a key that the platform takes no longer. Then a change that is under way, in whichever
        process, is waited for, and another key than that is answered, or None. Raises KeyUnavailable.
        """
        if refused is not None and self.path.is_dir():
            self._change.await_free(self._patience)
        file = self.in_use()
        if file is None or file.key_id is None or file.key_id == refused:
            return None
        return OpenedRequestKey(self._private(file), file.key_id)

    def open(self, name: str, key_id: str = "") -> OpenedRequestKey:
        """This key under an id that the platform may know it by; for a trial. Raises KeyUnavailable."""
        file = self.get(name)
        return OpenedRequestKey(self._private(file), key_id or file.key_id or "")

    # --- writing ---------------------------------------------------------------------------------------------------

    def create(self, name: str) -> RequestKeyFile:
        """Makes a key and writes it. Raises SettingsError (``key_name``, ``key_exists``) or KeyUnavailable."""
        path = self._path_of(name)
        if os.path.lexists(path):
            raise self._taken(name)
        files.make_private_folder(self._keystore, "keystore folder")
        files.make_private_folder(self.path, "folder of request-signing keys")
        password = self._passwords.password(f"request-signing key {name} (new)", confirm=True)
        file, private = request_key_file.generate(name, password, now=_now(), work_factor=self._work_factor)
        with files.folder_lock(self.path):
            try:
                files.create(path, file.encode())
            except FileExistsError:
                raise self._taken(name) from None
        with self._lock:
            self._opened[file.fingerprint] = private
        return file

    def try_change(self) -> Change | None:
        """The right to change the platform's key, or None while another has it. Needs the folder."""
        return self._change.try_take()

    def intend_upload(self, name: str, approvals: tuple[str, ...] = ()) -> RequestKeyFile:
        """Writes down that the key is about to be uploaded, with the idempotency key to do it with, and the ids of what
        was approved for it. Under a change."""
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
        """Takes the intent back: the platform has surely not taken the key."""
        with self._writing(name, State.UPLOADING) as file:
            return self._replace(file, state=State.CREATED, idempotency_key=None, approvals=())

    def switch(self, name: str, key_id: str, action: str, approvals: tuple[str, ...] = ()) -> RequestKeyFile:
        """From here on this key signs, for every process; the ones before it lose their private half.

        The new key's file is written first: of two current keys the one of the higher generation counts. ``approvals``:
        those that were needed besides the upload's own.
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
        """Writes down that the key is about to be removed at the platform, and the ids of what was approved for it."""
        with self._writing(name, State.CURRENT) as file:
            return self._replace(file, state=State.REVOKING, idempotency_key=str(uuid.uuid4()), approvals=approvals)

    def withdraw_revocation(self, name: str) -> RequestKeyFile:
        """Takes the intent back: the platform has surely not removed the key."""
        with self._writing(name, State.REVOKING) as file:
            return self._replace(file, state=State.CURRENT, idempotency_key=None, approvals=())

    def revoke(self, name: str) -> RequestKeyFile:
        """The key is gone at the platform (or was never there): its private half is removed here too."""
        with self._writing(name, State.REVOKING, State.CREATED) as file:
            gone = request_key_file.without_private(file, State.REVOKED)
            return self._replace(gone, state=State.REVOKED, unrecorded=(*file.unrecorded, "revoked"))

    def recorded(self, name: str) -> RequestKeyFile:
        """The first of the changes that were not in the journal is there now."""
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
            path, what, max_bytes=request_key_file.MAX_BYTES, follow_symlinks=False, code="keystore_unreadable"
        )
        file = request_key_file.decode(data, f"{what} {path}")
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
                key = self._opened[file.fingerprint] = request_key_file.unlock(file, password, where)
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
                self._replace(request_key_file.without_private(other, State.RETIRED))
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
