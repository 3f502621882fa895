"""Key files that somebody has edited or copied, on a devnet whose policy asks for approval of changes of keys."""

from __future__ import annotations

import json

from orchestrator.passwords import FilePassword
from orchestrator.signers.keyring import Keyring
from tests.e2e.test_signing import created, proof, require, types
from tests.profile import full_only


@full_only("a devnet and 16 commands; tests/authorization/test_gate_addresses.py has the same in parts")
def test_only_the_journal_binds_a_key_and_a_stop_is_of_its_address(cli, devnet):
    """The devnet's own key was made without a journal: to this one it is a file like any other."""
    require(devnet, keys=1)
    first, second = (created(cli, devnet, reference) for reference in ("one", "two"))
    keyring = Keyring(devnet.keystore, FilePassword(devnet.password_file))
    file = devnet.keystore / "owner.json"
    wallet = f"eip155:{devnet.anvil.chain_id}:{devnet.programme.owner}"
    document = json.loads(file.read_text())
    document["x-orchestrator"]["wallets"] = [wallet]
    file.write_text(json.dumps(document))
    assert [str(one) for one in keyring.get("owner").wallets] == [wallet]

    refused = cli.json("activate", first, expect=3)
    command = f"keys bind owner --wallet {wallet}"
    assert command in refused["error"]["message"]
    assert "signing_intended" not in types(cli, first)
    asked = cli.json(*command.split(), expect=75)["request"]
    assert cli.json("approve", asked, "--yes", *proof(devnet, "alice"))["outcome"] == "done"
    assert cli.json(*command.split())["keys"][0]["wallets"] == [wallet]
    cli.json("resolve", first, "--retry", "--reason", "bound")
    assert cli.json("activate", first)["outcome"] == "done"

    cli.json("stop-signing", "--key", "owner")
    copy = devnet.keystore / "copy.json"
    copy.touch(mode=0o600)
    copy.write_text(json.dumps(document | {"x-orchestrator": document["x-orchestrator"] | {"name": "copy"}}))
    file.unlink()
    assert "key:owner" in cli.json("activate", second, "--timeout", "1", expect=75)["waitingFor"]
    cli.json("resume-signing", "--key", "owner", *proof(devnet, "alice"), expect=75)
    cli.json("resume-signing", "--key", "owner", *proof(devnet, "bob"))
    assert "keys bind copy --wallet" in cli.json("activate", second, expect=3)["error"]["message"]
    assert "signing_intended" not in types(cli, second)
    copy.rename(file)
    file.write_text(json.dumps(document))
    cli.json("resolve", second, "--retry", "--reason", "the copy is gone")
    assert cli.json("activate", second)["outcome"] == "done"
