"""One process of the race: told a round on its standard input, it signs if the journal lets it, and tells the outcome.

It does what a runner does: the intention into the journal, the key's signature, the signature into the journal. Every
signature that the key makes is a line in this process's own file, written before anything else can happen. Where a
runner would give up because its account has moved on, this one reads again and insists: only the database is in its
way.

Arguments: the database's URL, this process's number, the file. Input: a JSON object a line.
"""

import asyncio
import hashlib
import json
import random
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import coincurve

from orchestrator.errors import JournalError
from orchestrator.journal.store import Journal
from orchestrator.lifecycle import events as e
from orchestrator.lifecycle.oversight import STREAM
from orchestrator.lifecycle.recorded import Event
from orchestrator.ports.journal import CountLimit

KEY = coincurve.PrivateKey(b"\x01" * 32)
SIGNER = "eip155:31337:0x0000000000000000000000000000000000000001"
_AGAIN = {"journal_conflict", "journal_busy", "journal_uncertain"}


def digest_of(account: str, challenge: str) -> bytes:
    return hashlib.sha256(f"{account}/{challenge}".encode()).digest()


async def sign(journal: Journal, account: str, name: str, file: Path, limit: dict | None, oversight: int) -> str:
    """``signed``, or the code of what kept it from that."""
    digest = digest_of(account, name)
    text = "0x" + digest.hex()
    intended = e.SigningIntended(
        purpose="deletion", digest=text, signer=SIGNER, key="k", backend="keystore", keystore="s", policy="p", rule="r",
        by=f"os:racer{name}",
    )  # fmt: skip
    try:
        await insist(journal, account, intended, limit, oversight)
        signature = KEY.sign_recoverable(digest, hasher=None)
        with file.open("a") as lines:
            lines.write(json.dumps({"account": account, "digest": text, "signature": signature.hex()}) + "\n")
        signed = e.ChallengeSigned(purpose="deletion", digest=text, signer=SIGNER, signature="0x" + signature.hex())
        await insist(journal, account, signed, None, oversight)
    except JournalError as error:
        return error.code
    return "signed"


async def insist(journal: Journal, account: str, event: Event, limit: dict | None, oversight: int) -> None:
    after = 0
    while True:
        at = datetime.now(UTC)
        limits = [CountLimit(None, at - timedelta(seconds=limit["seconds"]), limit["most"], "n")] if limit else []
        try:
            await journal.append(account, [event], after=after, at=at, unchanged={STREAM: oversight}, limits=limits)
        except JournalError as error:
            if error.code not in _AGAIN:
                raise
            seen = await journal.read(account)
            if any(item.event == event for item in seen):
                return  # the answer was lost, the event was not
            after = len(seen)
        else:
            return


def tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def main(url: str, name: str, file: Path) -> None:
    async with await Journal.open(url) as journal:
        tell("ready")
        for line in sys.stdin:
            told = json.loads(line)
            begin = time.perf_counter() + random.random() * told.get("jitter", 0.0)
            while time.perf_counter() < begin:
                pass
            outcomes = [
                await sign(journal, account, name, file, told.get("limit"), told.get("oversight", 0))
                for account in told["accounts"]
            ]
            tell(json.dumps(outcomes))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
