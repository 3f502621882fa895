"""Files: for nobody else to read, whole or not there, and never over a file of somebody's."""

from __future__ import annotations

import ast
import json
import os
import stat
import typing
from pathlib import Path

import pytest
import typer

import orchestrator
from orchestrator import files
from orchestrator.blocking import BlockingOrchestrator
from orchestrator.cli.main import app
from orchestrator.errors import SettingsError
from orchestrator.journal.store import Journal
from orchestrator.passwords import FilePassword
from orchestrator.runbook import RUNBOOK
from orchestrator.signers.keyring import Keyring

FIRST = Path(__file__).parents[1] / "closure" / "certificates"
SIGNED = str(FIRST / "v2-signed.json")


@pytest.fixture(autouse=True)
def _usual_umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def closed(devnet, cli):
    """A closed account's id: its certificate is in the journal, and in the folder of certificates."""
    with BlockingOrchestrator(cli.settings()) as orchestrator:
        account = orchestrator.create_account(devnet.programme.customer_id, "EUR").account_id
        assert orchestrator.activate(account, timeout=60).outcome == "done"
        assert orchestrator.close(account, timeout=60).outcome == "done"
    return account


def modes(folder: Path) -> dict[str, str]:
    """Files that others can open, with their modes."""
    found = {path: path.lstat().st_mode for path in folder.rglob("*")}
    return {str(path): f"{stat.S_IMODE(m):o}" for path, m in found.items() if stat.S_ISREG(m) and m & 0o077}


def writers(account: str, devnet, file: str) -> dict[tuple[str, str], tuple[str, ...]]:
    """Every argument that names a file to write, with a command that does so."""
    node = ("--rpc-url", devnet.anvil.url)
    wallet = "0x" + "c1" * 20
    devnet.anvil.rpc_sync("anvil_setCode", wallet, "0x60006000fd")
    devnet.anvil.rpc_sync("anvil_mine", hex(4))
    return {
        ("close", "certificate"): ("close", account, "--yes", "--certificate", file),
        ("journal", "export"): ("journal", "--export", file),
        ("verify-closure", "certificate"): ("verify-closure", wallet, *node, "--certificate", file),
        ("certificate verify", "output"): ("certificate", "verify", SIGNED, "--format", "html", "--output", file),
        ("history export", "file"): ("history", "export", file),
        ("wallets learn", "output"): ("wallets", "learn", wallet, *node, "--output", file),
    }


READERS = {
    ("approve", "person_key"),
    ("approve", "person_password_file"),
    ("resume-signing", "person_key"),
    ("resume-signing", "person_password_file"),
    ("certificate verify", "file"),
    ("history import", "file"),
    ("keys import", "private_key_file"),
    ("keys import", "keystore_file"),
    ("keys import", "keystore_file_password_file"),
    ("keys rotate", "new_password_file"),
    ("policy explain", "policy"),
    ("policy show", "policy"),
    ("policy check", "file"),
}
"""Arguments that name a file to read."""


def paths(command: typing.Any, name: str = "") -> set[tuple[str, str]]:
    """Every argument of every command that names a file."""
    inner = getattr(command, "commands", None)
    if inner is not None:
        return {found for word, child in inner.items() for found in paths(child, f"{name} {word}".strip())}
    hints = typing.get_type_hints(command.callback.__wrapped__)
    return {(name, argument) for argument, hint in hints.items() if Path in (hint, *typing.get_args(hint))}


def test_everything_that_is_written_is_for_its_owner(devnet, cli, closed, tmp_path):
    commands = writers(closed, devnet, "")
    by_another = {("demo", "certificate")}  # by close itself
    assert paths(typer.main.get_command(app)) == READERS | set(commands) | by_another
    for number, name in enumerate(commands):
        file = tmp_path / f"{number}.out"
        words = writers(closed, devnet, str(file))[name]
        done = cli.here(*words)
        assert (done.code, file.stat().st_mode & 0o777) == (0, 0o600), (name, done)
        assert file.stat().st_nlink == 1
    cli.json("keys", "create", "carol")
    (tmp_path / "key").touch(mode=0o600)
    (tmp_path / "key").write_text("11" * 32)
    cli.json("keys", "import", "dave", "--private-key-file", str(tmp_path / "key"))
    cli.json("keys", "rotate", "carol", "--new-password-file", str(devnet.password_file))
    cli.json("keys", "request", "create", "spare")
    cli.json("stop-signing")
    assert len([path for path in (devnet.keystore / ".signing").iterdir() if path.stat().st_size]) > 1, "the log too"
    home = Path(cli.environment["HOME"])
    with BlockingOrchestrator(cli.settings()) as orchestrator:
        assert orchestrator.status()
        assert (home / "journal.db-wal").exists()
        assert (devnet.folder / "platform.db").exists()
        assert modes(tmp_path) == {}
    for folder in (home / "certificates", home / "journal.db.locks", devnet.folder, devnet.keystore):
        assert folder.stat().st_mode & 0o777 == 0o700, folder
    assert not list(tmp_path.rglob(".*.tmp"))


def test_nothing_is_written_over_a_file_of_somebody_s(devnet, cli, closed, tmp_path):
    file = tmp_path / "precious"
    for name, words in writers(closed, devnet, str(file)).items():
        file.write_bytes(b"precious")
        told = cli.json(*words, expect=2)
        assert told["error"]["code"] in {"export_unwritable", "certificate_unwritable", "output_unwritable"}, name
        assert "is there already" in told["error"]["message"]
        assert file.read_bytes() == b"precious"
        if name[0] != "close":
            assert cli.here(*words, "--force").code == 0
            assert (file.read_bytes() != b"precious", file.stat().st_mode & 0o777) == (True, 0o600)
        for other in ("link", "folder", "pipe"):
            file.unlink()
            if other == "link":
                (tmp_path / "target").write_bytes(b"precious")
                file.symlink_to(tmp_path / "target")
            elif other == "folder":
                file.mkdir()
            else:
                os.mkfifo(file)
            for force in ([], ["--force"] if name[0] != "close" else []):
                assert cli.here(*words, *force).code == 2, (name, other)
            assert (tmp_path / "target").read_bytes() == b"precious"
            if other == "folder":
                file.rmdir()
                file.touch()
        file.unlink()
    assert not list(tmp_path.glob(".*.tmp"))


def test_the_same_certificate_may_be_written_again(cli, closed, tmp_path):
    file = tmp_path / "closed.json"
    for _ in range(2):
        assert cli.json("close", closed, "--yes", "--certificate", str(file))["certificate"] == str(file)
        file.chmod(0o644)
    own = Path(cli.environment["ORCHESTRATOR_CERTIFICATES"]) / f"{closed}.json"
    assert file.read_bytes() == own.read_bytes()
    own.write_bytes(b"damaged")
    cli.json("close", closed, "--yes")
    assert file.read_bytes() == own.read_bytes(), "the folder of certificates is the program's own"


def test_a_taken_name_is_seen_before_the_account_is_closed(devnet, cli, tmp_path):
    with BlockingOrchestrator(cli.settings()) as orchestrator:
        account = orchestrator.create_account(devnet.programme.customer_id, "EUR").account_id
    (tmp_path / "taken").write_bytes(b"precious")
    cli.json("close", account, "--yes", "--certificate", str(tmp_path / "taken"), expect=2)
    assert cli.json("journal", account)["events"] == []
    assert cli.json("accounts", "show", account)["status"] == "initiating"


def test_a_file_is_whole_or_not_there(tmp_path, monkeypatch):
    """The disk is full in the middle; another process takes the name in between; a file system that has no links."""
    file = tmp_path / "file"

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(SettingsError, match="No space left"):
            files.deliver(file, b"new", code="x")
        file.write_bytes(b"old")
        with pytest.raises(SettingsError, match="No space left"):
            files.deliver(file, b"new", code="x", force=True)
    assert file.read_bytes() == b"old"
    file.unlink()
    link = os.link

    def late(source: object, target: Path) -> None:
        target.write_bytes(b"another's")
        link(source, target)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", late)
        with pytest.raises(SettingsError, match="is there already"):
            files.deliver(file, b"new", code="x")
    assert file.read_bytes() == b"another's"
    file.unlink()

    def none(_source: object, _target: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", none)
        files.deliver(file, b"new", code="x")
        with pytest.raises(SettingsError, match="is there already"):
            files.deliver(file, b"newer", code="x")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", b"new")]


async def test_opening_a_journal_twice_keeps_the_locks_of_the_first(tmp_path):
    """Closing any descriptor of a file ends all of the process' locks on it (fcntl(2)): SQLite's own would be lost."""
    path = tmp_path / "journal.db"

    def locks() -> list[str]:
        inode = f":{path.stat().st_ino} "
        return [line for line in Path("/proc/locks").read_text().splitlines() if inode in line]

    if not Path("/proc/locks").exists():
        pytest.skip("/proc/locks is Linux's")
    async with await Journal.open(f"sqlite:///{path}") as first:
        await first.verify()
        held = locks()
        assert held
        async with await Journal.open(f"sqlite:///{path}") as second:
            await second.require_whole()
            assert len(locks()) >= len(held)


async def test_a_journal_behind_a_link_is_private_too(tmp_path):
    (tmp_path / "link.db").symlink_to(tmp_path / "journal.db")
    async with await Journal.open(f"sqlite:///{tmp_path / 'link.db'}"):
        assert modes(tmp_path) == {}


def test_loose_files_are_told_by_the_doctor(devnet, cli, closed, tmp_path):
    certificate = Path(cli.environment["ORCHESTRATOR_CERTIFICATES"]) / f"{closed}.json"
    certificate.chmod(0o644)
    person = tmp_path / "person.json"
    person.touch()
    for change, file in (({}, certificate), ({"ORCHESTRATOR_PERSON_KEY": str(person)}, person)):
        told = {check["name"]: check for check in cli.json("doctor", expect=1, **change)["checks"]}
        assert [name for name, check in told.items() if not check["ok"]] == ["settings"]
        assert f"{file} (expected mode 600, got 644)" in told["settings"]["detail"]
        assert f"chmod 600 {file}" in told["settings"]["fix"]
    certificate.chmod(0o600)
    assert cli.json("doctor")["ok"]
    devnet.signing_key_file.chmod(0o644)
    (check,) = cli.json("doctor", expect=1)["checks"]
    assert (check["name"], check["ok"]) == ("settings", False)
    assert f"chmod 600 {devnet.signing_key_file}" in check["detail"]
    error = cli.json("activate", closed, expect=2)["error"]
    assert (error["code"], error["fix"]) == ("keystore_permissions", RUNBOOK["keystore_permissions"].advice)


def test_a_key_file_of_another_tool_s_that_others_can_open_is_taken_with_a_word(cli, devnet, tmp_path):
    other = Keyring(tmp_path / "other", FilePassword(devnet.password_file), work_factor=2**12)
    password = ("--keystore-file-password-file", str(devnet.password_file), "--json")
    for name, mode in (("loose", 0o644), ("private", 0o600)):
        other.create(name)
        file = other.path / f"{name}.json"
        file.chmod(mode)
        done = cli.here("keys", "import", name, "--keystore-file", str(file), *password)
        assert (done.code, f"other users can open {file}" in done.stderr) == (0, mode == 0o644)


WRITES = {"write_text", "write_bytes", "mkstemp", "NamedTemporaryFile", "mknod"}
MAY_WRITE = {
    "files.py": "the one place",
    "signers/signing_log.py": "appends",
    "journal/in_flight.py": "two locks, without content",
    "cli/streams.py": "/dev/null",
    "devnet/anvil.py": "the node's log, where a test names a file",
    "devnet/toolchain.py": "programs in the cache",
}


def test_files_are_written_in_one_place():
    package = Path(orchestrator.__file__).parent
    found = set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _writes(node):
                found.add(str(path.relative_to(package)))
    assert found <= set(MAY_WRITE), "write with orchestrator.files"


def _writes(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name in WRITES:
        return True
    if name != "open":
        return False
    text = ast.unparse(call)
    literals = [node.value for node in ast.walk(call) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    modes = [literal for literal in literals if literal and set(literal) <= set("rwaxbt+")]
    return "O_WRONLY" in text or "O_RDWR" in text or any(set(mode) & set("wax+") for mode in modes)


def test_an_export_is_whole(cli, closed, tmp_path):
    cli.json("journal", "--export", str(tmp_path / "journal.jsonl"))
    lines = (tmp_path / "journal.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == cli.json("journal")["events"]
