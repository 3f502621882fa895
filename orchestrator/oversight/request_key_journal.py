"""Changes of request-signing keys (``orchestrator keys request``): journaled, and approved where the ruleset in force
asks for approvals of key changes. ``orchestrator.oversight.request_key_changes`` does them.

Key file, platform and journal are three places, and a process may die between them. Which comes first, and why:

    1. the approval is read, or asked for        before anything is done. What is approved names the action and the
                                                 fingerprint, nothing that is made at random, so the same command finds
                                                 the same request.
    2. the intent, in the key's file             with the request's id. From here on the change has begun, and whoever
                                                 completes it asks nobody.
    3. the event of a new key's creation         with the id that the platform is to know it by.
    4. the platform, then the file again
    5. the event with ApprovalUsed, one append   by the next command if it could not be by this one: the request's id is
                                                 in the file until then.

Before 5 the approval is live still, and yet good for this change alone: a key that is being uploaded or was is not
uploaded a second time, and the next rotation is one of another key.

Not approved: ``create`` (nobody knows the key), the end of a key that was never uploaded, and an emergency revocation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from orchestrator.authorization.gate import read_oversight
from orchestrator.lifecycle import oversight_events as o
from orchestrator.lifecycle.oversight_state import Oversight
from orchestrator.lifecycle.recorded import Event
from orchestrator.oversight.approvals import Waiting, authorise
from orchestrator.oversight.records import Clock, in_force, record
from orchestrator.people import ANONYMOUS, Signatory
from orchestrator.policy import Role, Ruleset
from orchestrator.ports.journal import Journal
from orchestrator.request_signing.key_file import State
from orchestrator.request_signing.key_folder import RequestKeyFolder


class AwaitsApproval(Exception):
    """The change was not begun: it waits for an approval. Not an error: the command ends as waiting."""

    def __init__(self, waiting: Waiting) -> None:
        super().__init__(waiting.text)
        self.waiting = waiting


@dataclass(frozen=True, slots=True)
class RequestKeyJournal:
    """Approvals and events of the changes of one keystore's request-signing keys."""

    journal: Journal
    keystore: str
    """The keystore's id."""
    settings: Ruleset
    """What holds while no ruleset was adopted."""
    by: str
    clock: Clock
    signatory: Signatory = ANONYMOUS
    """The person who asks, where she can prove it."""

    async def approvals_for(self, change: Mapping[str, str | None]) -> tuple[str, ...]:
        """The ids of the approvals that this change takes: none where none is needed.

        Raises AwaitsApproval; as ``authorise``. SIDE EFFECTS: appends ApprovalRequested if there is no live request.
        """
        ruleset = in_force(await read_oversight(self.journal), self.settings)
        allowed = await authorise(
            self.journal,
            subject="keys",
            role=Role.ADMINISTRATOR,
            content={**change, "keystore": self.keystore},
            needed=ruleset.policy.approvals.keys,
            by=self.by,
            settings=self.settings,
            clock=self.clock,
            signatory=self.signatory,
        )
        if isinstance(allowed, Waiting):
            raise AwaitsApproval(allowed)
        return () if allowed.request is None else (allowed.request,)

    async def record(self, event: o.RequestKeyChanged) -> None:
        """SIDE EFFECTS: appends the event with ApprovalUsed for each of its requests; a second call appends nothing."""

        def decide(oversight: Oversight, _now: datetime) -> Sequence[Event]:
            last = oversight.request_keys.get(event.name)
            if last is not None and (last.action, last.fingerprint) == (event.action, event.fingerprint):
                return ()
            asked = [oversight.approvals.get(request) for request in event.requests]
            return (
                *(o.ApprovalUsed(request=one.asked.request) for one in asked if one is not None and not one.used),
                event,
            )

        await record(self.journal, decide, self.clock)


async def record_changes(folder: RequestKeyFolder, journal: RequestKeyJournal) -> None:
    """Records what was done to the keys, by any process, and is not in the journal yet. SIDE EFFECTS: as ``record``."""
    found = await asyncio.to_thread(folder.readable)
    for file in sorted(found, key=lambda file: (file.changed_at, file.generation)):
        for number, action in enumerate(file.unrecorded, 1):
            # The file's approvals are those of its last change, which may have begun without being done yet.
            begun = file.state in (State.UPLOADING, State.REVOKING)
            is_last = number == len(file.unrecorded) and not begun
            await journal.record(
                o.RequestKeyChanged(
                    action=action,
                    name=file.name,
                    fingerprint=file.fingerprint,
                    key_id=file.key_id,
                    by=journal.by,
                    requests=file.approvals if is_last and action != "created" else (),
                )
            )
            await asyncio.to_thread(folder.drop_recorded_change, file.name)
