"""What people decide, and what becomes of the disk under a process: shared by the tests of the gate."""

import shutil
from dataclasses import replace

from coincurve import PrivateKey

from orchestrator import eip191
from orchestrator.journal.store import Journal
from orchestrator.lifecycle import oversight_events as o
from orchestrator.lifecycle.oversight_state import DECISIONS_STREAM, Oversight, fold_oversight
from orchestrator.lifecycle.person_signatures import approval_text
from orchestrator.oversight.reconcile import Reconciliation, reconcile
from orchestrator.policy import Person, Role
from orchestrator.session import AccountSession
from orchestrator.steps.observe import observe

KEYS = {name: PrivateKey(digit * 32) for name, digit in (("alice", b"\x0a"), ("bob", b"\x0b"))}
PEOPLE = {name: Person(address=eip191.address_of(key.public_key), roles=tuple(Role)) for name, key in KEYS.items()}


def oversight(here) -> Oversight:
    """All that people have decided so far."""
    return fold_oversight(here.run(here.journal.read(DECISIONS_STREAM)))


def say(here, stream: str, *events) -> None:
    """Another process appends."""
    length = len(here.run(here.journal.read(stream)))
    here.run(here.journal.append(stream, list(events), after=length, at=here.now))


def decide(here, *events) -> None:
    """What people decide, in another process."""
    say(here, DECISIONS_STREAM, *events)


def stop(scope: str = "all", name: str = "stop-1", address: str | None = None) -> o.SigningStopped:
    return o.SigningStopped(stop=name, scope=scope, reason="leak", by="os:eve", address=address)


def resumed(name: str = "stop-1") -> o.SigningResumed:
    return o.SigningResumed(stop=name, people=("alice", "bob"))


def changed(here, action="created", *, name="model", wallets=(), **more) -> o.KeyChanged:
    """A change of the model's key, or of one of that name."""
    values = {
        "address": here.keys.address,
        "backend": "keystore",
        "disabled": False,
        "keystore": here.keys.id,
        "by": "os:eve",
        **more,
    }
    return o.KeyChanged(action=action, name=name, wallets=tuple(map(str, wallets)), **values)


def approved(here, asked: o.ApprovalRequested, person: str, key: PrivateKey | None = None) -> o.ApprovalGiven:
    """An approval with a real signature, over exactly this request of this journal."""
    text = approval_text(asked, here.run(here.journal.identity()))
    signature = eip191.sign(key or KEYS[person], text.encode())
    return o.ApprovalGiven(
        request=asked.request, person=person, address=PEOPLE[person].address, signature="0x" + signature.hex()
    )


def under(here, *, parameters=None, **changes) -> None:
    """The same process, started with other settings."""
    ruleset = here.services.ruleset.model_copy(update=changes)
    here.services = replace(here.services, ruleset=ruleset, parameters=parameters or here.services.parameters)
    here.runner = type(here.runner)(here.services)


# --- backups ---------------------------------------------------------------------------------------------------------


def restart(here, url: str | None = None) -> None:
    """The process starts again on whatever lies on the disk now."""
    here.run(here.journal.close())
    here.journal = here.run(Journal.open(url or f"sqlite:///{here.folder.name}/journal.db"))
    log = type(here.services.signing_log)(here.keystore)
    here.services = replace(here.services, journal=here.journal, signing_log=log)
    here.runner = type(here.runner)(here.services)


def backup(here, what: str = "journal.db") -> None:
    """Of the database, or of the folder ``keystore``."""
    here.run(here.journal.close())
    source, copy = f"{here.folder.name}/{what}", f"{here.folder.name}/{what}.backup"
    (shutil.copytree if what == "keystore" else shutil.copy)(source, copy)
    restart(here)


def restore(here, what: str = "journal.db") -> None:
    """Puts back what ``backup`` has kept."""
    here.run(here.journal.close())
    source, copy = f"{here.folder.name}/{what}.backup", f"{here.folder.name}/{what}"
    if what == "keystore":
        shutil.rmtree(copy)
        shutil.copytree(source, copy)
    else:
        shutil.copy(source, copy)
    restart(here)


def reconciled(here, reason: str = "restored from last night") -> Reconciliation | None:
    async def look_back(account_id):
        await observe(await AccountSession.load(account_id, here.services))

    async def run():
        known = [stream for stream in await here.journal.streams() if stream != DECISIONS_STREAM and ":" not in stream]
        return await reconcile(here.services, known, look_back, reason=reason, by="os:eve")

    return here.run(run())
