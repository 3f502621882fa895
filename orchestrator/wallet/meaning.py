"""What the answers of a wallet's reads mean: the findings of each source, side by side. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import cast

from eth_hash.auto import keccak

from orchestrator.errors import Disagreement
from orchestrator.models import Address, WalletState
from orchestrator.wallet import abi
from orchestrator.wallet.family import ADMIN, EVENT, ZERO, Family
from orchestrator.wallet.findings import Answers, Created, Finding, Findings, Read
from orchestrator.wallet.proxies import Clone, read_clone, word_address
from orchestrator.wallet.rules import Release, StateRule, Values
from orchestrator.wallet.subject import Subject, literal


def find(family: Family, subject: Subject, created: Created | None, answers: Answers) -> Findings:
    """All findings of a wallet. Raises Disagreement (``reading.Profile.findings``)."""
    own = answers.get(Read("code", subject.wallet)) or b""
    implementation = family.implementation(subject.wallet, answers)
    code = own if family.kind == "direct" else answers.get(Read("code", implementation or ZERO)) or b""
    clone = read_clone(own) if family.kind == "erc1167" else None
    release, immutables = _recognised(family.accepts, code)
    admin = word_address(ADMIN.value(subject, answers)) if family.kind == "erc1967" else None
    found = [Finding("code", "the code", release.name if release else "")]
    found += _proxy(family, own, clone, implementation, admin)
    found += _located(family, subject, created, answers)
    if family.create2 is not None:
        values = _values(subject, created, immutables, implementation)
        init_code = clone.creation + own if clone and clone.creation is not None else None
        try:
            address: str = family.create2.address(subject.factory, values, init_code)
        except ValueError:
            address = ""
        found.append(Finding("address", "CREATE2", address))
    stored = None
    if family.event is not None and family.event.owner is not None:
        found.append(Finding("owner", EVENT, created.owner or "" if created else ""))
    if release is not None:  # what another contract's getters and storage say means nothing
        _check_immutables(family, immutables, subject, created)
        stored = _stored(family.states, subject, answers) if family.states else None
        appended = clone.arguments if clone else b""
        found += _owners(family, subject, immutables, appended, answers, stored)
    if created is not None and created.challenge is not None:
        found.append(Finding("challenge", EVENT, created.challenge))
    elif family.event is not None and family.event.challenge is not None:
        found.append(Finding("challenge", EVENT, ""))
    return Findings(
        findings=tuple(found),
        code_hash="0x" + keccak(own).hex(),
        implementation=implementation if implementation != ZERO else None,
        admin=admin if admin != ZERO else None,
        stored=stored,
    )


def proven(family: Family, subject: Subject, answers: Answers) -> Findings:
    """The findings of those sources alone that the answers, of code and slots, reach: each of them is decided. Raises
    Disagreement as ``find``."""
    owners = [owner for owner in family.owners if (read := owner.read(subject)) is None or read in answers]
    states = family.states
    told = states is not None and states.slot is not None and states.slot.read(subject) in answers
    known = replace(
        family,
        event=None,
        registry=None,
        owners=tuple(owners),
        states=replace(states, getter=None) if states is not None and told else None,
    )
    found = find(known, subject, None, answers)
    beyond = set() if ADMIN.read(subject) in answers else {("admin", "")}
    beyond.add(("address", ""))  # of CREATE2: some value is the event's alone
    if not told:  # whether it was closing that has made the owner nobody is not known then
        beyond |= {("owner", ZERO)} if any(owner.renounced for owner in owners) else set()
    reached = tuple(one for one in found.findings if (one.check, one.value) not in beyond)
    return replace(found, findings=reached)


def _recognised(releases: tuple[Release, ...], code: bytes) -> tuple[Release | None, Mapping[str, bytes]]:
    """Which of the contracts this code is, and its immutables."""
    for release in releases:
        if release.is_code(code):
            try:
                return release, release.immutables(code)
            except ValueError:  # no constructor writes two values for one immutable
                continue
    return None, {}


def _proxy(
    family: Family, own: bytes, clone: Clone | None, implementation: Address | None, admin: Address | None
) -> Iterator[Finding]:
    if family.kind == "direct":
        return
    if family.kind == "erc1167":
        yield Finding("proxy_code", "the code", clone.variant if clone else "")
    elif family.proxies:
        proxy, _ = _recognised(family.proxies, own)
        yield Finding("proxy_code", "the code", proxy.name if proxy else "")
    yield Finding("implementation", family.implementation_source, implementation or "")
    if family.kind == "erc1967":
        yield Finding("admin", ADMIN.label, admin or "")


def _located(family: Family, subject: Subject, created: Created | None, answers: Answers) -> Iterator[Finding]:
    """Which wallet the factory's event and the registry say it is, and that it is this factory's."""
    if family.event is not None:
        own = created is not None and created.account in (None, subject.account)
        yield Finding("address", EVENT, created.wallet if created and own else "")
        yield Finding("factory", EVENT, subject.factory if own else "")
    if family.registry is not None:
        value = family.registry.value(subject, answers)
        if family.registry.returns == "bool":
            yield Finding("factory", family.registry.label, subject.factory if value else "")
        else:
            yield Finding("address", "the registry", cast("str", value or ""))


def _owners(
    family: Family,
    subject: Subject,
    immutables: Mapping[str, bytes],
    appended: bytes,
    answers: Answers,
    stored: int | None,
) -> Iterator[Finding]:
    state = family.states.numbers.get(stored) if family.states and stored is not None else None
    for rule in family.owners:
        value = rule.value(subject, immutables, appended, answers)
        if not (rule.renounced and state is WalletState.CLOSED and value == ZERO):
            yield Finding("owner", rule.label, value)


def _check_immutables(
    family: Family, immutables: Mapping[str, bytes], subject: Subject, created: Created | None
) -> None:
    """An argument of the event and an immutable of the same name are the same thing."""
    if family.factory_immutable is not None:
        named = word_address(immutables[family.factory_immutable])
        if named != subject.factory:
            raise Disagreement(
                f"wallet {subject.wallet}: expected the factory {subject.factory}, its code has {named}",
                code="wrong_factory",
            )
    if family.event is None or created is None:
        return
    for argument in family.event.signature.arguments:
        if argument.name in immutables and argument.name in created.values and argument.name != family.event.owner:
            if abi.is_dynamic(argument.type):
                continue
            expected, actual = abi.word(argument.type, created.values[argument.name]), immutables[argument.name]
            if expected != actual:
                raise Disagreement(
                    f"wallet {subject.wallet}: by the factory's event its {argument.name} is 0x{expected.hex()}, "
                    f"its code has 0x{actual.hex()}",
                    code="wrong_escrow" if argument.name == "escrow" else "wrong_value",
                )


def _stored(states: StateRule, subject: Subject, answers: Answers) -> int | None:
    """The state's number by slot and getter, which must agree. Raises Disagreement (``state_disagreement``)."""
    told: dict[str, int | None] = {}
    if states.slot is not None:
        told[states.slot.label] = states.by_slot(subject, answers)
    if states.getter is not None:
        told[states.getter.label] = states.by_getter(subject, answers)
    if len(set(told.values())) > 1 or None in told.values():
        sides = ", ".join(
            f"{source} {'cannot be read' if number is None else f'says {number}'}" for source, number in told.items()
        )
        raise Disagreement(f"wallet {subject.wallet}: of its state, {sides}", code="state_disagreement")
    return next(iter(told.values()), None)


def _values(
    subject: Subject, created: Created | None, immutables: Mapping[str, bytes], implementation: Address | None
) -> Values:
    """The values by which a CREATE2 address is computed: account, implementation, the code's immutables, the event's
    arguments, owner and factory, and what is written in the profile itself (``0x…``)."""

    def value(name: str, kind: str) -> object:
        if name.startswith("0x"):
            return literal(name, kind)
        if name == "account":
            return subject.value(name, kind)
        if name == "implementation":
            if implementation is None:
                raise ValueError("the implementation is not known")
            return implementation
        if name in immutables:
            return abi.decode([kind], immutables[name])[0]
        if created is not None and name in created.values:
            return created.values[name]
        if name in ("owner", "factory"):
            return subject.value(name, kind)
        raise ValueError(f"{name} is not known")

    return value
