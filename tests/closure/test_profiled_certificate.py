"""Certificates of version 3: whose contract it is, by a wallet profile."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import resources

import pytest

from orchestrator.artifacts import load
from orchestrator.closure.certificate.builder import build_certificate
from orchestrator.closure.certificate.rendering import render_html
from orchestrator.closure.certificate.verifier import verify
from orchestrator.errors import ProofInvalid
from orchestrator.models import WalletState
from orchestrator.ports.chain import StateChange
from orchestrator.wallet.findings import Finding
from orchestrator.wallet.profile import parse_profile
from tests.closure.conftest import VALUES
from tests.closure.forging import forge, put

TEXT = (resources.files("orchestrator.wallet") / "profiles" / "smart-wallet.toml").read_text()
SOMEBODYS = parse_profile(TEXT.replace('"smart-wallet"', '"somebodys"'), "somebodys.toml", load)
SILENT = parse_profile(
    """
    format = 1
    name = "silent"
    title = "What the platform names, and nothing else is known of"
    [code]
    kind = "direct"
    [[code.accepts]]
    name = "SmartWallet"
    artifact = "SmartWallet"
    [account]
    by = "platform"
    """,
    "silent.toml",
    load,
)
OTHER = "0x00000000000000000000000000000000000000AA"


def findings(wallet: str, *more: Finding) -> tuple[Finding, ...]:
    return (
        Finding("code", "the code", "SmartWallet"),
        Finding("address", "the factory's event", wallet),
        Finding("factory", "the factory's event", VALUES.factory),
        Finding("address", "CREATE2", wallet),
        Finding("owner", "the code", VALUES.owner),
        *more,
    )


@pytest.fixture
def made(case):
    """Builds the case's certificate by a profile."""

    def build(profile=SOMEBODYS, said=None, **changes):
        deployment = replace(
            case.view.deployment, profile=profile.id, findings=said or findings(case.world.wallet), unchecked=()
        )
        view = replace(case.view, deployment=deployment, **changes)
        return build_certificate(case.evidence, case.verdict, account=replace(case.account, profile=profile, view=view))

    return build


def results(report):
    return {(check.name, check.detail.partition(":")[0]): check.result for check in report.checks}


def test_what_code_and_storage_say_is_judged_again(made):
    report = verify(made(), profile=SOMEBODYS)
    assert (report.valid, report.verdict, report.version) == (True, "irreversible", 3)
    details = {check.name: check.detail for check in report.checks}
    assert details["wallet_code"] == "the code: SmartWallet"
    assert details["owner"] == f"the code: {VALUES.owner}"
    assert details["wallet_factory"].endswith("(as reported)"), "no proof reaches an event"
    assert "proven storage" in details["closed_state"]
    assert {check.result for check in report.checks if check.name == "wallet_address"} == {"pass"}


def test_without_the_profile_the_closure_is_proven_and_whose_it_is_is_as_reported(made):
    report = verify(made())
    assert (report.valid, report.verdict) == (True, "irreversible")
    skipped = {check.name: check.detail for check in report.checks if check.result == "skipped"}
    assert "somebodys" in skipped["attribution"]
    assert "not at hand" in skipped["attribution"]


def test_another_profile_of_the_same_name_is_not_the_one(made):
    changed = parse_profile(
        TEXT.replace('"smart-wallet"', '"somebodys"').replace("suspended = 2", "suspended = 4"), "", load
    )
    report = verify(made(), profile=changed)
    assert {check.name: check.result for check in report.checks}["attribution"] == "skipped"


def test_what_is_not_checked_stands_in_every_form(made):
    data = made(SILENT, (Finding("code", "the code", "SmartWallet"),))
    document = json.loads(data)
    assert {"account", "create2", "factory", "owner", "state"} <= {*document["account"]["notChecked"]}
    assert "NOT checked: " in " ".join(document["restsOn"])
    report = verify(data, profile=SILENT)
    assert report.valid
    names = {check.name for check in report.checks if check.result == "skipped"}
    assert {"not_checked_account", "not_checked_owner"} <= names
    assert SILENT.tie in {check.name: check.detail for check in report.checks}["profile"]
    page = render_html(report, "0" * 64)
    assert "NOT checked" in page
    assert "account, create2" in page


def test_a_state_that_nobody_tells_is_no_closing_transaction(made, case):
    silent = StateChange(WalletState.UNKNOWN, case.view.change.block, None)
    data = made(SILENT, (Finding("code", "the code", "SmartWallet"),), change=silent)
    assert json.loads(data)["account"]["closing"]["transaction"] is None
    assert verify(data, profile=SILENT).valid
    assert "not told by an event" in render_html(verify(data), "0" * 64)


FORGED = {
    "owner": put("account", "findings", 4, "value", OTHER),
    "wallet_address": put("account", "findings", 3, "value", OTHER),
    "wallet_factory": put("account", "findings", 2, "value", OTHER),
    "wallet_code": put("account", "findings", 0, "value", "AnotherWallet"),
    "profile": put("account", "notChecked", ["owner"]),
    "rests_on": put("account", "profile", "sha256", "0" * 64),
}


@pytest.mark.parametrize("check", FORGED)
def test_a_changed_finding_is_noticed(made, check):
    report = verify(forge(made(), FORGED[check]), profile=SOMEBODYS)
    assert not report.valid
    assert check in {one.name for one in report.checks if one.result == "fail"}


def test_an_administrator_that_is_left_is_no_certificate(made, case):
    with pytest.raises(ProofInvalid, match="may still replace the code"):
        made(said=findings(case.world.wallet, Finding("admin", "the admin slot (ERC-1967)", OTHER)))


def test_the_customers_wallet_is_one_of_the_owners(made, case):
    with pytest.raises(ProofInvalid, match="the customer's wallet is"):
        made(said=(Finding("owner", "getOwners()", OTHER),))
    several = Finding("owner", "getOwners()", f"{OTHER},{VALUES.owner}")
    assert verify(made(said=(*findings(case.world.wallet), several)), profile=SOMEBODYS).valid
