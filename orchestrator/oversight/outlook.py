"""What an account waits for, by the journal alone: the result of the next poll if nothing has changed outside.

The same functions decide as when an account is worked on; platform, node and keys are not read.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from orchestrator.authorization.gate import change_of, change_wait, stop_wait
from orchestrator.lifecycle.decide import Act, End, Halt, Wait, next_action
from orchestrator.lifecycle.fold import PURPOSE, AccountState, Operation
from orchestrator.lifecycle.oversight_state import DECISIONS_STREAM, Oversight, content_hash
from orchestrator.lifecycle.stages import FOR_A_SIGNATURE, Parameters, Step
from orchestrator.models import ChainAccount
from orchestrator.oversight.records import in_force
from orchestrator.oversight.requests import ApprovalRequest, evaluated
from orchestrator.policy import Ruleset, approvals_to_adopt

_RESUME = "(orchestrator resume)"


@dataclass(frozen=True, slots=True)
class Outlook:
    """What people have decided, and what the settings of this process ask for, at one moment."""

    seen: Oversight
    mine: Ruleset
    parameters: Parameters
    journal_id: str
    """Its id."""
    now: datetime
    certificate_key: str | None = None

    def wait(self, account_id: str, state: AccountState) -> Wait | None:
        """None where no operation is under way, or it waits for an operator's decision."""
        op = state.operation
        if op is None or op.ended is not None or op.halted is not None:
            return None
        return self._change() or self._next(account_id, state, op)

    def requests(self, account_id: str, state: AccountState) -> list[ApprovalRequest]:
        """The live requests for approval of an account, the oldest first."""
        return self._live(account_id, state)

    def changes(self) -> list[ApprovalRequest]:
        """The live requests for approval that are not about one account, the oldest first."""
        return self._live(DECISIONS_STREAM, self.seen)

    def _live(self, stream: str, of: AccountState | Oversight) -> list[ApprovalRequest]:
        policy = in_force(self.seen, self.mine).policy
        live = [approval for approval in of.approvals.values() if approval.is_live(self.now)]
        return [evaluated(stream, approval, policy, self.journal_id) for approval in live]

    def _next(self, account_id: str, state: AccountState, op: Operation) -> Wait:
        since = op.touched_at or op.started_at
        until = since + self.parameters.patience
        if state.platform is None:
            return Wait(f"the first poll of platform and chain {_RESUME}", since, until)
        match next_action(account_id, state, self.now, self.parameters):
            case Wait() as wait:
                return wait
            case Act(step):
                return self._stop(state, op, step) or Wait(f"{_awaited(step, op)} {_RESUME}", since, until)
            case Halt(_, message):
                return Wait(
                    f"the next poll {_RESUME}; as it stands, that ends with an operator: {message}", since, until
                )
            case End(outcome, _, message):
                return Wait(f"the next poll {_RESUME}; as it stands, that ends it: {message or outcome}", since, until)

    def _change(self) -> Wait | None:
        """The wait for the approval of a changed ruleset, if that was asked for."""
        seen, mine = self.seen, self.mine
        if seen.ruleset_hash == mine.hash or (seen.ruleset is None and seen.ruleset_hash is not None):
            return None
        content = change_of(seen.ruleset_hash, seen.ruleset, mine)
        asked = seen.request_for("ruleset", content_hash(content), approvals_to_adopt(seen.ruleset, mine), self.now)
        if asked is None:
            return None
        request = evaluated(DECISIONS_STREAM, asked, (seen.ruleset or mine).policy, self.journal_id)
        return None if request.is_granted else change_wait(asked, request.needed, content)

    def _stop(self, state: AccountState, op: Operation, step: Step) -> Wait | None:
        """The wait for the end of a stop that covers the key of this step."""
        if step is Step.PROVE and self.certificate_key is not None and state.deployed is not None:
            chain = state.deployed.chain_id
            last = self.seen.keys.get(self.certificate_key)
            address = None if last is None else last.address
            stop = self.seen.stop_for_key(self.certificate_key, address=address, chain=chain)
        elif step in FOR_A_SIGNATURE and state.owner is not None:
            owner = ChainAccount.parse(state.owner)
            chain = str(owner.chain)  # asked as the steps themselves ask
            if op.signed is None:
                stop = self.seen.stop_for_address(owner.address, chain=chain)
            else:
                stop = self.seen.stop_for_key(op.signed.key_name, address=owner.address, chain=chain)
        else:
            return None
        return None if stop is None else stop_wait(stop, self.now, self.parameters.patience)


def _awaited(step: Step, op: Operation) -> str:
    if step is Step.FETCH_CHALLENGE and op.kind in PURPOSE:
        return f"the platform to offer a {PURPOSE[op.kind]} challenge"  # or it was offered since the last poll
    return f"its next step, {step.value.replace('_', ' ')}"
