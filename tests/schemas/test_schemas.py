"""The shipped schemas are valid, take what the code makes, and refuse what it must never make."""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from orchestrator import schemas
from orchestrator.errors import ChainUnreachable, SettingsError
from orchestrator.lifecycle import events as e
from orchestrator.lifecycle.decide import Wait
from orchestrator.lifecycle.fold import fold
from orchestrator.lifecycle.recorded import Event, Recorded
from orchestrator.models import (
    AccountId,
    AccountStatus,
    Address,
    ChainAccount,
    ChainId,
    CustomerId,
    OperationKind,
    WalletState,
)
from orchestrator.ports.platform import PlatformAccount
from orchestrator.report import OperationReport, account_report, report

ACCOUNT = AccountId("5df359f0-d299-40a1-8023-17c77a50144c")
CUSTOMER = CustomerId("0b0c1c7a-27b7-4d5b-a8a5-0d8a3f5c9e11")
WALLET = Address("0x52908400098527886E0F7030069857D2E4169EE7")
NOW = datetime(2026, 3, 4, 5, 6, 7, 891, tzinfo=UTC)
HASH = "0x" + "ab" * 32
COMMANDS = {
    "account",
    "accounts",
    "audit",
    "certificate",
    "certificate-verify",
    "devnet",
    "doctor",
    "error",
    "journal",
    "journal-verify",
    "keys",
    "operation",
    "operations",
    "probe",
    "serve",
}


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads(schemas.text(name)))


def check(name: str, document: dict[str, Any]) -> None:
    validator(name).validate(json.loads(json.dumps(document)))


def state(*happened: Event) -> Any:
    return fold(
        Recorded(seq=i, stream=ACCOUNT, at=NOW, event=event, hash="0" * 64, previous="0" * 64)
        for i, event in enumerate(happened, start=1)
    )


BLOCK = e.BlockFact(number=7, hash=HASH)
OBSERVED = e.PlatformObserved(
    customer_id=CUSTOMER,
    status=AccountStatus.ACTIVE,
    wallet=f"eip155:1:{WALLET}",
    owner=f"eip155:1:{WALLET}",
    updated_at=NOW,
)
DEPLOYED = e.WalletDeployed(
    chain_id="eip155:1",
    wallet=WALLET,
    owner=WALLET,
    event_owner=WALLET,
    create2=WALLET,
    code_matches=True,
    code_hash=HASH,
    challenge_hash=HASH,
    block=BLOCK,
    tx_hash=HASH,
)
SEEN = e.WalletStateSeen(state=WalletState.ACTIVE, block=BLOCK, tx_hash=HASH, finality="finalized", final=True)
STARTED = e.OperationStarted(operation=OperationKind.ACTIVATE)


def reports() -> list[OperationReport]:
    wait = Wait("the platform to say active", NOW, NOW + timedelta(hours=1))
    whole = (STARTED, OBSERVED, DEPLOYED, SEEN)
    halted = e.OperationHalted(code="code_mismatch", message="the code is another one's")
    failed = e.OperationEnded(outcome="failed", code="account_closed", message="closing is final")
    return [
        report(ACCOUNT, state()),
        report(ACCOUNT, state(OBSERVED)),
        report(ACCOUNT, state(STARTED)),
        report(ACCOUNT, state(*whole), wait=wait),
        report(ACCOUNT, state(*whole), wait=wait, trouble=ChainUnreachable("the node is away")),
        report(ACCOUNT, state(*whole, halted)),
        report(ACCOUNT, state(*whole, failed)),
        report(ACCOUNT, state(*whole, e.OperationEnded(outcome="done"))),
    ]


@pytest.mark.parametrize("name", schemas.names())
def test_each_schema_is_valid_and_says_what_it_is_for(name: str) -> None:
    schema = json.loads(schemas.text(name))
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"]


def test_the_names_are_those_of_the_interface() -> None:
    assert set(schemas.names()) >= COMMANDS
    assert schemas.names() == sorted(schemas.names())
    with pytest.raises(SettingsError, match="operations") as caught:
        schemas.text("../../etc/passwd")
    assert caught.value.code == "unknown_schema"


def test_what_two_schemas_share_is_the_same_in_both() -> None:
    operation, operations, account, accounts = (
        json.loads(schemas.text(name)) for name in ("operation", "operations", "account", "accounts")
    )

    def body(schema: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in schema.items() if name not in ("$schema", "title", "$defs")}

    shared = operations["$defs"]["operation"]
    assert body(operation) == shared == account["$defs"]["operation"] == accounts["$defs"]["operation"]
    assert body(account) == accounts["$defs"]["account"]
    for schema in (operations, account, accounts):
        assert operation["$defs"].items() <= schema["$defs"].items()


def test_reports_fit() -> None:
    documents = [told.document() for told in reports()]
    assert {document["outcome"] for document in documents} == {"done", "failed", "waiting", "operator"}
    for document in documents:
        check("operation", document)
    check("operations", {"accounts": documents})
    check("operations", {"accounts": []})


def test_an_error_of_one_of_several_accounts_fits() -> None:
    empty = ("operation", "status", "address", "block", "waitingFor", "since", "deadline", "certificate")
    failed = {"outcome": "failed", "error": {"code": "not_a_uuid", "message": "expected a UUID", "fix": "Copy the id."}}
    check("operation", {"accountId": "nonsense", **dict.fromkeys(empty), **failed})


def test_accounts_fit() -> None:
    account = PlatformAccount(
        ACCOUNT, CUSTOMER, AccountStatus.ACTIVE, ChainAccount(ChainId(1), WALLET), ("EUR",), NOW, NOW
    )
    bare = PlatformAccount(ACCOUNT, CUSTOMER, AccountStatus.INITIATING, None, ("EUR",), NOW, NOW)
    documents = [account_report(account, reports()[-1]).document(), account_report(bare).document()]
    for document in documents:
        check("account", document)
    check("accounts", {"accounts": documents})


GOOD: dict[str, dict[str, Any]] = {
    "error": {"error": {"code": "settings_missing", "message": "missing setting", "fix": "Set what is named."}},
    "serve": {"url": "http://127.0.0.1:1"},
    "journal-verify": {"valid": False, "events": 2, "head": "0" * 64, "firstBad": 3},
    "doctor": {
        "ok": False,
        "checks": [
            {"name": "rpc", "ok": False, "detail": "no answer", "fix": "Start it."},
            {"name": "keys", "ok": True, "detail": "1 of 1", "fix": None},
        ],
    },
    "keys": {"keys": [{"name": "alice", "address": WALLET, "backend": "keystore", "disabled": False}]},
    "journal": {
        "accountId": None,
        "events": [
            {
                "seq": 1,
                "stream": ACCOUNT,
                "at": "2026-03-04T05:06:07.000891Z",
                "type": "operation_started",
                "data": {"operation": "close"},
                "hash": "a" * 64,
                "previous": "0" * 64,
            }
        ],
    },
    "audit": {
        "closures": [
            {
                "accountId": ACCOUNT,
                "address": f"eip155:1:{WALLET}",
                "result": "holds",
                "verdict": "irreversible",
                "reason": "inert",
                "detail": "no call changes it",
                "block": {"number": 9, "hash": HASH},
                "certificate": "/c.json",
                "certifiedBlock": {"number": 7, "hash": HASH},
                "canonical": True,
            }
        ],
        "holds": 1,
        "fails": 0,
        "unknown": 0,
        "untold": 0,
    },
    "certificate-verify": {
        "valid": True,
        "verdict": "irreversible",
        "reason": "inert",
        "detail": "no call changes it",
        "claim": "irreversible",
        "analysis": "inert",
        "version": 2,
        "address": WALLET,
        "chainId": "eip155:1",
        "block": {"number": 7, "hash": HASH},
        "signer": None,
        "signed": False,
        "canonical": None,
        "checks": [{"name": "account_proof", "result": "pass", "detail": "it holds"}],
    },
    "devnet": {
        "rpcUrl": "http://127.0.0.1:8545",
        "chainId": "eip155:31337",
        "platformUrl": "http://127.0.0.1:9/v1",
        "apiKey": ACCOUNT,
        "apiSecret": "s",
        "signingKey": "/tmp/k.pem",
        "signingKeyId": "k",
        "keystore": "/tmp/keystore",
        "keystorePassword": "/tmp/password",
        "customerId": CUSTOMER,
        "owner": WALLET,
        "factory": WALLET,
        "env": {"ORCHESTRATOR_PLATFORM_URL": "x", "ORCHESTRATOR_RPC_URL": "y"},
    },
}


@pytest.mark.parametrize("name", sorted(GOOD))
def test_examples_fit_and_a_missing_field_does_not(name: str) -> None:
    check(name, GOOD[name])
    check(name, GOOD[name] | {"added": "later"})
    for field in json.loads(schemas.text(name))["required"]:
        lacking = {key: value for key, value in GOOD[name].items() if key != field}
        assert not validator(name).is_valid(lacking), field


OPERATION = reports()[-1].document()
WRONG: list[tuple[str, tuple[str | int, ...], Any]] = [
    ("operation", ("outcome",), "maybe"),
    ("operation", ("operation",), "explode"),
    ("operation", ("status",), 7),
    ("operation", ("address",), WALLET),
    ("operation", ("address",), f"solana:1:{WALLET}"),
    ("operation", ("accountId",), "nonsense"),
    ("operation", ("block", "hash"), "0x12"),
    ("operation", ("block", "number"), "7"),
    ("operation", ("block", "finality"), "certain"),
    ("operation", ("since",), "2026-03-04T05:06:07+00:00"),
    ("operation", ("error",), {"code": "Bad Code", "message": "x"}),
    ("operation", ("error",), {"code": "bad", "message": ""}),
    ("operation", ("outcome",), "failed"),
    ("operation", ("outcome",), "operator"),
    ("error", ("error", "message"), ""),
    ("journal", ("events", 0, "hash"), HASH),
    ("journal", ("events", 0, "seq"), 0),
    ("journal-verify", ("firstBad",), None),
    ("journal-verify", ("valid",), True),
    ("doctor", ("ok",), True),
    ("doctor", ("checks", 0, "fix"), None),
    ("keys", ("keys", 0, "address"), "eip155:1:" + WALLET),
    ("keys", ("keys", 0, "disabled"), "no"),
    ("certificate-verify", ("verdict",), "state_proven"),
    ("certificate-verify", ("checks", 0, "result"), "fail"),
    ("certificate-verify", ("valid",), False),
    ("certificate-verify", ("canonical",), False),
    ("audit", ("closures", 0, "verdict"), "reversible"),
    ("audit", ("closures", 0, "canonical"), None),
    ("audit", ("closures", 0, "certificate"), None),
    ("audit", ("closures", 0, "address"), WALLET),
    ("audit", ("holds",), -1),
    ("certificate-verify", ("block",), None),
    ("devnet", ("env", "PATH"), "/bin"),
    ("devnet", ("chainId",), 31337),
]


@pytest.mark.parametrize(("name", "path", "value"), WRONG, ids=lambda part: str(part)[:40])
def test_wrong_documents_do_not_fit(name: str, path: tuple[str | int, ...], value: Any) -> None:
    document = deepcopy(OPERATION if name == "operation" else GOOD[name])
    check(name, document)
    place: Any = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert not validator(name).is_valid(document)
