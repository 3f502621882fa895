"""How fast each back end signs, beside raw coincurve and eth-account in the same run; what opening keys costs.

    .venv/bin/python scripts/development/benchmark_signing.py [--seconds 2] [--check]

Latencies are of single calls, the contenders taking turns in short rounds, so that a busy machine slows all of them
alike. A back end whose service is not there is printed as "not here". ``--check`` ends with 1 if a promise is broken:
keystore signing within 1.5 times raw coincurve, one scrypt for a key, 1,000 keys listed and found in under a second.
"""

from __future__ import annotations

import argparse
import json
import socketserver
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from coincurve import PrivateKey  # noqa: E402
from eth_account import Account  # noqa: E402
from eth_account.messages import encode_defunct  # noqa: E402

from orchestrator import eip191  # noqa: E402
from orchestrator.errors import SettingsError  # noqa: E402
from orchestrator.passwords import FixedPassword, Secret  # noqa: E402
from orchestrator.signers import secret_storage  # noqa: E402
from orchestrator.signers.keyring import Keyring  # noqa: E402
from tests.signers.conformance import backend_module  # noqa: E402

MESSAGES = [b"5df359f0-d299-40a1-8023-%012d" % number for number in range(50)]
PASSWORD = FixedPassword(Secret("correct-horse-battery-staple"))
MAX_RATIO = 1.5
MAX_SECONDS_FOR_1000 = 1.0
ROUND = 50
"""Calls of one contender before it is the next one's turn."""


@dataclass
class Contender:
    """Something that signs, and how long each of its calls took (seconds)."""

    name: str
    sign: Callable[[int], object]
    """Signs the message with this number."""
    took: list[float] = field(default_factory=list)

    def run(self, calls: int) -> None:
        for number in range(calls):
            started = time.perf_counter()
            self.sign(number % len(MESSAGES))
            self.took.append(time.perf_counter() - started)

    @property
    def median(self) -> float:
        return statistics.median(self.took)

    @property
    def p99(self) -> float:
        return sorted(self.took)[max(0, len(self.took) * 99 // 100 - 1)]


def in_turns(contenders: list[Contender], seconds: float) -> None:
    """All of them, ``seconds`` for each on average, in turns."""
    end = time.perf_counter() + seconds * len(contenders)
    for contender in contenders:
        contender.run(ROUND)
        contender.took.clear()
    while time.perf_counter() < end:
        for contender in contenders:
            contender.run(ROUND)


def local(folder: Path, seconds: float) -> list[Contender]:
    """Raw coincurve, eth-account, and the keystore without and with the comparison that follows it."""
    key = PrivateKey(b"\x01" * 32)
    keyring = Keyring(folder / "local", PASSWORD, work_factor=secret_storage.MIN_WORK_FACTOR)
    info = keyring.import_key("local", Secret(key.secret.hex()))
    signer = keyring.signer_for(info.address)
    signer.unlock()
    digests = [eip191.personal_hash(message) for message in MESSAGES]

    def checked(number: int) -> None:
        eip191.require(MESSAGES[number], signer.sign_message(MESSAGES[number]), info.address)

    contenders = [
        Contender("raw coincurve", lambda number: key.sign_recoverable(digests[number], hasher=None)),
        Contender("eth-account", lambda number: Account.sign_message(encode_defunct(MESSAGES[number]), key.secret)),
        Contender("keystore", lambda number: signer.sign_message(MESSAGES[number])),
        Contender("keystore, compared", checked),
    ]
    in_turns(contenders, seconds)
    return contenders


def elsewhere(name: str, folder: Path, seconds: float) -> Iterator[Contender | str]:
    """One back end, one call at a time and from eight threads; or why it is not here."""
    module = backend_module(name)
    missing = module.unavailable()
    if missing is not None:
        yield missing
        return
    (folder / name).mkdir(mode=0o700)
    # The stand-ins write an answer's head and body one after the other: measured would be TCP's delay of 40 ms.
    socketserver.StreamRequestHandler.disable_nagle_algorithm = True
    with ExitStack() as stack:
        real = stack.enter_context(module.under_test(folder / name))
        keyring = Keyring(folder / f"{name}-keystore", real.pin)
        stack.callback(keyring.close)
        signer = keyring.signer_for(keyring.attach("key", real.uri).address)
        signer.sign_message(b"the first use opens it")
        contender = Contender(name, lambda number: signer.sign_message(MESSAGES[number]))
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            contender.run(10)
        yield contender
        yield f"{name}, 8 threads: {_in_threads(signer.sign_message, seconds):,.0f} signatures/s"


def _in_threads(sign: Callable[[bytes], object], seconds: float) -> float:
    started = time.perf_counter()

    def work(_: int) -> int:
        done = 0
        while time.perf_counter() - started < seconds:
            sign(MESSAGES[done % len(MESSAGES)])
            done += 1
        return done

    with ThreadPoolExecutor(8) as pool:
        return sum(pool.map(work, range(8))) / (time.perf_counter() - started)


def unlocking(folder: Path) -> tuple[float, int]:
    """Seconds of the first signature at the standard cost of scrypt, and how often scrypt ran for 100 signatures."""
    keyring = Keyring(folder / "standard", PASSWORD)
    info = keyring.create("standard")
    decrypt, ran = secret_storage.decrypt, 0

    def counting(*given):  # noqa: ANN002, ANN202
        nonlocal ran
        ran += 1
        return decrypt(*given)

    secret_storage.decrypt = counting
    try:
        fresh = Keyring(folder / "standard", PASSWORD)
        started = time.perf_counter()
        fresh.signer_for(info.address).sign_message(b"first")
        first = time.perf_counter() - started
        for message in MESSAGES * 2:
            fresh.signer_for(info.address).sign_message(message)
    finally:
        secret_storage.decrypt = decrypt
    return first, ran


def thousand(folder: Path) -> tuple[float, float]:
    """Processor seconds for a list of 1,000 keys and a signer for each, in a new keyring and once more in the same."""
    keyring = Keyring(folder / "many", PASSWORD, work_factor=secret_storage.MIN_WORK_FACTOR)
    keyring.create("template")
    template = keyring.path / "template.json"
    document = json.loads(template.read_text())
    template.unlink()
    for number in range(1000):
        document["address"] = f"{number + 1:040x}"
        document["x-orchestrator"]["name"] = f"key-{number:04}"
        path = keyring.path / f"key-{number:04}.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(document))
    time.sleep(2.1)  # files younger than two seconds are read at every use
    fresh = Keyring(folder / "many", PASSWORD)
    took = []
    for _ in range(2):
        started = time.process_time()
        for info in fresh.list():
            fresh.signer_for(info.address)
        took.append(time.process_time() - started)
    return took[0], took[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="for each contender (default 2)")
    parser.add_argument("--check", action="store_true", help="end with 1 if a promise is broken")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchmark-signing-") as temporary:
        folder = Path(temporary)
        ours = local(folder, arguments.seconds)
        raw, eth_account, keystore = ours[0].median, ours[1].median, ours[2].median
        print(f"{'':22}{'signatures/s':>14}{'median µs':>12}{'p99 µs':>10}{'x coincurve':>13}{'x eth-account':>15}")

        def row(contender: Contender) -> None:
            median, p99 = contender.median, contender.p99
            print(
                f"{contender.name:22}{len(contender.took) / sum(contender.took):>14,.0f}{median * 1e6:>12,.1f}"
                f"{p99 * 1e6:>10,.1f}{median / raw:>13,.2f}{median / eth_account:>15,.2f}"
            )

        for contender in ours:
            row(contender)
        notes = []
        for name in ("pkcs11", "awskms", "rpc"):
            try:
                found_all = list(elsewhere(name, folder, arguments.seconds))
            except SettingsError as error:  # Anvil is not there and cannot be fetched
                found_all = [error.message]
            for found in found_all:
                if isinstance(found, Contender):
                    row(found)
                elif ", 8 threads" in found:
                    notes.append(found)
                else:
                    print(f"{name:22}{'not here':>14}  ({found})")
        print("pkcs11 is SoftHSM2, awskms a stand-in on this machine, rpc Anvil: no network, no hardware.")
        for note in notes:
            print(note)
        first, ran = unlocking(folder)
        print(f"first signature with the standard scrypt: {first:.2f} s; scrypt ran {ran} time(s) for 101 signatures")
        cold, warm = thousand(folder)
        print(
            f"1,000 keys, listed and a signer for each: {cold:.3f} s of processor; again in the process: {warm:.3f} s"
        )
    kept = keystore / raw <= MAX_RATIO and ran == 1 and cold < MAX_SECONDS_FOR_1000
    return 0 if kept or not arguments.check else 1


if __name__ == "__main__":
    sys.exit(main())
