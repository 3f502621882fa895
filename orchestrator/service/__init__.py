"""The service: takes the platform's webhooks, and drives every unfinished account of the journal."""

from orchestrator.service.server import serve
from orchestrator.service.webapp import build_app

__all__ = ["build_app", "serve"]
