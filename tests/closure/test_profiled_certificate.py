"""Certificates of version 3: whose contract it is, by a wallet profile."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import resources

import pytest

from orchestrator.artifacts import Artifact, load
from orchestrator.closure.certificate.builder import build_certificate
from orchestrator.closure.certificate.rendering import render_html
from orchestrator.closure.certificate.rerun import rests_on
from orchestrator.closure.certificate.verifier import verify
from orchestrator.errors import ProofInvalid
from orchestrator.models import WalletState
from orchestrator.ports.chain import StateChange
from orchestrator.wallet.findings import Finding
from orchestrator.wallet.profile import load_profile, parse_profile
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


def findings(wallet: str) -> tuple[Finding, ...]:
    """What every source of ``SOMEBODYS`` says of a wallet that is as it should be."""
    event = "the factory's event"
    return (
        Finding("code", "the code", "SmartWallet"),
        Finding("address", event, wallet),
        Finding("factory", event, VALUES.factory),
        Finding("address", "CREATE2", wallet),
        Finding("owner", event, VALUES.owner),
        Finding("owner", "the code", VALUES.owner),
        Finding("challenge", event, "0x" + "0d" * 32),
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


def failed(report):
    return {check.name for check in report.checks if check.result == "fail"}


def test_what_code_and_storage_say_is_judged_again(made):
    report = verify(made(), known=SOMEBODYS)
    assert (report.valid, report.verdict, report.version) == (True, "irreversible", 3)
    details = {check.name: check.detail for check in report.checks}
    assert details["wallet_code"] == "the code: SmartWallet"
    assert details["owner"] == f"the code: {VALUES.owner}"
    assert details["wallet_factory"].endswith("(as reported)"), "no proof reaches an event"
    assert "proven storage" in details["closed_state"]
    found = {(check.name, check.result) for check in report.checks}
    assert {("wallet_address", "pass"), ("wallet_address", "skipped"), ("wallet_factory", "skipped")} <= found


def test_without_the_profile_the_closure_is_proven_and_whose_it_is_is_as_reported(made):
    report = verify(made())
    assert (report.valid, report.verdict) == (True, "irreversible")
    skipped = {check.name: check.detail for check in report.checks if check.result == "skipped"}
    assert "somebodys" in skipped["attribution"]
    assert "not at hand" in skipped["attribution"]
    assert skipped["owner"].endswith("(as reported)"), "nothing that was not judged is a passed check"


def test_another_profile_of_the_same_name_is_not_the_one(made):
    changed = parse_profile(
        TEXT.replace('"smart-wallet"', '"somebodys"').replace("suspended = 2", "suspended = 4"), "", load
    )
    report = verify(made(), known=changed)
    assert {check.name: check.result for check in report.checks}["attribution"] == "skipped"
    demanded = verify(made(), profile=changed)
    assert not demanded.valid
    assert failed(demanded) == {"profile"}


def test_what_is_not_checked_stands_in_every_form(made):
    data = made(SILENT, (Finding("code", "the code", "SmartWallet"),))
    document = json.loads(data)
    assert {"account", "create2", "factory", "owner", "state"} <= {*document["account"]["notChecked"]}
    assert "NOT checked: " in " ".join(document["restsOn"])
    report = verify(data, known=SILENT)
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
    assert verify(data, known=SILENT).valid
    assert "not told by an event" in render_html(verify(data), "0" * 64)


def of_version_2(document):
    put("account", "profile", "name", "smart-wallet")(document)
    put("account", "profile", "sha256", load_profile("smart-wallet").sha256)(document)
    put("account", "profile", "title", load_profile("smart-wallet").title)(document)


def without_findings(document):
    document["account"]["findings"] = []


def without_the_owner(document):
    del document["account"]["findings"][5]


def again(document):
    document["account"]["findings"].append(document["account"]["findings"][0])


FORGED = [
    (put("account", "findings", 5, "value", OTHER), "owner"),
    (put("account", "findings", 4, "value", OTHER), "owner"),
    (put("account", "findings", 3, "value", OTHER), "wallet_address"),
    (put("account", "findings", 1, "value", OTHER), "wallet_address"),
    (put("account", "findings", 2, "value", OTHER), "wallet_factory"),
    (put("account", "findings", 0, "value", "AnotherWallet"), "wallet_code"),
    (put("account", "findings", 5, "source", "the code "), "profile"),
    (put("account", "findings", 0, "check", "admin"), "profile"),
    (put("account", "notChecked", ["owner"]), "profile"),
    (put("account", "profile", "title", "Audited by everyone"), "profile"),
    (put("account", "profile", "name", "safe"), "profile"),
    (put("account", "factory", OTHER), "attribution"),
    (put("account", "platform", "owner", f"eip155:31337:{OTHER}"), "attribution"),
    (put("account", "platform", "owner", f"eip155:1:{VALUES.owner}"), "customer"),
    (put("account", "platform", "owner", "eip155:31337:0x52908400098527886E0F7030069857D2E4169Ee7"), "customer"),
    (put("account", "platform", "accountId", "00000000-0000-4000-8000-000000000000"), "attribution"),
    (of_version_2, "profile"),
    (without_findings, "profile"),
    (without_the_owner, "profile"),
    (again, "profile"),
]


@pytest.mark.parametrize(("change", "check"), FORGED)
def test_a_changed_section_is_noticed(made, change, check):
    def whole(document):
        change(document)
        document["restsOn"] = rests_on(document)

    report = verify(forge(made(), whole), known=SOMEBODYS)
    assert not report.valid
    assert check in failed(report), report.checks


def test_a_contract_that_is_no_wallet_of_the_profile_has_none_of_its_findings(made, case, monkeypatch):
    """Whatever the file says: what the proven code is not, nobody has reported."""
    data = made()
    monkeypatch.setattr(Artifact, "matches", lambda *_: False)
    report = verify(data, known=SOMEBODYS)
    assert failed(report) == {"attribution"}


@pytest.mark.parametrize("value", ["zz", "", "0x", OTHER])
def test_an_administrator_that_is_left_is_no_certificate(made, case, value):
    with pytest.raises(ProofInvalid):
        made(said=(*findings(case.world.wallet), Finding("admin", "the admin slot (ERC-1967)", value)))


def test_a_source_that_is_missing_is_no_certificate(made, case):
    with pytest.raises(ProofInvalid, match="lacking owner by the code"):
        made(said=tuple(one for one in findings(case.world.wallet) if (one.check, one.source) != ("owner", "the code")))
