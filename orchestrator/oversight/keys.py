"""Changes of managed keys: done in the keystore, journaled, and approved where the ruleset in force asks for it.

Keystore and journal are two places, and a process may die between them. Which comes first, and why:

    created, imported,   keystore first: before it nobody knows the address. A key that the journal has not heard of is
    attached             what such a death leaves; the same command again finds it and writes the event.
    bound, rotated       keystore first: the approval is used up only by the event, so the same command again is still
                         approved, does nothing that was done, and writes the event.
    enabled              keystore first, for the same reason; until the event is written the key stays out of use,
                         because the journal's last word counts as much as the file's.
    disabled             both are tried whatever becomes of the other: either alone takes the key out of use.

Nothing here blocks for the journal's sake; the keystore's own work (scrypt, a prompt for a password, an HSM) does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, Protocol

from orchestrator.authorization.gate import is_disabled, read_oversight
from orchestrator.authorization.permission import bound_wallets
from orchestrator.errors import Disagreement, JournalError, KeyUnavailable, OrchestratorError, SettingsError
from orchestrator.lifecycle import oversight_events as o
from orchestrator.lifecycle.oversight_state import Oversight
from orchestrator.lifecycle.recorded import Event
from orchestrator.models import Address, ChainAccount, ChainId
from orchestrator.oversight.approvals import Granted, Waiting, authorise
from orchestrator.oversight.records import LANDING, Clock, Landing, in_force, record
from orchestrator.people import SILENT, Voice
from orchestrator.policy import Role, Ruleset
from orchestrator.ports.journal import Journal
from orchestrator.ports.signers import KeyInfo

Action = Literal["created", "imported", "attached", "bound", "rotated", "disabled", "enabled"]
_NEW = frozenset({"created", "imported", "attached"})


class ManagedKeys(Protocol):
    """What is asked of the keystore (``orchestrator.signers``). All raise KeyUnavailable and SettingsError."""

    @property
    def id(self) -> str: ...

    def get(self, name: str) -> KeyInfo: ...

    def bind(self, name: str, wallet: ChainAccount) -> KeyInfo: ...

    def disable(self, name: str) -> KeyInfo: ...

    def enable(self, name: str) -> KeyInfo: ...


@dataclass(frozen=True, slots=True)
class Matter:
    """One change, exactly: what is approved. ``address`` is None where the key is still to be made."""

    action: Action
    name: str
    address: Address | None
    uri: str | None = None
    wallets: tuple[ChainAccount, ...] = ()
    """Of a new key all of them; of ``bound`` the one that is added."""
    chains: tuple[ChainId, ...] = ()
    """Of a new key whose address is not known yet: its wallets are its own address on these."""

    def wallets_of(self, key: KeyInfo) -> frozenset[ChainAccount]:
        return frozenset((*self.wallets, *(ChainAccount(chain, key.address) for chain in self.chains)))

    def content(self, keystore: str) -> dict[str, Any]:
        return {
            "action": self.action,
            "name": self.name,
            "address": self.address,
            "uri": self.uri,
            "wallets": sorted(str(wallet) for wallet in (*self.wallets, *self.chains)),
            "keystore": keystore,
        }


@dataclass(frozen=True, slots=True)
class Changed:
    """The key as it is now, and whether this call wrote an event (False: all was so before)."""

    key: KeyInfo
    journaled: bool


@dataclass(frozen=True, slots=True)
class Office:
    """Everything that a change needs besides the change: the journal, the keystore, who asks, and the rules."""

    records: Journal
    keys: ManagedKeys
    settings: Ruleset
    """What holds while no ruleset was adopted."""
    by: str
    clock: Clock
    voice: Voice = SILENT
    """The person who asks, where she can prove it: then she is not the one who approves."""
    landing: Landing = LANDING

    async def change(self, matter: Matter, act: Callable[[], KeyInfo]) -> Changed | Waiting:
        """Does a change of a key with ``act`` (which blocks), once it is approved, and journals it.

        ``Waiting``: nothing was done. Raises what ``act`` raises, then nothing is journaled; SettingsError
        ``key_exists``. SIDE EFFECTS: ApprovalRequested, or those of ``act`` with KeyChanged and ApprovalUsed.
        """
        allowed = await self.allowed(matter)
        if isinstance(allowed, Waiting):
            return allowed
        return await self.apply(matter, allowed, act)

    async def allowed(self, matter: Matter) -> Granted | Waiting:
        """Whether the change may be done now. SIDE EFFECTS: ApprovalRequested if it must be asked for."""
        oversight = await read_oversight(self.records)
        key = self._known(matter.name)
        self._require_possible(matter, key, oversight)
        if key is not None and self._is_so(matter, key, oversight):
            return Granted(None)
        return await authorise(
            self.records,
            subject="keys",
            role=Role.ADMINISTRATOR,
            content=matter.content(self.keys.id),
            needed=in_force(oversight, self.settings).policy.approvals.keys,
            by=self.by,
            settings=self.settings,
            clock=self.clock,
            voice=self.voice,
        )

    async def apply(self, matter: Matter, granted: Granted, act: Callable[[], KeyInfo]) -> Changed:
        """The change itself. ``granted``: from ``allowed``, for this very matter."""
        oversight = await read_oversight(self.records)
        key = self._known(matter.name)
        found = key
        if key is None or (matter.action not in _NEW and not self._is_so(matter, key, oversight)):
            key = act()
        if matter.address is not None and key.address != matter.address:
            self.keys.disable(key.name)
            raise Disagreement(
                f"key {key.name}: expected {matter.address}, which was allowed, got {key.address}: it was disabled; "
                "find out who changed what the URI or the file holds",
                code="key_swapped",
            )
        before = oversight.keys.get(matter.name) if found is None else None
        return await self._journal(matter, key, granted, before)

    async def disable(self, name: str) -> Changed:
        """Takes a key out of use, at once and by one person, in the keystore and in the journal. A key of another
        machine's keystore is known by the journal. Returns once no signature is on its way any more.

        Raises what either of them raised, after the other was told; ``key_not_found`` where neither knows the key; and
        as ``Landing.wait``.
        """
        try:
            key, trouble = self.keys.disable(name), None
        except OrchestratorError as error:
            key, trouble = None, error
        try:
            oversight = await read_oversight(self.records)
            known = key or _as_journaled(name, oversight)
            if known is None:
                raise trouble or AssertionError(f"key {name} was neither disabled nor refused")
            changed = await self._journal(Matter("disabled", name, known.address), known, Granted(None))
        except JournalError as error:
            if key is None:
                raise
            raise JournalError(
                f"key {name} is disabled in the keystore, but the journal could not be told: {error.message}",
                code=error.code,
                disposition=error.disposition,
            ) from error
        await self.landing.wait(self.records, f"key {name} is disabled")
        if trouble is not None and trouble.code != "key_not_found":
            raise KeyUnavailable(
                f"key {name} is out of use by the journal, but its file could not be marked: {trouble.message}",
                code=trouble.code,
                disposition=trouble.disposition,
            ) from trouble
        return changed

    # --- inside ----------------------------------------------------------------------------------------------------

    async def _journal(
        self, matter: Matter, key: KeyInfo, granted: Granted, before: o.KeyChanged | None = None
    ) -> Changed:
        """``before``: the last change of the name when this process made the key; None where it found it there."""

        def decide(oversight: Oversight, _now: datetime) -> Sequence[Event]:
            if self._is_so(matter, key, oversight):
                return ()
            # Whoever else found the new key, or was killed after it was made, may have written its event since.
            since = oversight.keys.get(key.name) != before
            if matter.action in _NEW and since and _is_journaled(key, oversight, self.keys.id):
                return ()
            used = oversight.approvals.get(granted.request or "")
            return (
                *((o.ApprovalUsed(request=used.asked.request),) if used is not None and not used.used else ()),
                self._event(matter, key, oversight, granted.request),
            )

        oversight, journaled = await record(self.records, decide, self.clock)
        return Changed(as_seen(key, oversight), journaled)

    def _event(self, matter: Matter, key: KeyInfo, oversight: Oversight, request: str | None) -> o.KeyChanged:
        match matter.action:
            case "disabled":
                out_of_use = True
            case "enabled":
                out_of_use = False
            case _:  # putting a key back into use is a change of its own
                out_of_use = is_disabled(key, oversight)
        return o.KeyChanged(
            action=matter.action,
            name=key.name,
            address=key.address,
            backend=key.backend,
            wallets=tuple(map(str, self._wallets(matter, key, oversight))),
            disabled=out_of_use,
            keystore=self.keys.id,
            by=self.by,
            request=request,
        )

    def _wallets(self, matter: Matter, key: KeyInfo, oversight: Oversight) -> tuple[ChainAccount, ...]:
        """Where changes of keys take approval, what was approved, now and before: no other change of the key takes over
        what somebody has written to its file."""
        ruleset = in_force(oversight, self.settings)
        if ruleset.policy.approvals.keys == 0:
            return key.wallets
        before = () if matter.action in _NEW else bound_wallets(key, oversight, ruleset)
        return tuple(dict.fromkeys((*before, *sorted(matter.wallets_of(key), key=str))))

    def _known(self, name: str) -> KeyInfo | None:
        try:
            return self.keys.get(name)
        except KeyUnavailable as error:
            if error.code == "key_not_found":
                return None
            raise

    def _require_possible(self, matter: Matter, key: KeyInfo | None, oversight: Oversight) -> None:
        """Before anybody is asked to approve it."""
        if matter.action not in _NEW:
            if key is None:
                self.keys.get(matter.name)  # raises ``key_not_found`` with the folder
            return
        for person, known in in_force(oversight, self.settings).policy.people.items():
            if known.address == matter.address:
                raise SettingsError(
                    f"{matter.address} is the key that {person} approves with: a key that signs challenges of others "
                    "must not be one whose signature is a person's word",
                    code="key_of_a_person",
                )
        if key is None:
            return
        same = (
            (matter.address is None or matter.address == key.address)
            and matter.uri == key.uri
            and matter.wallets_of(key) == frozenset(key.wallets)
        )
        if not same or _is_journaled(key, oversight, self.keys.id):
            raise SettingsError(f"a key {matter.name!r} is in the keystore already: {key.address}", code="key_exists")

    def _is_so(self, matter: Matter, key: KeyInfo, oversight: Oversight) -> bool:
        """Whether keystore and journal both say already what the change is to bring about."""
        last = oversight.key_changes.get((key.name, key.address))
        if last is None:
            return False
        match matter.action:
            case "disabled":
                return key.disabled and key.address in oversight.out_of_use
            case "enabled":
                return not is_disabled(key, oversight)
            case "bound":
                return set(matter.wallets) <= set(key.wallets) and {str(w) for w in matter.wallets} <= set(last.wallets)
            case _:
                return False


def as_seen(key: KeyInfo, oversight: Oversight) -> KeyInfo:
    """The key with what the journal knows of it: whether it is out of use, and the wallets that it may sign for."""
    return replace(key, disabled=is_disabled(key, oversight), wallets=bound_wallets(key, oversight, oversight.ruleset))


def _is_journaled(key: KeyInfo, oversight: Oversight, keystore: str) -> bool:
    last = oversight.keys.get(key.name)
    return last is not None and (last.address, last.keystore) == (key.address, keystore)


def _as_journaled(name: str, oversight: Oversight) -> KeyInfo | None:
    last = oversight.keys.get(name)
    if last is None:
        return None
    return KeyInfo(
        name=name,
        address=Address(last.address),
        backend=last.backend,
        disabled=last.address in oversight.out_of_use,
        wallets=tuple(ChainAccount.parse(wallet) for wallet in last.wallets),
    )
