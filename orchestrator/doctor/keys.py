"""Whether there are keys to sign with."""

from __future__ import annotations

import asyncio

from orchestrator.connect import open_keystore
from orchestrator.doctor.check import Bad
from orchestrator.settings import Settings

_MOST_UNLOCKED = 8
"""Keys that are opened as a trial: each takes most of a second."""


async def keys(settings: Settings) -> str:
    """The keystore can be read, has an enabled key, and opens with the password if one is given."""
    keystore = open_keystore(settings)
    scan = keystore.scan()
    if scan.unreadable:
        raise scan.unreadable[0]
    enabled = [key for key in scan.keys if not key.disabled]
    if not enabled:
        disabled = f", {len(scan.keys)} disabled" if scan.keys else ""
        raise Bad(
            f"keystore {settings.keystore}: no enabled key{disabled}",
            "Type orchestrator keys create NAME, or orchestrator keys import NAME, for the owner's key.",
        )
    named = settings.certificate_key
    if named is not None and named not in [key.name for key in enabled]:
        raise Bad(
            f"keystore {settings.keystore}: no enabled key {named!r}, which is to sign certificates",
            f"Type orchestrator keys create {named}, or change ORCHESTRATOR_CERTIFICATE_KEY.",
        )
    found = f"{len(enabled)} of {len(scan.keys)} enabled in {settings.keystore}"
    if settings.keystore_password is None and settings.keystore_password_file is None:
        return f"{found}; not opened, as no password is set (a terminal is asked)"
    for key in enabled[:_MOST_UNLOCKED]:
        await asyncio.to_thread(keystore.signer_for(key.address).unlock)
    return f"{found}; {min(len(enabled), _MOST_UNLOCKED)} opened with the password"
