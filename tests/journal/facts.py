"""Events for the tests, by what they are about."""

from datetime import UTC, datetime

from orchestrator.lifecycle import events as e
from orchestrator.lifecycle import oversight_events as o
from orchestrator.models import OperationKind

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STARTED = e.OperationStarted(operation=OperationKind.ACTIVATE)
SIGNER = "eip155:1:0x"
KEYSTORE = "11111111-1111-4111-8111-111111111111"


def fetched(digest: str, purpose: str = "creation") -> e.ChallengeFetched:
    return e.ChallengeFetched(purpose=purpose, challenge="MQ==", kind="uuid", digest=digest)


def intended(
    digest: str, purpose: str = "creation", *, key: str = "alice", keystore: str = KEYSTORE, signer: str = SIGNER
) -> e.SigningIntended:
    return e.SigningIntended(
        purpose=purpose, digest=digest, signer=signer, key=key, backend="keystore", keystore=keystore, policy="p",
        rule="r", by="os:somebody",
    )  # fmt: skip


def signed(digest: str, purpose: str = "creation", **more: str) -> e.ChallengeSigned:
    return e.ChallengeSigned(purpose=purpose, digest=digest, signer=SIGNER, signature="0x00", **more)


def lapsed(digest: str) -> e.ChallengeLapsed:
    return e.ChallengeLapsed(digest=digest)


def refused(digest: str) -> e.SubmissionRefused:
    return e.SubmissionRefused(digest=digest, code="c", message="m")


def stopped(scope: str = "all") -> o.SigningStopped:
    return o.SigningStopped(stop="s", scope=scope, reason="r", by="os:somebody")
