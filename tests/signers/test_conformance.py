"""One suite for every back end: the real thing (or its stand-in) behind a keyring, in order and in trouble."""

from __future__ import annotations

import copy
import pickle
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct

from orchestrator import eip191
from orchestrator.errors import Disposition, KeyUnavailable
from orchestrator.models import ChainAccount, ChainId
from orchestrator.signers.backend_signer import BackendSigner
from orchestrator.signers.keyring import Keyring
from orchestrator.signers.keystore_signer import KeystoreSigner
from tests.signers.conformance import BACKENDS, TIMEOUT, BackendUnderTest, backend_module, must_run

MESSAGES = [
    b"",
    b"\x00",
    b"5df359f0-d299-40a1-8023-17c77a50144c",
    "zażółć gęślą jaźń".encode(),
    bytes(range(256)),
    *(b"message %d " % number + b"x" * (number * number) for number in range(45)),
]
SLACK = 4.0
"""Seconds on a busy machine, beside the timeout itself."""


@dataclass
class Bench:
    """A back end under test, with a keyring that has its key."""

    real: BackendUnderTest
    keyring: Keyring
    signer: KeystoreSigner | BackendSigner

    def trouble(self, name: str) -> None:
        """Makes the back end ``lose_connection``, ``hang`` or ``swap_key``; skips by name what it cannot do."""
        if name in self.real.cannot:
            pytest.skip(f"{name}: {self.real.cannot[name]}")
        getattr(self.real, name)()

    def fails(self, call=None) -> KeyUnavailable:
        with pytest.raises(KeyUnavailable) as caught:
            (call or self.signer.sign_message)(b"message")
        text = "".join(traceback.format_exception(caught.value))
        for secret in self.real.secrets:
            assert secret not in text
        return caught.value

    def signs(self, message: bytes = b"message") -> bytes:
        signature = self.signer.sign_message(message)
        eip191.require(message, signature, self.real.address)
        return signature


def attach(real: BackendUnderTest, keyring: Keyring, name: str):
    if real.uri == "keystore:":
        return real.attach(keyring, name)
    return keyring.attach(name, real.uri, [ChainAccount(ChainId(31337), real.address)])


@pytest.fixture(params=BACKENDS)
def bench(request, tmp_path) -> Iterator[Bench]:
    module = backend_module(request.param)
    missing = module.unavailable()
    if missing is not None and must_run():
        pytest.fail(missing)
    if missing is not None:
        pytest.skip(missing)
    folder = tmp_path / "real"
    folder.mkdir(mode=0o700)
    with ExitStack() as stack:
        real = stack.enter_context(module.under_test(folder))
        keyring = Keyring(tmp_path / "keystore", real.pin, work_factor=2**12, timeout=TIMEOUT)
        stack.callback(keyring.close)
        info = attach(real, keyring, "tested")
        assert (info.name, info.address, info.backend) == ("tested", real.address, module.NAME)
        stack.callback(real.restore)
        yield Bench(real, keyring, keyring.signer_for(info.address))


def test_signatures_over_fixed_messages_recover_to_the_key(bench):
    assert len(set(MESSAGES)) == 50
    for message in MESSAGES:
        signature = bench.signs(message)
        assert len(signature) == 65
        assert signature[64] in (27, 28)
        assert 0 < int.from_bytes(signature[32:64], "big") <= eip191.ORDER // 2
        assert Account.recover_message(encode_defunct(message), signature=signature) == bench.real.address


def test_the_address_that_it_tells_is_the_one_that_is_known_from_elsewhere(bench):
    bench.signer.unlock()
    assert bench.signer.address == bench.keyring.key_for(bench.real.address).address == bench.real.address


def test_another_key_behind_the_name_signs_nothing_that_leaves(bench):
    if isinstance(bench.signer, BackendSigner):
        bench.signs()
    bench.trouble("swap_key")
    error = bench.fails()
    assert error.disposition is Disposition.OPERATOR
    if isinstance(bench.signer, BackendSigner):
        assert error.code == "signature_mismatch"
    assert bench.real.address in error.message
    opened_later = Keyring(bench.keyring.path, bench.real.pin, timeout=TIMEOUT).signer_for(bench.real.address)
    assert bench.fails(lambda _: opened_later.unlock()).disposition is Disposition.OPERATOR
    bench.real.restore()
    bench.signs()


def test_a_lost_connection_is_worth_another_try_and_mends_itself(bench):
    bench.signs()
    bench.trouble("lose_connection")
    started = time.monotonic()
    for _ in range(2):
        error = bench.fails()
        assert (error.code, error.disposition) == ("key_backend_unreachable", Disposition.RETRY)
    assert time.monotonic() - started < 2 * TIMEOUT + SLACK
    bench.real.restore()
    bench.signs()


def test_a_connection_that_broke_between_two_uses_is_not_noticed(bench):
    bench.signs()
    bench.trouble("lose_connection")
    bench.real.restore()
    bench.signs()


def test_it_can_be_away_when_it_is_first_used(bench):
    bench.trouble("lose_connection")
    error = bench.fails()
    assert (error.code, error.disposition) == ("key_backend_unreachable", Disposition.RETRY)
    assert bench.fails(lambda _: bench.signer.unlock()).disposition is Disposition.RETRY
    bench.real.restore()
    bench.signs()


def test_a_call_that_hangs_ends_in_time(bench):
    bench.signs()
    bench.trouble("hang")
    started = time.monotonic()
    error = bench.fails()
    assert time.monotonic() - started < TIMEOUT + SLACK
    assert (error.code, error.disposition) == ("key_backend_unreachable", Disposition.RETRY)
    bench.real.restore()
    bench.signs()


def test_hanging_calls_do_not_wait_for_each_other_for_ever(bench):
    bench.signs()
    bench.trouble("hang")
    started = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        errors = list(pool.map(lambda _: bench.fails(), range(8)))
    assert time.monotonic() - started < 2 * TIMEOUT + SLACK
    assert {error.code for error in errors} == {"key_backend_unreachable"}
    bench.real.restore()
    bench.signs()


def test_fifty_threads_at_once_each_get_the_signature_of_their_own_message(bench):
    barrier = threading.Barrier(50)

    def use(message: bytes) -> bytes:
        barrier.wait(30)
        return bench.signer.sign_message(message)

    with ThreadPoolExecutor(50) as pool:
        signatures = list(pool.map(use, MESSAGES))
    for message, signature in zip(MESSAGES, signatures, strict=True):
        eip191.require(message, signature, bench.real.address)


def test_nothing_secret_is_shown_and_nothing_is_pickled(bench):
    bench.signs()
    things = [bench.signer, bench.keyring, bench.keyring.get("tested")]
    opened = getattr(bench.signer, "_backend", None)
    if opened is not None:
        things.append(opened)
    for thing in things:
        shown = f"{thing!r} {thing} {thing:}"
        for secret in bench.real.secrets:
            assert secret not in shown
    stored = b"".join(path.read_bytes() for path in Path(bench.keyring.path).rglob("*") if path.is_file())
    for secret in bench.real.secrets:
        assert secret.encode() not in stored
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            attempt(bench.signer)


def test_closing_twice_is_fine_and_a_use_after_it_opens_again(bench):
    bench.signs()
    for _ in range(2):
        bench.keyring.close()
    bench.signs()


def test_a_disabled_key_is_refused_before_the_back_end_is_asked(bench):
    bench.keyring.disable("tested")
    with pytest.raises(KeyUnavailable) as caught:
        bench.keyring.signer_for(bench.real.address)
    assert caught.value.code == "key_disabled"
    bench.keyring.enable("tested")
    assert bench.keyring.signer_for(bench.real.address) is bench.signer
    bench.signs()
