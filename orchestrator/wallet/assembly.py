"""A profile's document made into a profile: its signatures parsed, its artifacts read, its parts held against one
another. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from eth_hash.auto import keccak

from orchestrator.artifacts import Artifact
from orchestrator.models import WalletState
from orchestrator.wallet import abi
from orchestrator.wallet import document as d
from orchestrator.wallet.creation import assemble_create2
from orchestrator.wallet.problems import Wrong
from orchestrator.wallet.proxies import IMPLEMENTATION_SLOT
from orchestrator.wallet.reading import Profile
from orchestrator.wallet.rules import NOTHING, EventRule, Getter, OwnerRule, Release, Slot, StateRule
from orchestrator.wallet.subject import ACCOUNT_TYPES

__all__ = ["Wrong", "assemble"]

ReadArtifact = Callable[[str], Artifact]
_ALL: Final = (1 << 256) - 1
_NUMBER: Final = re.compile(r"uint\d+|bool")


def assemble(
    document: d.Document, artifact: ReadArtifact, sha256: Callable[[d.Document, ReadArtifact], str]
) -> Profile:
    """Raises Wrong."""
    code, account = document.code, document.account
    accepts = _releases(code.accepts, ("code", "accepts"), artifact)
    if (code.kind == "slot") != (code.slot is not None):
        raise Wrong(("code", "slot"), "kind slot and the slot of the implementation go together")
    if code.proxy and code.kind in ("direct", "erc1167"):
        said = "a clone's own code is known" if code.kind == "erc1167" else "a wallet of kind direct has no proxy"
        raise Wrong(("code", "proxy", 0), said)
    proxies = _releases(code.proxy, ("code", "proxy"), artifact)
    immutables = _common_immutables(accepts)
    if code.factory is not None:
        _immutable(code.factory, immutables, ("code", "factory"))
    event = _event(account.event) if account.event else None
    registry = _registry(account.registry, event) if account.registry else None
    _located(account, event, registry)
    create2 = assemble_create2(account.create2, code.kind, immutables, event, artifact) if account.create2 else None
    states = _states(document.state) if document.state else None
    slots = [closed.slot for closed in document.closed]
    twice = next((number for number, slot in enumerate(slots) if slot in slots[:number]), None)
    if twice is not None:
        raise Wrong(("closed", twice, "slot"), f"slot {slots[twice]:#x} stands twice")
    by_standard = Slot(IMPLEMENTATION_SLOT, called="the implementation slot (ERC-1967)")
    return Profile(
        name=document.name,
        title=document.title,
        sha256=sha256(document, artifact),
        kind=code.kind,
        implementation_slot=by_standard if code.slot is None else Slot(code.slot),
        accepts=accepts,
        proxies=proxies,
        factory_immutable=code.factory,
        located_by=account.by,
        event=event,
        registry=registry,
        create2=create2,
        owners=tuple(
            _owner(owner, number, code.kind, immutables, states) for number, owner in enumerate(document.owner)
        ),
        states=states,
        closed_slots=tuple((each.slot, each.value, each.meaning) for each in document.closed),
    )


def _key_type(state: d.State) -> str:
    return "address" if state.key == "wallet" else state.key_type or "bytes16"


# --- code -------------------------------------------------------------------------------------------------------------


def _releases(accepted: tuple[d.Accepted, ...], path: tuple[str, ...], artifact: ReadArtifact) -> tuple[Release, ...]:
    found = []
    for number, each in enumerate(accepted):
        if each.artifact is not None:
            try:
                contract = artifact(each.artifact)
            except ValueError as error:
                raise Wrong((*path, number, "artifact"), str(error)) from None
            code_hash = "0x" + keccak(contract.deployed_bytecode).hex()
            found.append(Release(each.name or contract.name or each.artifact, code_hash, contract))
        elif each.hash == NOTHING:
            raise Wrong((*path, number, "hash"), "this is the hash of no code at all, which every empty address has")
        else:
            found.append(Release(each.name or str(each.hash), str(each.hash), None))
    return tuple(found)


def _common_immutables(accepts: tuple[Release, ...]) -> frozenset[str]:
    """The immutables that every accepted contract has."""
    names = [frozenset(each.artifact.immutable_references if each.artifact else ()) for each in accepts]
    return frozenset.intersection(*names)


def _immutable(name: str, immutables: frozenset[str], path: tuple[str | int, ...]) -> None:
    if name not in immutables:
        known = ", ".join(sorted(immutables)) or "none (a code hash tells none)"
        raise Wrong(path, f"not every accepted contract has an immutable {name}; they all have {known}")


# --- account ----------------------------------------------------------------------------------------------------------


def _signature(text: str, path: tuple[str | int, ...]) -> abi.Signature:
    try:
        return abi.Signature.parse(text)
    except ValueError as error:
        raise Wrong(path, str(error)) from None


def _event(event: d.CreatedEvent) -> EventRule:
    path = ("account", "event")
    signature = _signature(event.signature, (*path, "signature"))
    if signature.returns:
        raise Wrong((*path, "signature"), "an event returns nothing")
    for member, types in (
        ("wallet", ("address",)),
        ("owner", ("address",)),
        ("account", ACCOUNT_TYPES),
        ("challenge", ("bytes32",)),
    ):
        name = getattr(event, member)
        if name is not None:
            argument = _argument(signature, name, (*path, member))
            if argument.type not in types or (argument.indexed and abi.is_dynamic(argument.type)):
                raise Wrong((*path, member), f"{name} is {argument.type}, expected {' or '.join(types)}")
    rule = EventRule(signature, event.wallet, event.owner, event.account, event.challenge)
    if rule.searched_by() is None:
        raise Wrong((*path, "signature"), "neither the account nor the wallet is indexed: no log of one can be found")
    return rule


def _argument(signature: abi.Signature, name: str, path: tuple[str | int, ...]) -> abi.Argument:
    argument = signature.argument(name)
    if argument is None:
        known = ", ".join(each.name for each in signature.arguments if each.name) or "none"
        raise Wrong(path, f"{signature.name} has no argument {name}; it has {known}")
    return argument


def _getter(text: str, path: tuple[str | int, ...], returns: str, at: str, names: tuple[str, ...]) -> Getter:
    """``returns``: a pattern of the one type that is returned; ``names``: what the arguments may be."""
    signature = _signature(text, path)
    types = ", ".join(each.type for each in signature.returns)
    if not re.fullmatch(returns, types):
        raise Wrong(path, f"expected a getter that returns {returns.replace('|', ' or ')}, got {types or 'nothing'}")
    for argument in signature.arguments:
        wanted = ACCOUNT_TYPES if argument.name == "account" else ("address",)
        if argument.name not in names or argument.indexed:
            raise Wrong(path, f"an argument is named {' or '.join(names)}, got {argument.name or 'one without a name'}")
        if argument.type not in wanted:
            raise Wrong(path, f"{argument.name} is {argument.type}, expected {' or '.join(wanted)}")
    return Getter(signature, at)


def _registry(registry: d.Registry, event: EventRule | None) -> Getter:
    path = ("account", "registry", "call")
    names = ("account", "wallet", "owner") if event is not None and event.owner is not None else ("account", "wallet")
    getter = _getter(registry.call, path, "address|bool", registry.at or "factory", names)
    if getter.returns == "bool" and getter.signature.argument("wallet") is None:
        raise Wrong(path, "a registry that answers yes or no must be asked for the wallet")
    return getter


def _located(account: d.Account, event: EventRule | None, registry: Getter | None) -> None:
    path = ("account", "by")
    if account.by == "event":
        if event is None or event.account is None:
            raise Wrong(path, "by event takes [account.event] whose account names an argument")
        if event.searched_by() != "account":
            raise Wrong(("account", "event", "account"), f"{event.account} must be indexed, to be searched for")
    if account.by == "registry":
        if registry is None or registry.returns != "address":
            raise Wrong(path, "by registry takes [account.registry] whose call returns (address)")
        if [each.name for each in registry.signature.arguments] != ["account"]:
            raise Wrong(("account", "registry", "call"), "to locate a wallet its only argument must be account")


# --- owner and state --------------------------------------------------------------------------------------------------


def _owner(owner: d.Owner, number: int, kind: str, immutables: frozenset[str], states: StateRule | None) -> OwnerRule:
    path = ("owner", number)
    if owner.renounced and (states is None or (states.slot is None and states.getter is None)):
        raise Wrong((*path, "renounced"), "takes a [state] with slot or call, which says when the wallet is closed")
    source: str | int | Slot | Getter
    if owner.appended is not None:
        if kind != "erc1167":
            raise Wrong((*path, "appended"), "is of kind erc1167: a clone has immutable arguments")
        source = owner.appended
    elif owner.immutable is not None:
        _immutable(owner.immutable, immutables, (*path, "immutable"))
        source = owner.immutable
    elif owner.slot is not None:
        source = Slot(owner.slot)
    elif owner.call is not None:
        source = _getter(owner.call, (*path, "call"), "address", "wallet", ("account", "wallet"))
    else:
        source = _getter(owner.list or "", (*path, "list"), r"address\[\]", "wallet", ("account", "wallet"))
    return OwnerRule(source, owner.offset, owner.size, owner.renounced)


def _states(state: d.State) -> StateRule:
    event = _signature(state.event, ("state", "event")) if state.event else None
    if event is not None:
        if state.to is None:
            raise Wrong(("state", "event"), "takes to, which names the argument with the new state")
        for member, name in (("from", state.from_), ("to", state.to)):
            if name is not None:
                argument = _argument(event, name, ("state", member))
                if not _NUMBER.fullmatch(argument.type):
                    raise Wrong(("state", member), f"{name} is {argument.type}, expected a number or bool")
    if state.mask == 0:
        raise Wrong(("state", "mask"), "a mask of zero leaves nothing of the slot")
    call = state.call
    getter = _getter(call, ("state", "call"), r"uint\d+|bool", state.at, ("account", "wallet")) if call else None
    return StateRule(
        event=event,
        before=state.from_,
        after=state.to,
        slot=None if state.slot is None else Slot(state.slot, state.key, _key_type(state), state.at),
        mask=_ALL if state.mask is None else state.mask,
        getter=getter,
        numbers=_numbers(state),
    )


def _numbers(state: d.State) -> Mapping[int, WalletState]:
    mask = _ALL if state.mask is None else state.mask
    most = mask // (mask & -mask)
    found: dict[int, WalletState] = {}
    names = {
        "created": WalletState.CREATED,
        "active": WalletState.ACTIVE,
        "suspended": WalletState.INACTIVE,
        "closed": WalletState.CLOSED,
    }
    for name, meaning in names.items():
        for number in getattr(state, name) or ():
            if number in found:
                raise Wrong(("state", name), f"{number} is {found[number].value} already: no number is two states")
            if state.slot is not None and number > most:
                raise Wrong(("state", name), f"the mask leaves no {number}: it is shifted down to its lowest bit")
            found[number] = meaning
    return MappingProxyType(found)
