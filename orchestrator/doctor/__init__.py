"""``orchestrator doctor``: checks everything that an operation will need, and says what to do about each.

Each check stands alone: the others run although one fails. They stand in the order in which their failures are best
mended. Nothing is changed anywhere, but for the migration of an existing database, which every command does. No secret
is shown.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from orchestrator.connect import CHAIN_SETTINGS, PLATFORM_SETTINGS
from orchestrator.doctor.chain import Chain
from orchestrator.doctor.check import Check, CheckFailed, run_check
from orchestrator.doctor.database import Database, disk, locks, require_files_private
from orchestrator.doctor.platform import Platform
from orchestrator.doctor.signing import keys, policy, request_key, signing
from orchestrator.settings import Settings, moved_variables, unknown_variables

__all__ = ["Check", "examine"]


async def examine(settings: Settings) -> list[Check]:
    """Runs all checks. Raises nothing for what they find."""
    async with AsyncExitStack() as stack:
        platform = Platform(settings, stack)
        chain = Chain(settings, stack)
        database = Database(settings, stack)
        checks: list[tuple[str, Callable[[], Awaitable[str]]]] = [
            ("settings", lambda: _settings(settings)),
            ("platform_login", platform.login),
            ("request_key", lambda: request_key(settings)),
            ("request_signing", platform.signed_read),
            ("clock", platform.clock),
            ("webhooks", platform.webhooks),
            ("rpc", chain.reachable),
            ("chain_id", lambda: chain.chain_id(database)),
            ("chain_supported", lambda: platform.chain_supported(chain)),
            ("chain_clock", chain.clock),
            ("finality", chain.finality),
            ("fork", chain.fork),
            ("factory", chain.factory),
            ("node_traffic", chain.traffic),
            ("keys", lambda: keys(settings)),
            ("database", database.opens),
            ("journal", database.whole),
            ("policy", lambda: policy(settings, database)),
            ("signing", lambda: signing(settings, database)),
            ("disk", lambda: disk(settings)),
            ("locks", lambda: locks(settings)),
        ]
        return [await run_check(name, check) for name, check in checks]


async def _settings(settings: Settings) -> str:
    settings.need(*PLATFORM_SETTINGS, *CHAIN_SETTINGS)
    require_files_private(settings)
    unknown = unknown_variables(os.environ)
    misspelt = [str(variable) for variable in unknown if variable.meant is not None]
    if misspelt:
        raise CheckFailed("; ".join(misspelt), "Correct its name, or unset it: the setting has its default until then.")
    notes = [f"note: {note}" for note in (*unknown, *moved_variables(os.environ))]
    return "; ".join(("all that are needed are set and can be read", *notes))
