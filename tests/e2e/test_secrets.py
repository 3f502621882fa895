"""No secret stands in any output, log, journal, certificate or database of a whole run, good or bad."""

from __future__ import annotations

import base64
import ctypes
import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from orchestrator.devnet.contracts import OWNER
from orchestrator.signers import v3
from orchestrator.signers.secret import Secret
from tests.e2e.commands import wait_for
from tests.profile import full_only

PASSWORD = "correct-horse-battery-staple-0815"
TOKEN = "webhook-token-that-nobody-guesses"
_BEARER = re.compile(rb"eyJ[A-Za-z0-9_-]{8,}\.eyJ")
"""How every JSON Web Token begins."""
_GET_DUMPABLE = 3


def _forms(secret: str) -> set[bytes]:
    """The ways in which a text or a key in hexadecimal may be written."""
    raw = secret.encode()
    found = {raw, base64.b64encode(raw), raw.hex().encode(), repr(secret).encode(), json.dumps(secret).encode()}
    if re.fullmatch(r"(0x)?[0-9a-fA-F]{64}", secret):
        digits = secret.removeprefix("0x").lower()
        key = bytes.fromhex(digits)
        found |= {digits.encode(), digits.upper().encode(), key, base64.b64encode(key), str(int(digits, 16)).encode()}
    return {form for form in found if len(form) >= 8}


def _private_key(file: Path, password: str) -> str:
    return v3.decrypt(v3.decode(file.read_bytes(), "key"), Secret(password), "key").secret.hex()


@pytest.fixture
def secrets(cli, devnet, tmp_path) -> dict[str, str]:
    """All secrets of the run. The devnet's password is a common word, so the keys are encrypted anew first."""
    file = tmp_path / "new-password"
    file.write_text(PASSWORD)
    file.chmod(0o600)
    cli.json("keys", "rotate", "owner", "certificate", "--new-password-file", str(file))
    cli.environment["ORCHESTRATOR_KEYSTORE_PASSWORD_FILE"] = str(file)
    credentials = devnet.programme.credentials
    pem = "".join(devnet.signing_key_file.read_text().splitlines()[1:-1])
    return {
        "keystore password": PASSWORD,
        "owner's key": OWNER.private_key,
        "certificate key": _private_key(devnet.keystore / "certificate.json", PASSWORD),
        "alice's key": _private_key(devnet.people["alice"], devnet.password_file.read_text().strip()),
        "API secret": credentials.api_secret,
        "request-signing key": pem[:64],
        "webhook token": TOKEN,
    }


@full_only("a whole run")
def test_a_whole_run_shows_no_secret(cli, devnet, platform, secrets, tmp_path):
    outputs: list[bytes] = []

    def run(*arguments: str, **environment: str) -> int:
        own_process = arguments[0] in ("activate", "close", "doctor")
        call = cli.run if own_process else cli.here
        done = call(*arguments, ORCHESTRATOR_DEBUG="1", **environment)
        outputs.append(done.stdout.encode() + done.stderr.encode())
        return done.code

    create = ("accounts", "create", "--customer", devnet.programme.customer_id, "--currency", "EUR", "--json")
    account = cli.json(*create, "--reference", "one")["accountId"]
    alice, bob = (
        ("--person-key", str(file), "--person-password-file", str(devnet.password_file))
        for file in devnet.people.values()
    )
    wrong = tmp_path / "wrong-password"
    wrong.write_text(f"{PASSWORD}-wrong")
    wrong.chmod(0o600)
    environment = {"ORCHESTRATOR_KEYSTORE_PASSWORD_FILE": str(wrong)}
    assert run("activate", account, "--timeout", "100", **environment) == 2, "a wrong password"
    assert run("activate", account, "--timeout", "100", ORCHESTRATOR_KEYSTORE_PASSWORD_FILE=str(tmp_path)) == 2
    assert run("doctor", ORCHESTRATOR_SIGNING_KEY=secrets["request-signing key"], ORCHESTRATOR_API_KEY="x") == 1
    assert run("keys", "import", "again", "--private-key-file", str(wrong)) == 2, "no private key at all"
    platform.fault("refuse_signature")
    platform.fault("malformed_json", method="POST", path="/challenge/sign", count=1)
    assert run("activate", account) == 0
    for command in (
        ("doctor",),
        ("keys", "list"),
        ("keys", "show", "owner"),
        ("stop-signing",),
        ("resume-signing", *alice),
        ("resume-signing", *bob),
        ("approve",),
        ("policy", "show"),
        ("history", "list"),
        ("close", account, "--yes"),
        ("journal",),
        ("journal", "--export", str(tmp_path / "home" / "journal.jsonl")),
        ("history", "export", str(tmp_path / "home" / "history.json")),
        ("status",),
        ("audit",),
    ):
        run(*command)
    with (tmp_path / "home" / "serve.log").open("wb") as log:
        cli.environment["ORCHESTRATOR_WEBHOOK_TOKEN"] = TOKEN
        service = subprocess.Popen(
            [sys.executable, "-m", "orchestrator.cli.main", "serve", "--port", "0"],
            env=cli.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        served = tmp_path / "home" / "serve.log"
        port = wait_for(lambda: re.search(rb"127\.0\.0\.1:(\d{2,5})", served.read_bytes()), what="the port")[1].decode()
        for path in (f"/webhooks/{TOKEN}", "/webhooks/another", "/ready"):
            body = b"{}" if "webhooks" in path else None
            request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=body)
            try:
                urllib.request.urlopen(request, timeout=20).read()
            except urllib.error.HTTPError as refused:
                outputs.append(refused.read())
    finally:
        service.terminate()
        service.wait(30)
    written = {path: path.read_bytes() for path in (tmp_path / "home").rglob("*") if path.is_file()}
    written |= {path: path.read_bytes() for path in (devnet.keystore / ".signing").rglob("*") if path.is_file()}
    assert len(written) >= 6, sorted(map(str, written))
    texts = {"output of the commands": b"\n".join(outputs), **{str(path): data for path, data in written.items()}}
    assert len(texts["output of the commands"]) > 10_000
    found = [
        (name, where)
        for name, secret in secrets.items()
        for form in _forms(secret)
        for where, text in texts.items()
        if form in text
    ]
    assert found == []
    assert [where for where, text in texts.items() if _BEARER.search(text)] == [], "a bearer token"


def test_every_file_that_is_written_is_closed_to_others(cli, devnet, secrets, tmp_path):
    create = ("accounts", "create", "--customer", devnet.programme.customer_id, "--currency", "EUR", "--json")
    account = cli.json(*create, "--reference", "one")["accountId"]
    assert cli.json("activate", account)["outcome"] == "done"
    for root in (devnet.keystore, tmp_path / "home"):
        for path in root.rglob("*"):
            if "locks" in str(path) or path.suffix in (".db-wal", ".db-shm"):
                continue
            assert path.stat().st_mode & 0o077 == 0, f"{path} has mode {path.stat().st_mode:o}"


# --- memory ----------------------------------------------------------------------------------------------------------

_OPEN_AND_ASK = """
import ctypes, resource, sys
from pathlib import Path
from orchestrator.signers import FixedPassword, Keyring, Secret
libc = ctypes.CDLL(None)
before = libc.prctl(3, 0, 0, 0, 0)
Keyring(Path(sys.argv[1]), FixedPassword(Secret("devnet"))).signer("owner").sign_message(b"x")
print(before, libc.prctl(3, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE)[0])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_a_process_that_has_opened_a_key_leaves_no_core_dump(devnet):
    """In any process, a library user's too; and the command line from its start."""
    arguments = [sys.executable, "-c", _OPEN_AND_ASK, str(devnet.keystore)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "0", "0"]
    from orchestrator.cli.main import main

    with pytest.raises(SystemExit):
        main(["--help"])
    assert ctypes.CDLL(None).prctl(_GET_DUMPABLE, 0, 0, 0, 0) == 0
