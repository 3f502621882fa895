"""The card platform's API client (edge): HTTP, login, request signatures, typed answers. See ``client``."""

from orchestrator.platform.client import PlatformClient, PlatformWebhook
from orchestrator.platform.settings import DEFAULT_COMPONENTS, Pagination, PlatformSettings, SecretStr
from orchestrator.platform.webhook import WebhookEvent, WebhookVerifier, parse_delivery

__all__ = [
    "DEFAULT_COMPONENTS",
    "Pagination",
    "PlatformClient",
    "PlatformSettings",
    "PlatformWebhook",
    "SecretStr",
    "WebhookEvent",
    "WebhookVerifier",
    "parse_delivery",
]
