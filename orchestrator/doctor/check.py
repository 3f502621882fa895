"""One check. Whatever goes wrong in it becomes its result, so that the other checks still run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from orchestrator.errors import OrchestratorError
from orchestrator.runbook import advice


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was checked. ``fix`` says what to do, and is None where there is nothing to do."""

    name: str
    ok: bool
    detail: str
    fix: str | None = None


class CheckFailed(Exception):
    """Raised by a check that fails: what was found, and what to do."""

    def __init__(self, detail: str, fix: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.fix = fix


async def run_check(name: str, check: Callable[[], Awaitable[str]]) -> Check:
    try:
        return Check(name, True, await check())
    except CheckFailed as failed:
        return Check(name, False, failed.detail, failed.fix)
    except OrchestratorError as error:
        return Check(name, False, f"{error.code}: {error.message}", advice(error))
    except Exception as surprise:  # noqa: BLE001  a defect in one check must not hide what the others find
        return Check(
            name, False, f"the check itself failed ({type(surprise).__name__})", "Report this: it is a defect."
        )
