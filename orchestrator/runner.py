"""Moves one account as far as it can go now: observe → decide → act → record, until it must wait or is over.

An operation has no other way through: one that starts, one that was interrupted and one that was woken take the same
path, because what was done before is in the journal and what became of it is read back first. Creations:
``steps/create.py``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from orchestrator.authorization.gate import adopt_ruleset_or_wait
from orchestrator.errors import Disposition, JournalError, OrchestratorError
from orchestrator.lifecycle import events as e
from orchestrator.lifecycle.decide import Act, Action, End, Halt, Wait, next_action
from orchestrator.lifecycle.stages import Step
from orchestrator.models import AccountId
from orchestrator.session import AccountSession, Services
from orchestrator.steps.approve import ask_approval, take_approval
from orchestrator.steps.challenge import fetch_challenge
from orchestrator.steps.closure import preflight, prove
from orchestrator.steps.observe import observe
from orchestrator.steps.sign import sign
from orchestrator.steps.submit import request, submit

STEPS: dict[Step, Callable[[AccountSession], Awaitable[Action | None]]] = {
    Step.PREFLIGHT: preflight,
    Step.ASK_APPROVAL: ask_approval,
    Step.TAKE_APPROVAL: take_approval,
    Step.REQUEST: request,
    Step.FETCH_CHALLENGE: fetch_challenge,
    Step.SIGN: sign,
    Step.SUBMIT: submit,
    Step.PROVE: prove,
}

_READ_BACK_AFTER = frozenset({Step.REQUEST})
"""Steps that change the other side at once: nothing is decided on the answer, the sides are read back. What a signature
does is waited for, and a refused one has been read back."""

_MOST_STEPS = 50
"""More steps than any operation has: reaching this means that one of the sides takes back what a step had done."""


@dataclass(frozen=True, slots=True)
class Advanced:
    """How far an account came: a ``Wait`` (perhaps because of ``trouble``), a ``Halt`` or an ``End``."""

    session: AccountSession
    action: Wait | Halt | End
    trouble: OrchestratorError | None = None


class Runner:
    """Advances accounts, one call at a time per account (``orchestrator.dispatch`` sees to that)."""

    def __init__(self, services: Services, *, watch: Callable[[AccountId, str], None] | None = None) -> None:
        self._services = services
        self._watch = watch or (lambda _account, _step: None)

    async def advance(self, account_id: AccountId, *, observed: AccountSession | None = None) -> Advanced:
        """Moves the account's unfinished operation on. ``observed``: the account as it was read back just now.

        A transient error is returned as a wait, with the error. Raises OrchestratorError for what the caller must fix
        (settings, keys): the operation stays as it is. SIDE EFFECTS: those of the steps.
        """
        session = observed or await AccountSession.load(account_id, self._services)
        try:
            action = await adopt_ruleset_or_wait(self._services) or await self._advance(session)
        except OrchestratorError as error:
            if error.code == "journal_conflict":
                return self._outrun(session, error)
            match error.disposition:
                case Disposition.RETRY:
                    since = session.op.touched_at or session.op.started_at
                    until = since + self._services.parameters.patience
                    asked = session.state.approvals.get(session.op.approval or "")
                    if asked is not None and not session.op.approved:  # it waited for people, and not for trouble
                        until = max(until, asked.asked.expires_at + self._services.parameters.patience)
                    if session.now() < until:
                        return Advanced(session, Wait("trouble to pass", since, until), error)
                    action = Halt(error.code, f"for longer than {self._services.parameters.patience}: {error.message}")
                case Disposition.OPERATOR:
                    action = Halt(error.code, error.message)
                case _:
                    raise
        try:
            await self._record(session, action)
        except JournalError as error:
            if error.code != "journal_conflict":
                raise
            return self._outrun(session, error)
        return Advanced(session, action)

    def _outrun(self, session: AccountSession, error: OrchestratorError) -> Advanced:
        """Somebody who needs no lock (an approver) wrote first: nothing was recorded, and the next poll reads it."""
        now = session.now()
        until = now + self._services.parameters.patience
        return Advanced(session, Wait("another process' entry to be read", now, until), error)

    async def _advance(self, session: AccountSession) -> Wait | Halt | End:
        """Under the ruleset of this process, which is in force: what was read back under another, or not yet, is read
        back first."""
        if session.confirmations != self._services.ruleset.confirmations:
            await observe(session)
        step: Step | None = None
        for _ in range(_MOST_STEPS):
            action = next_action(session.account_id, session.state, session.now(), self._services.parameters)
            if not session.chain_read and (isinstance(action, Halt | End) or _ends_a_wallet(action, session)):
                # That the index has nothing new may delay what is done, and decides nothing: a node may hide logs, and
                # of a wallet's code, owner or administrator no log tells.
                await observe(session, read_chain=True)
                continue
            if isinstance(action, Act):
                step = action.step
                self._watch(session.account_id, action.step.value.replace("_", " "))
                outcome = await STEPS[action.step](session)
                if outcome is None:
                    if action.step in _READ_BACK_AFTER:
                        await observe(session)
                    continue
                action = outcome
            if isinstance(action, Act):
                raise AssertionError(f"step {action.step} may not ask for another step")
            return action
        return Halt(
            "no_progress",
            f"{_MOST_STEPS} steps in one go led neither to a wait nor to an end, the last of them {step}: "
            "platform or chain says something else each time that it is read",
        )

    async def _record(self, session: AccountSession, action: Wait | Halt | End) -> None:
        halted = session.op.halted
        match action:
            case Halt(code, message):
                if halted is None or (halted.code, halted.message) != (code, message):
                    await session.record(e.OperationHalted(code=code, message=message))
            case End(outcome, code, message):
                await session.record(e.OperationEnded(outcome=outcome, code=code, message=message))
            case Wait():
                if halted is not None:
                    await session.record(e.OperationContinued())


def _ends_a_wallet(action: Action, session: AccountSession) -> bool:
    """Whether a closing begins, or a signature is made or handed over for a wallet that is there."""
    steps = (Step.PREFLIGHT, Step.SIGN, Step.SUBMIT)
    return isinstance(action, Act) and action.step in steps and session.state.deployed is not None
