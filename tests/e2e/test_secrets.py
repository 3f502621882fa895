"""No secret stands in any output, log, journal, certificate or database of a whole run, good or bad."""

from __future__ import annotations

import ctypes
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from orchestrator.devnet.devnet import Devnet
from tests.e2e.commands import COMMAND, CommandLine, wait_for
from tests.e2e.held_secrets import PASSWORD, Elsewhere, Held, held, private_file
from tests.forked import Forked
from tests.profile import full_only

TOKEN = "webhook-token-that-nobody-guesses"
_BEARER = re.compile(rb"eyJ[A-Za-z0-9_-]{8,}\.eyJ")
"""How every JSON Web Token begins."""
_GET_DUMPABLE = 3


class Run:
    """Commands whose every output is kept, with debugging on."""

    def __init__(self, cli: CommandLine, devnet: Devnet, held: Held, folder: Path) -> None:
        self.cli, self.devnet, self.held, self.folder = cli, devnet, held, folder
        self.outputs: list[bytes] = []

    def __call__(self, *arguments: str, own_process: bool = False, **environment: str) -> int:
        call = self.cli.run if own_process else self.cli.here
        done = call(*arguments, ORCHESTRATOR_DEBUG="1", **environment)
        self.outputs.append(done.stdout.encode() + done.stderr.encode())
        return done.code

    def account(self, reference: str) -> str:
        create = ("accounts", "create", "--customer", self.devnet.programme.customer_id, "--currency", "EUR", "--json")
        return self.cli.json(*create, "--reference", reference)["accountId"]

    def take_key_from(self, place: Elsewhere) -> None:
        """The owner's key is the one that lies there from here on; tried with a wrong secret first."""
        for file in self.devnet.keystore.glob("*.json"):
            if file.stem != "certificate":
                file.rename(self.folder / f"{file.stem}.{place.name}.away")
        with place.spoilt() as environment:
            assert self("keys", "import", place.name, "--uri", place.uri, **environment) not in (0, 70)
        assert self("keys", "import", place.name, "--uri", place.uri) == 0

    def require_nothing_shown(self, *, least: int) -> None:
        """In what was written and told; ``least``: characters told, without which nothing was tried."""
        roots = (self.folder / "home", self.devnet.keystore)
        written = {path: path.read_bytes() for root in roots for path in root.rglob("*") if path.is_file()}
        assert len(written) >= 6, sorted(map(str, written))
        texts = {"output of the commands": b"\n".join(self.outputs)}
        assert len(texts["output of the commands"]) > least
        texts |= {str(path): data for path, data in written.items()}
        assert self.held.shown_in(texts) == []
        assert [where for where, text in texts.items() if _BEARER.search(text)] == [], "a bearer token"


@pytest.fixture
def run(cli, devnet, tmp_path):
    with held(cli, devnet, tmp_path) as secrets:
        yield Run(cli, devnet, secrets, tmp_path)


def test_a_short_run_shows_no_secret(run):
    assert run("stop-signing") == 0
    assert run("resume-signing", *run.held.person) == 75
    for place in run.held.elsewhere:
        run.take_key_from(place)
    for command in (("keys", "list"), ("keys", "request", "list"), ("doctor",), ("journal",), ("journal", "--verify")):
        run(*command)
    run.require_nothing_shown(least=2_000)


@full_only("a whole run")
@pytest.mark.timeout(900)
def test_a_whole_run_shows_no_secret(cli, devnet, platform, run, tmp_path):
    account = run.account("one")
    bob = ("--person-key", str(devnet.people["bob"]), "--person-password-file", str(devnet.password_file))
    wrong = private_file(tmp_path / "wrong-password", f"{PASSWORD}-wrong")
    environment = {"ORCHESTRATOR_KEYSTORE_PASSWORD_FILE": str(wrong)}
    activate = ("activate", account, "--timeout", "100")
    assert run(*activate, own_process=True, **environment) == 2, "a wrong password"
    assert run(*activate, own_process=True, ORCHESTRATOR_KEYSTORE_PASSWORD_FILE=str(tmp_path)) == 2
    pem = {"ORCHESTRATOR_SIGNING_KEY": run.held.secrets["request-signing key"], "ORCHESTRATOR_API_KEY": "x"}
    assert run("doctor", own_process=True, **pem, ORCHESTRATOR_SIGNING_KEY_ID="x") == 1
    assert run("keys", "import", "again", "--private-key-file", str(wrong)) == 2, "no private key at all"
    platform.fault("refuse_signature")
    platform.fault("malformed_json", method="POST", path="/challenge/sign", count=1)
    assert run("activate", account, own_process=True) == 0
    for place in run.held.elsewhere:
        run.take_key_from(place)
        other = run.account(place.name)
        with place.spoilt() as spoilt:
            assert run("activate", other, "--timeout", "20", **spoilt) not in (0, 70)
        assert run("activate", other) == 0, place.name
    wrong_person = (*run.held.person[:2], "--person-password-file", str(wrong))
    for command in (
        ("doctor",),
        ("keys", "list"),
        ("keys", "show", "certificate"),
        ("keys", "request", "rotate"),
        ("keys", "request", "list"),
        ("stop-signing",),
        ("resume-signing", *wrong_person),
        ("resume-signing", *run.held.person),
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
        run(*command, own_process=command[0] in ("close", "doctor"))
    _serve(cli, run)
    run.held.secrets["webhook token"] = TOKEN
    run.require_nothing_shown(least=10_000)


def _serve(cli: CommandLine, run: Run) -> None:
    """The service, its log and its answers, those to a wrong webhook too."""
    served = run.folder / "home" / "serve.log"
    cli.environment["ORCHESTRATOR_WEBHOOK_TOKEN"] = TOKEN
    with served.open("wb") as log:
        service = Forked(
            [*COMMAND, "serve", "--port", "0"], env=cli.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        port = wait_for(lambda: re.search(rb"127\.0\.0\.1:(\d{2,5})", served.read_bytes()), what="the port")[1].decode()
        for path in (f"/webhooks/{TOKEN}", "/webhooks/another", "/ready"):
            body = b"{}" if "webhooks" in path else None
            request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=body)
            try:
                urllib.request.urlopen(request, timeout=20).read()
            except urllib.error.HTTPError as refused:
                run.outputs.append(refused.read())
    finally:
        service.terminate()
        service.wait(30)


def test_every_file_that_is_written_is_closed_to_others(cli, devnet, run, tmp_path):
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
from orchestrator.passwords import FixedPassword, Secret
from orchestrator.signers.keyring import Keyring
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
