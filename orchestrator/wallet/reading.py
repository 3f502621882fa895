"""A wallet profile: what is to be read of a wallet, and what the answers mean. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

from orchestrator.models import AccountId, Address, WalletState
from orchestrator.wallet.family import ADMIN, BEACON, ZERO, Family
from orchestrator.wallet.findings import Answers, Created, EventLog, Findings, Read
from orchestrator.wallet.meaning import find, proven
from orchestrator.wallet.subject import Subject

Topics = Sequence[bytes | Sequence[bytes] | None]
"""As of ``eth_getLogs``."""
DEFAULT_PROFILE: Final = "smart-wallet"


@dataclass(frozen=True, slots=True)
class Profile(Family):
    """What is known of a family of wallets, and how (``orchestrator.wallet.profile.load_profile`` reads one)."""

    @property
    def id(self) -> str:
        """Its name and hash; of the default one the name alone, which no file may have."""
        return self.name if self.name == DEFAULT_PROFILE else f"{self.name}:{self.sha256}"

    # --- logs -----------------------------------------------------------------------------------------------------

    @property
    def created_topic(self) -> bytes | None:
        """The factory's event's first topic."""
        return self.event.signature.topic if self.event else None

    @property
    def state_topic(self) -> bytes | None:
        """The first topic of the event of a wallet's state."""
        return self.states.event.topic if self.states and self.states.event else None

    def created(self, log: EventLog) -> Created | None:
        """What the factory's log says; None where it is not of that event's shape. Who logged it is not looked at."""
        return self.event.read(log) if self.event else None

    def created_topics(self, account_id: AccountId, wallet: Address | None) -> Topics | None:
        """How the log of one account's creation is searched for: by the account where the event has it indexed, else by
        the wallet; None without an event, or where the wallet is asked for and not known."""
        if self.event is None or (wallet is None and self.event.searched_by() == "wallet"):
            return None
        return self.event.topics(Subject(account_id, wallet or ZERO, ZERO))

    def changed(self, log: EventLog) -> tuple[int | None, int] | None:
        """The state's numbers before (where the event tells it) and after; None where it is not of that event's shape.
        Who logged it is not looked at."""
        return self.states.changed(log) if self.states else None

    def state(self, number: int) -> WalletState | None:
        """The state of a number; None where the profile has no such state."""
        return self.states.numbers.get(number) if self.states else None

    @property
    def initial(self) -> WalletState:
        """The state of a wallet that has just been deployed: created, or active where the profile has no such state;
        unknown without states."""
        if self.states is None:
            return WalletState.UNKNOWN
        return WalletState.CREATED if WalletState.CREATED in self.states.numbers.values() else WalletState.ACTIVE

    # --- reads ----------------------------------------------------------------------------------------------------

    def registry_read(self, account_id: AccountId, factory: Address) -> Read | None:
        """What tells the wallet's address, where it is located by a registry."""
        if self.located_by != "registry" or self.registry is None:
            return None
        return self.registry.read(Subject(account_id, ZERO, factory))

    def registered(self, answer: bytes | None) -> Address | None:
        """The wallet that ``registry_read`` named; None while there is none, and for what is no address."""
        found = self.registry.returned(answer) if self.registry else None
        return cast("Address", found) if found and found != ZERO else None

    def first_reads(
        self, account_id: AccountId, wallet: Address, factory: Address, created: Created | None
    ) -> tuple[Read, ...]:
        """What is read of the wallet to begin with."""
        subject = subject_of(account_id, wallet, factory, created)
        reads: list[Read | None] = [Read("code", wallet)]
        if self.kind in ("erc1967", "slot"):
            reads.append(self.implementation_slot.read(subject))
        if self.kind == "erc1967":
            reads.append(ADMIN.read(subject))
        if self.kind == "beacon":
            reads.append(BEACON.read(subject))
        reads += [owner.read(subject) for owner in self.owners]
        states = self.states
        sources = (self.registry, states.slot if states else None, states.getter if states else None)
        reads += [source.read(subject) for source in sources if source is not None]
        return tuple(dict.fromkeys(read for read in reads if read is not None))

    def more_reads(self, wallet: Address, answers: Answers) -> tuple[Read, ...]:
        """What is to be read besides what has been answered: the implementation's code, of a beacon its implementation
        before. To be asked again, with all answers, until it is empty: once for a proxy, twice for a beacon."""
        call = self.beacon(wallet, answers) if self.kind == "beacon" else None
        if call is not None and call not in answers:
            return (call,)
        implementation = self.implementation(wallet, answers)
        if implementation is None or implementation == ZERO or Read("code", implementation) in answers:
            return ()
        return (Read("code", implementation),)

    def findings(
        self, account_id: AccountId, wallet: Address, factory: Address, created: Created | None, answers: Answers
    ) -> Findings:
        """What the answers say; a read that is not answered counts as one that reverted.

        The state is not looked at where the code is none of the accepted ones: another contract's storage means
        nothing. Raises Disagreement: ``state_disagreement`` where slot and getter have different states or one cannot
        be read, ``wrong_factory`` and ``wrong_value`` where the code's immutables are not those of the event.
        """
        return find(self, subject_of(account_id, wallet, factory, created), created, answers)

    def proven_findings(self, account_id: AccountId, wallet: Address, factory: Address, answers: Answers) -> Findings:
        """What code and storage say by themselves, as far as they are among the answers: what a proof can show. A
        source that they do not reach has no finding. Raises Disagreement, as ``findings``."""
        return proven(self, Subject(account_id, wallet, factory, None), answers)


def subject_of(account_id: AccountId, wallet: Address, factory: Address, created: Created | None) -> Subject:
    return Subject(account_id, wallet, factory, created.owner if created else None)
