"""Changes of request-signing keys (``orchestrator keys request``): journaled, and approved where the ruleset in force
asks for approvals of key changes. ``orchestrator.platform.request_keys`` does them.

Key file, platform and journal are three places, and a process may die between them. Which comes first, and why:

    1. the approval is looked up, or asked for   before anything is done. What is approved names the action and the
                                                 fingerprint, nothing that is made at random, so the same command finds
                                                 the same request.
    2. the intent, in the key's file             with the request's id. From here on the change has begun, and whoever
                                                 completes it asks nobody.
    3. the platform, then the file again         by this process or another, which may have no journal at hand.
    4. the event with ApprovalUsed, one append   by the next command if it could not be by this one: the id is in the
                                                 file until then.

Before 4 the approval is live still, and yet good for this change alone: a key that is being uploaded or was is not
uploaded a second time, the next rotation is one of another key, and the platform takes a key's word for its successor
once. An upload that the platform has surely not taken leaves file and approval as they were.

Not approved: ``create`` (nobody knows the key), the end of a key that was never uploaded, and an emergency revocation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from orchestrator.authorization.gate import read_oversight
from orchestrator.lifecycle import oversight_events as o
from orchestrator.lifecycle.oversight_state import Oversight
from orchestrator.lifecycle.recorded import Event
from orchestrator.oversight.approvals import Waiting, authorise
from orchestrator.oversight.records import Clock, in_force, record
from orchestrator.people import SILENT, Voice
from orchestrator.policy import Role, Ruleset
from orchestrator.ports.journal import Journal


class AwaitsApproval(Exception):
    """The change was not begun: people have yet to approve it. No error: the command ends as waiting."""

    def __init__(self, waiting: Waiting) -> None:
        super().__init__(waiting.text)
        self.waiting = waiting


@dataclass(frozen=True, slots=True)
class RequestKeyOffice:
    """What people have to say to the changes of one keystore's request-signing keys."""

    records: Journal
    keystore: str
    """The keystore's id."""
    settings: Ruleset
    """What holds while no ruleset was adopted."""
    by: str
    clock: Clock
    voice: Voice = SILENT
    """The person who asks, where she can prove it."""

    async def allow(self, change: Mapping[str, str | None]) -> str | None:
        """The id of the approval that this change takes; None where none is needed.

        Raises AwaitsApproval; as ``authorise``. SIDE EFFECTS: ApprovalRequested if it must be asked for.
        """
        rules = in_force(await read_oversight(self.records), self.settings)
        allowed = await authorise(
            self.records,
            subject="keys",
            role=Role.ADMINISTRATOR,
            content={**change, "keystore": self.keystore},
            needed=rules.policy.approvals.keys,
            by=self.by,
            settings=self.settings,
            clock=self.clock,
            voice=self.voice,
        )
        if isinstance(allowed, Waiting):
            raise AwaitsApproval(allowed)
        return allowed.request

    async def record(self, event: o.RequestKeyChanged) -> None:
        """SIDE EFFECTS: the event with ApprovalUsed for each of its requests, once, however often it is called."""

        def decide(oversight: Oversight, _now: datetime) -> Sequence[Event]:
            last = oversight.request_keys.get(event.name)
            if last is not None and (last.action, last.fingerprint) == (event.action, event.fingerprint):
                return ()
            asked = [oversight.approvals.get(request) for request in event.requests]
            return (
                *(o.ApprovalUsed(request=one.asked.request) for one in asked if one is not None and not one.used),
                event,
            )

        await record(self.records, decide, self.clock)
