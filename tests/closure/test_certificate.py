"""The certificate of a closed wallet: built, written, verified, and every change of it noticed."""

from __future__ import annotations

import dataclasses
import json
import os

import jsonschema
import pytest
import rfc8785
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.closure.certificate import Residue, build_certificate, write_certificate
from orchestrator.closure.verifier import certificate_schema, verify
from orchestrator.errors import Disagreement, ProofInvalid
from orchestrator.models import AccountId, AccountStatus, ChainId, WalletState

FULL = os.environ.get("ORCHESTRATOR_TEST_PROFILE") == "full"


def build(case, signer=None, **more) -> bytes:
    return build_certificate(
        chain=ChainId(31337), platform=case.platform, view=case.view, proven=case.proven, signer=signer, **more
    )


def failed(report) -> set[str]:
    return {check.name for check in report.checks if check.result == "fail"}


def forge(data: bytes, change) -> bytes:
    """Changes the content and makes the file whole again, as anyone could: canonical and with a right digest."""
    import hashlib

    document = json.loads(data)
    change(document)
    document.pop("signature")
    digest = hashlib.sha256(rfc8785.dumps(document)).hexdigest()
    return rfc8785.dumps({**document, "signature": {"scheme": "unsigned", "sha256": digest}}) + b"\n"


def test_an_unsigned_certificate(case):
    data = build(case, residue=[Residue("ether", "ether can still be sent here, and never leaves")])
    assert data.endswith(b"\n")
    report = verify(data)
    assert report.valid, failed(report)
    assert (report.verdict, report.reason, report.claim) == ("inconclusive", "analysis_not_run", "state_proven")
    assert report.address == case.world.wallet
    assert report.chain_id == "eip155:31337"
    assert report.block == case.proven.block
    assert (report.signer, report.signed, report.canonical) == (None, False, None)
    assert b"irreversible" not in data
    assert "irreversible" not in json.dumps(report.to_json())


def test_a_signed_certificate(case, signer):
    data = build(case, signer)
    for demanded in (None, signer.address):
        report = verify(data, signer=demanded)
        assert report.valid, failed(report)
        assert (report.signer, report.signed) == (signer.address, True)


def test_another_signer_than_demanded(case, signer):
    other = "0x00000000000000000000000000000000000000AA"
    for data in (build(case, signer), build(case)):
        report = verify(data, signer=other)
        assert not report.valid
        assert failed(report) == {"signer"}


def test_the_report_is_the_command_lines_document(case):
    document = verify(build(case)).to_json()
    assert {"valid", "verdict", "address", "chainId", "block", "signer", "signed", "canonical", "checks"} <= set(
        document
    )
    assert document["block"] == {"number": 100, "hash": case.header["hash"]}
    assert all(check["result"] in ("pass", "fail", "skipped") and check["detail"] for check in document["checks"])
    json.dumps(document)


def test_real_certificates_are_as_the_schema_has_them(case, signer):
    schema = certificate_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for data in (build(case), build(case, signer)):
        validator.validate(json.loads(data))


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("signed", [False, True])
def test_every_changed_byte_is_noticed(case, signer, signed):
    data = build(case, signer if signed else None)
    demanded = signer.address if signed else None
    assert verify(data, signer=demanded).valid
    step = 1009 if not FULL else 7 if signed else 1
    for position in sorted({*range(0, len(data), step), *range(len(data) - 6, len(data))}):
        # One bit: another digit or letter; the other: another case of a letter.
        changed = bytearray(data)
        changed[position] ^= 0x20 if position % 2 else 0x01
        assert not verify(bytes(changed), signer=demanded).valid, position
        if position % 4 == 0 or not FULL:
            assert not verify(data[:position] + data[position + 1 :], signer=demanded).valid, position


def test_every_changed_byte_of_the_signature_is_noticed_without_a_demanded_signer(case, signer):
    data = build(case, signer)
    start, end = data.index(b'"signature"'), data.index(b'"slots"')
    for position in range(start, end, 1 if FULL else 11):
        changed = bytearray(data)
        changed[position] ^= 0x01
        assert not verify(bytes(changed)).valid, position
        assert not verify(data[:position] + data[position + 1 :]).valid, position


def put(*path):
    *way, name, value = path

    def change(document):
        target = document
        for part in way:
            target = target[part]
        target[name] = value

    return change


FORGERIES = [
    (put("platform", "accountId", "11111111-2222-4333-8444-555555555555"), "create2_address"),
    (put("address", "0x00000000000000000000000000000000000000AA"), "account_proof"),
    (put("block", "number", 101), "header"),
    (put("block", "hash", "0x" + "11" * 32), "header"),
    (put("header", "stateRoot", "0x" + "11" * 32), "header"),
    (put("code", "0x00"), "code_hash"),
    (put("deployment", "owner", "0x00000000000000000000000000000000000000AA"), "deployment"),
    (put("deployment", "salt", "0x" + "11" * 32), "create2_address"),
    (put("slots", 0, "value", "0x" + "00" * 32), "slots"),
    (put("slots", 0, "meaning", "all is well"), "slots"),
    (put("accountProof", "storageProof", 0, "value", "0x0"), "account_proof"),
    (put("closing", "block", "number", 101), "account_record"),
    (put("closing", "block", "number", 100), "account_record"),
    (put("verdict", "irreversible"), "format"),
    (put("analysis", "result", "inert"), "format"),
    (put("version", 2), "format"),
    (put("more", "than the schema has"), "format"),
    (put("platform", "accountId", "0b7c1a52-6f0e-4f43-9d55-6b1f0f5b7a01\n"), "format"),
    (put("deployment", "owner", "0x00000000000000000000000000000000000000aa"), "format"),
]


@pytest.mark.parametrize(("change", "check"), FORGERIES)
def test_a_forgery_with_a_right_digest_fails_by_what_it_says(case, change, check):
    report = verify(forge(build(case), change))
    assert not report.valid
    assert check in failed(report)
    assert report.verdict == "inconclusive"
    assert report.claim is None


def test_a_wallet_that_is_not_closed_gets_no_certificate(case, hand_made):
    for storage in ({"s1": 5}, {"s2": 5}):
        world = hand_made["closed"](**storage)
        with pytest.raises(ProofInvalid, match="no certificate was made: slots: slot"):
            build(hand_made["case"](world))
    active = hand_made["world"](case.world.wallet, case.world.code, {0: 1})
    with pytest.raises(ProofInvalid, match=r"slot 0: expected 0x3 .* proven is 0x1"):
        build(hand_made["case"](active))
    with_key = hand_made["world"](case.world.wallet, case.world.code, {0: 0xAA03})
    with pytest.raises(ProofInvalid, match="slot 0"):
        build(hand_made["case"](with_key))


def test_other_code_gets_no_certificate(case, hand_made):
    other = hand_made["world"](case.world.wallet, case.world.code[:-1], {0: 3})
    with pytest.raises(ProofInvalid, match="code"):
        build(hand_made["case"](other))


def test_view_and_platform_must_say_closed(case):
    change = dataclasses.replace(case.view.change, state=WalletState.ACTIVE)
    with pytest.raises(Disagreement, match="active"):
        build(dataclasses.replace(case, view=dataclasses.replace(case.view, change=change)))
    with pytest.raises(Disagreement, match="pending"):
        build(
            dataclasses.replace(case, platform=dataclasses.replace(case.platform, status=AccountStatus.PENDING)),
        )


def test_an_account_that_does_not_own_this_wallet(case):
    other = AccountId("11111111-2222-4333-8444-555555555555")
    with pytest.raises(ProofInvalid, match="create2_address"):
        build(dataclasses.replace(case, platform=dataclasses.replace(case.platform, id=other)))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"null\n",
        b"[]\n",
        b"{}\n",
        b'{"format":"offblocks-closure-certificate","version":1}\n',
        b"\xff\xfe",
        b"[" * 200_000,
        b'{"a":NaN}',
        b'{"a":1.5}',
        b"9" * 100_000,
        b" " * (5 << 20),
        b"<html>",
        b'{"format":["x"],"version":{}}',
    ],
)
def test_bytes_that_are_no_certificate(data):
    report = verify(data)
    assert not report.valid
    assert failed(report) == {"format"}
    assert report.address is None
    assert report.to_json()["block"] is None


def test_a_token_may_say_anything_about_itself(case):
    data = build(case, residue=[Residue("token", "\x00\ud800" + "x" * 5000), Residue("token", "")] * 600)
    assert verify(data).valid
    assert verify(build(case, residue=[Residue("token", '"[[{{\\' * 200)])).valid


def test_writing_is_all_or_nothing(case, tmp_path):
    path = tmp_path / "certificate.json"
    path.write_bytes(b"older")
    data = build(case)
    write_certificate(path, data)
    assert path.read_bytes() == data
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(OSError, match=r"."):
        write_certificate(tmp_path / "no folder" / "c.json", data)
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match=r"."):
        write_certificate(tmp_path / "folder", data)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["certificate.json", "folder"]


ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(alphabet="0x1aF\n-Zé[", max_size=70),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def places(value, way=()):
    if isinstance(value, dict | list):
        for name in value if isinstance(value, dict) else range(len(value)):
            yield (*way, name)
            yield from places(value[name], (*way, name))


FREE = {("issuedAt",), ("tool", "version"), ("chainId",), ("residue",), ("restsOn",), ("platform", "customerId")}
"""What is stated, not proven: only the digest or the signature covers it."""


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.data())
def test_any_value_at_any_place_of_a_forged_certificate(case, data):
    certificate = build(case)
    way = data.draw(st.sampled_from(sorted(places(json.loads(certificate)), key=str)))
    value = data.draw(ANY)
    report = verify(forge(certificate, put(*way, value)) if way[0] != "signature" else certificate)
    json.dumps(report.to_json())
    if way[:1] in FREE or way[:2] in FREE or way[0] in ("signature", "closing", "deployment", "platform"):
        return
    original = json.loads(certificate)
    for part in way:
        original = original[part]
    assert report.valid == (json.dumps(original, sort_keys=True) == json.dumps(value, sort_keys=True))
