"""A PKCS#11 module (shared library) in this process: the one thread that calls it, its tokens, logins and PINs.

``signers.backends.pkcs11`` explains why it is one thread, and what happens to calls that hang, lost tokens, wrong PINs
and forks.
"""

from __future__ import annotations

import contextlib
import os
import queue
import stat
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakSet

from orchestrator.errors import Disposition, KeyUnavailable, SettingsError
from orchestrator.passwords import Secret
from orchestrator.signers.backends import backend
from orchestrator.signers.backends.pkcs11_errors import MEND_FIX, PIN_FIX, ambiguous
from orchestrator.signers.backends.uri import Pkcs11Uri

_T = TypeVar("_T")


class PinNeeded(Exception):
    """A login needs a PIN, which must be asked for outside of the module's thread."""


class Login:
    """A session with a token, logged in. Used in its module's thread only."""

    def __init__(self, module: Module, token: Any, session: Any) -> None:
        self.token = token
        self.session = session
        self.users: WeakSet[object] = WeakSet()
        self._module = module

    @property
    def alive(self) -> bool:
        return self._module.logins.get(_identity(self.token)) is self

    def end(self) -> None:
        """Logs out (of all sessions with the token) and closes."""
        from pkcs11.exceptions import PKCS11Error

        self._module.forget(self.token)
        with contextlib.suppress(PKCS11Error):
            self.session.close()


class Module:
    """A loaded module (shared library): one per path and process, with the one thread that may call it."""

    def __init__(self, path: Path) -> None:
        self.asking = threading.Lock()
        self.logins: dict[tuple[str, bytes], Login] = {}
        self.stale = False
        """Whether what is open may be broken, so that the next login initialises the module anew."""
        self._path = path
        self._pid = os.getpid()
        self._library: Any = None
        self._refused: dict[tuple[str, bytes], list[Secret]] = {}
        self._accepted: dict[tuple[str, bytes], Secret] = {}
        self._jobs: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = queue.SimpleQueue()
        # A daemon: a call that never returns must not keep the process from ending.
        threading.Thread(target=self._work, name=f"pkcs11 {path.name}", daemon=True).start()

    @property
    def forked(self) -> bool:
        return os.getpid() != self._pid

    def call(self, work: Callable[[], _T], timeout: float, where: str) -> _T:
        """``work`` in the module's thread, or ``key_backend_unreachable`` after ``timeout`` seconds."""
        if self.forked:
            raise KeyUnavailable(
                f"{where}: this process was forked from one that used {self._path}, and PKCS#11 modules do not "
                "survive a fork; start it with spawn or exec",
                code="key_backend_unreachable",
                disposition=Disposition.STOP,
            )
        job: Future[_T] = Future()
        self._jobs.put((job, work))
        try:
            return job.result(timeout)
        except TimeoutError:
            job.cancel()  # does nothing if it has begun
        raise backend.unreachable(where, f"no answer within {timeout:g} s")

    def _work(self) -> None:
        while True:
            job, work = self._jobs.get()
            if not job.set_running_or_notify_cancel():
                continue
            try:
                job.set_result(work())
            except BaseException as error:  # noqa: BLE001  (belongs to whoever waits for the job)
                job.set_exception(error)
            del job, work  # an idle thread keeps nothing alive

    def login(self, uri: Pkcs11Uri, where: str, pin: Secret | None, *, keep: bool) -> Login:
        """The session with the URI's token, a new one if need be. ``keep``: keep the PIN for later logins.

        Raises PinNeeded, KeyUnavailable, SettingsError, and the library's own errors.
        """
        from pkcs11 import TokenFlag

        token = self._token(uri, where)
        identity = _identity(token)
        if identity in self.logins:
            return self.logins[identity]
        if not token.flags & TokenFlag.LOGIN_REQUIRED:
            session = token.open()
        else:
            pin = pin or self._accepted.get(identity)
            if pin is None:
                raise PinNeeded
            if refused := self._refused.get(identity):
                if any(pin == other for other in refused):
                    raise backend.denied(
                        where, "the PIN was wrong before and is not tried again by this process", fix=PIN_FIX
                    )
                self._restart()  # ends the session of the wrong one; SoftHSM2 sees a PIN that was changed only so
                token = self._token(uri, where)
            session = self._open(token, where, pin)
            if keep:
                self._accepted[identity] = pin
        self.logins[identity] = Login(self, token, session)
        return self.logins[identity]

    def forget(self, token: Any) -> None:
        """Drops the login with a token, and its PIN."""
        self.logins.pop(_identity(token), None)
        self._accepted.pop(_identity(token), None)

    def _open(self, token: Any, where: str, pin: Secret) -> Any:
        from pkcs11.exceptions import PinIncorrect, PinInvalid, PinLenRange, UserAlreadyLoggedIn

        if reason := no_try(int(token.flags)):
            raise backend.denied(where, reason, fix=MEND_FIX, disposition=Disposition.OPERATOR)
        try:
            return token.open(user_pin=pin.reveal())
        except UserAlreadyLoggedIn:
            return token.open()  # logged in by a session that was lost since
        except (PinIncorrect, PinInvalid, PinLenRange):
            pass  # raised below, so that nothing is carried along
        self._refused.setdefault(_identity(token), []).append(pin)
        self._accepted.pop(_identity(token), None)
        raise backend.denied(
            where, "the PIN is wrong; this process does not try it again, lest the token lock itself", fix=PIN_FIX
        )

    def _token(self, uri: Pkcs11Uri, where: str) -> Any:
        fresh = self._start()
        found = list(self._tokens(uri))
        if not found and not fresh:
            self._restart()  # many modules search for tokens only when they are initialised
            found = list(self._tokens(uri))
        if not found:
            raise backend.unreachable(where, "the token is not there (pulled, switched off, or of another name)")
        if len(found) > 1:
            raise ambiguous(where, "token", len(found), "serial=… to the URI")
        return found[0]

    def _tokens(self, uri: Pkcs11Uri) -> Iterator[Any]:
        from pkcs11.exceptions import PKCS11Error

        for slot in self._library.get_slots(token_present=True):
            try:
                token = slot.get_token()
            except PKCS11Error:
                continue  # one broken token does not stand in the way of the others
            serial = token.serial.decode("utf-8", "replace")
            if (uri.token is None or token.label == uri.token) and (uri.serial is None or serial == uri.serial):
                yield token

    def _start(self) -> bool:
        """Loads or initialises the module if need be; whether that was done just now."""
        import pkcs11

        if self._library is None:
            try:
                self._library = pkcs11.lib(str(self._path))
            except pkcs11.PKCS11Error as error:
                if type(error) is not pkcs11.PKCS11Error:
                    raise  # the module's own answer; what cannot be loaded at all is of the base class
                reason = backend.short(str(error))
            else:
                return True
            raise SettingsError(f"PKCS#11 module {self._path} cannot be used: {reason}", code="pkcs11_module")
        if self.stale or not self._library.initialized:
            self._restart()
            return True
        return False

    def _restart(self) -> None:
        from pkcs11.exceptions import PKCS11Error

        self.logins.clear()
        with contextlib.suppress(PKCS11Error):
            self._library.finalize()
        self._library.initialize()
        self.stale = False


# A PKCS#11 module is initialised once for a process, whoever uses it, so this is per process and nothing smaller.
_modules: dict[Path, Module] = {}
_modules_lock = threading.Lock()


def module_at(path: Path) -> Module:
    """The module at ``path``; after a fork a copy of the parent's, which refuses every call."""
    real = path.resolve()
    with _modules_lock:
        if real not in _modules:
            _modules[real] = Module(real)
        return _modules[real]


def no_try(flags: int) -> str | None:
    """Why no PIN is sent to a token with these flags (CK_TOKEN_INFO), or None."""
    from pkcs11 import TokenFlag

    if flags & TokenFlag.USER_PIN_LOCKED:
        return "the token's PIN is locked; unlock it with the token's own tool and the security officer's PIN"
    if flags & TokenFlag.USER_PIN_FINAL_TRY:
        return "the token has one try for the PIN left, which is for a person: log in once with the token's own tool"
    return None


def check_module(path: Path) -> None:
    """A module runs inside of this process: it must be there, and nobody else may have written it."""
    try:
        status = path.stat()
    except OSError as error:
        raise SettingsError(
            f"PKCS#11 module {path}: {error.strerror}; install it (SoftHSM2: apt install softhsm2) or correct "
            "module-path in the key's URI",
            code="pkcs11_module",
        ) from None
    if not stat.S_ISREG(status.st_mode):
        raise SettingsError(f"PKCS#11 module {path}: expected a file, got another kind", code="pkcs11_module")
    if status.st_mode & 0o022 or status.st_uid not in (0, os.geteuid()):
        raise SettingsError(
            f"PKCS#11 module {path}: expected a file that only root or user {os.geteuid()} can write, got mode "
            f"{stat.S_IMODE(status.st_mode):o} of user {status.st_uid}",
            code="pkcs11_module",
        )


def _identity(token: Any) -> tuple[str, bytes]:
    return token.label, token.serial
