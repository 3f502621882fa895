"""``orchestrator doctor``: looks at everything that an operation will need, and says what to do about each.

Each check stands alone: one that fails does not keep the others from being made. Nothing is changed anywhere, but for
the migration of an existing database, which every command does. No secret is shown.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.connect import (
    CHAIN_SETTINGS,
    PLATFORM_SETTINGS,
    lock_folder,
    open_keystore,
    open_platform,
)
from orchestrator.dispatch.locks import AccountLocks
from orchestrator.errors import Disposition, OrchestratorError
from orchestrator.journal.store import Journal
from orchestrator.lifecycle import events as e
from orchestrator.models import ChainAccount, ChainId
from orchestrator.settings import Settings

if TYPE_CHECKING:
    from orchestrator.chain.parse import Header
    from orchestrator.chain.rpc import Rpc

LEAST_SPACE = 256 * 1024 * 1024
"""Bytes free beside the database."""
OLDEST_HEAD = timedelta(minutes=15)
"""An older newest block means that the node does not follow its chain."""
DEVELOPMENT_CHAINS = frozenset({1337, 31337})
"""Chains of Anvil, Hardhat and Ganache, which mine when they are asked to."""
_VERIFY_SECONDS = 20.0
_MOST_UNLOCKED = 8
"""Keys that are opened as a trial: each takes most of a second."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. ``fix`` says what to do, and is None where there is nothing to do."""

    name: str
    ok: bool
    detail: str
    fix: str | None = None


class _Bad(Exception):
    """A check that fails, with its detail and what to do."""

    def __init__(self, detail: str, fix: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.fix = fix


async def examine(settings: Settings) -> list[Check]:
    """All checks, in the order in which their failures are best mended. Raises nothing for what it finds."""
    async with AsyncExitStack() as stack:
        platform = _Platform(settings, stack)
        chain = _Chain(settings, stack)
        database = _Database(settings, stack)
        checks: list[tuple[str, Callable[[], Awaitable[str]]]] = [
            ("settings", lambda: _settings(settings)),
            ("platform_login", platform.login),
            ("request_signing", platform.signed_read),
            ("clock", platform.clock),
            ("rpc", chain.reachable),
            ("chain_id", lambda: chain.chain_id(database)),
            ("chain_clock", chain.clock),
            ("finality", chain.finality),
            ("factory", chain.factory),
            ("keys", lambda: _keys(settings)),
            ("database", database.opens),
            ("journal", database.whole),
            ("disk", lambda: _disk(settings)),
            ("locks", lambda: _locks(settings)),
        ]
        return [await _made(name, check) for name, check in checks]


async def _made(name: str, check: Callable[[], Awaitable[str]]) -> Check:
    try:
        return Check(name, True, await check())
    except _Bad as bad:
        return Check(name, False, bad.detail, bad.fix)
    except OrchestratorError as error:
        return Check(name, False, f"{error.code}: {error.message}", _fix(error))
    except Exception as surprise:  # noqa: BLE001  a defect in one check must not hide what the others find
        return Check(
            name, False, f"the check itself failed ({type(surprise).__name__})", "Report this: it is a defect."
        )


_FIXES = {
    "settings_missing": "Set what is named, in the environment or in the file given with --config.",
    "platform_unreachable": "Check ORCHESTRATOR_PLATFORM_URL and this machine's way to it (DNS, proxy, firewall).",
    "platform_login_refused": "Check ORCHESTRATOR_API_KEY and ORCHESTRATOR_API_SECRET against the platform's console, "
    "and that they belong to the environment in ORCHESTRATOR_PLATFORM_URL.",
    "request_signature_refused": "Check that ORCHESTRATOR_SIGNING_KEY_ID is the id that the platform gave for this "
    "very key, and the covered components (ORCHESTRATOR_COVERED_COMPONENTS).",
    "platform_url": "Set ORCHESTRATOR_PLATFORM_URL to the API's base URL with /v1, such as "
    "https://api.sandbox.offblocks.xyz/v1.",
    "clock_skew": "Let NTP set this machine's clock.",
    "chain_unreachable": "Check ORCHESTRATOR_RPC_URL, and that the node runs and can be reached from here.",
    "rpc_http": "Check the path and the API key in ORCHESTRATOR_RPC_URL.",
    "rpc_overload": "The node refuses for now: wait, or use a node with a higher limit.",
    "wrong_password": "Check ORCHESTRATOR_KEYSTORE_PASSWORD_FILE: this password does not open the key.",
    "keystore_permissions": "Type the command that is named.",
    "database_url": "Set ORCHESTRATOR_DATABASE_URL to sqlite:///ABSOLUTE/PATH.",
    "database_foreign": "Set ORCHESTRATOR_DATABASE_URL to the journal's own database.",
    "database_newer": "Install the release that wrote the database, or a newer one.",
    "journal_unreadable": "Run orchestrator journal --verify, and restore the database from a backup.",
}


def _fix(error: OrchestratorError) -> str:
    known = _FIXES.get(error.code)
    if known is not None:
        return known
    match error.disposition:
        case Disposition.RETRY:
            return "This may pass: wait a moment and run doctor again."
        case Disposition.OPERATOR:
            return "Compare what is said with what you expect of the other side; its operator may have to look."
        case Disposition.STOP:
            return "Mend what is named, then run doctor again."


# --- settings and keys -----------------------------------------------------------------------------------------------


async def _settings(settings: Settings) -> str:
    settings.need(*PLATFORM_SETTINGS, *CHAIN_SETTINGS)
    return "all that are needed are set and can be read"


async def _keys(settings: Settings) -> str:
    """The keystore can be read, has an enabled key, and opens with the password if one is given."""
    keystore = open_keystore(settings)
    scan = keystore.scan()
    if scan.unreadable:
        raise scan.unreadable[0]
    enabled = [key for key in scan.keys if not key.disabled]
    if not enabled:
        disabled = f", {len(scan.keys)} disabled" if scan.keys else ""
        raise _Bad(
            f"keystore {settings.keystore}: no enabled key{disabled}",
            "Type orchestrator keys create NAME, or orchestrator keys import NAME, for the owner's key.",
        )
    named = settings.certificate_key
    if named is not None and named not in [key.name for key in enabled]:
        raise _Bad(
            f"keystore {settings.keystore}: no enabled key {named!r}, which is to sign certificates",
            f"Type orchestrator keys create {named}, or change ORCHESTRATOR_CERTIFICATE_KEY.",
        )
    found = f"{len(enabled)} of {len(scan.keys)} enabled in {settings.keystore}"
    if settings.keystore_password is None and settings.keystore_password_file is None:
        return f"{found}; not opened, as no password is set (a terminal is asked)"
    for key in enabled[:_MOST_UNLOCKED]:
        await asyncio.to_thread(keystore.signer_for(key.address).unlock)
    return f"{found}; {min(len(enabled), _MOST_UNLOCKED)} opened with the password"


# --- the platform ----------------------------------------------------------------------------------------------------


class _Platform:
    """One client for its three checks."""

    def __init__(self, settings: Settings, stack: AsyncExitStack) -> None:
        self._settings = settings
        self._stack = stack
        self._opened: Any = None

    async def _client(self) -> Any:
        if self._opened is None:
            self._opened = await self._stack.enter_async_context(open_platform(self._settings))
        return self._opened

    async def login(self) -> str:
        client = await self._client()
        await client.login()
        return f"logged in at {self._settings.platform_url}"

    async def signed_read(self) -> str:
        self._settings.need("signing_key", "signing_key_id")
        _require_p384(self._settings)
        client = await self._client()
        webhooks = await client.webhooks()
        return f"a read signed with key {self._settings.signing_key_id} is answered; {len(webhooks)} webhooks are set"

    async def clock(self) -> str:
        client = await self._client()
        if client.clock_offset is None:
            await client.login()
        offset: timedelta | None = client.clock_offset
        if offset is None:
            return "the platform tells no time (no Date in its answers)"
        seconds, tolerance = offset.total_seconds(), self._settings.clock_tolerance
        direction = "behind" if seconds > 0 else "ahead of"
        detail = f"this machine is {abs(seconds):.0f} s {direction} the platform; {tolerance:.0f} s are tolerated"
        if abs(seconds) > tolerance:
            raise _Bad(detail, _FIXES["clock_skew"])
        return detail


def _require_p384(settings: Settings) -> None:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    fix = "Set ORCHESTRATOR_SIGNING_KEY_FILE to the PEM of an unencrypted EC private key on curve P-384."
    pem = settings.signing_key.get_secret_value() if settings.signing_key else ""
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _Bad("the request-signing key is no PEM private key that can be read", fix) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise _Bad(f"expected an EC key on P-384, got {type(key).__name__.strip('_')}", fix)
    if not isinstance(key.curve, ec.SECP384R1):
        raise _Bad(f"expected an EC key on P-384 (secp384r1), got one on {key.curve.name}", fix)


# --- the chain -------------------------------------------------------------------------------------------------------


class _Chain:
    """One connection for its five checks."""

    def __init__(self, settings: Settings, stack: AsyncExitStack) -> None:
        self._settings = settings
        self._stack = stack
        self._opened: Rpc | None = None

    def _rpc(self) -> Rpc:
        self._settings.need("rpc_url")
        if self._opened is None and self._settings.rpc_url is not None:
            from orchestrator.chain.rpc import Rpc

            url = self._settings.rpc_url.get_secret_value()
            self._opened = Rpc(url, timeout=min(10.0, self._settings.request_timeout))
            self._stack.push_async_callback(self._opened.close)
        assert self._opened is not None, "need() has seen to it"
        return self._opened

    async def _header(self, tag: str) -> Header | None:
        """None where the node does not know the tag."""
        from orchestrator.chain.parse import header
        from orchestrator.chain.rpc import RpcFailure

        answer = await self._rpc().call_or_failure("eth_getBlockByNumber", [tag, False])
        return None if answer is None or isinstance(answer, RpcFailure) else header(answer, f"the {tag} block")

    async def _head(self) -> Header:
        head = await self._header("latest")
        if head is None:
            raise _Bad("the node has no latest block", "Wait until the node has synchronised, or use another one.")
        return head

    async def reachable(self) -> str:
        rpc = self._rpc()
        began = time.monotonic()
        head = await self._head()
        return f"{rpc.endpoint} answers in {(time.monotonic() - began) * 1000:.0f} ms; block {head.block.number}"

    async def chain_id(self, database: _Database) -> str:
        found = await self._rpc().chain_id()
        known = await database.chains()
        if not known:
            return f"the node serves {found}; the journal knows no customer's chain yet"
        if known != {found}:
            listed = ", ".join(sorted(map(str, known)))
            raise _Bad(
                f"the node serves {found}, the journal's customers and wallets are on {listed}",
                "Set ORCHESTRATOR_RPC_URL to a node of that chain, or ORCHESTRATOR_DATABASE_URL to this one's journal.",
            )
        return f"the node serves {found}, as the journal's customers and wallets have it"

    async def clock(self) -> str:
        head = await self._head()
        chain = await self._rpc().chain_id()
        age = timedelta(seconds=time.time() - head.timestamp)
        tolerance = self._settings.clock_tolerance
        if chain.number in DEVELOPMENT_CHAINS:
            return f"block {head.block.number} is {age.total_seconds():.0f} s old; not judged on a development chain"
        if age.total_seconds() < -tolerance:
            raise _Bad(
                f"block {head.block.number} is {-age.total_seconds():.0f} s ahead of this machine's clock",
                "Let NTP set this machine's clock; if it is right, the node's chain is not.",
            )
        if age > OLDEST_HEAD:
            raise _Bad(
                f"the newest block, {head.block.number}, is {age.total_seconds() / 60:.0f} minutes old",
                "Look whether the node still follows its chain, or use another one.",
            )
        return f"the newest block, {head.block.number}, is {max(0.0, age.total_seconds()):.0f} s old"

    async def finality(self) -> str:
        finalized, head = await self._header("finalized"), await self._head()
        confirmations = self._settings.confirmations
        if finalized is None:
            raise _Bad(
                f"the node does not know the tag finalized: only {confirmations} confirmations would count",
                "Use a node that does (any node of Ethereum since 2022). Without the tag a block's end is a guess, and "
                "a closure cannot be proven.",
            )
        behind = head.block.number - finalized.block.number
        return f"block {finalized.block.number} is finalized, {behind} behind the head; confirmations: {confirmations}"

    async def factory(self) -> str:
        """The factory has code, and answers as a factory does."""
        self._settings.need("factory")
        from eth_hash.auto import keccak

        from orchestrator.artifacts import load
        from orchestrator.chain import parse
        from orchestrator.chain.rpc import RpcFailure

        factory = str(self._settings.factory)
        fix = "Set ORCHESTRATOR_FACTORY to the platform's wallet factory on this chain."
        predict = keccak(b"predictSmartWallet(address,address,bytes16)")[:4] + bytes(96)
        rpc = self._rpc()
        code_hex, predicted = await rpc.batch(
            [
                ("eth_getCode", [factory, "latest"]),
                ("eth_call", [{"to": factory, "data": "0x" + predict.hex()}, "latest"]),
            ]
        )
        code = parse.data(rpc.demand(code_hex), "eth_getCode")
        if not code:
            raise _Bad(f"there is no contract at {factory} on this chain", fix)
        word = b"" if isinstance(predicted, RpcFailure) else parse.data(predicted, "predictSmartWallet")
        if len(word) != 32 or any(word[:12]) or not any(word[12:]):
            raise _Bad(f"the contract at {factory} is not a factory: it cannot say where it would deploy", fix)
        head = await self._head()
        if self._settings.factory_block > head.block.number:
            raise _Bad(
                f"the setting factory_block is {self._settings.factory_block}, the chain's head is {head.block.number}",
                "Set ORCHESTRATOR_FACTORY_BLOCK to the block of the factory's deployment, or leave it unset.",
            )
        known = load("SmartWalletFactory").matches(code)
        return f"{factory} is a factory, {'with' if known else 'not with'} the code that this package ships"


# --- the database ----------------------------------------------------------------------------------------------------


class _Database:
    """One journal for its checks; a database that is not there is not made."""

    def __init__(self, settings: Settings, stack: AsyncExitStack) -> None:
        self._settings = settings
        self._stack = stack
        self._opened: Journal | None = None

    async def _journal(self) -> Journal | None:
        path = _database_path(self._settings)
        if self._opened is None and (path is None or path.exists()):
            self._opened = await self._stack.enter_async_context(await Journal.open(self._settings.database_url))
        return self._opened

    async def opens(self) -> str:
        path = _database_path(self._settings)
        if await self._journal() is not None:
            from orchestrator.journal.database import HEAD

            return f"{path} opens, at version {HEAD}"
        folder = _existing(path.parent) if path else Path("/")
        if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            raise _Bad(
                f"{path} is not there, and cannot be made: {folder} is not a folder that can be written to",
                "Make the folder, or set ORCHESTRATOR_DATABASE_URL to a place that this user may write to.",
            )
        return f"{path} is not there yet; the first command makes it"

    async def whole(self) -> str:
        journal = await self._journal()
        if journal is None:
            return "no journal yet"
        try:
            async with asyncio.timeout(_VERIFY_SECONDS):
                checked = await journal.verify()
        except TimeoutError:
            return f"too long for a quick check ({_VERIFY_SECONDS:.0f} s): orchestrator journal --verify checks it all"
        if not checked.valid:
            raise _Bad(
                f"the hash chain breaks at event {checked.first_bad}; {checked.events} events before it are whole",
                "Stop all commands, keep a copy of the database, and restore it from a backup: it was changed from "
                "outside, or the disk is damaged.",
            )
        return f"the hash chain is whole: {checked.events} events"

    async def chains(self) -> set[ChainId]:
        """The chains that the journal's customers and wallets are on; none if it cannot be read."""
        found: set[ChainId] = set()
        try:
            journal = await self._journal()
            after = 0
            while journal is not None and (page := await journal.read_all(after)):
                after = page[-1].seq
                for item in page:
                    match item.event:
                        case e.PlatformObserved(owner=owner):
                            found.add(ChainAccount.parse(owner).chain)
                        case e.WalletDeployed(chain_id=chain):
                            found.add(ChainId.parse(chain))
                        case _:
                            pass
        except OrchestratorError:
            return set()  # the checks of the database tell why
        return found


def _database_path(settings: Settings) -> Path | None:
    scheme, _, path = settings.database_url.partition("///")
    return Path(path) if scheme == "sqlite:" and path.startswith("/") else None


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


async def _disk(settings: Settings) -> str:
    path = _database_path(settings)
    folder = _existing(path.parent if path else settings.keystore)
    free = shutil.disk_usage(folder).free
    detail = f"{free // 1024**2} MiB free at {folder}"
    if free < LEAST_SPACE:
        raise _Bad(
            f"{detail}, expected at least {LEAST_SPACE // 1024**2} MiB",
            "Free some space: nothing is done that cannot be journaled first.",
        )
    return detail


async def _locks(settings: Settings) -> str:
    """A lock is really taken, because some network file systems only pretend to give one."""
    folder = lock_folder(settings)
    if not folder.exists() and (path := _database_path(settings)) is not None and not path.exists():
        return f"{folder} is not there yet; the first command makes it"
    began = datetime.now(UTC)
    try:
        async with AccountLocks(folder).hold("doctor", time.monotonic() + 2):
            pass
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise _Bad(
            f"no lock can be taken in {folder}: {reason}",
            "Let this user write to the folder, and put the database on a file system that knows locks.",
        ) from error
    return f"a lock in {folder} is taken and given back in {(datetime.now(UTC) - began).total_seconds() * 1000:.0f} ms"
