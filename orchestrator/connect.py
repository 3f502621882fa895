"""Connects the outside systems that the settings name. The one place that knows every edge."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from orchestrator.journal.database import database_path
from orchestrator.journal.store import Journal
from orchestrator.lifecycle.stages import Rules
from orchestrator.settings import Settings
from orchestrator.steps.world import World

if TYPE_CHECKING:
    from orchestrator.chain.prover import NodeProver
    from orchestrator.chain.reader import ChainReader
    from orchestrator.platform.client import PlatformClient
    from orchestrator.signers.keystore import Keystore
    from orchestrator.signers.passwords import PasswordSource

PLATFORM_SETTINGS = ("platform_url", "api_key", "api_secret", "signing_key", "signing_key_id")
CHAIN_SETTINGS = ("rpc_url", "factory")


async def connect(settings: Settings, journal: Journal, stack: AsyncExitStack) -> World:
    """The world of the steps. What was opened is closed by ``stack``. Raises SettingsError; sends nothing yet."""
    settings.need(*PLATFORM_SETTINGS, *CHAIN_SETTINGS)
    from orchestrator.closure.certifier import ClosureCertifier

    keystore = open_keystore(settings)
    platform = await stack.enter_async_context(open_platform(settings))
    chain = open_chain(settings)
    stack.push_async_callback(chain.close)
    prover = open_prover(settings)
    stack.push_async_callback(prover.close)
    return World(
        platform=platform,
        chain=chain,
        prover=prover,
        keyring=keystore,
        journal=journal,
        certifier=ClosureCertifier(
            folder=settings.certificates,
            signer=lambda: keystore.signer(settings.certificate_key) if settings.certificate_key else None,
        ),
        clock=lambda: datetime.now(UTC),
        rules=rules(settings),
        confirmations=settings.confirmations,
        tokens=settings.tokens,
        challenge_domains=settings.challenge_domains or (urlsplit(settings.platform_url or "").netloc,),
    )


def open_platform(settings: Settings) -> PlatformClient:
    """The platform's client, not yet entered."""
    settings.need(*PLATFORM_SETTINGS)
    from orchestrator.platform.client import PlatformClient
    from orchestrator.platform.settings import PlatformSettings

    if settings.platform_url is None or settings.signing_key is None:
        raise AssertionError("need() has seen to it")
    shared = {field.name for field in fields(PlatformSettings)} & set(Settings.model_fields)
    values = {name: getattr(settings, name) for name in shared}
    return PlatformClient(
        PlatformSettings(
            **values,
            base_url=settings.platform_url,
            signing_key_pem=settings.signing_key,
            timeout_seconds=settings.request_timeout,
            clock_tolerance_seconds=settings.clock_tolerance,
        )
    )


def open_chain(settings: Settings) -> ChainReader:
    """The chain's reader on the node that the settings name."""
    settings.need(*CHAIN_SETTINGS)
    from orchestrator.chain.reader import ChainReader
    from orchestrator.chain.rpc import Rpc

    if settings.rpc_url is None or settings.factory is None:
        raise AssertionError("need() has seen to it")
    return ChainReader(
        Rpc(settings.rpc_url.get_secret_value(), timeout=settings.request_timeout),
        settings.factory,
        from_block=settings.factory_block,
    )


def open_prover(settings: Settings) -> NodeProver:
    """The prover of closures on the node that the settings name."""
    settings.need("rpc_url")
    from orchestrator.chain.prover import NodeProver
    from orchestrator.chain.rpc import Rpc

    if settings.rpc_url is None:
        raise AssertionError("need() has seen to it")
    return NodeProver(Rpc(settings.rpc_url.get_secret_value(), timeout=settings.request_timeout))


def open_keystore(settings: Settings) -> Keystore:
    """The keystore's folder; no key is unlocked."""
    from orchestrator.signers.keystore import Keystore

    return Keystore(settings.keystore, password_source(settings))


def password_source(settings: Settings) -> PasswordSource:
    """The keystore's password: the file that the settings name, the value that they hold, or a prompt."""
    from orchestrator.signers.passwords import FilePassword, FixedPassword, PromptPassword
    from orchestrator.signers.secret import Secret

    if settings.keystore_password_file is not None:
        return FilePassword(settings.keystore_password_file)
    if settings.keystore_password is not None:
        return FixedPassword(Secret(settings.keystore_password.get_secret_value()))
    return PromptPassword()


def rules(settings: Settings) -> Rules:
    """The decision rules that the settings ask for."""
    return Rules(patience=timedelta(seconds=settings.patience), clock_skew=timedelta(seconds=settings.clock_tolerance))


def lock_folder(settings: Settings) -> Path:
    """Where the locks of all who share the journal's database are. Raises SettingsError ``database_url``."""
    path = database_path(settings.database_url)
    return path.with_name(path.name + ".locks")
