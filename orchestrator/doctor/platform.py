"""Whether the platform lets us in, and takes our signatures."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

from orchestrator.connect import make_callback_url, make_platform
from orchestrator.doctor.chain import Chain
from orchestrator.doctor.check import CheckFailed
from orchestrator.errors import OrchestratorError
from orchestrator.runbook import RUNBOOK
from orchestrator.settings import Settings


class Platform:
    """One client for its checks."""

    def __init__(self, settings: Settings, stack: AsyncExitStack) -> None:
        self._settings = settings
        self._stack = stack
        self._opened: Any = None

    async def _client(self) -> Any:
        if self._opened is None:
            self._opened = await self._stack.enter_async_context(make_platform(self._settings))
        return self._opened

    async def login(self) -> str:
        client = await self._client()
        await client.login()
        return f"logged in at {self._settings.platform_url}"

    async def signed_read(self) -> str:
        if self._settings.signing_key is not None and self._settings.signing_key_id:
            _require_p384(self._settings)
        client = await self._client()
        webhooks = await client.webhooks()
        # Not the one that the settings name: a managed one that was uploaded since takes its place.
        return f"a read signed with key {client.signing_key_id} is answered; {len(webhooks)} webhooks are set"

    async def chain_supported(self, chain: Chain) -> str:
        """Fails only where the platform names its chains without this one: the call is not among those that work needs,
        and where node or platform do not answer at all, the other checks say so."""
        try:
            found = str(await chain.served())
            client = await self._client()
            supported: list[str] = await client.chains()
        except OrchestratorError as error:
            return f"which chains the platform supports cannot be told ({error.code})"
        if not supported:
            return "the platform names no chain that it supports"
        if found not in supported:
            raise CheckFailed(
                f"the node serves {found}, the platform supports {', '.join(sorted(supported)[:20])}",
                "Set ORCHESTRATOR_RPC_URL to a node of a chain that the platform supports, or "
                "ORCHESTRATOR_PLATFORM_URL to the platform that supports this one (live and sandbox differ).",
            )
        return f"the platform supports {found}"

    async def clock(self) -> str:
        client = await self._client()
        if client.clock_offset is None:
            await client.login()
        offset: timedelta | None = client.clock_offset
        if offset is None:
            return "the platform gives no time (no Date in its answers)"
        seconds, tolerance = offset.total_seconds(), self._settings.clock_tolerance
        direction = "behind" if seconds > 0 else "ahead of"
        detail = f"this machine is {abs(seconds):.0f} s {direction} the platform; {tolerance:.0f} s are tolerated"
        if abs(seconds) > tolerance:
            raise CheckFailed(detail, RUNBOOK["clock_skew"].advice)
        return detail

    async def webhooks(self) -> str:
        """The subscription of ``serve``, and the key that deliveries are verified with."""
        from orchestrator.platform.subscription import find, shown_url

        url = make_callback_url(self._settings)
        if url is None:
            return "ORCHESTRATOR_PUBLIC_URL is not set: serve subscribes nothing, and polls accounts"
        client = await self._client()
        key = await client.verification_key()
        found = find(await client.webhooks(), url)
        fix = "Type orchestrator webhooks set, or start orchestrator serve: it subscribes by itself."
        if found.webhook is None:
            raise CheckFailed(f"the platform has no subscription of {shown_url(url)}", fix)
        if found.missing:
            raise CheckFailed(f"subscription {found.webhook.id} has no {', '.join(found.missing)}", fix)
        told = f"{shown_url(url)} is subscribed ({found.webhook.id}); deliveries are signed with key {key.id}"
        if found.others:
            told += f"; note: this address is also called by {', '.join(found.others)}; of a token that was replaced? "
            told += "orchestrator webhooks delete ID"
        return told


def _require_p384(settings: Settings) -> None:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    fix = "Set ORCHESTRATOR_SIGNING_KEY_FILE to the PEM of an unencrypted EC private key on curve P-384."
    pem = settings.signing_key.get_secret_value() if settings.signing_key else ""
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise CheckFailed("the request-signing key is no PEM private key that can be read", fix) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CheckFailed(f"expected an EC key on P-384, got {type(key).__name__.strip('_')}", fix)
    if not isinstance(key.curve, ec.SECP384R1):
        raise CheckFailed(f"expected an EC key on P-384 (secp384r1), got one on {key.curve.name}", fix)
