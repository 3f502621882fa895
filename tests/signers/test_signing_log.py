"""The log beside the keystore: whole lines only, on disk before they are relied on, for several processes."""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from orchestrator.errors import Disposition, KeyUnavailable
from orchestrator.ports.signers import LogEntry
from orchestrator.signers.signing_log import FileSigningLog
from tests.forked import Forked

JOURNAL = "00000000-0000-4000-8000-00000000000a"
OTHER = "00000000-0000-4000-8000-00000000000b"


def entry(seq: int, epoch: int = 0) -> LogEntry:
    return LogEntry(
        epoch=epoch, seq=seq, hash=f"{seq:064x}", account_id="a", purpose="creation", digest=f"0x{seq:064x}",
        signer="eip155:1:0x0000000000000000000000000000000000000001", key="owner", at="2026-01-01T00:00:00Z",
    )  # fmt: skip


@pytest.fixture
def keystore(tmp_path) -> Path:
    return tmp_path / "keystore"


@pytest.fixture
def log(keystore) -> FileSigningLog:
    return FileSigningLog(keystore)


def file_of(keystore: Path, journal: str = JOURNAL) -> Path:
    return keystore / ".signing" / f"{journal}.jsonl"


def test_nothing_is_made_by_reading(log, keystore):
    assert (log.entries(JOURNAL), log.last(JOURNAL), log.journals()) == ([], None, frozenset())
    assert not keystore.exists()


def test_what_is_noted_is_read_by_everybody_and_by_nobody_else(log, keystore):
    log.note(JOURNAL, entry(5))
    log.note(JOURNAL, entry(7))
    log.note(OTHER, entry(1))
    fresh = FileSigningLog(keystore)
    assert fresh.entries(JOURNAL) == log.entries(JOURNAL) == [entry(5), entry(7)]
    assert fresh.journals() == {JOURNAL, OTHER}
    assert file_of(keystore).stat().st_mode & 0o777 == 0o600
    assert file_of(keystore).parent.stat().st_mode & 0o777 == 0o700


def test_the_last_is_the_highest_of_the_newest_epoch(log):
    for item in (entry(9), entry(8), entry(3, epoch=1), entry(2, epoch=1)):
        log.note(JOURNAL, item)
    assert log.last(JOURNAL) == entry(3, epoch=1)


def test_noted_twice_it_stands_once(log, keystore):
    log.note(JOURNAL, entry(5))
    log.note(JOURNAL, entry(5))
    FileSigningLog(keystore).note(JOURNAL, entry(5))
    assert log.entries(JOURNAL) == [entry(5)]


def test_a_line_that_a_kill_cut_short_is_no_line_and_spoils_none(log, keystore):
    log.note(JOURNAL, entry(5))
    with file_of(keystore).open("ab") as file:
        file.write(b'{"epoch":0,"seq":6,"ha')
    assert FileSigningLog(keystore).entries(JOURNAL) == [entry(5)]
    log.note(JOURNAL, entry(7))
    assert FileSigningLog(keystore).entries(JOURNAL) == log.entries(JOURNAL) == [entry(5), entry(7)]


def test_a_file_put_back_from_a_backup_is_seen_by_a_running_process(log, keystore):
    log.note(JOURNAL, entry(5))
    old = file_of(keystore).read_bytes()
    log.note(JOURNAL, entry(6))
    assert log.last(JOURNAL) == entry(6)
    file_of(keystore).unlink()
    fresh = file_of(keystore)
    fresh.write_bytes(old)
    fresh.chmod(0o600)
    assert log.last(JOURNAL) == entry(5)


@pytest.mark.parametrize(
    "line",
    [
        b"no json",
        b"[]",
        b"{}",
        json.dumps({**dict.fromkeys(LogEntry.__dataclass_fields__, "x")}).encode(),
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_a_line_that_is_none_is_an_operators_matter(log, keystore, line):
    log.note(JOURNAL, entry(5))
    with file_of(keystore).open("ab") as file:
        file.write(line + b"\n")
    with pytest.raises(KeyUnavailable) as refused:
        FileSigningLog(keystore).entries(JOURNAL)
    assert refused.value.code == "signing_log_unreadable"
    assert refused.value.disposition is Disposition.OPERATOR


def test_a_log_that_others_can_read_or_a_link_is_refused(log, keystore, tmp_path):
    log.note(JOURNAL, entry(5))
    file_of(keystore).chmod(0o644)
    with pytest.raises(KeyUnavailable, match="chmod 600"):
        FileSigningLog(keystore).entries(JOURNAL)
    file_of(keystore).rename(tmp_path / "elsewhere")
    file_of(keystore).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyUnavailable, match="cannot be read"):
        FileSigningLog(keystore).entries(JOURNAL)


def test_a_full_disk_is_passing_and_leaves_the_lines_whole(log, keystore):
    log.note(JOURNAL, entry(1))
    code = """
import resource, signal, sys
from pathlib import Path
sys.path[:0] = %r
from tests.signers.test_signing_log import JOURNAL, entry
from orchestrator.errors import KeyUnavailable
from orchestrator.signers.signing_log import FileSigningLog
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
size = Path(sys.argv[1], ".signing", JOURNAL + ".jsonl").stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 40, size + 40))
try:
    FileSigningLog(Path(sys.argv[1])).note(JOURNAL, entry(2))
except KeyUnavailable as error:
    print(error.code, error.disposition)
""" % [str(Path(__file__).parents[2])]
    done = subprocess.run([sys.executable, "-c", code, str(keystore)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["signing_log_unwritable", "retry"]
    assert FileSigningLog(keystore).entries(JOURNAL) == [entry(1)]
    log.note(JOURNAL, entry(3))
    assert log.entries(JOURNAL) == [entry(1), entry(3)]


def filled(keystore: Path, entries) -> Path:
    """A log that was written long ago: far more lines than its end."""
    FileSigningLog(keystore).note(JOURNAL, entry(1))
    lines = (json.dumps(asdict(item), separators=(",", ":"), sort_keys=True) + "\n" for item in entries)
    file_of(keystore).write_text("".join(lines))
    return file_of(keystore)


def test_the_last_of_a_long_log_is_found_at_its_end(keystore):
    entries = [entry(number) for number in range(1000)]
    entries[-3:] = [entry(500, epoch=1), entry(998), entry(499, epoch=1)]
    file = filled(keystore, entries)
    with file.open("ab") as torn:
        torn.write(b'{"epoch":9,"seq":6,"ha')
    log = FileSigningLog(keystore)
    assert log.last(JOURNAL) == entry(500, epoch=1)
    assert log.entries(JOURNAL) == entries
    log.note(JOURNAL, entry(501, epoch=1))
    assert log.last(JOURNAL) == FileSigningLog(keystore).last(JOURNAL) == entry(501, epoch=1)
    log.note(JOURNAL, entry(300, epoch=1))
    assert log.last(JOURNAL) == FileSigningLog(keystore).last(JOURNAL) == entry(501, epoch=1)


def test_a_signature_does_not_read_a_long_log_again(keystore):
    """What is read is seen by what is not: the lines that are written over here would be refused."""
    file = filled(keystore, [entry(number) for number in range(1000)])

    def spoil(begin: int, end: int) -> None:
        with file.open("r+b") as written:
            written.seek(begin)
            written.write(b"x" * (end - begin - 1) + b"\n")

    spoil(0, 1 << 16)
    log = FileSigningLog(keystore)
    assert log.last(JOURNAL) == entry(999), "of a long log only the end is read at first"
    spoil(0, file.stat().st_size)
    log.note(JOURNAL, entry(1000))
    assert log.last(JOURNAL) == entry(1000), "and then what was added"
    with pytest.raises(KeyUnavailable, match="a line is no entry"):
        log.entries(JOURNAL)


def test_many_processes_lose_no_line(keystore):
    code = """
import sys
from pathlib import Path
sys.path[:0] = %r
from tests.signers.test_signing_log import JOURNAL, entry
from orchestrator.signers.signing_log import FileSigningLog
log = FileSigningLog(Path(sys.argv[1]))
for number in range(25):
    log.note(JOURNAL, entry(int(sys.argv[2]) * 100 + number))
""" % [str(Path(__file__).parents[2])]
    running = [Forked([sys.executable, "-c", code, str(keystore), str(number)]) for number in range(4)]
    assert [process.wait(60) for process in running] == [0] * 4
    found = {item.seq for item in FileSigningLog(keystore).entries(JOURNAL)}
    assert found == {number * 100 + item for number in range(4) for item in range(25)}
