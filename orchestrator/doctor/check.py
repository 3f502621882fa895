"""One check: however it fails, it says what to do and keeps no other from being made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from orchestrator.errors import Disposition, OrchestratorError


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. ``fix`` says what to do, and is None where there is nothing to do."""

    name: str
    ok: bool
    detail: str
    fix: str | None = None


class Bad(Exception):
    """A check that fails, with its detail and what to do."""

    def __init__(self, detail: str, fix: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.fix = fix


async def made(name: str, check: Callable[[], Awaitable[str]]) -> Check:
    try:
        return Check(name, True, await check())
    except Bad as bad:
        return Check(name, False, bad.detail, bad.fix)
    except OrchestratorError as error:
        return Check(name, False, f"{error.code}: {error.message}", _fix(error))
    except Exception as surprise:  # noqa: BLE001  a defect in one check must not hide what the others find
        return Check(
            name, False, f"the check itself failed ({type(surprise).__name__})", "Report this: it is a defect."
        )


FIXES = {
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
    known = FIXES.get(error.code)
    if known is not None:
        return known
    match error.disposition:
        case Disposition.RETRY:
            return "This may pass: wait a moment and run doctor again."
        case Disposition.OPERATOR:
            return "Compare what is said with what you expect of the other side; its operator may have to look."
        case Disposition.STOP:
            return "Mend what is named, then run doctor again."
