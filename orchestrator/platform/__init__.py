"""The card platform's API client (edge): HTTP, login, request signatures, typed answers. See ``client``."""

from orchestrator.platform.client import PlatformClient, PlatformWebhook
from orchestrator.platform.settings import DEFAULT_COMPONENTS, PlatformSettings, SecretStr, SignerFields
from orchestrator.platform.webhook import WebhookEvent, WebhookVerifier, parse_delivery

__all__ = [
    "DEFAULT_COMPONENTS",
    "PlatformClient",
    "PlatformSettings",
    "PlatformWebhook",
    "SecretStr",
    "SignerFields",
    "WebhookEvent",
    "WebhookVerifier",
    "parse_delivery",
]
