"""The facts of an account's life, one class each; those of what people decide are in ``oversight_events``.

An event is written once and never changed; a field may be added with a default, none may be renamed or removed. The
names of the types are part of the interface (``orchestrator journal``). Times are aware, in UTC; amounts of wei and of
tokens are decimal strings in JSON, because they exceed what JSON readers keep exact.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from orchestrator.models import AccountStatus, BlockHash, BlockNumber, BlockRef, OperationKind, WalletState
from orchestrator.wallet.findings import Finding


class Fact(BaseModel):
    """The base of all events, those of ``oversight_events`` too: immutable, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class BlockFact(Fact):
    """A block that a fact rests on."""

    number: int
    hash: str

    @property
    def ref(self) -> BlockRef:
        return BlockRef(BlockNumber(self.number), BlockHash(self.hash))


CREATIONS: Final = "reference:"
"""What the streams of creations begin with."""


def creation_stream(reference: str) -> str:
    """The stream of the creation with this reference."""
    return f"{CREATIONS}{reference}"


# --- creation: the stream of a reference ----------------------------------------------------------------------------


class CreationIntended(Fact):
    """An account is about to be created under this idempotency key. Written BEFORE the request."""

    type: Literal["creation_intended"] = "creation_intended"
    reference: str
    customer_id: str
    currency: str
    key: str


class CreationAnswered(Fact):
    """The platform has created the account; ``found``: how it was learnt."""

    type: Literal["creation_answered"] = "creation_answered"
    account_id: str
    found: Literal["answer", "read_back"] = "answer"
    challenge: str | None = None
    """The challenge in the answer, as issued (Base64): the activation signs it while it is fresh."""


class CreationRefused(Fact):
    """The platform's final refusal of the request. ``repeated``: of a repeat, after which no account was found; that
    says nothing of the first request, so the accounts are read back again before another key is used."""

    type: Literal["creation_refused"] = "creation_refused"
    code: str
    message: str
    repeated: bool = False


# --- what the two sides say ------------------------------------------------------------------------------------------


class PlatformObserved(Fact):
    """The platform's word on the account and on its customer. ``wallet`` and ``owner`` are CAIP-10 account ids."""

    type: Literal["platform_observed"] = "platform_observed"
    customer_id: str
    status: AccountStatus
    wallet: str | None
    owner: str
    updated_at: datetime


class WalletDeployed(Fact):
    """The chain's word: where the account's wallet is, and what each source that its profile knows says of it."""

    type: Literal["wallet_deployed"] = "wallet_deployed"
    chain_id: str
    wallet: str
    owner: str | None = None
    """By the wallet itself; None where its profile knows no source, or where it has several owners."""
    event_owner: str | None = None
    create2: str | None = None
    code_matches: bool
    code_hash: str
    challenge_hash: str | None = None
    block: BlockFact
    """Of its creation; where the profile knows no event of that, where it was first seen."""
    tx_hash: str | None
    profile: str = "smart-wallet"
    findings: tuple[Finding, ...] = ()
    """Empty until 0.9, when the members above were all sources that there were."""
    unchecked: tuple[str, ...] = ()
    """What the profile cannot tell."""

    @property
    def sources(self) -> tuple[Finding, ...]:
        """What each source says, of an event of any release."""
        if self.findings:
            return self.findings
        code, event = "the code", "the factory's event"
        return (
            Finding("address", "CREATE2", self.create2 or ""),
            Finding("code", code, "SmartWallet" if self.code_matches else ""),
            Finding("owner", code, self.owner or ""),
            Finding("owner", event, self.event_owner or ""),
            Finding("challenge", event, self.challenge_hash or ""),
        )

    def implementation(self) -> str | None:
        """The contract that a proxy runs the code of; None of a wallet that is no proxy."""
        return next((one.value for one in self.sources if one.check == "implementation"), None)


class WalletStateSeen(Fact):
    """The chain's word: the wallet's state, and the block that made it so. ``final`` once that block is final."""

    type: Literal["wallet_state_seen"] = "wallet_state_seen"
    state: WalletState
    block: BlockFact
    """Where no event tells of the change, the one at which it was first read."""
    tx_hash: str | None
    finality: Literal["latest", "safe", "finalized"]
    final: bool


class ChainFactsWithdrawn(Fact):
    """A block that facts rested on has left the canonical chain; what was read from it is taken back."""

    type: Literal["chain_facts_withdrawn"] = "chain_facts_withdrawn"
    block: BlockFact
    was_final: bool


# --- an operation ----------------------------------------------------------------------------------------------------


class OperationStarted(Fact):
    """Somebody asked for an operation on the account."""

    type: Literal["operation_started"] = "operation_started"
    operation: OperationKind
    by: str | None = None
    """Who; the first releases did not write it."""


class ChallengeFetched(Fact):
    """The challenge that the platform offers, byte for byte as issued (Base64)."""

    type: Literal["challenge_fetched"] = "challenge_fetched"
    purpose: Literal["creation", "deletion"]
    challenge: str
    kind: str
    digest: str
    issued_at: datetime | None = None
    """Since when it may have lived, where it came in the answer of the account's creation; None: it was asked for."""


class SigningIntended(Fact):
    """This challenge, and no other, is about to be signed. Written BEFORE a key is touched, so that of two who want to
    sign for one account one gets here first and the other not at all.

    ``policy`` is the ruleset's hash, ``keystore`` the id of the folder whose key it is, ``by`` who runs the process.
    """

    type: Literal["signing_intended"] = "signing_intended"
    purpose: Literal["creation", "deletion"]
    digest: str
    signer: str
    key: str
    backend: str
    keystore: str
    policy: str
    rule: str
    by: str


class ChallengeSigned(Fact):
    """A signature was made; it is the intent of its submission and is written before that.

    The first releases wrote neither ``key`` nor ``policy``.
    """

    type: Literal["challenge_signed"] = "challenge_signed"
    purpose: Literal["creation", "deletion"]
    digest: str
    signer: str
    signature: str
    key: str | None = None
    policy: str | None = None


class SubmissionIntended(Fact):
    """The signature is about to be submitted under this idempotency key."""

    type: Literal["submission_intended"] = "submission_intended"
    digest: str
    key: str


class SubmissionAccepted(Fact):
    """The platform took the signature, or was seen to have taken it.

    ``found``: how that was learnt. ``already_signed``: by the refusal of a repeat, because the challenge is signed.
    ``unclear``: not at all yet. A repeat was refused, as it is where the try before it was taken; the account tells.
    Journaled again, as ``unclear`` or ``already_signed``, where the clock was set back: its effect is waited for anew.
    """

    type: Literal["submission_accepted"] = "submission_accepted"
    digest: str
    found: Literal["answer", "already_signed", "unclear"] = "answer"


class SubmissionIneffective(Fact):
    """The platform took the signature a while ago (``Parameters.effect``), and the account stands where it stood: it is
    submitted again, so that the platform says whether it has it."""

    type: Literal["submission_ineffective"] = "submission_ineffective"
    digest: str


class SubmissionRefused(Fact):
    """The platform's final refusal: the signature is dead, a new challenge is to be fetched."""

    type: Literal["submission_refused"] = "submission_refused"
    digest: str
    code: str
    message: str


class ChallengeLapsed(Fact):
    """Another challenge was issued after the one signed: that signature can no longer be used."""

    type: Literal["challenge_lapsed"] = "challenge_lapsed"
    digest: str


class RequestIntended(Fact):
    """A modifying request (deactivate, reactivate, close) is about to be sent under this idempotency key."""

    type: Literal["request_intended"] = "request_intended"
    operation: OperationKind
    key: str


class RequestAccepted(Fact):
    """The platform took the request, or was seen to have taken it."""

    type: Literal["request_accepted"] = "request_accepted"
    operation: OperationKind


class PreflightTaken(Fact):
    """What the wallet held and which cards there were to end before closing."""

    type: Literal["preflight_taken"] = "preflight_taken"
    wei: str
    tokens: dict[str, str]
    cards: dict[str, str]
    unlisted: str | None = None
    """Why there may be more tokens than these: anybody can send so many that a node does not list them."""
    unreadable: dict[str, str] = {}
    """Tokens whose balance could not be read, and why: there may be money in them."""


class ClosureProven(Fact):
    """What was proven of the closed wallet at a finalized block is in a certificate.

    The first release proved state and code only (``claim`` ``state_proven``) and wrote no verdict: the defaults.
    """

    type: Literal["closure_proven"] = "closure_proven"
    claim: str
    block: BlockFact
    code_hash: str
    certificate_sha256: str
    certificate: str
    chain_id: str | None = None
    address: str | None = None
    signed_by: str | None = None
    """The name of the key that signed the certificate, if one did."""
    verdict: Literal["irreversible", "inconclusive"] = "inconclusive"
    reason: str = "analysis_not_run"
    analysis: Literal["inert", "not_run"] = "not_run"
    states: int = 0
    steps: int = 0


class CertificateRevoked(Fact):
    """The block that a certificate rests on has left the canonical chain, final as it was: the certificate is void."""

    type: Literal["certificate_revoked"] = "certificate_revoked"
    certificate_sha256: str
    certificate: str
    block: BlockFact
    chain_id: str | None = None
    address: str | None = None


class OperationHalted(Fact):
    """The operation goes no further without a person."""

    type: Literal["operation_halted"] = "operation_halted"
    code: str
    message: str


class OperationContinued(Fact):
    """What had halted the operation no longer holds: it goes on."""

    type: Literal["operation_continued"] = "operation_continued"


class OperatorResolved(Fact):
    """A person's decision on a halted operation, with the reason given."""

    type: Literal["operator_resolved"] = "operator_resolved"
    decision: Literal["retry", "accept", "abandon"]
    reason: str
    by: str


class OperationEnded(Fact):
    """The operation's end."""

    type: Literal["operation_ended"] = "operation_ended"
    outcome: Literal["done", "failed"]
    code: str | None = None
    message: str | None = None
