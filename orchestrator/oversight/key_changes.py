"""Changes of managed keys: made in the keystore, journaled, and approved where the ruleset in force asks for it.

Keystore and journal are two places, and a process may die between them. Which comes first, and why:

    created, imported,   keystore first: only then the address is known. A death in between leaves a key that is not in
    attached             the journal; the same command again finds it and writes the event.
    bound, rotated       keystore first: only the event uses the approval up, so the same command again is still
                         approved, repeats nothing, and writes the event.
    enabled              keystore first, for the same reason. Until the event is written the key stays out of use,
                         because the journal can disable it as well as its file.
    disabled             both are tried, whatever becomes of the other: either alone takes the key out of use.

The journal's calls do not block; the keystore's work (scrypt, a prompt for a password, an HSM) does.
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
from orchestrator.oversight.records import DRAIN, Clock, Drain, in_force, record
from orchestrator.people import ANONYMOUS, Signatory
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
class KeyChange:
    """One change of a key, as it is approved. ``address`` is None where the key is still to be made."""

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
class KeyChanges:
    """Changes of one keystore's keys: with its journal, in the name of one person, under the ruleset in force."""

    journal: Journal
    keys: ManagedKeys
    settings: Ruleset
    """What holds while no ruleset was adopted."""
    by: str
    clock: Clock
    signatory: Signatory = ANONYMOUS
    """The person who asks, where she can prove it: then she cannot approve."""
    drain: Drain = DRAIN

    async def make(self, change: KeyChange, act: Callable[[], KeyInfo]) -> Changed | Waiting:
        """Makes a change with ``act`` (which blocks), once it is approved, and journals it.

        ``Waiting``: nothing was done. Raises what ``act`` raises, then nothing is journaled; SettingsError
        ``key_exists``. SIDE EFFECTS: ApprovalRequested, or those of ``act`` with KeyChanged and ApprovalUsed.
        """
        allowed = await self.authorise(change)
        if isinstance(allowed, Waiting):
            return allowed
        return await self.apply(change, allowed, act)

    async def authorise(self, change: KeyChange) -> Granted | Waiting:
        """Whether the change may be made now. SIDE EFFECTS: appends ApprovalRequested if there is no live request."""
        oversight = await read_oversight(self.journal)
        key = self._find(change.name)
        self._require_possible(change, key, oversight)
        if key is not None and self._is_done(change, key, oversight):
            return Granted(None)
        return await authorise(
            self.journal,
            subject="keys",
            role=Role.ADMINISTRATOR,
            content=change.content(self.keys.id),
            needed=in_force(oversight, self.settings).policy.approvals.keys,
            by=self.by,
            settings=self.settings,
            clock=self.clock,
            signatory=self.signatory,
        )

    async def apply(self, change: KeyChange, granted: Granted, act: Callable[[], KeyInfo]) -> Changed:
        """The change itself. ``granted``: from ``authorise``, for this very change."""
        oversight = await read_oversight(self.journal)
        key = self._find(change.name)
        found = key
        if key is None or (change.action not in _NEW and not self._is_done(change, key, oversight)):
            key = act()
        if change.address is not None and key.address != change.address:
            self.keys.disable(key.name)
            raise Disagreement(
                f"key {key.name}: expected {change.address}, which was allowed, got {key.address}: it was disabled; "
                "find out who changed what the URI or the file holds",
                code="key_swapped",
            )
        before = oversight.keys.get(change.name) if found is None else None
        return await self._journal(change, key, granted, before)

    async def disable(self, name: str) -> Changed:
        """Takes a key out of use, at once and by one person, in the keystore and in the journal. A key of another
        machine's keystore is known by the journal. Returns once no signature is on its way any more.

        Raises what either of them raised, after the other was changed; ``key_not_found`` where neither knows the key;
        and as ``Drain.wait``.
        """
        try:
            key, trouble = self.keys.disable(name), None
        except OrchestratorError as error:
            key, trouble = None, error
        try:
            oversight = await read_oversight(self.journal)
            known = key or _as_journaled(name, oversight)
            if known is None:
                raise trouble or AssertionError(f"key {name} was neither disabled nor refused")
            changed = await self._journal(KeyChange("disabled", name, known.address), known, Granted(None))
        except JournalError as error:
            if key is None:
                raise
            raise JournalError(
                f"key {name} is disabled in the keystore, but the journal could not record it: {error.message}",
                code=error.code,
                disposition=error.disposition,
            ) from error
        await self.drain.wait(self.journal, f"key {name} is disabled")
        if trouble is not None and trouble.code != "key_not_found":
            raise KeyUnavailable(
                f"key {name} is out of use by the journal, but its file could not be marked: {trouble.message}",
                code=trouble.code,
                disposition=trouble.disposition,
            ) from trouble
        return changed

    # --- inside ----------------------------------------------------------------------------------------------------

    async def _journal(
        self, change: KeyChange, key: KeyInfo, granted: Granted, before: o.KeyChanged | None = None
    ) -> Changed:
        """``before``: the last change of the name when this process made the key; None where it found it there."""

        def decide(oversight: Oversight, _now: datetime) -> Sequence[Event]:
            if self._is_done(change, key, oversight):
                return ()
            # Another process that found the new key may have written its event since.
            since = oversight.keys.get(key.name) != before
            if change.action in _NEW and since and _is_journaled(key, oversight, self.keys.id):
                return ()
            used = oversight.approvals.get(granted.request or "")
            return (
                *((o.ApprovalUsed(request=used.asked.request),) if used is not None and not used.used else ()),
                self._event(change, key, oversight, granted.request),
            )

        oversight, journaled = await record(self.journal, decide, self.clock)
        return Changed(as_seen(key, oversight), journaled)

    def _event(self, change: KeyChange, key: KeyInfo, oversight: Oversight, request: str | None) -> o.KeyChanged:
        match change.action:
            case "disabled":
                out_of_use = True
            case "enabled":
                out_of_use = False
            case _:  # only ``enabled`` puts a key back into use
                out_of_use = is_disabled(key, oversight)
        return o.KeyChanged(
            action=change.action,
            name=key.name,
            address=key.address,
            backend=key.backend,
            wallets=tuple(map(str, self._wallets(change, key, oversight))),
            disabled=out_of_use,
            keystore=self.keys.id,
            by=self.by,
            request=request,
        )

    def _wallets(self, change: KeyChange, key: KeyInfo, oversight: Oversight) -> tuple[ChainAccount, ...]:
        """Where changes of keys take approval: the wallets that were approved, now and before. What somebody has
        written to the key's file gets into the journal by no other change."""
        ruleset = in_force(oversight, self.settings)
        if ruleset.policy.approvals.keys == 0:
            return key.wallets
        before = () if change.action in _NEW else bound_wallets(key, oversight, ruleset)
        return tuple(dict.fromkeys((*before, *sorted(change.wallets_of(key), key=str))))

    def _find(self, name: str) -> KeyInfo | None:
        try:
            return self.keys.get(name)
        except KeyUnavailable as error:
            if error.code == "key_not_found":
                return None
            raise

    def _require_possible(self, change: KeyChange, key: KeyInfo | None, oversight: Oversight) -> None:
        """Checked before anybody is asked to approve the change. Raises SettingsError, KeyUnavailable."""
        if change.action not in _NEW:
            if key is None:
                self.keys.get(change.name)  # raises ``key_not_found`` with the folder
            return
        for person, known in in_force(oversight, self.settings).policy.people.items():
            if known.address == change.address:
                raise SettingsError(
                    f"{change.address} is the key that {person} approves with: a key that signs challenges of others "
                    "must not be one whose signature is a person's word",
                    code="key_of_a_person",
                )
        if key is None:
            return
        same = (
            (change.address is None or change.address == key.address)
            and change.uri == key.uri
            and change.wallets_of(key) == frozenset(key.wallets)
        )
        if not same or _is_journaled(key, oversight, self.keys.id):
            raise SettingsError(f"a key {change.name!r} is in the keystore already: {key.address}", code="key_exists")

    def _is_done(self, change: KeyChange, key: KeyInfo, oversight: Oversight) -> bool:
        """Whether keystore and journal are both as the change would make them."""
        last = oversight.key_changes.get((key.name, key.address))
        if last is None:
            return False
        match change.action:
            case "disabled":
                return key.disabled and key.address in oversight.out_of_use
            case "enabled":
                return not is_disabled(key, oversight)
            case "bound":
                return set(change.wallets) <= set(key.wallets) and {str(w) for w in change.wallets} <= set(last.wallets)
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
