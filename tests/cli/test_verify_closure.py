"""``verify-closure`` as a person and a script use it: no settings, one document, the exit codes of the interface."""

from __future__ import annotations

import json

import jsonschema
import pytest

from orchestrator import schemas
from orchestrator.closure.certificate.verifier import verify
from orchestrator.devnet.anvil import Anvil
from orchestrator.models import checksum
from tests.closure.cases.assembler import assemble

CLOSED, OPEN, EMPTY = (checksum(f"{number:040x}") for number in (0xC105ED0001, 0x09E40001, 0xE3971))
GUARDED = assemble("3 0 SLOAD EQ @closed JUMPI 9 1 SSTORE STOP closed: 0 0 REVERT")


@pytest.fixture(scope="module")
def node():
    with Anvil() as anvil:
        for address, state in ((CLOSED, 3), (OPEN, 2)):
            anvil.rpc_sync("anvil_setCode", address, "0x" + GUARDED.hex())
            anvil.rpc_sync("anvil_setStorageAt", address, f"0x{0:064x}", f"0x{state:064x}")
        anvil.rpc_sync("anvil_mine", hex(4))
        yield anvil


def keeps(document):
    jsonschema.Draft202012Validator(json.loads(schemas.text("verify-closure"))).validate(document)
    return document


def test_irreversible(alone, node, tmp_path):
    file = tmp_path / "closed.json"
    document = alone.json("verify-closure", CLOSED, "--rpc-url", node.url, "--certificate", str(file))
    assert (keeps(document)["verdict"], document["analysis"], document["reason"]) == ("irreversible", "inert", "inert")
    assert document["address"] == CLOSED
    assert document["chainId"] == "eip155:31337"
    assert document["witness"] is None
    report = verify(file.read_bytes())
    assert (report.valid, report.verdict, report.address) == (True, "irreversible", CLOSED)
    assert alone.json("certificate", "verify", str(file), "--rpc-url", node.url)["canonical"] is True
    assert "--rpc-url asks" in alone.here("certificate", "verify", str(file)).stdout
    assert "--rpc-url asks" not in alone.here("certificate", "verify", str(file), "--rpc-url", node.url).stdout
    dead = alone.here("certificate", "verify", str(file), "--rpc-url", "http://127.0.0.1:9")
    assert (dead.code, "no node that was asked could tell" in dead.stdout) == (3, True)


def test_reversible(alone, node, tmp_path):
    file = tmp_path / "open.json"
    done = alone.here("verify-closure", OPEN, "--rpc-url", node.url, "--certificate", str(file), "--json")
    assert done.code == 1
    document = keeps(done.document)
    assert (document["verdict"], document["witness"]["confirmed"]) == ("reversible", True)
    assert not file.exists()
    assert "no certificate is written" in done.stderr


@pytest.mark.parametrize(
    ("address", "code", "reason"),
    [(CLOSED, 3, "not_final"), (OPEN, 1, "acting"), (EMPTY, 1, "no_code")],
)
def test_the_newest_block(alone, node, address, code, reason):
    document = alone.json("verify-closure", address, "--block", "latest", "--rpc-url", node.url, expect=code)
    assert keeps(document)["reason"] == reason


@pytest.mark.parametrize("spelled", [str.lower, str.upper])
def test_an_address_in_any_case(alone, node, spelled):
    text = spelled(CLOSED).replace("0X", "0x")
    assert alone.json("verify-closure", text, "--rpc-url", node.url)["address"] == CLOSED


def test_the_option_before_the_command(alone, node):
    assert alone.json("--rpc-url", node.url, "verify-closure", CLOSED)["verdict"] == "irreversible"


def test_a_block_by_number_and_hash(alone, node):
    block = node.rpc_sync("eth_getBlockByNumber", "finalized", False)
    for name in (block["number"], str(int(block["number"], 16)), block["hash"]):
        document = alone.json("verify-closure", CLOSED, "--rpc-url", node.url, "--block", name)
        assert document["block"] == {"number": int(block["number"], 16), "hash": block["hash"]}


def test_trouble_with_the_node_is_a_verdict(alone):
    document = alone.json("verify-closure", CLOSED, "--rpc-url", "http://127.0.0.1:9", expect=3)
    assert (keeps(document)["verdict"], document["reason"]) == ("inconclusive", "chain_unreachable")
    assert (document["block"], document["chainId"], document["codeHash"]) == (None, None, None)


@pytest.mark.parametrize(
    "arguments",
    [
        ("0x1234", "--rpc-url", "http://127.0.0.1:9"),
        ("vitalik.eth", "--rpc-url", "http://127.0.0.1:9"),
        (CLOSED[:-1] + "g", "--rpc-url", "http://127.0.0.1:9"),
        ("0x52908400098527886E0F7030069857D2E4169Ee7", "--rpc-url", "http://127.0.0.1:9"),
        (CLOSED,),
        (CLOSED, "--rpc-url", "ftp://x"),
        (CLOSED, "--rpc-url", "http://127.0.0.1:9", "--block", "pending"),
        (CLOSED, "--rpc-url", "http://127.0.0.1:9", "--block", "soon"),
        (CLOSED, "--rpc-url", "http://127.0.0.1:9", "--certificate", "/nowhere/at/all.json"),
        (),
    ],
)
def test_usage(alone, arguments):
    done = alone.here("verify-closure", *arguments, "--json")
    assert done.code == 2
    assert done.document["error"]["message"]


def test_a_person_reads_the_verdict_first(alone, node):
    done = alone.here("verify-closure", CLOSED, "--rpc-url", node.url)
    assert done.code == 0
    assert done.stdout.startswith("IRREVERSIBLE disabled for ever (inert)")
    for word in ("block_hash", "code_permanence", "authority", "Beside the verdict", "It rests on"):
        assert word in done.stdout


def test_a_person_can_copy_the_witness(alone, node):
    done = alone.here("verify-closure", OPEN, "--rpc-url", node.url)
    assert done.code == 1
    assert done.stdout.startswith("REVERSIBLE NOT disabled for ever (acting)")
    assert "What still works" in done.stdout
    (line,) = (line for line in done.stdout.splitlines() if "cast call" in line)
    assert OPEN in line
    assert '--rpc-url "$RPC_URL"' in line


def test_it_needs_no_settings_and_leaves_nothing_behind(alone, node, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    done = alone.run("verify-closure", CLOSED, "--rpc-url", node.url, "--json")
    assert (done.code, done.document["verdict"]) == (0, "irreversible")
    assert sorted(tmp_path.rglob("*")) == before


def test_help(alone):
    done = alone.here("verify-closure", "--help")
    assert done.code == 0
    assert "Example: orchestrator verify-closure" in " ".join(done.stdout.split())
