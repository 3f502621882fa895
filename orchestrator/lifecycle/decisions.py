"""Which facts of the stream ``signing`` are people's decisions, and not what a process does by itself.

A restored backup that has lost a decision leaves signing stopped until two people have looked. To lose what a process
does by itself again, and what nobody was asked about, is no reason for that.
"""

from __future__ import annotations

from orchestrator.lifecycle import oversight_events as o
from orchestrator.lifecycle.recorded import Event
from orchestrator.policy import Ruleset
from orchestrator.policy.document import ROLE_FOR


def is_decision(event: Event) -> bool:
    """False for a ruleset that took and asks for no approval, which any process may replace, and for a change of a key
    that took none and takes no key out of use. True for all else."""
    match event:
        case o.RulesetAdopted():
            return event.request is not None or _asks(event.document)
        case o.KeyChanged():
            return event.request is not None or event.disabled
        case _:
            return True


def _asks(document: str) -> bool:
    try:
        approvals = Ruleset.model_validate_json(document).policy.approvals
    except ValueError:  # of a newer release
        return True
    return any(getattr(approvals, subject) for subject in ROLE_FOR)
