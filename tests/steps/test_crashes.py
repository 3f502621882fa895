"""The whole core against the model: kills at any commit and any call, lost answers, expiring challenges, reorgs and a
platform that acts by itself. Nothing happens twice, and once the faults stop everything comes to its end."""

from datetime import timedelta
from functools import partial

import pytest
from hypothesis import note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from orchestrator.errors import Disposition, OrchestratorError
from orchestrator.lifecycle import events as e
from orchestrator.lifecycle.decide import End, Halt, Wait
from orchestrator.models import AccountStatus, OperationKind, WalletState
from tests.profile import FULL

CALLS = ("account", "challenge", "submit", "request", "create_account", "append", "customer_accounts", "cards")
BEFORE = ("unreachable", "limited", "killed_before")
AFTER = ("lost", "killed_after")
FAULTS = [(call, kind) for call in CALLS[:-3] + CALLS[-2:] for kind in BEFORE]
FAULTS += [(call, kind) for call in ("submit", "request", "create_account") for kind in AFTER]
FAULTS += [("append", "killed_before"), ("append", "killed_after"), ("submit", "refuse")]


SOME_FAULTS = st.lists(
    st.sampled_from([("submit", "lost"), ("request", "lost"), ("request", "limited"), *FAULTS]), max_size=3
)


def machine(lab):
    class Machine(RuleBasedStateMachine):
        @initialize(
            calm=st.booleans(),
            first=st.sampled_from([None, *OperationKind]),
            faults=SOME_FAULTS,
        )
        def open(self, calm, first, faults) -> None:
            """A calm world has faults, but nobody who acts by himself, and no reorg of what was final."""
            self.lab = lab()
            self.references = {"one"}
            self.disturbed = not calm
            account_id = self.lab.create("one").id
            if first in (OperationKind.DEACTIVATE, OperationKind.CLOSE):
                self.lab.complete(account_id, OperationKind.ACTIVATE)
            self.trouble_comes(faults)
            if first is not None:
                self.command(0, first)

        def teardown(self) -> None:
            if hasattr(self, "lab"):
                try:
                    self.everything_ends()
                finally:
                    self.lab.stop()

        # --- what is asked for -------------------------------------------------------------------------------------

        def attempt(self, call):
            """A command that may be killed, or end with passing trouble."""
            try:
                return call()
            except lab.killed:
                note("killed")
            except OrchestratorError as error:
                if error.disposition is not Disposition.RETRY:
                    raise
                note(f"trouble: {error.code}")
            return None

        def accounts(self):
            return sorted(self.lab.platform.accounts_)

        @rule(reference=st.sampled_from(["one", "two"]))
        def create(self, reference) -> None:
            self.references.add(reference)
            self.attempt(lambda: self.lab.create(reference))

        @rule(which=st.sampled_from([0, 0, 0, 1]), kind=st.sampled_from(OperationKind), faults=SOME_FAULTS)
        def command(self, which, kind, faults=()) -> None:
            self.trouble_comes(faults)
            for account_id in self.accounts()[which : which + 1]:
                advanced = self.attempt(partial(self.lab.start, account_id, kind))
                if advanced is not None:
                    self.sensible(account_id, advanced.action)

        @rule(which=st.sampled_from([0, 0, 0, 1]), times=st.integers(1, 3))
        def drive(self, which, times) -> None:
            for account_id in self.accounts()[which : which + 1] * times:
                if self.lab.state(account_id).unfinished:
                    advanced = self.attempt(partial(self.lab.advance, account_id))
                    if advanced is not None:
                        self.sensible(account_id, advanced.action)

        @rule(which=st.integers(0, 1), decision=st.sampled_from(["retry", "abandon"]))
        def resolve(self, which, decision) -> None:
            for account_id in self.accounts()[which : which + 1]:
                state = self.lab.state(account_id)
                if state.unfinished and state.operation.halted:
                    self.attempt(partial(self.lab.resolve, account_id, decision))

        # --- what happens to it ------------------------------------------------------------------------------------

        @rule(faults=st.lists(st.sampled_from(FAULTS), min_size=1, max_size=3))
        def trouble(self, faults) -> None:
            self.trouble_comes(faults)

        def trouble_comes(self, faults) -> None:
            self.lab.faults.queue += [one for one in faults if self.disturbed or one != ("submit", "refuse")]

        @rule(minutes=st.sampled_from([1, 20, 56, 61, 300]))
        def time_passes(self, minutes) -> None:
            self.lab.pass_time(minutes=minutes)

        @rule(which=st.sampled_from([0, 0, 0, 1]), fail=st.booleans())
        def platform_works(self, which, fail) -> None:
            for account_id in self.accounts()[which : which + 1]:
                self.lab.platform.work(self.lab.account(account_id), fail=fail)

        @rule(blocks=st.integers(1, 5))
        def blocks_come(self, blocks) -> None:
            self.lab.chain.mine(blocks)

        @rule(depth=st.integers(1, 3))
        def reorg(self, depth) -> None:
            self.lab.chain.reorg(depth)

        @precondition(lambda self: self.disturbed)
        @rule(depth=st.integers(4, 9))
        def reorg_past_finality(self, depth) -> None:
            self.lab.chain.reorg(depth)

        @rule(behind=st.integers(0, 1))
        def node_lags(self, behind) -> None:
            self.lab.chain.behind = behind

        @precondition(lambda self: self.disturbed)
        @rule(which=st.integers(0, 1), close=st.booleans())
        def platform_by_itself(self, which, close) -> None:
            for account_id in self.accounts()[which : which + 1]:
                account = self.lab.account(account_id)
                (self.lab.platform.close_alone if close else self.lab.platform.suspend_alone)(account)

        # --- what must hold ----------------------------------------------------------------------------------------

        @invariant()
        def nothing_twice(self) -> None:
            if not hasattr(self, "lab"):
                return
            accounts = self.lab.platform.accounts_.values()
            assert len(accounts) <= len(self.references), "at most one account per reference"
            for account in accounts:
                assert account.accepted.count("creation") <= 1
                assert account.accepted.count("deletion") <= 1 + account.failed_jobs
                assert account.deletes <= 1, "a closure is requested once"

        def sensible(self, account_id, action) -> None:
            """Faults on the way are no reason to fail, nor to ask for an operator."""
            note(f"{account_id[-2:]}: {action}")
            assert isinstance(action, Wait | Halt | End)
            if isinstance(action, End):
                assert action.code in {None, "account_closed", "suspended_use_reactivate", "not_active_yet"}
            if isinstance(action, Halt) and not self.disturbed:
                failed = self.lab.account(account_id).failed_jobs
                known = {"overdue", "closed_without_contract"} | ({"signature_refused"} if failed else set())
                assert action.code in known, action

        def everything_ends(self) -> None:
            self.lab.faults.queue.clear()
            self.lab.chain.behind = 0
            self.lab.skew = timedelta(0)
            self.lab.pass_time(minutes=7)  # until the next request for an account is due
            for reference in sorted(self.references):
                self.created(reference)
            assert len(self.accounts()) == len(self.references)
            for account_id in self.accounts():
                if self.lab.state(account_id).unfinished:
                    self.ends(account_id)
                if not self.disturbed and self.lab.account(account_id).status is not AccountStatus.CLOSED:
                    self.closes(account_id)
            self.nothing_twice()
            assert self.lab.run(self.lab.journal.verify()).valid

        def created(self, reference) -> None:
            """After five requests that came to nothing a person is asked, and no sixth is made."""
            try:
                self.lab.create(reference)
            except OrchestratorError as error:
                asked = self.lab.events(f"reference:{reference}", e.CreationIntended)
                if (error.code, len(asked)) != ("creation_ambiguous", 5):
                    raise
                self.references.discard(reference)

        def ends(self, account_id) -> None:
            action = self.lab.settle(account_id)
            self.sensible(account_id, action)
            if isinstance(action, Halt):
                self.lab.resolve(account_id, "abandon")

        def closes(self, account_id) -> None:
            """Undisturbed, even a life full of kills can go on to its proven end."""
            status = self.lab.account(account_id).status
            if status is AccountStatus.INITIATING:
                action = self.lab.complete(account_id, OperationKind.ACTIVATE)
                assert action == End("done"), action
            action = self.lab.complete(account_id, OperationKind.CLOSE)
            assert action == End("done"), action
            assert self.lab.chain.state(account_id) is WalletState.CLOSED

    return Machine


@pytest.mark.timeout(1200)
def test_nothing_twice_and_everything_ends(lab):
    count = 400 if FULL else 8
    run_state_machine_as_test(machine(lab), settings=settings(max_examples=count, stateful_step_count=40))
