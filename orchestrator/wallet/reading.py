"""A wallet profile: what is to be read of a wallet, and what the answers mean. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from orchestrator.models import AccountId, Address, WalletState
from orchestrator.wallet.findings import Answers, Created, EventLog, Findings, Read, Unchecked

Topics = Sequence[bytes | Sequence[bytes] | None]
"""As of ``eth_getLogs``."""


DEFAULT_PROFILE: Final = "smart-wallet"


@dataclass(frozen=True, slots=True)
class Profile:
    """What is known of a family of wallets, and how (``orchestrator.wallet.profile.load_profile`` reads one)."""

    name: str
    title: str
    sha256: str
    """Of what it says (``profile.py``), 64 hex digits."""
    located_by: Literal["event", "registry", "platform"]

    @property
    def id(self) -> str:
        """Its name and hash; of the default one the name alone, which no file may have."""
        return self.name if self.name == DEFAULT_PROFILE else f"{self.name}:{self.sha256}"

    @property
    def unchecked(self) -> tuple[Unchecked, ...]:
        """What this profile does not check."""
        raise NotImplementedError

    @property
    def tie(self) -> str | None:
        """None, or the sentence that nothing but the platform's word ties the wallet to the account."""
        raise NotImplementedError

    @property
    def closed_slots(self) -> tuple[tuple[int, int, str], ...]:
        """What closing leaves in storage: slot, value, meaning."""
        raise NotImplementedError

    @property
    def created_topic(self) -> bytes | None:
        """The factory's event's first topic."""
        raise NotImplementedError

    @property
    def state_topic(self) -> bytes | None:
        """The first topic of the event of a wallet's state."""
        raise NotImplementedError

    def created(self, log: EventLog) -> Created | None:
        """What the factory's log says; None where it is not of that event's shape. Who logged it is not looked at."""
        raise NotImplementedError

    def created_topics(self, account_id: AccountId, wallet: Address | None) -> Topics | None:
        """How the log of one account's creation is searched for: by the account where the event names it, else by the
        wallet; None without an event, or where the wallet is asked for and not known."""
        raise NotImplementedError

    def registry_read(self, account_id: AccountId, factory: Address) -> Read | None:
        """What tells the wallet's address, where it is located by a registry."""
        raise NotImplementedError

    def registered(self, answer: bytes | None) -> Address | None:
        """The wallet that ``registry_read`` named; None while there is none, and for what is no address."""
        raise NotImplementedError

    def first_reads(
        self, account_id: AccountId, wallet: Address, factory: Address, created: Created | None
    ) -> tuple[Read, ...]:
        """What is read of the wallet to begin with."""
        raise NotImplementedError

    def more_reads(self, wallet: Address, answers: Answers) -> tuple[Read, ...]:
        """What is to be read besides what has been answered, such as the implementation's code. To be asked again, with
        all answers, until it is empty: once for a proxy, twice for a beacon."""
        raise NotImplementedError

    def findings(
        self, account_id: AccountId, wallet: Address, factory: Address, created: Created | None, answers: Answers
    ) -> Findings:
        """What the answers say. Raises Disagreement: ``state_disagreement`` where slot and getter have different states
        or one cannot be read, ``wrong_factory`` and ``wrong_value`` where the code's immutables are not those of the
        event."""
        raise NotImplementedError

    def changed(self, log: EventLog) -> tuple[int | None, int] | None:
        """The state's numbers before (where the event tells it) and after; None where it is not of that event's shape.
        Who logged it is not looked at."""
        raise NotImplementedError

    def state(self, number: int) -> WalletState | None:
        """The state of a number; None where the profile has no such state."""
        raise NotImplementedError

    @property
    def initial(self) -> WalletState:
        """The state of a wallet that has just been deployed: created, or active where the profile has no such state;
        unknown without states."""
        raise NotImplementedError
