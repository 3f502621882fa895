"""One process of the load test: sends requests until it is told to stop, or rotates the request-signing key.

request_key_process.py load FOLDER PASSWORD_FILE URL API_KEY API_SECRET     rounds until a line on stdin
request_key_process.py rotate FOLDER PASSWORD_FILE URL API_KEY API_SECRET   a rotation per line on stdin
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import uuid
from pathlib import Path

from pydantic import SecretStr

from orchestrator.oversight.request_key_changes import RequestKeyChanges
from orchestrator.passwords import FilePassword
from orchestrator.platform import PlatformClient, PlatformSettings
from orchestrator.request_signing.key_folder import RequestKeyFolder

AT_ONCE = 100


class NoJournal:
    """Asks nobody, and keeps nothing."""

    by = "os:test"

    async def approvals_for(self, change):
        return ()

    async def record(self, event):
        pass


def say(**document):
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


async def load(client):
    """Half reads, half modifying requests, each of which makes one webhook with a name of its own."""
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), ended.set()), daemon=True).start()
    made, reads, failures = [], 0, []

    async def one(number):
        nonlocal reads
        try:
            if number % 2:
                await client.accounts()
                reads += 1
            else:
                name = str(uuid.uuid4())
                url = f"https://me.example/{name}"
                await client.put_webhook(url, ["account.updated"], key=str(uuid.uuid4()))
                made.append(name)
        except Exception as error:  # noqa: BLE001  whatever fails is what the test wants to hear of
            failures.append(f"{type(error).__name__}: {error}")

    await client.login()
    say(ready=True)
    rounds = 0
    while not ended.is_set():
        await asyncio.gather(*(one(number) for number in range(AT_ONCE)))
        rounds += 1
    say(made=made, reads=reads, failures=failures, rounds=rounds)


async def rotate(client, files):
    changes = RequestKeyChanges(client, files, NoJournal())
    await client.login()
    say(ready=True)
    while await asyncio.to_thread(sys.stdin.readline):
        file = await changes.rotate()
        say(name=file.name, keyId=file.key_id)


async def main():
    what, folder, password, url, api_key, api_secret = sys.argv[1:]
    files = RequestKeyFolder(Path(folder), FilePassword(Path(password)), work_factor=2**10)
    settings = PlatformSettings(
        base_url=url,
        api_key=api_key,
        api_secret=SecretStr(api_secret),
        signing_key_pem=SecretStr(""),
        signing_key_id="",
        timeout_seconds=60.0,
        keepalive_seconds=0.5,  # a busy machine notices late that a connection is idle, and the server closes it at 5 s
    )
    async with PlatformClient(settings, request_keys=files) as client:
        await (load(client) if what == "load" else rotate(client, files))


if __name__ == "__main__":
    asyncio.run(main())
