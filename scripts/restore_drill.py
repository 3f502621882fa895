"""Restores a backup of backup.py into an empty folder, and shows that it would
do: nothing is lost of what it had, journal and keystore belong together, and
an older copy of the journal would refuse to sign.

Nothing is signed, and what runs is not touched. BACKUP is one of the folders
that backup.py made; the older copy is the one before it, or --older.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from _common import DONE, FAILED, OPERATOR, Refused, answer, command, parser, script
from backup import digests, verified


@dataclass(frozen=True, slots=True)
class Finding:
    """``ok``: None where it could not be tried."""

    what: str
    ok: bool | None
    detail: str

    @property
    def line(self) -> str:
        return f"{ {True: 'ok', False: 'FAIL', None: 'not tried'}[self.ok]:<10}{self.what}: {self.detail}"


def manifest_of(backup: Path) -> dict[str, Any]:
    """Raises Refused."""
    try:
        found = json.loads((backup / "manifest.json").read_text(encoding="utf-8"))
        if "head" not in found:
            raise Refused(f"{backup}: a dump of PostgreSQL: restore it with pg_restore into an empty database")
        return {"at": str(found["at"]), "files": dict(found["files"]), "head": found["head"], "events": found["events"]}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise Refused(f"{backup}: expected a backup of backup.py with its manifest.json") from None


def signing(options: argparse.Namespace, folder: Path) -> tuple[bool | None, str]:
    """Whether the restored copies in ``folder`` would sign, by ``orchestrator doctor``, which signs nothing."""
    places = {
        "ORCHESTRATOR_DATABASE_URL": f"sqlite:///{folder / 'journal.db'}",
        "ORCHESTRATOR_KEYSTORE": str(folder / "keystore"),
    }
    _, found = command(options, "doctor", environment=places)
    check = next((one for one in (found or {}).get("checks", ()) if one["name"] == "signing"), None)
    return (None, "orchestrator doctor did not say") if check is None else (check["ok"], check["detail"])


def drill(options: argparse.Namespace, folder: Path, older: Path | None) -> list[Finding]:
    """SIDE EFFECTS: fills the folder."""
    manifest = manifest_of(options.backup)
    restored = folder / "restored"
    shutil.copytree(options.backup, restored)
    wrong = {name for name, digest in digests(restored).items() ^ manifest["files"].items()}
    findings = [
        Finding("every file is as it was", not wrong, ", ".join(sorted(wrong)) or f"{len(manifest['files'])} files")
    ]
    if wrong:  # what else a damaged copy shows means nothing
        return findings
    try:
        now = verified(options, restored / "journal.db")
        same = (now["events"], now["head"]) == (manifest["events"], manifest["head"])
        findings.append(Finding("the journal is whole", same, f"{now['events']} events, head {now['head']}"))
    except Refused as refused:
        findings.append(Finding("the journal is whole", False, str(refused)))
    allowed, detail = signing(options, restored)
    findings.append(Finding("journal and keystore belong together", allowed, detail))
    return [*findings, refusal(options, folder, older, manifest)]


def refusal(options: argparse.Namespace, folder: Path, older: Path | None, newer: dict[str, Any]) -> Finding:
    """The older journal beside the newer keystore must not sign."""
    what = "an older copy refuses to sign"
    if older is None:
        return Finding(what, None, "there is no older backup beside it: name one with --older")
    log = {name for name in newer["files"] if name.startswith("keystore/.signing")}
    if all(newer["files"][name] == manifest_of(older)["files"].get(name) for name in log):
        return Finding(what, None, f"nothing was signed between {older.name} and {options.backup.name}")
    mixed = folder / "older"
    shutil.copytree(options.backup / "keystore", mixed / "keystore")
    shutil.copy(older / "journal.db", mixed / "journal.db")
    allowed, detail = signing(options, mixed)
    return Finding(what, None if allowed is None else not allowed, detail)


def main() -> int:
    cli = parser(__doc__, "scripts/restore_drill.py /var/backups/orchestrator/2026-01-31T020000Z")
    cli.add_argument("backup", metavar="BACKUP", type=Path)
    cli.add_argument("--older", metavar="BACKUP", type=Path, help="default: the one before it in the same folder")
    cli.add_argument("--into", metavar="DIR", type=Path, help="an empty folder, which stays; default: one that goes")
    options = cli.parse_args()
    options.backup = options.backup.absolute()
    manifest_of(options.backup)
    before = sorted(one for one in options.backup.parent.glob("*Z") if one.name < options.backup.name)
    older: Path | None = options.older or (before[-1] if before else None)
    if options.dry_run:
        answer(options, {"older": older and str(older)}, [f"would restore {options.backup}, and compare with {older}"])
        return DONE
    if options.into is not None:
        options.into.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(options.into.iterdir()):
            raise Refused(f"{options.into}: expected an empty folder")
        findings = drill(options, options.into.absolute(), older)
    else:
        with tempfile.TemporaryDirectory(prefix="restore-drill-") as folder:
            findings = drill(options, Path(folder), older)
    answer(options, {"findings": [asdict(one) for one in findings]}, [one.line for one in findings])
    if any(one.ok is False for one in findings):
        return FAILED
    return OPERATOR if any(one.ok is None for one in findings) else DONE


if __name__ == "__main__":
    script(main)
