"""The artifacts that the package ships: rebuilt and compared byte for byte, and read beside code on a real chain."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from orchestrator.artifacts import NAMES, Artifact, load
from orchestrator.devnet.anvil import Anvil
from orchestrator.devnet.dev_accounts import DEV_ACCOUNTS

ROOT = Path(__file__).resolve().parents[2]
OPERATOR, OWNER, ENTRY_POINT, ESCROW = (account.address for account in DEV_ACCOUNTS[:4])


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("build_artifacts", ROOT / "scripts/development/build_artifacts.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        yield module


@pytest.fixture(scope="module")
def artifacts() -> dict[str, bytes]:
    """What is shipped, which is what a build makes: ``test_rebuilt_they_are_the_same_bytes``."""
    return {path.name: path.read_bytes() for path in (ROOT / "orchestrator" / "artifacts").glob("*.json")}


@pytest.fixture
def shipped(script, artifacts, monkeypatch, tmp_path) -> Path:
    """A copy of the artifacts' folder, to be spoilt."""
    for name, content in artifacts.items():
        (tmp_path / name).write_bytes(content)
    monkeypatch.setattr(script, "ARTIFACTS_DIR", tmp_path)
    monkeypatch.setattr(script, "build", lambda: artifacts)
    return tmp_path


# ----------------------------------------------------------------------------------------------------------- rebuilding


def test_rebuilt_they_are_the_same_bytes(script):
    built = script.build()
    assert sorted(built) == [f"{name}.json" for name in sorted(NAMES)]
    for name, content in built.items():
        assert (ROOT / "orchestrator" / "artifacts" / name).read_bytes() == content, f"{name}: run `make artifacts`"
    assert script.differences(built) == []


def test_the_check_is_quiet_when_nothing_differs(script, shipped, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["build_artifacts.py", "--check"])
    assert script.main() == 0
    assert capsys.readouterr().out == ""


def test_the_check_says_what_differs_and_writes_nothing(script, shipped, monkeypatch, capsys):
    document = json.loads((shipped / "SmartWallet.json").read_bytes())
    document["bytecode"] = document["bytecode"][:-2] + "00"
    document["abi"].pop()
    (shipped / "SmartWallet.json").write_text(json.dumps(document))
    (shipped / "TestToken.json").write_bytes((shipped / "TestToken.json").read_bytes() + b"\n")
    (shipped / "TestEscrow.json").unlink()
    (shipped / "Stale.json").write_text("{}")
    before = {path.name: path.read_bytes() for path in shipped.iterdir()}
    monkeypatch.setattr(sys, "argv", ["build_artifacts.py", "--check"])
    assert script.main() == 1
    assert capsys.readouterr().out.splitlines() == [
        "SmartWallet.json: differs in abi, bytecode",
        "Stale.json: no contract makes it any more",
        "TestEscrow.json: missing",
        "TestToken.json: differs in form only",
    ]
    assert {path.name: path.read_bytes() for path in shipped.iterdir()} == before


def test_a_build_mends_what_differs(script, shipped, artifacts, monkeypatch, capsys):
    (shipped / "SmartWallet.json").write_text("not JSON")
    (shipped / "Stale.json").write_text("{}")
    monkeypatch.setattr(sys, "argv", ["build_artifacts.py"])
    assert script.main() == 0
    assert "wrote SmartWallet.json: differs in everything (not JSON)" in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in shipped.iterdir()} == artifacts


def test_a_compiler_error_is_shown(script, monkeypatch):
    monkeypatch.setattr(script, "source", lambda name: "// SPDX-License-Identifier: MIT\ncontract {")
    with pytest.raises(script.BuildError, match="ParserError"):
        script.compile_contracts({})


def test_a_warning_about_our_sources_is_an_error(script, monkeypatch):
    monkeypatch.setattr(script, "source", lambda name: "contract C {}")
    with pytest.raises(script.BuildError, match="SPDX license identifier"):
        script.compile_contracts({})


def test_no_artifact_names_a_machine(artifacts):
    for content in artifacts.values():
        assert str(ROOT).encode() not in content
        assert b"http" not in content


def test_the_lock_file_has_hashes_and_no_addresses():
    packages = json.loads((ROOT / "contracts" / "package-lock.json").read_bytes())["packages"]
    installed = {name: package for name, package in packages.items() if name}
    assert installed["node_modules/solc"]["version"] in load("SmartWallet").compiler_version
    assert all(package["integrity"].startswith("sha512-") for package in installed.values())
    assert not any("resolved" in package for package in installed.values())


@pytest.mark.parametrize("folder", ["contracts", "tests/closure/cases", "tests/closure/real"])
def test_npm_runs_no_script_of_a_package(folder):
    assert "ignore-scripts=true" in (ROOT / folder / ".npmrc").read_text().splitlines()
    installs = [line for line in (ROOT / "Makefile").read_text().splitlines() if "npm ci" in line]
    assert all("--ignore-scripts" in line for line in installs), installs


# -------------------------------------------------------------------------------------------------------------- loading


@pytest.mark.parametrize("name", NAMES)
def test_each_loads(name):
    artifact = load(name)
    assert artifact.name == name
    assert artifact.source_name.endswith(f"/{name}.sol")
    assert artifact.compiler_settings["evmVersion"] == "cancun"
    assert artifact.compiler_settings["metadata"] == {"appendCBOR": False, "bytecodeHash": "none"}
    assert artifact.deployed_bytecode in artifact.bytecode
    assert load(name) is artifact


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match=r"no artifact is named '\.\./models'"):
        load("../models")


def test_the_storage_layout_is_the_one_that_proofs_rely_on():
    layout = {entry.label: entry for entry in load("SmartWallet").storage_layout}
    assert [(entry.slot, entry.offset, entry.size) for entry in layout.values()] == [
        (0, 0, 1),
        (0, 1, 20),
        (1, 0, 32),
        (2, 0, 32),
    ]
    assert list(layout) == ["_state", "_sessionKey", "_creationCommitment", "_deletionCommitment"]


def test_the_interface_is_complete():
    wallet = {entry["name"] for entry in load("SmartWallet").abi if entry["type"] == "function"}
    assert wallet == {
        *("owner", "operator", "escrow", "entryPoint", "factory", "state", "sessionKey"),
        *("challengeCommitment", "computeCommitment", "commitChallenge", "activate", "deactivate", "reactivate"),
        *("close", "setSessionKey", "execute", "approveEscrow", "depositToEscrow", "isValidSignature"),
        "validateUserOp",
    }
    factory = {entry["name"] for entry in load("SmartWalletFactory").abi if entry["type"] == "function"}
    assert factory == {"operator", "entryPoint", "deploySmartWallet", "predictSmartWallet", "salt", "walletOf"}


# ------------------------------------------------------------------------------------------- code and its immutables


def filled(artifact: Artifact, values: dict[str, bytes]) -> bytes:
    code = bytearray(artifact.deployed_bytecode)
    for name, places in artifact.immutable_references.items():
        for start, length in places:
            code[start : start + length] = values[name].rjust(length, b"\0")
    return bytes(code)


@pytest.fixture
def wallet() -> Artifact:
    return load("SmartWallet")


@pytest.fixture
def values(wallet) -> dict[str, bytes]:
    return {name: bytes([index + 1]) * 20 for index, name in enumerate(wallet.immutable_references)}


def test_masked_the_code_is_the_artifacts_own(wallet, values):
    code = filled(wallet, values)
    assert code != wallet.deployed_bytecode
    assert wallet.mask(code) == wallet.deployed_bytecode
    assert wallet.matches(code)
    assert wallet.immutables(code) == {name: value.rjust(32, b"\0") for name, value in values.items()}
    assert set(values) == {"owner", "operator", "escrow", "entryPoint", "factory"}


def test_a_changed_byte_outside_of_the_immutables_shows(wallet, values):
    code = bytearray(filled(wallet, values))
    code[0] ^= 1
    assert not wallet.matches(bytes(code))


@pytest.mark.parametrize("change", [b"", b"\0"])
def test_code_of_another_length_never_matches(wallet, change):
    code = wallet.deployed_bytecode + b"\0" if change else wallet.deployed_bytecode[:-1]
    assert wallet.mask(code) == code
    assert not wallet.matches(code)
    assert not wallet.matches(b"")
    with pytest.raises(ValueError, match=rf"has {len(wallet.deployed_bytecode)} bytes, this one has {len(code)}"):
        wallet.immutables(code)


def test_copies_of_an_immutable_that_differ_are_refused(wallet, values):
    code = bytearray(filled(wallet, values))
    start, length = wallet.immutable_references["owner"][1]
    code[start + length - 1] ^= 1
    with pytest.raises(ValueError, match="immutable owner must have one value, the code has 0x"):
        wallet.immutables(bytes(code))


def test_a_contract_without_immutables():
    token = load("TestToken")
    assert token.immutables(token.deployed_bytecode) == {}
    assert token.matches(token.deployed_bytecode)


def test_what_a_real_chain_has_matches():
    from eth_abi import encode
    from eth_utils import function_signature_to_4byte_selector

    def send(node: Anvil, data: bytes, to: str | None = None) -> dict:
        transaction = {"from": OPERATOR, "data": f"0x{data.hex()}", **({"to": to} if to else {})}
        receipt = node.receipt_sync(node.rpc_sync("eth_sendTransaction", transaction))
        assert receipt["status"] == "0x1"
        return receipt

    def code_at(node: Anvil, address: str) -> bytes:
        return bytes.fromhex(node.rpc_sync("eth_getCode", address, "latest")[2:])

    factory, wallet = load("SmartWalletFactory"), load("SmartWallet")
    deploy = function_signature_to_4byte_selector("deploySmartWallet(address,address,bytes16,bytes32)")
    with Anvil() as node:
        created = send(node, factory.bytecode + encode(["address", "address"], [OPERATOR, ENTRY_POINT]))
        factory_address = created["contractAddress"]
        arguments = encode(["address", "address", "bytes16", "bytes32"], [OWNER, ESCROW, b"\1" * 16, b"\2" * 32])
        events = send(node, deploy + arguments, factory_address)["logs"]
        address = f"0x{events[-1]['topics'][1][-40:]}"
        code = code_at(node, address)
        assert factory.matches(code_at(node, factory_address))
        assert not factory.matches(code)
        assert wallet.matches(code)
        expected = {
            "owner": OWNER,
            "operator": OPERATOR,
            "escrow": ESCROW,
            "entryPoint": ENTRY_POINT,
            "factory": factory_address,
        }
        assert {name: f"0x{value[-20:].hex()}" for name, value in wallet.immutables(code).items()} == {
            name: value.lower() for name, value in expected.items()
        }
        assert node.rpc_sync("eth_getStorageAt", address, "0x0", "latest") == f"0x{'00' * 32}"


def test_loading_is_light():
    program = "import sys; from orchestrator.artifacts import load; load('SmartWallet'); print('web3' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
