"""How the platform is reached: its address, credentials, and every choice that its documentation leaves open.

The open ("silent") choices carry the default that this project takes; ``orchestrator probe`` tries them against a
given platform. Secrets are ``SecretStr``: they never show in a repr, a log line or an error.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NoReturn
from urllib.parse import urlsplit

from pydantic import SecretStr

from orchestrator import process
from orchestrator.errors import SettingsError
from orchestrator.models import to_uuid

__all__ = ["DEFAULT_COMPONENTS", "PlatformSettings", "SecretStr", "SignerFields"]

DEFAULT_COMPONENTS: Final = (
    "@method",
    "@authority",
    "@path",
    "@query",
    "authorization",
    "content-digest",
    "content-type",
    "idempotency-key",
)
_LABEL = re.compile(r"[a-z*][a-z0-9_.*-]*")
_COMPONENT = re.compile(r"@?[a-z0-9!#$%&'*+.^_`|~-]+")
_DERIVED = ("@method", "@target-uri", "@authority", "@scheme", "@request-target", "@path", "@query")


class SignerFields(StrEnum):
    """The field of ``POST …/challenge/sign`` that carries the signer's CAIP-10 account."""

    BOTH = "both"
    """Under both names: neither is forbidden beside the other."""
    OWNER_ID = "ownerId"
    """As the published OpenAPI file has it."""
    CHAIN_ID = "chainId"
    """As the documentation pages show it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformSettings:
    """Everything that the platform's client needs. Checked when made: raises SettingsError that names the setting.

    Times are in seconds, sizes in bytes.
    """

    base_url: str
    """With its version, such as ``https://api.sandbox.offblocks.xyz/v1``. There is no default."""
    api_key: str
    """UUID."""
    api_secret: SecretStr
    signing_key_pem: SecretStr
    """PEM text of the P-384 private key that signs requests."""
    signing_key_id: str
    """What the platform calls it. Empty: requests go unsigned, which only the upload of a first key needs."""

    # --- silent in the documentation ---
    covered_components: tuple[str, ...] = DEFAULT_COMPONENTS
    """What a signature covers (RFC 9421 section 2). Header fields and ``@query`` are covered where the request has
    them; ``content-digest`` always is where there is a body. The platform's verifier takes the path and query for
    ``@target-uri``, and so refuses a signature that covers it as the RFC has it."""
    signature_label: str = "sig"
    digest_algorithm: str = "sha-512"
    """``sha-256`` or ``sha-512`` (RFC 9530)."""
    account_type: str = "card_account"
    signer_fields: SignerFields = SignerFields.BOTH

    # --- ours ---
    timeout_seconds: float = 30.0
    """For one request, from connecting to the answer's last byte."""
    connect_timeout_seconds: float = 5.0
    keepalive_seconds: float = 3.0
    """An idle connection older than this is not used again: a server that closes it at the same moment (5 s is common)
    would leave a modifying call uncertain."""
    max_connections: int = 100
    retry_reads: bool = True
    attempts: int = 3
    """Of a read, or of a modifying call that was surely not sent."""
    retry_budget_seconds: float = 3.0
    """No further attempt starts once this much has passed since the first."""
    backoff_seconds: float = 0.2
    """The first wait's upper bound; it doubles, with full jitter, up to one second."""
    in_flight_attempts: int = 6
    """How often a request whose idempotency key is still in flight (409) is repeated with the same key."""
    refresh_margin_seconds: float = 60.0
    """A token is replaced this long before it expires (or after half of its life, if that is shorter)."""
    login_hold_seconds: float = 15.0
    """After a refused login, nothing is asked of the platform for this long: the same refusal is given at once."""
    clock_tolerance_seconds: float = 30.0
    max_answer_bytes: int = 1024 * 1024
    max_list_bytes: int = 64 * 1024 * 1024
    """Of a list, which is read item by item: some 170,000 accounts."""
    max_item_bytes: int = 64 * 1024
    """Of one item of a list. An account has some 400."""
    allow_plain_http: bool = False
    """``http://`` is taken for loopback addresses only, unless this is set."""

    def __post_init__(self) -> None:
        """SIDE EFFECTS: the process leaves no core dump from then on (``process``)."""
        process.forbid_core_dumps()
        self._check_url()
        to_uuid(self.api_key, "the platform's API key")
        if not self.api_secret.get_secret_value():
            raise SettingsError("the platform's API secret is empty")
        self._check_signature()
        try:
            # The environment gives plain text.
            object.__setattr__(self, "signer_fields", SignerFields(self.signer_fields))
        except ValueError:
            raise SettingsError(
                f"platform setting signer_fields must be one of {', '.join(SignerFields)}, got {self.signer_fields!r}"
            ) from None
        for name in ("timeout_seconds", "connect_timeout_seconds", "max_connections", "attempts"):
            if getattr(self, name) <= 0:
                raise SettingsError(f"platform setting {name} must be above 0, got {getattr(self, name)}")

    def _check_signature(self) -> None:
        if not _LABEL.fullmatch(self.signature_label):
            raise SettingsError(
                f"platform setting signature_label must be a lower-case key of RFC 8941, got {self.signature_label!r}"
            )
        if self.digest_algorithm not in ("sha-256", "sha-512"):
            raise SettingsError(
                f"platform setting digest_algorithm must be sha-256 or sha-512, got {self.digest_algorithm!r}"
            )
        if not self.covered_components:
            raise SettingsError("platform setting covered_components is empty: a signature would cover nothing")
        if len(set(self.covered_components)) != len(self.covered_components):
            raise SettingsError("platform setting covered_components names a component twice")
        for component in self.covered_components:
            if not _COMPONENT.fullmatch(component) or (component.startswith("@") and component not in _DERIVED):
                raise SettingsError(
                    f"platform setting covered_components: {component!r} is no lower-case field name "
                    f"nor one of {', '.join(_DERIVED)}"
                )

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("settings cannot be pickled: their secrets would lie open in what comes of it")

    def _check_url(self) -> None:
        try:
            parts = urlsplit(self.base_url)
            _ = parts.port
        except ValueError as error:
            raise SettingsError(f"the platform's URL cannot be read: {error}", code="platform_url") from None
        shown = f"{parts.scheme}://{parts.hostname or ''}"
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SettingsError(
                "expected the platform's URL as https://host/v1, got one without http(s) or host", code="platform_url"
            )
        if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
            raise SettingsError(
                f"the platform's URL ({shown}) must have neither user, query nor fragment", code="platform_url"
            )
        if parts.scheme == "http" and not self.allow_plain_http and not is_loopback(parts.hostname):
            raise SettingsError(
                f"{shown} is not encrypted: use https, or allow plain http explicitly (allow_plain_http)",
                code="platform_url",
            )


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
