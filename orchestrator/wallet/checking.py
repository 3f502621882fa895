"""What each source of a profile says of one wallet, and whether it holds. Pure.

Nothing is left out silently: what cannot be told, because factory or account is not known, is a row that says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from eth_hash.auto import keccak

from orchestrator.errors import Disagreement
from orchestrator.models import AccountId, Address, WalletState
from orchestrator.wallet.family import ZERO
from orchestrator.wallet.findings import Answers, Created, Finding, Findings, Read
from orchestrator.wallet.reading import Profile, Topics
from orchestrator.wallet.rules import Getter

NOBODY: Final = AccountId("00000000-0000-0000-0000-000000000000")
_NO_FACTORY: Final = "the factory is not known: --factory names it"
_NO_ACCOUNT: Final = "the account is not known: --account-id names it"
_EVENT: Final = "the factory's event"
_RESULTS: Final[Mapping[bool, Literal["holds", "fails"]]] = {True: "holds", False: "fails"}


@dataclass(frozen=True, slots=True)
class Row:
    """One source. ``check``: as of ``Finding``, or ``state``, ``closed_slots``, ``value``."""

    check: str
    source: str
    value: str
    """What was read; empty where nothing that can be used was."""
    result: Literal["holds", "fails", "unknown"]
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """Which wallet is checked, and what is known of it from elsewhere."""

    wallet: Address
    account: AccountId | None = None
    factory: Address | None = None
    owner: Address | None = None


def creation_topics(profile: Profile, question: Question) -> Topics | None:
    """How the log of the wallet's creation is searched for at the factory: by the account where it is known, else by
    the wallet. None where neither can be, or no factory is known."""
    event = profile.event
    if event is None or question.factory is None:
        return None
    if question.account is not None:
        return profile.created_topics(question.account, question.wallet)
    topics: list[bytes | None] = [event.signature.topic]
    for argument in event.signature.arguments:
        if argument.indexed:
            wallet = bytes(12) + bytes.fromhex(question.wallet[2:])
            topics.append(wallet if argument.name == event.wallet else None)
    while topics and topics[-1] is None:
        topics.pop()
    return topics if len(topics) > 1 else None


def possible(profile: Profile, question: Question) -> tuple[Profile, list[Row]]:
    """The profile without the sources that cannot be asked, and a row for each of those."""
    left: list[Row] = []
    changes: dict[str, Any] = {}

    def missing(place: str, needs_account: bool) -> str | None:
        if place == "factory" and question.factory is None:
            return _NO_FACTORY
        return _NO_ACCOUNT if needs_account and question.account is None else None

    def of_getter(getter: Getter) -> str | None:
        return missing(getter.at, getter.signature.argument("account") is not None)

    def leave(check: str, source: str, what: str) -> None:
        left.append(Row(check, source, "", "unknown", what))

    if profile.event is not None and creation_topics(profile, question) is None:
        leave("address", _EVENT, _NO_FACTORY if question.factory is None else _NO_ACCOUNT)
        changes["event"] = None
    if profile.registry is not None and (why := of_getter(profile.registry)):
        leave("factory" if profile.registry.returns == "bool" else "address", profile.registry.label, why)
        changes["registry"] = None
    rule = profile.create2
    if rule is not None and (why := missing("factory", "account" in (*rule.salt, *rule.arguments))):
        leave("address", "CREATE2", why)
        changes["create2"] = None
    if profile.factory_immutable is not None and question.factory is None:
        leave("factory", "the code", _NO_FACTORY)
        changes["factory_immutable"] = None
    for owner in profile.owners:
        if isinstance(owner.source, Getter) and (why := of_getter(owner.source)):
            leave("owner", owner.label, why)
            changes["owners"] = tuple(each for each in changes.get("owners", profile.owners) if each is not owner)
    states = profile.states
    for name, source in (("slot", states.slot), ("getter", states.getter)) if states else ():
        if source is None or states is None:
            continue
        why = of_getter(source) if isinstance(source, Getter) else missing(source.at, source.key == "account")
        if why:
            leave("state", source.label, why)
            states = replace(states, **{name: None})  # type: ignore[arg-type]  # each has its own type
    if states is not None and states.slot is None and states.getter is None:
        states = None
    return replace(profile, states=states, **changes), left


def rows(profile: Profile, question: Question, logged: Sequence[Created], answers: Answers) -> list[Row]:
    """A row for each source of a profile that ``possible`` has left. ``logged``: what the factory's logs say."""
    created = logged[0] if logged else None
    account, factory = question.account or NOBODY, question.factory or ZERO
    found, rows = _findings(profile, question, created, answers)
    state = profile.state(found.stored) if found.stored is not None else None
    common = _common_owners(found.findings)
    rows = [*(_row(each, profile, question, found, answers, common, state) for each in found.findings), *rows]
    if len(logged) > 1:
        what = f"the factory has logged {len(logged)} wallets for account {account}"
        rows.append(Row("address", _EVENT, ",".join(each.wallet for each in logged), "fails", what))
    accepted = found.findings[0].value != ""
    immutable = f"immutable {profile.factory_immutable}"
    if profile.factory_immutable is not None and accepted and not any(row.source == immutable for row in rows):
        rows.append(Row("factory", immutable, factory, "holds"))
    if profile.states is not None and not any(row.check == "state" for row in rows):
        rows.append(_state(profile, found, state, accepted))
    if state is WalletState.CLOSED:
        rows += [_closed(slot, value, meaning, question, answers) for slot, value, meaning in profile.closed_slots]
    return rows


def closed_reads(profile: Profile, wallet: Address) -> list[Read]:
    """The slots that closing leaves something in."""
    return [Read("slot", wallet, slot.to_bytes(32, "big")) for slot, _, _ in profile.closed_slots]


def _findings(
    profile: Profile, question: Question, created: Created | None, answers: Answers
) -> tuple[Findings, list[Row]]:
    """All findings; where two sources differ, a row says so, and the rest is found without them."""
    rows: list[Row] = []
    account, factory = question.account or NOBODY, question.factory or ZERO
    while True:
        try:
            return profile.findings(account, question.wallet, factory, created, answers), rows
        except Disagreement as error:
            if error.code == "wrong_factory" and profile.factory_immutable is not None:
                rows.append(Row("factory", f"immutable {profile.factory_immutable}", "", "fails", error.message))
                profile = replace(profile, factory_immutable=None)
            elif error.code == "state_disagreement" and profile.states is not None:
                rows.append(Row("state", "its sources", "", "fails", error.message))
                profile = replace(profile, states=None)
            elif created is not None and created.values:
                rows.append(Row("value", _EVENT, "", "fails", error.message))
                created = replace(created, values={})
            else:
                raise


def _common_owners(findings: Sequence[Finding]) -> frozenset[str]:
    told = [frozenset(each.value.split(",")) for each in findings if each.check == "owner" and each.value]
    return frozenset.intersection(*told) if told else frozenset()


def _row(
    found: Finding,
    profile: Profile,
    question: Question,
    findings: Findings,
    answers: Answers,
    common: frozenset[str],
    state: WalletState | None,
) -> Row:
    value, detail, holds = found.value, "", found.value != ""
    match found.check:
        case "code" | "proxy_code" if not holds:
            own = found.check == "proxy_code" or profile.kind == "direct"
            place = question.wallet if own else findings.implementation
            code = answers.get(Read("code", place)) if place is not None else None
            value = "0x" + keccak(code).hex() if code else ""
            detail = "none of those that are accepted" if code else "there is no code"
        case "address":
            if not holds and found.source == "CREATE2":
                return Row("address", "CREATE2", "", "unknown", "a value that it is computed from is not known")
            holds = value == question.wallet
            detail = "" if holds else f"expected {question.wallet}" if value else "it names no such wallet"
        case "owner":
            told = value.split(",")
            holds = question.owner in told if question.owner else bool(value) and bool(common - {ZERO})
            expected = f"expected {question.owner}" if question.owner else "the sources differ"
            detail = "" if holds else expected if value else "it tells no owner"
        case "admin" if value not in ("", ZERO):
            holds = state is not WalletState.CLOSED
            detail = "may replace the code: no wallet is closed while it is there"
        case "implementation":
            holds = value not in ("", ZERO)
        case "factory" | "challenge" if not holds:
            detail = "it tells none"
    return Row(found.check, found.source, value, _RESULTS[holds], detail)


def _state(profile: Profile, found: Findings, state: WalletState | None, accepted: bool) -> Row:
    assert profile.states is not None
    parts = (profile.states.slot, profile.states.getter)
    source = " and ".join(part.label for part in parts if part is not None)
    if not accepted or found.stored is None:
        return Row("state", source, "", "unknown", "the storage of code that is not accepted means nothing")
    if state is None:
        return Row("state", source, str(found.stored), "fails", "the profile has no state of this number")
    return Row("state", source, f"{state.value} ({found.stored})", "holds")


def _closed(slot: int, value: int, meaning: str, question: Question, answers: Answers) -> Row:
    answer = answers.get(Read("slot", question.wallet, slot.to_bytes(32, "big")))
    holds = answer is not None and int.from_bytes(answer, "big") == value
    shown = hex(int.from_bytes(answer or b"", "big"))
    return Row("closed_slots", f"slot {slot:#x}", shown, _RESULTS[holds], meaning if holds else f"expected {value:#x}")
