"""The card platform's API client (edge): HTTP, login, request signatures, typed answers. See ``client``."""

from orchestrator.platform.client import PlatformClient, PlatformWebhook
from orchestrator.platform.settings import DEFAULT_COMPONENTS, PlatformSettings, SecretStr, SignerFields
from orchestrator.platform.verification_keys import VerificationKeys
from orchestrator.platform.webhook import WebhookEvent, parse_delivery
from orchestrator.platform.webhook_signature import WebhookVerifier

__all__ = [
    "DEFAULT_COMPONENTS",
    "PlatformClient",
    "PlatformSettings",
    "PlatformWebhook",
    "SecretStr",
    "SignerFields",
    "VerificationKeys",
    "WebhookEvent",
    "WebhookVerifier",
    "parse_delivery",
]
