"""An office for tests: people with key files of their own, a policy that names them, a keystore and a journal."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from coincurve import PrivateKey

from orchestrator import eip191, schemas
from orchestrator.journal.store import Journal
from orchestrator.lifecycle.oversight_state import DECISIONS_STREAM
from orchestrator.lifecycle.recorded import Event, Recorded
from orchestrator.passwords import FixedPassword, Secret
from orchestrator.signers.keyring import Keyring
from tests.e2e.commands import CommandLine

PASSWORD = "correct-horse-battery-staple"
SECRETS = {"alice": 101, "bob": 102, "carol": 103, "mallory": 666}
ROLES = {
    "alice": ["administrator", "approver", "operator"],
    "bob": ["administrator", "approver", "operator"],
    "carol": ["operator"],
}
POLICY = """
version = 1
[approvals]
closure = 1
policy = 1
roles = 1
keys = 1
finality = 1
"""


def key_of(name: str) -> PrivateKey:
    return PrivateKey(SECRETS[name].to_bytes(32, "big"))


def address_of(name: str) -> str:
    return eip191.address_of(key_of(name).public_key)


def private_file(path: Path, text: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(text)
    return path


class Desk(CommandLine):
    """The command line of an operator: no platform and no node is set."""

    def __init__(self, home: Path, policy: str | None = POLICY) -> None:
        super().__init__({}, home)
        self.home = home
        self.keyring = Keyring(home / "keystore", FixedPassword(Secret(PASSWORD)), work_factor=2**12)
        people = Keyring(home / "people", FixedPassword(Secret(PASSWORD)), work_factor=2**12)
        for name, number in SECRETS.items():
            people.import_key(name, Secret(f"{number:064x}"))
        self.password = private_file(home / "password", PASSWORD + "\n")
        self.environment |= {
            "ORCHESTRATOR_KEYSTORE": str(home / "keystore"),
            "ORCHESTRATOR_KEYSTORE_PASSWORD_FILE": str(self.password),
        }
        if policy is not None:
            named = "".join(
                f'[people.{name}]\naddress = "{address_of(name)}"\nroles = {json.dumps(roles)}\n'
                for name, roles in ROLES.items()
            )
            self.environment["ORCHESTRATOR_POLICY"] = str(private_file(home / "policy.toml", policy + named))

    def as_(self, name: str) -> tuple[str, ...]:
        """The options with which a person says who she is."""
        return (
            "--person-key",
            str(self.home / "people" / f"{name}.json"),
            "--person-password-file",
            str(self.password),
        )

    def valid(self, schema: str, *arguments: str, expect: int = 0, **options):
        """The document of a command, which its schema takes."""
        from jsonschema import Draft202012Validator

        document = self.json(*arguments, expect=expect, **options)
        Draft202012Validator(json.loads(schemas.text(schema))).validate(document)
        return document

    def refused(self, *arguments: str, code: str, expect: int) -> str:
        """The message of a refusal."""
        error = self.json(*arguments, expect=expect)["error"]
        assert error["code"] == code, error
        return error["message"]

    def journal(self, stream: str = DECISIONS_STREAM, new: list[Event] | None = None, at=None) -> list[Recorded]:
        """The events of a stream, after these were added."""

        async def body():
            async with await Journal.open(self.environment["ORCHESTRATOR_DATABASE_URL"]) as journal:
                if new:
                    await journal.append(stream, new, after=len(await journal.read(stream)), at=at)
                return await journal.read(stream)

        return asyncio.run(body())

    def identity(self) -> str:
        """The journal's id."""

        async def body():
            async with await Journal.open(self.environment["ORCHESTRATOR_DATABASE_URL"]) as journal:
                return await journal.identity()

        return asyncio.run(body())

    def types(self, stream: str = DECISIONS_STREAM) -> list[str]:
        return [item.event.type for item in self.journal(stream)]
