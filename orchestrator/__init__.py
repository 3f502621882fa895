"""Takes a blockchain account from its creation on a card-issuing platform to a proven end.

    from orchestrator import BlockingOrchestrator, Orchestrator, load_settings

Names are loaded when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.app import Orchestrator
    from orchestrator.blocking import BlockingOrchestrator
    from orchestrator.errors import Disposition, OrchestratorError
    from orchestrator.report import AccountReport, OperationReport
    from orchestrator.settings import Settings, load_settings

__all__ = [
    "AccountReport",
    "BlockingOrchestrator",
    "Disposition",
    "OperationReport",
    "Orchestrator",
    "OrchestratorError",
    "Settings",
    "load_settings",
]

_HOMES = {
    "AccountReport": "report",
    "BlockingOrchestrator": "blocking",
    "Disposition": "errors",
    "OperationReport": "report",
    "Orchestrator": "app",
    "OrchestratorError": "errors",
    "Settings": "settings",
    "load_settings": "settings",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
