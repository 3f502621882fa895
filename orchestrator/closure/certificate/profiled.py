"""Whose contract it is, by a wallet profile: the account section of a version 3 certificate. Pure.

What the proven code and storage say is judged again here, where the profile is at hand: a built-in one, or the one that
the verifier was given. What only a node can say (events, getters) and the platform's record are as reported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from orchestrator.closure.certificate.attribution import check_record
from orchestrator.closure.certificate.report import Checklist, Failed
from orchestrator.closure.proof.evidence import Evidence
from orchestrator.errors import Disagreement, SettingsError
from orchestrator.models import AccountId, Address, BlockRef, ChainAccount
from orchestrator.ports.chain import Deployment
from orchestrator.wallet.findings import NOT_CHECKED, Finding, Findings, Read
from orchestrator.wallet.profile import BUILT_IN, load_profile
from orchestrator.wallet.reading import Profile

_NAMES: Final = {
    "code": "wallet_code",
    "proxy_code": "proxy_code",
    "implementation": "implementation",
    "admin": "proxy_admin",
    "address": "wallet_address",
    "factory": "wallet_factory",
    "owner": "owner",
}
"""The certificate's check for each of a finding's; a challenge is a record and no check."""


def attribution_of(profile: Profile, factory: Address, deployment: Deployment) -> dict[str, Any]:
    """What a certificate states of the profile and its findings."""
    return {
        "profile": {"name": profile.name, "title": profile.title, "sha256": profile.sha256},
        "factory": factory,
        "findings": [
            {"check": one.check, "source": one.source, "value": one.value} for one in deployment.findings if one.value
        ],
        "notChecked": list(profile.unchecked),
    }


def built_in(stated: Mapping[str, Any]) -> Profile | None:
    """The shipped profile that a certificate names, if it still says the same."""
    if stated["name"] not in BUILT_IN:
        return None
    try:
        profile = load_profile(stated["name"])
    except SettingsError:
        return None
    return profile if profile.sha256 == stated["sha256"] else None


class ProfiledAttribution:
    """The checks of a version 3 certificate's account section. ``profile``: one that the verifier was given."""

    def __init__(self, account: Mapping[str, Any], evidence: Evidence, profile: Profile | None) -> None:
        self._account = account
        self._evidence = evidence
        stated = account["profile"]
        given = profile if profile is not None and profile.sha256 == stated["sha256"] else None
        self._profile = given or built_in(stated)
        self._stated = [Finding(one["check"], one["source"], one["value"]) for one in account["findings"]]

    def run(self, checks: Checklist, block: BlockRef | None, slots: Mapping[int, int]) -> None:
        """``block`` and ``slots`` (of the wallet) are the proven ones."""
        profile, stated = self._profile, self._account["profile"]
        if profile is None:
            checks.skip("attribution", f"by the profile {stated['name']} ({stated['sha256']}), which is not at hand")
        else:
            checks.check("profile", lambda: self._check_profile(profile))
        again = None if profile is None or block is None else self._again(profile, slots)
        for finding in self._stated:
            if finding.check in _NAMES:
                self._judge(checks, finding, again)
        if profile is not None and block is not None:
            self._check_closed(checks, profile, slots)
        checks.check("account_record", lambda: check_record(self._account, block), block is not None)
        checks.skip("closing_transaction", "as reported by a node when this was made; --rpc-url asks one again")
        for name in self._account["notChecked"]:
            checks.skip(f"not_checked_{name}", f"the wallet's profile cannot tell: {NOT_CHECKED.get(name, name)}")

    def _check_profile(self, profile: Profile) -> str:
        if self._account["notChecked"] != list(profile.unchecked):
            raise Failed("what the certificate states as not checked is not what the profile leaves out")
        return f"{profile.name} {profile.sha256[:16]}…" + (f"; {profile.tie}" if profile.tie else "")

    def _again(self, profile: Profile, slots: Mapping[int, int]) -> Findings | str:
        """The findings of what is proven alone; a sentence where two proven sources differ."""
        wallet = self._evidence.address
        answers: dict[Read, bytes | None] = {Read("code", wallet): self._evidence.code}
        for address, target in self._evidence.targets.items():
            answers[Read("code", address)] = target.code
        for slot, value in slots.items():
            answers[Read("slot", wallet, slot.to_bytes(32, "big"))] = value.to_bytes(32, "big")
        account = AccountId(self._account["platform"]["accountId"])
        try:
            return profile.proven_findings(account, wallet, self._account["factory"], answers)
        except Disagreement as error:
            return error.message

    def _judge(self, checks: Checklist, stated: Finding, again: Findings | str | None) -> None:
        """A finding must be one that fits, and what the proof says of the same source must be the same."""
        name = _NAMES[stated.check]

        def fits() -> str:
            wrong = _misfit(stated, self._evidence.address, self._account)
            if wrong is not None:
                raise Failed(wrong)
            if isinstance(again, str):
                raise Failed(again)
            proven = None if again is None else _same_source(again, stated)
            if proven is not None and proven != stated.value:
                raise Failed(f"{stated.source}: the certificate says {stated.value}, proven is {proven}")
            return f"{stated.source}: {stated.value}" + ("" if proven else " (as reported)")

        checks.check(name, fits)

    def _check_closed(self, checks: Checklist, profile: Profile, slots: Mapping[int, int]) -> None:
        known = [(slot, value, meaning) for slot, value, meaning in profile.closed_slots if slot in slots]

        def closed() -> str:
            for slot, value, meaning in known:
                if slots[slot] != value:
                    raise Failed(f"slot {slot}: expected {value:#x} ({meaning}), proven is {slots[slot]:#x}")
            return "proven storage is that of a closed wallet: " + "; ".join(meaning for _, _, meaning in known)

        if known:
            checks.check("closed_state", closed)


def _same_source(again: Findings, stated: Finding) -> str | None:
    """What the proven bytes say in the same place; None where they do not reach."""
    values = (one.value for one in again.findings if (one.check, one.source) == (stated.check, stated.source))
    return next(values, None) or None


def _misfit(stated: Finding, wallet: Address, account: Mapping[str, Any]) -> str | None:
    owner = ChainAccount.parse(account["platform"]["owner"]).address
    match stated.check:
        case "address" if stated.value != wallet:
            return f"{stated.source} gives {stated.value}, the certificate is for {wallet}"
        case "factory" if stated.value != account["factory"]:
            return f"{stated.source} names {stated.value}, the certificate's factory is {account['factory']}"
        case "owner" if owner not in stated.value.split(","):
            return f"{stated.source} names {stated.value}, the customer's wallet is {owner}"
        case "admin" if int(stated.value, 16):
            return f"{stated.value} may still replace the code ({stated.source})"
        case _:
            return None
