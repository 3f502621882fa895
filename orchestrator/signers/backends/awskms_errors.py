"""What botocore raises and AWS KMS answers, as our errors. Part of ``awskms``.

Sources: the service's description in botocore; AWS KMS API Reference, "Common Errors". Texts of the library's are never
shown: they hold URLs and more. Of the service's own, those are shown that are about the key and not about who asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from orchestrator.errors import Disposition, OrchestratorError, SettingsError
from orchestrator.signers.backends import backend


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


THROTTLED: Final = _codes(
    "LimitExceededException PriorRequestNotComplete ProvisionedThroughputExceededException RequestLimitExceeded "
    "RequestThrottled RequestThrottledException SlowDown ThrottledException Throttling ThrottlingException "
    "TooManyRequestsException"
)
PASSING: Final = _codes(
    "DependencyTimeoutException InternalError InternalFailure InternalServerError KMSInternalException "
    "KeyUnavailableException RequestTimeout RequestTimeoutException ServiceUnavailable ServiceUnavailableException"
)
CREDENTIALS: Final = _codes(
    "ExpiredToken ExpiredTokenException IncompleteSignature IncompleteSignatureException InvalidClientTokenId "
    "InvalidSignatureException MissingAuthenticationToken MissingAuthenticationTokenException RequestExpired "
    "RequestTimeTooSkewed SignatureDoesNotMatch UnrecognizedClientException"
)
"""About who asks. Their messages are not shown: some repeat the whole request, session token included."""
DENIED: Final = _codes(
    "AccessDenied AccessDeniedException DisabledException DryRunOperationException InvalidGrantTokenException "
    "InvalidKeyUsageException NotAuthorized OptInRequired UnauthorizedOperation UnsupportedOperationException"
)
NOT_FOUND: Final = frozenset(("InvalidArnException", "NotFoundException"))
NOT_NOW: Final = _codes(
    "CloudHsmClusterInvalidConfigurationException CustomKeyStoreInvalidStateException KMSInvalidStateException"
)
"""A person must act there: pending deletion or import, a custom key store that is off."""
_CREDENTIALS: Final = "Give this process AWS credentials that count now: AWS_PROFILE, or a role of the machine."
_RIGHTS: Final = (
    "Check that the key is enabled, and that kms:GetPublicKey and kms:Sign are allowed to these credentials."
)


def translate(error: Exception, where: str, operation: str = "sign") -> OrchestratorError:
    """Every exception of botocore as ours; ``where`` names the key, ``operation`` is botocore's name of the call."""
    from botocore import exceptions as of  # type: ignore[import-untyped]

    name = type(error).__name__
    if isinstance(error, of.ClientError):
        return _refusal(error, where, operation)
    if isinstance(error, of.SSLError):
        return backend.malformed(where, "a certificate that can be verified", name)
    if isinstance(error, of.ReadTimeoutError | of.ConnectTimeoutError):
        return backend.unreachable(where, f"no answer in time ({name})")
    if isinstance(error, of.ConnectionError | of.HTTPClientError | of.IncompleteReadError | of.MetadataRetrievalError):
        return backend.unreachable(where, f"no connection, or it broke off ({name})")
    if isinstance(error, _about_credentials()):
        return backend.denied(
            where,
            f"no AWS credentials could be had ({name}): set AWS_PROFILE, or see botocore's documentation",
            fix=_CREDENTIALS,
        )
    if isinstance(error, of.BotoCoreError):
        return backend.malformed(where, "a request and an answer that botocore can make and read", name)
    # botocore.parsers.ResponseParserError, binascii.Error, RecursionError, …
    return backend.malformed(where, "an answer of AWS KMS", f"something that cannot be read ({name})")


def _refusal(error: Any, where: str, operation: str) -> OrchestratorError:
    code, status, message = code_of(error), _status(error), _message(error)
    said = f"{code or 'no error code'} (HTTP {status})"
    if operation.startswith("create_") and code == "LimitExceededException":
        return backend.denied(
            where,
            f"{said}: the quota of keys or aliases is used up",
            fix="Ask AWS for a higher quota, or name a key that is there.",
            disposition=Disposition.OPERATOR,
        )
    if code in THROTTLED or status == 429:
        return backend.throttled(where, said)
    if code in CREDENTIALS:
        return backend.denied(where, f"{said}: are the credentials, and this machine's clock, right?", fix=_CREDENTIALS)
    if code in DENIED:
        return backend.denied(where, f"{said}: {message}", fix=_RIGHTS)
    if code in NOT_NOW:
        return backend.denied(
            where,
            f"{said}: {message}",
            fix="Look at the key in the AWS console: it, or its key store, cannot be used as it is.",
            disposition=Disposition.OPERATOR,
        )
    if code in NOT_FOUND:
        return backend.not_found(
            where, f"{said}: {message}", fix="Check the key's id or alias, and the region, in its URI."
        )
    if code == "AlreadyExistsException":
        return SettingsError(f"{where} exists already", code="key_exists")
    if code in PASSING or status >= 500:
        return backend.unreachable(where, said)
    return backend.malformed(where, "an answer that AWS KMS documents", said)


def code_of(error: Exception) -> str:
    """The service's error code, empty where it gives none."""
    found = _error_of(error).get("Code")
    return backend.short(found)[:80] if isinstance(found, str) and found else ""


def _message(error: Exception) -> str:
    found = _error_of(error).get("Message")
    return found if isinstance(found, str) else ""


def _error_of(error: Exception) -> Mapping[str, Any]:
    response = getattr(error, "response", None)
    found = response.get("Error") if isinstance(response, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _status(error: Any) -> int:
    metadata = error.response.get("ResponseMetadata")
    status = metadata.get("HTTPStatusCode") if isinstance(metadata, Mapping) else None
    return status if isinstance(status, int) else 0


def _about_credentials() -> tuple[type[Exception], ...]:
    from botocore import exceptions as of

    return (
        of.NoCredentialsError,
        of.PartialCredentialsError,
        of.CredentialRetrievalError,
        of.NoAuthTokenError,
        of.TokenRetrievalError,
        of.UnknownTokenProviderError,
        of.UnknownCredentialError,
        of.ProfileNotFound,
        of.ConfigParseError,
        of.ConfigNotFound,
        of.RefreshWithMFAUnsupportedError,
        of.SSOError,
        of.LoginError,
        of.InvalidIMDSEndpointError,
        of.InvalidIMDSEndpointModeError,
    )
