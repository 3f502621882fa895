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
from orchestrator.errors import Disagreement, UnsupportedChain
from orchestrator.models import AccountId, Address, BlockRef, ChainAccount, WalletState
from orchestrator.ports.chain import Deployment
from orchestrator.wallet.family import ZERO
from orchestrator.wallet.findings import NOT_CHECKED, Finding, Findings, Read
from orchestrator.wallet.profile import BUILT_IN, load_profile
from orchestrator.wallet.reading import DEFAULT_PROFILE, Profile

_NAMES: Final = {
    "code": "wallet_code",
    "proxy_code": "proxy_code",
    "implementation": "implementation",
    "admin": "proxy_admin",
    "address": "wallet_address",
    "factory": "wallet_factory",
    "owner": "owner",
    "challenge": "creation_challenge",
}
"""The certificate's check for each of a finding's."""
_Pair = tuple[str, str]
"""A check and its source."""


def attribution_of(profile: Profile, factory: Address, deployment: Deployment) -> dict[str, Any]:
    """What a certificate states of the profile and its findings."""
    return {
        "profile": {"name": profile.name, "title": profile.title, "sha256": profile.sha256},
        "factory": factory,
        "findings": [{"check": one.check, "source": one.source, "value": one.value} for one in deployment.findings],
        "notChecked": list(profile.unchecked),
    }


def built_in(stated: Mapping[str, Any]) -> Profile | None:
    """The shipped profile that a certificate names, if it still says the same."""
    profile = load_profile(stated["name"]) if stated["name"] in BUILT_IN else None
    return profile if profile is not None and profile.sha256 == stated["sha256"] else None


class ProfiledAttribution:
    """The checks of a version 3 certificate's account section. ``known``: a profile that may be the certificate's;
    ``demanded``: one that must be."""

    def __init__(
        self, document: Mapping[str, Any], evidence: Evidence, known: Profile | None, demanded: Profile | None
    ) -> None:
        self._account: Mapping[str, Any] = document["account"]
        self._chain = document["chainId"]
        self._evidence = evidence
        self._stated = [Finding(one["check"], one["source"], one["value"]) for one in self._account["findings"]]
        self._demanded = demanded
        named = self._account["profile"]
        given = known if known is not None and known.sha256 == named["sha256"] else None
        self._profile = demanded or given or built_in(named)
        self._owner: Address | None = None

    def run(self, checks: Checklist, block: BlockRef | None, slots: Mapping[int, int]) -> None:
        """``block`` and ``slots`` (of the wallet) are the proven ones."""
        profile, proven = self._profile, block is not None
        checks.check("customer", self._check_customer)
        if profile is None:
            checks.skip("attribution", self._not_at_hand())
            for finding in self._stated:
                checks.skip(_NAMES[finding.check], f"{finding.source}: {finding.value} (as reported)")
        elif checks.check("profile", lambda: self._check_profile(profile), proven):
            again: list[Findings] = []
            if checks.check("attribution", lambda: self._prove(profile, slots, again)):
                self._compare(checks, again[0])
                self._check_closed(checks, profile, again[0], slots)
        checks.check("account_record", lambda: check_record(self._account, block), proven)
        checks.skip("closing_transaction", "as reported by a node when this was made; --rpc-url asks one again")
        for name in self._account["notChecked"]:
            checks.skip(f"not_checked_{name}", f"the wallet's profile cannot tell: {NOT_CHECKED.get(name, name)}")

    def _check_customer(self) -> str:
        """The customer's wallet is an account of this chain; whose, the platform reports."""
        try:
            owner = ChainAccount.parse(self._account["platform"]["owner"])
        except UnsupportedChain as error:
            raise Failed(error.message) from error
        if str(owner.chain) != self._chain:
            raise Failed(f"the customer's wallet is {owner}, the contract is on {self._chain}")
        self._owner = owner.address
        return f"the customer's wallet is {owner} (as the platform reports it)"

    def _not_at_hand(self) -> str:
        stated = self._account["profile"]
        changed = ", a built-in one's name, but it does not say what that says" if stated["name"] in BUILT_IN else ""
        return (
            f"whose contract it is was judged by the profile {stated['name']} ({stated['sha256']}){changed}: "
            "it is not at hand, so nothing of that is judged again, what was not checked included"
        )

    def _check_profile(self, profile: Profile) -> str:
        """What is stated is stated by this profile, whole."""
        stated, pairs = self._account["profile"], [(one.check, one.source) for one in self._stated]
        for name, expected in (("sha256", profile.sha256), ("name", profile.name), ("title", profile.title)):
            if stated[name] != expected:
                raise Failed(f"expected the profile's {name} {expected}, the certificate has {stated[name]}")
        if profile.name == DEFAULT_PROFILE:
            raise Failed(f"a certificate of the profile {DEFAULT_PROFILE} has version 2")
        if self._account["notChecked"] != list(profile.unchecked):
            raise Failed("what the certificate states as not checked is not what the profile leaves out")
        sources = profile.sources()
        missing = [pair for pair, needed in sources.items() if needed and pair not in pairs]
        if missing or len(set(pairs)) != len(pairs) or not set(pairs) <= set(sources):
            shown = ", ".join(f"{check} by {source}" for check, source in missing or pairs)
            raise Failed(
                f"expected a finding of each of the profile's sources, {'lacking' if missing else 'got'} {shown}"
            )
        return f"{profile.name} {profile.sha256[:16]}…" + (f"; {profile.tie}" if profile.tie else "")

    def _prove(self, profile: Profile, slots: Mapping[int, int], found: list[Findings]) -> str:
        """What code and storage say, from the proven ones."""
        wallet = self._evidence.address
        answers: dict[Read, bytes | None] = {Read("code", wallet): self._evidence.code}
        for address, target in self._evidence.targets.items():
            answers[Read("code", address)] = target.code
        for slot, value in slots.items():
            answers[Read("slot", wallet, slot.to_bytes(32, "big"))] = value.to_bytes(32, "big")
        account = AccountId(self._account["platform"]["accountId"])
        try:
            again = profile.proven_findings(account, wallet, self._account["factory"], answers)
        except Disagreement as error:
            raise Failed(error.message) from error
        for finding in again.findings:
            wrong = self._misfit(finding)
            if wrong is not None:
                raise Failed(wrong)
        found.append(again)
        return f"{len(again.findings)} of {len(self._stated)} sources are proven, the others are as reported"

    def _compare(self, checks: Checklist, again: Findings) -> None:
        """Each stated finding: it fits, and it is what the proof says, where that reaches."""
        proven: dict[_Pair, str] = {(one.check, one.source): one.value for one in again.findings}
        for stated in self._stated:
            name, value = _NAMES[stated.check], proven.get((stated.check, stated.source))
            wrong = self._misfit(stated)
            if wrong is None and value not in (None, stated.value):
                wrong = f"{stated.source}: the certificate says {stated.value}, proven is {value}"
            if wrong is not None:
                checks.fail(name, wrong)
            elif value is None:
                checks.skip(name, f"{stated.source}: {stated.value} (as reported)")
            else:
                checks.check(name, lambda said=stated: f"{said.source}: {said.value}")  # type: ignore[misc]

    def _check_closed(self, checks: Checklist, profile: Profile, again: Findings, slots: Mapping[int, int]) -> None:
        """The proven state is closed, and the proven slots are as closing leaves them."""
        known = [(slot, value, meaning) for slot, value, meaning in profile.closed_slots if slot in slots]
        if again.stored is None and not known:
            checks.skip("closed_state", "no place of the wallet's state is among what the proof rests on")
            return

        def closed() -> str:
            if again.stored is not None and profile.state(again.stored) is not WalletState.CLOSED:
                raise Failed(f"expected the state closed, proven is {again.stored}")
            for slot, value, meaning in known:
                if slots[slot] != value:
                    raise Failed(f"slot {slot}: expected {value:#x} ({meaning}), proven is {slots[slot]:#x}")
            shown = [meaning for _, _, meaning in known] or [f"the state {again.stored} is closed"]
            return "proven storage is that of a closed wallet: " + "; ".join(shown)

        checks.check("closed_state", closed)

    def _misfit(self, finding: Finding) -> str | None:
        """Why a finding is none of this account's wallet; None if it may be."""
        source, value = finding.source, finding.value
        wallet, factory = self._evidence.address, self._account["factory"]
        match finding.check:
            case "address" if value != wallet:
                return f"{source} gives {value or 'none'}, the certificate is for {wallet}"
            case "factory" if value != factory:
                return f"{source} names {value or 'none'}, the certificate's factory is {factory}"
            case "owner" if self._owner not in value.split(","):
                return f"{source} names {value or 'nobody'}, the customer's wallet is {self._owner}"
            case "admin" if value != ZERO:
                return f"{value} may still replace the code ({source})"
            case "code" | "proxy_code" | "implementation" if not value:
                return f"{source}: the proven {finding.check} is none that the profile accepts"
            case _:
                return None
