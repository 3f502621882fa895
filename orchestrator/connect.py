"""Connects the outside systems that the settings name. The one place that knows every edge."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from orchestrator.authorization.gate import read_oversight
from orchestrator.errors import SettingsError
from orchestrator.journal.database import database_path, lock_name, locks_beside
from orchestrator.journal.store import Journal
from orchestrator.lifecycle.stages import Parameters
from orchestrator.oversight.outlook import Outlook
from orchestrator.people import ANONYMOUS, Signatory, system_user
from orchestrator.policy import Policy, Ruleset, parse_policy
from orchestrator.policy.document import MAX_BYTES
from orchestrator.session import Services
from orchestrator.settings import Settings, state_directory

if TYPE_CHECKING:
    from orchestrator.chain.examination.prover import NodeProver
    from orchestrator.chain.node.follower import Follower
    from orchestrator.chain.node.reader import ChainReader
    from orchestrator.chain.node.rpc import Rpc
    from orchestrator.passwords import PasswordSource
    from orchestrator.platform.client import PlatformClient
    from orchestrator.platform.settings import PlatformSettings
    from orchestrator.request_signing.key_folder import RequestKeyFolder
    from orchestrator.signers.keyring import Keyring
    from orchestrator.wallet.reading import Profile

PLATFORM_SETTINGS = ("platform_url", "api_key", "api_secret")
"""A request-signing key is needed besides: the settings' own, or a managed one beside the keystore."""
CHAIN_SETTINGS = ("rpc_url", "factory")


@dataclass(frozen=True, slots=True)
class Keys:
    """What holds the opened keys: one for a process, so that each is opened once."""

    managed: Keyring
    request_keys: RequestKeyFolder


def has_journal(settings: Settings) -> bool:
    """Whether there is a database where the settings say; a server's is taken to be. Raises SettingsError."""
    return lock_name(settings.database_url) is not None or database_path(settings.database_url).exists()


async def open_journal(settings: Settings, *, create: bool | None = True) -> Journal:
    """The journal that the settings name. Where there is none, ``create`` says what happens:

        True    it is made
        False   at the default place an empty one in memory; where the settings name another place, SettingsError
                ``database_missing``, because a wrong URL would read as an empty journal
        None    an empty one in memory, for commands that read the platform and the journal beside it

    Raises SettingsError and JournalError as ``Journal.open``. SIDE EFFECTS: as of it.
    """
    try:
        return await Journal.open(settings.database_url, create=bool(create))
    except SettingsError as error:
        named = "database_url" in settings.model_fields_set
        if error.code != "database_missing" or (named and create is not None):
            raise
    return await Journal.missing()


async def make_outlook(settings: Settings, journal: Journal) -> Outlook:
    """What an account waits for, by the journal and these settings, now. Raises JournalError. Reads only."""
    seen = await read_oversight(journal)
    try:
        mine = make_ruleset(settings)
    except SettingsError:  # a policy that cannot be read stops who acts, and not who reads
        mine = seen.ruleset or make_ruleset(settings.model_copy(update={"policy": None}))
    return Outlook(
        seen=seen,
        mine=mine,
        parameters=parameters(settings, mine),
        journal_id=await journal.identity(),
        now=datetime.now(UTC),
        certificate_key=settings.certificate_key,
    )


def make_callback_url(settings: Settings) -> str | None:
    """What the platform calls for webhooks, its token at the end; None without the setting ``public_url``. Raises
    SettingsError."""
    if settings.public_url is None:
        return None
    from orchestrator.platform.subscription import callback_url, require_token

    token = require_token(settings.webhook_token.get_secret_value() if settings.webhook_token else None)
    return callback_url(settings.public_url, token, allow_plain_http=settings.allow_plain_http)


def make_keys(settings: Settings) -> Keys:
    """Both folders of keys; none is opened."""
    return Keys(make_keystore(settings), make_request_keys(settings))


async def connect(
    settings: Settings,
    journal: Journal,
    stack: AsyncExitStack,
    keys: Keys | None = None,
    signatory: Signatory | None = None,
) -> tuple[Services, Follower]:
    """The services of this process, and what keeps its index of the chain. What was opened is closed by ``stack``.
    Raises SettingsError; sends nothing yet.

    ``signatory``: the person who asks for what takes an approval; None: the one whom the settings name.
    """
    settings.need(*PLATFORM_SETTINGS, *CHAIN_SETTINGS)
    from orchestrator.certifier import ClosureCertifier
    from orchestrator.signers.signing_log import FileSigningLog

    profile = make_profile(settings)  # once: what is adopted is what is read by
    keys, ruleset = keys or make_keys(settings), make_ruleset(settings, profile)
    keystore = keys.managed
    platform = await stack.enter_async_context(make_platform(settings, keys.request_keys))
    chain = make_chain(settings, journal, profile)
    stack.push_async_callback(chain.close)
    prover = make_prover(settings)
    stack.push_async_callback(prover.close)
    services = Services(
        platform=platform,
        chain=chain,
        prover=prover,
        keyring=keystore,
        journal=journal,
        certifier=ClosureCertifier(
            folder=settings.certificates,
            profile=chain.profile,
            factory=chain.factory,
            signer=lambda: keystore.signer(settings.certificate_key) if settings.certificate_key else None,
            key=settings.certificate_key,
        ),
        clock=lambda: datetime.now(UTC),
        parameters=parameters(settings, ruleset),
        ruleset=ruleset,
        signing_log=FileSigningLog(settings.keystore),
        actor=system_user(),
        signatory=make_signatory(settings) if signatory is None else signatory,
        tokens=settings.tokens,
    )
    return services, chain.follower


def make_platform(
    settings: Settings, request_keys: RequestKeyFolder | None = None, *, without_key: bool = False
) -> PlatformClient:
    """The platform's client, not yet entered. It signs with the settings' own key, or with the managed one.

    ``without_key``: for who is about to upload the first. Else raises SettingsError ``settings_missing`` without any.
    """
    from orchestrator.platform.client import PlatformClient

    files = request_keys or make_request_keys(settings)
    return PlatformClient(platform_settings(settings, files, without_key=without_key), request_keys=files)


def platform_settings(
    settings: Settings, request_keys: RequestKeyFolder, *, without_key: bool = False
) -> PlatformSettings:
    """What the platform's client is made with; without a key of the settings' own the managed one signs.

    Raises SettingsError ``settings_missing``, also where there is neither key, but for ``without_key``.
    """
    settings.need(*PLATFORM_SETTINGS)
    from pydantic import SecretStr

    from orchestrator.platform.settings import PlatformSettings

    own = settings.signing_key if settings.signing_key_id else None
    if own is None and not without_key and request_keys.in_use() is None:
        raise SettingsError(
            "missing setting: ORCHESTRATOR_SIGNING_KEY and ORCHESTRATOR_SIGNING_KEY_ID, or a request-signing key "
            f"beside the keystore ({request_keys.path}): orchestrator keys request create NAME, then upload NAME",
            code="settings_missing",
        )
    shared = {field.name for field in fields(PlatformSettings)} & set(Settings.model_fields)
    values = {name: getattr(settings, name) for name in shared}
    values["signing_key_id"] = settings.signing_key_id if own is not None else ""
    return PlatformSettings(
        **values,
        base_url=settings.platform_url or "",
        signing_key_pem=own or SecretStr(""),
        timeout_seconds=settings.request_timeout,
        clock_tolerance_seconds=settings.clock_tolerance,
    )


def make_request_keys(settings: Settings) -> RequestKeyFolder:
    """The managed request-signing keys; none is opened."""
    from orchestrator.request_signing.key_folder import RequestKeyFolder

    return RequestKeyFolder(settings.keystore, password_source(settings))


def make_rpc(settings: Settings, *, timeout: float | None = None) -> Rpc:
    """JSON-RPC to the nodes that the settings name. ``timeout``: seconds for one round trip, instead of theirs."""
    settings.need("rpc_url")
    from orchestrator.chain.node.rpc import Rpc

    return Rpc(settings.rpc_urls, timeout=timeout or settings.request_timeout, batch_size=settings.rpc_batch)


def make_chain(settings: Settings, journal: Journal, profile: Profile) -> ChainReader:
    """The chain's reader on the node that the settings name, with its index in the journal's database."""
    settings.need(*CHAIN_SETTINGS)
    from orchestrator.chain.node.reader import ChainReader

    if settings.factory is None:
        raise AssertionError("need() has seen to it")
    return ChainReader(
        make_rpc(settings),
        settings.factory,
        profile,
        journal.chain_index,
        from_block=settings.factory_block,
        confirmations=settings.confirmations,
        interval=min(1.0, settings.poll_interval),
    )


def make_prover(settings: Settings) -> NodeProver:
    """The prover of closures on the node that the settings name."""
    from orchestrator.chain.examination.prover import NodeProver

    return NodeProver(make_rpc(settings))


def make_keystore(settings: Settings) -> Keyring:
    """The keystore's folder; no key is opened."""
    from orchestrator.passwords import PromptPassword
    from orchestrator.signers.keyring import Keyring

    # A token locks itself after a few wrong PINs: the keystore's password is never tried as one.
    return Keyring(settings.keystore, password_source(settings), pins=PromptPassword())


def make_signatory(settings: Settings) -> Signatory:
    """The person who runs the process, where the settings name her key and a file with its password: nobody is prompted
    in the middle of work. Else nobody. The key is not opened."""
    if settings.person_key is None or settings.person_password_file is None:
        return ANONYMOUS
    from orchestrator.passwords import FilePassword
    from orchestrator.signers.key_files import FileKey

    return Signatory(key=FileKey(settings.person_key, FilePassword(settings.person_password_file)))


def password_source(settings: Settings) -> PasswordSource:
    """The keystore's password: the file that the settings name, the value that they hold, or a prompt."""
    from orchestrator.passwords import FilePassword, FixedPassword, PromptPassword, Secret

    if settings.keystore_password_file is not None:
        return FilePassword(settings.keystore_password_file)
    if settings.keystore_password is not None:
        return FixedPassword(Secret(settings.keystore_password.get_secret_value()))
    return PromptPassword()


def parameters(settings: Settings, ruleset: Ruleset) -> Parameters:
    """What decisions go by, as the settings and the policy ask for it."""
    policy = ruleset.policy
    return Parameters(
        challenge_life=timedelta(seconds=policy.challenge.max_age),
        patience=timedelta(seconds=settings.patience),
        clock_skew=timedelta(seconds=settings.clock_tolerance),
        closure_approvals=policy.approvals.closure,
        approval_life=timedelta(seconds=policy.approvals.expires),
        asker=policy.approvals.asker,
    )


def make_ruleset(settings: Settings, profile: Profile | None = None) -> Ruleset:
    """What the policy's file and the settings ask for. Raises SettingsError ``policy_unreadable``, ``policy_invalid``.

    It is in force once the journal says that it was adopted.
    """
    domains = settings.challenge_domains or (urlsplit(settings.platform_url or "").netloc,)
    return Ruleset(
        policy=Policy() if settings.policy is None else read_policy(settings.policy),
        domains=tuple(sorted({domain for domain in domains if domain})),
        confirmations=settings.confirmations,
        wallets=(profile or make_profile(settings)).id,
    )


def make_profile(settings: Settings) -> Profile:
    """The profile of the wallets that are followed. Raises SettingsError (``profile_unreadable``,
    ``profile_invalid``)."""
    from orchestrator.wallet.profile import load_profile

    return load_profile(settings.wallet_profile)


def read_policy(path: Path) -> Policy:
    """A policy's file. Raises SettingsError ``policy_unreadable``, ``policy_invalid``."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        text = data.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise SettingsError(f"policy {path} cannot be read: {reason}", code="policy_unreadable") from error
    if len(data) > MAX_BYTES:
        raise SettingsError(f"policy {path}: expected at most {MAX_BYTES} bytes, got more", code="policy_unreadable")
    return parse_policy(text, f"policy {path}")


def lock_folder(settings: Settings) -> Path:
    """Where the locks of all on this machine who share the journal are. Raises SettingsError ``database_url``.

    Across the machines that share a PostgreSQL journal the database's constraints decide, and no lock does.
    """
    server = lock_name(settings.database_url)
    if server is not None:
        return state_directory() / "locks" / server
    return locks_beside(database_path(settings.database_url))
