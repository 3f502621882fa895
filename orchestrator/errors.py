"""Every failure that this project reports, and what its reader can do about it.

    OrchestratorError
    ├── SettingsError      stop      a setting, an argument or a file is missing or wrong
    │   └── UnsupportedChain  stop      a chain or account identifier outside of CAIP's eip155 namespace
    ├── PlatformError                the card platform
    │   ├── PlatformUnreachable   retry     surely not sent: the same request may be sent again
    │   ├── UncertainAnswer       retry     perhaps sent: read the platform back before anything else
    │   ├── PlatformRefused       stop      a final answer, with its HTTP status
    │   └── MalformedAnswer       operator  an answer outside of the API's documentation
    ├── ChainError                   the RPC node and what it says
    │   ├── ChainUnreachable      retry
    │   ├── ChainNonsense         operator  an answer that cannot be true or cannot be read
    │   └── ProofInvalid          operator  a header or a Merkle proof does not hold
    ├── SigningError                 keys and policy
    │   ├── KeyUnavailable        stop      no such key, wrong password, unreadable file
    │   └── PolicyRefused         stop      the policy does not allow this challenge to be signed
    ├── JournalError       operator  the database: from a newer version, broken chain, no space
    └── Disagreement       operator  platform and chain (or two sources) say different things; both are shown

An expected state of an account (waiting, failed) is a value, see ``orchestrator.lifecycle``; these are for the rest.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar

__all__ = [
    "ChainError",
    "ChainNonsense",
    "ChainUnreachable",
    "Disagreement",
    "Disposition",
    "JournalError",
    "KeyUnavailable",
    "MalformedAnswer",
    "OrchestratorError",
    "PlatformError",
    "PlatformRefused",
    "PlatformUnreachable",
    "PolicyRefused",
    "ProofInvalid",
    "SettingsError",
    "SigningError",
    "UncertainAnswer",
    "UnsupportedChain",
]


class Disposition(StrEnum):
    """What a caller can do about an error."""

    RETRY = "retry"
    """A transient error: the same call may succeed later."""
    STOP = "stop"
    """Final for this input: change the input or the settings."""
    OPERATOR = "operator"
    """A person must decide; the message shows both sides."""


class OrchestratorError(Exception):
    """The base of all errors: a stable ``code``, a sentence, and a disposition.

    ``code`` is snake_case and part of the interface; ``message`` is a sentence with expected and actual and never
    holds key material. ``fix``: what to do about it, a sentence, where the code alone does not say (``runbook``
    has the others).
    """

    default_code: ClassVar[str] = "internal"
    default_disposition: ClassVar[Disposition] = Disposition.OPERATOR

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        disposition: Disposition | None = None,
        fix: str | None = None,
    ) -> None:
        if not message.strip():
            raise AssertionError(f"{type(self).__name__} needs a sentence, got an empty message")
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.disposition = disposition or self.default_disposition
        self.fix = fix

    def __repr__(self) -> str:
        return f"{type(self).__name__}(code={self.code!r}, message={self.message!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        """So that each class survives copying and pickling (a process pool does the latter), whatever its constructor
        asks for. A cause of ours comes along; another's may be of a kind that cannot, or hold what must not be written.
        """
        cause = self.__cause__ if isinstance(self.__cause__, OrchestratorError) else None
        return _restored, (type(self), self.args, cause), self.__dict__


def _restored(kind: type[OrchestratorError], args: tuple[Any, ...], cause: OrchestratorError | None) -> Any:
    error = kind.__new__(kind, *args)
    error.__cause__ = cause
    return error


class SettingsError(OrchestratorError):
    """A setting, an argument or a file of the user's is missing or wrong. Exit code 2. What an operation had journaled
    before it came across that stands: called again, it goes on from there."""

    default_code = "settings"
    default_disposition = Disposition.STOP


class UnsupportedChain(SettingsError):
    """A blockchain identifier that is malformed or of another namespace than ``eip155`` (CAIP-2, CAIP-10)."""

    default_code = "unsupported_chain"


class PlatformError(OrchestratorError):
    """Trouble with the card platform."""

    default_code = "platform"


class PlatformUnreachable(PlatformError):
    """The request was surely never sent (no connection): it may be sent again as it is."""

    default_code = "platform_unreachable"
    default_disposition = Disposition.RETRY


class UncertainAnswer(PlatformError):
    """The request may have arrived (connection lost, timeout, 5xx): its effect must be read back before a repeat."""

    default_code = "platform_uncertain"
    default_disposition = Disposition.RETRY


class PlatformRefused(PlatformError):
    """The platform's final answer (4xx). ``status`` is the HTTP status."""

    default_code = "platform_refused"
    default_disposition = Disposition.STOP

    def __init__(
        self, message: str, *, status: int, code: str | None = None, disposition: Disposition | None = None
    ) -> None:
        super().__init__(message, code=code, disposition=disposition)
        self.status = status


class MalformedAnswer(PlatformError):
    """The platform answered something outside of its documentation. The message names the field."""

    default_code = "platform_malformed"
    default_disposition = Disposition.OPERATOR


class ChainError(OrchestratorError):
    """Trouble with the RPC node or with what it says."""

    default_code = "chain"


class ChainUnreachable(ChainError):
    """The RPC node does not answer. Reads may be repeated."""

    default_code = "chain_unreachable"
    default_disposition = Disposition.RETRY


class ChainNonsense(ChainError):
    """The RPC node answered something that cannot be read or cannot be true."""

    default_code = "chain_nonsense"


class ProofInvalid(ChainError):
    """A block header or a Merkle proof does not hold against its hash."""

    default_code = "proof_invalid"


class SigningError(OrchestratorError):
    """Trouble on the way to a signature. Nothing was signed."""

    default_code = "signing"
    default_disposition = Disposition.STOP


class KeyUnavailable(SigningError):
    """There is no such key, its password is wrong, or its file cannot be read."""

    default_code = "key_unavailable"


class PolicyRefused(SigningError):
    """The policy does not allow this challenge. The message names the rule, expected and actual."""

    default_code = "policy_refused"


class JournalError(OrchestratorError):
    """Trouble with the journal's database."""

    default_code = "journal"


class Disagreement(OrchestratorError):
    """Two sources that must agree (platform, chain, journal) do not. The message shows both sides."""

    default_code = "disagreement"
