"""One process of the race: told a round on its standard input, it signs if it is let, and tells the outcome.

It runs the step itself (``orchestrator.steps.sign``) on the real journal, keystore, log beside the keystore and policy.
Every signature that the key makes is a line in this process's own file, written before anything else can happen. Where
a runner would give up because its account has moved on, this one reads again and insists on its own challenge, as if
that of the others had never come: only what guards the step is in its way.

Arguments: the database's URL, the keystore, this process's number, the file. Input: a JSON object a line.
"""

import asyncio
import base64
import json
import random
import sys
import time
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.authorization.gate import adopt_ruleset_or_wait
from orchestrator.challenge import Challenge
from orchestrator.errors import JournalError
from orchestrator.journal.store import Journal
from orchestrator.lifecycle import events as e
from orchestrator.lifecycle.decide import Halt
from orchestrator.lifecycle.fold import fold
from orchestrator.lifecycle.stages import Parameters
from orchestrator.passwords import FixedPassword, Secret
from orchestrator.policy import Limit, Policy, Ruleset
from orchestrator.session import AccountSession, Services
from orchestrator.signers.keyring import Keyring
from orchestrator.signers.signing_log import FileSigningLog
from orchestrator.steps.sign import sign

PASSWORD = "of the race"
_AGAIN = {"journal_conflict", "journal_moved", "journal_busy", "journal_uncertain"}


def challenge_of(account: str, name: str) -> Challenge:
    """The challenge that this process wants to sign for the account."""
    text = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{account}/{name}"))
    return Challenge.parse(base64.b64encode(text.encode()).decode())


class WatchedKeyring(Keyring):
    """Writes down what its keys sign."""

    def __init__(self, path: Path, file: Path) -> None:
        super().__init__(path, FixedPassword(Secret(PASSWORD)))
        self.file = file

    def signer_for(self, address):
        return WatchedSigner(super().signer_for(address), self.file)


class WatchedSigner:
    def __init__(self, signer, file: Path) -> None:
        self.signer, self.file = signer, file

    def sign_message(self, message: bytes) -> bytes:
        signature = self.signer.sign_message(message)
        with self.file.open("a") as lines:
            lines.write(json.dumps({"message": message.hex(), "signature": signature.hex()}) + "\n")
        return signature


def world_of(journal: Journal, keystore: Path, file: Path) -> Services:
    """Neither platform nor chain: the step asks neither."""
    return Services(
        platform=None,
        chain=None,
        prover=None,
        certifier=None,
        keyring=WatchedKeyring(keystore, file),
        journal=journal,
        clock=lambda: datetime.now(UTC),
        parameters=Parameters(),
        ruleset=Ruleset(policy=Policy(limits=()), domains=(), confirmations=1),
        signing_log=FileSigningLog(keystore),
        actor="os:racer",
    )


async def adopted(services: Services) -> None:
    """Puts the world's ruleset in force, whoever of the racers comes first."""
    while True:
        try:
            waits = await adopt_ruleset_or_wait(services)
        except JournalError as error:
            if error.code not in _AGAIN:
                raise
        else:
            assert waits is None, waits
            return


async def work(services: Services, account: str, name: str) -> str:
    """``signed``, or the code or the kind of what kept it from that."""
    own = challenge_of(account, name).digest
    while True:
        recorded = await services.journal.read(account)
        seen = [item for item in recorded if not isinstance(item.event, e.ChallengeFetched) or item.event.digest == own]
        session = AccountSession(account, fold(seen), len(recorded), services)
        if session.op.signed is not None and session.op.signed.digest == own:
            return "signed"  # in an earlier life
        try:
            action = await sign(session)
        except JournalError as error:
            if error.code not in _AGAIN:
                return error.code
        else:
            if action is None:
                return "signed"
            return action.code if isinstance(action, Halt) else type(action).__name__


def tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def main(url: str, keystore: Path, name: str, file: Path) -> None:
    async with await Journal.open(url) as journal:
        services = world_of(journal, keystore, file)
        for key in services.keyring.list():
            services.keyring.signer(key.name).unlock()
        await adopted(services)
        tell("ready")
        for line in sys.stdin:
            told = json.loads(line)
            if "most" in told:
                limits = (Limit(per="all", signatures=told["most"], seconds=3600),)
                services = replace(
                    services, ruleset=services.ruleset.model_copy(update={"policy": Policy(limits=limits)})
                )
                await adopted(services)
            begin = time.perf_counter() + random.random() * told.get("jitter", 0.0)
            while time.perf_counter() < begin:
                pass
            tell(json.dumps([await work(services, account, name) for account in told["accounts"]]))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4])))
