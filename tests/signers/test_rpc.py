"""Keys of a remote signer over JSON-RPC: Anvil's own accounts, and a proxy before it that lies."""

from __future__ import annotations

import datetime
import gc
import json
import pickle
import socket
import ssl
import subprocess
import sys
import threading
import time
import traceback

import pytest
from coincurve import PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import eip191
from orchestrator.devnet.anvil import Anvil
from orchestrator.devnet.dev_accounts import DEV_ACCOUNTS
from orchestrator.errors import Disposition, KeyUnavailable, OrchestratorError, SettingsError
from orchestrator.models import to_address
from orchestrator.passwords import NoPassword
from orchestrator.runbook import advice
from orchestrator.signers.backends import rpc
from orchestrator.signers.backends.backend import MessageBackend
from orchestrator.signers.backends.rpc_http import Connections, Exchange, TooLarge
from orchestrator.signers.backends.uri import KeyUri

from . import backends_rpc as remote

TIMEOUT = 10.0
ADDRESS = to_address(DEV_ACCOUNTS[0].address)
OTHER = to_address(DEV_ACCOUNTS[1].address)
MESSAGE = b"5df359f0-d299-40a1-8023-17c77a50144c"
METHODS = ("eth_sign", "personal_sign")
ORDER = eip191.ORDER


@pytest.fixture(scope="module")
def anvil():
    with Anvil() as node:
        yield node


@pytest.fixture
def proxy(anvil):
    with remote.Proxy(anvil.url) as server:
        yield server


@pytest.fixture
def backend(proxy):
    backend = opened(proxy.uri(address=ADDRESS))
    yield backend
    backend.close()


def opened(uri: str, timeout: float = TIMEOUT) -> rpc.RemoteSigner:
    backend = rpc.open_backend(KeyUri.parse(uri), pin=NoPassword(), timeout=timeout)
    ended.append(backend)
    return backend


ended: list[rpc.RemoteSigner] = []


@pytest.fixture(autouse=True)
def _end_all():
    yield
    while ended:
        ended.pop().close()


def refused(call) -> OrchestratorError:
    with pytest.raises(OrchestratorError) as caught:
        call()
    error = caught.value
    assert error.__context__ is None or error.__suppress_context__, "a library's error is carried along"
    return error


def kind(error: OrchestratorError) -> tuple[str, Disposition]:
    return error.code, error.disposition


MALFORMED = ("key_backend_malformed", Disposition.OPERATOR)
UNREACHABLE = ("key_backend_unreachable", Disposition.RETRY)


def right_signature() -> bytes:
    return eip191_sign(DEV_ACCOUNTS[0].private_key, MESSAGE)


def eip191_sign(private_key: str, message: bytes) -> bytes:
    """By libsecp256k1 directly: what the node must give, too (RFC 6979)."""
    key = PrivateKey(bytes.fromhex(private_key[2:]))
    signature = key.sign_recoverable(eip191.personal_hash(message), hasher=None)
    return signature[:64] + bytes((27 + signature[64],))


# --- the way when all is well ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_both_methods_sign_personal_messages_on_anvil_itself(anvil, method):
    backend = opened(f"rpc+{anvil.url}?method={method}&address={ADDRESS}")
    assert isinstance(backend, MessageBackend)
    assert backend.name == "rpc"
    assert backend.address() == ADDRESS
    for message in (MESSAGE, b"", b"\x00\xff" * 40, "grüße\n".encode(), b"0x1234", b"x" * 5000):
        signature = backend.sign_message(message)
        assert signature == eip191_sign(DEV_ACCOUNTS[0].private_key, message)
        assert eip191.recover(message, signature) == ADDRESS
    backend.close()
    backend.close()
    assert backend.sign_message(MESSAGE) == right_signature(), "a use after close opens it again"
    backend.close()


@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_parameters_is_the_methods(proxy, method):
    backend = opened(proxy.uri(method, address=ADDRESS))
    backend.sign_message(MESSAGE)
    text = "0x" + MESSAGE.hex()
    assert proxy.requests[-1]["method"] == method
    assert proxy.requests[-1]["params"] == ([ADDRESS, text] if method == "eth_sign" else [text, ADDRESS])
    backend.close()


def test_several_accounts_need_a_choice(proxy):
    backend = opened(proxy.uri())
    error = refused(backend.address)
    assert kind(error) == ("key_not_found", Disposition.STOP)
    assert "got 10; name one in the URI with address=0x" in error.message
    assert "address=0x" in advice(error)
    assert "keys import" not in advice(error)
    assert kind(refused(lambda: backend.sign_message(MESSAGE))) == kind(error)
    backend.close()


def test_the_only_account_needs_none_and_is_asked_for_once(proxy):
    proxy.change = lambda method, result: result[:1] if method == "eth_accounts" else result
    backend = opened(proxy.uri())
    assert backend.sign_message(MESSAGE) == backend.sign_message(MESSAGE) == right_signature()
    assert [call["method"] for call in proxy.requests] == ["eth_accounts", "eth_sign", "eth_sign"]
    assert backend.address() == ADDRESS
    backend.close()


@pytest.mark.parametrize("accounts", [[], [OTHER]])
def test_an_account_that_is_not_there(proxy, backend, accounts):
    proxy.change = lambda method, result: accounts
    error = refused(backend.address)
    assert kind(error) == ("key_not_found", Disposition.STOP)
    assert ADDRESS in error.message


def test_an_account_that_the_node_does_not_know(anvil):
    backend = opened(f"rpc+{anvil.url}?method=eth_sign&address=0x{'11' * 20}")
    assert kind(refused(backend.address)) == ("key_not_found", Disposition.STOP)
    error = refused(lambda: backend.sign_message(MESSAGE))
    assert kind(error) == ("key_backend_denied", Disposition.STOP)
    assert "No Signer available" in error.message
    backend.close()


def test_keys_are_not_made_there(backend):
    error = refused(backend.create)
    assert isinstance(error, SettingsError)
    assert error.code == "key_create_unsupported"


def test_fifty_at_once(proxy, backend):
    messages = [b"message %d" % number for number in range(50)]
    results: dict[bytes, bytes] = {}
    gate = threading.Barrier(len(messages))

    def work(message: bytes) -> None:
        gate.wait()
        results[message] = backend.sign_message(message)

    threads = [threading.Thread(target=work, args=(message,)) for message in messages]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {message: eip191_sign(DEV_ACCOUNTS[0].private_key, message) for message in messages}
    assert proxy.connections <= 50


def test_one_connection_serves_many_calls(proxy, backend):
    for _ in range(10):
        backend.sign_message(MESSAGE)
    assert proxy.connections == 1


# --- signatures that are not as they should be ------------------------------------------------------------------------


def altered(r: int, s: int, v: int) -> str:
    return "0x" + r.to_bytes(32, "big").hex() + s.to_bytes(32, "big").hex() + bytes((v,)).hex()


def numbers() -> tuple[int, int, int]:
    signature = right_signature()
    return int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big"), signature[64]


@pytest.mark.parametrize("high", [False, True])
@pytest.mark.parametrize("base", [0, 27])
def test_v_and_s_are_brought_into_form(proxy, backend, high, base):
    r, s, v = numbers()
    recovery_id = v - 27
    given = altered(r, ORDER - s, base + 1 - recovery_id) if high else altered(r, s, base + recovery_id)
    proxy.change = lambda method, result: given
    assert backend.sign_message(MESSAGE) == right_signature()


def test_capital_letters_are_the_same_signature(proxy, backend):
    proxy.change = lambda method, result: "0X" + result[2:].upper()
    assert backend.sign_message(MESSAGE) == right_signature()


KEYS = st.integers(1, ORDER - 1).map(lambda number: PrivateKey(number.to_bytes(32, "big")))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(key=KEYS, message=st.binary(max_size=100), high=st.booleans(), base=st.sampled_from([0, 27]))
def test_any_form_of_a_signature_is_brought_into_the_one_form(key, message, high, base):
    digest = eip191.personal_hash(message)
    raw = key.sign_recoverable(digest, hasher=None)
    r, s, recovery_id = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:64], "big"), raw[64]
    text = altered(r, ORDER - s, base + 1 - recovery_id) if high else altered(r, s, base + recovery_id)
    made = rpc._signature(text, "here")
    assert made == raw[:64] + bytes((27 + recovery_id,))
    assert eip191.recover(message, made) == eip191.address_of(key.public_key)


@given(JSON | st.text("0123456789abcdefx", min_size=130, max_size=134) | st.binary(min_size=65, max_size=65))
def test_any_result_is_a_signature_in_form_or_malformed(result):
    error, made = None, b""
    try:
        made = rpc._signature("0x" + result.hex() if isinstance(result, bytes) else result, "here")
    except KeyUnavailable as caught:
        error = caught
    if error is not None:
        assert kind(error) == MALFORMED
    else:
        assert len(made) == 65
        assert made[64] in (27, 28)
        assert 0 < int.from_bytes(made[32:64], "big") <= ORDER // 2


@given(
    JSON.map(lambda value: json.dumps(value).encode())
    | st.binary(max_size=60)
    | JSON.map(lambda value: {"error": value})
)
def test_any_answer_is_a_result_or_an_error_of_ours(answer):
    signer = rpc.open_backend(KeyUri.parse("rpc+http://127.0.0.1:1/?method=eth_sign"), pin=NoPassword())
    body = json.dumps({"jsonrpc": "2.0", "id": 1, **answer}).encode() if isinstance(answer, dict) else answer
    error = None
    try:
        signer._result(signer._document(200, body), "eth_sign", 1, None)
    except KeyUnavailable as caught:
        error = caught
    assert error.message.isprintable() if error is not None else b'"result"' in body


BAD_SIGNATURES = {
    "64 bytes": lambda r, s, v: altered(r, s, v)[:-2],
    "66 bytes": lambda r, s, v: altered(r, s, v) + "00",
    "half a byte": lambda r, s, v: altered(r, s, v)[:-1],
    "no 0x": lambda r, s, v: altered(r, s, v)[2:],
    "white space": lambda r, s, v: altered(r, s, v) + "\n",
    "other digits": lambda r, s, v: "0x" + "\N{ARABIC-INDIC DIGIT ZERO}" * 130,
    "v 2": lambda r, s, v: altered(r, s, 2),
    "v 29": lambda r, s, v: altered(r, s, 29),
    "v 37": lambda r, s, v: altered(r, s, 37),
    "v 54": lambda r, s, v: altered(r, s, 54),
    "r 0": lambda r, s, v: altered(0, s, v),
    "s 0": lambda r, s, v: altered(r, 0, v),
    "r n": lambda r, s, v: altered(ORDER, s, v),
    "s n": lambda r, s, v: altered(r, ORDER, v),
    "empty": lambda r, s, v: "",
    "number": lambda r, s, v: 5,
    "list": lambda r, s, v: [altered(r, s, v)],
    "object": lambda r, s, v: {"raw": altered(r, s, v)},
    "true": lambda r, s, v: True,
    "null": lambda r, s, v: None,
}


@pytest.mark.parametrize("name", BAD_SIGNATURES)
def test_what_is_no_signature_is_refused(proxy, backend, name):
    proxy.change = lambda method, result: BAD_SIGNATURES[name](*numbers())
    assert kind(refused(lambda: backend.sign_message(MESSAGE))) == MALFORMED


def test_another_keys_signature_recovers_to_another_address(proxy, backend):
    proxy.fault = remote.other_key
    assert eip191.recover(MESSAGE, backend.sign_message(MESSAGE)) == OTHER


BAD_ACCOUNTS = [None, {}, "0x", 5, [5], [None], ["0x12"], ["0x" + "zz" * 20], [[ADDRESS]]]


@pytest.mark.parametrize("accounts", BAD_ACCOUNTS, ids=str)
def test_what_is_no_list_of_accounts_is_refused(proxy, backend, accounts):
    proxy.change = lambda method, result: accounts
    assert kind(refused(backend.address)) == MALFORMED


# --- answers that are not as they should be ---------------------------------------------------------------------------

BAD_BODIES = {
    "empty": b"",
    "text": b"no",
    "list": b"[]",
    "null": b"null",
    "number": b"1",
    "no version": b'{"id": 1, "result": "0x"}',
    "version 1": b'{"jsonrpc": "1.0", "id": 1, "result": "0x"}',
    "other id": b'{"jsonrpc": "2.0", "id": 99, "result": "0x"}',
    "true as id": b'{"jsonrpc": "2.0", "id": true, "result": "0x"}',
    "no id": b'{"jsonrpc": "2.0", "result": "0x"}',
    "neither": b'{"jsonrpc": "2.0", "id": 1}',
    "error text": b'{"jsonrpc": "2.0", "id": 1, "error": "no"}',
    "error without code": b'{"jsonrpc": "2.0", "id": 1, "error": {"message": "no"}}',
    "error with true": b'{"jsonrpc": "2.0", "id": 1, "error": {"code": true}}',
    "error with a great code": b'{"jsonrpc": "2.0", "id": 1, "error": {"code": 99999999999999}}',
    "not UTF-8": b'{"jsonrpc": "2.0", "id": 1, "result": "\xff"}',
    "digits": b'{"jsonrpc": "2.0", "id": ' + b"1" * 100_000 + b"}",
    "deep": b"[" * 100_000,
    "deep objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "huge": b" " * (rpc.MAX_ANSWER_BYTES + 1),
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_what_is_no_answer_is_refused(proxy, backend, name):
    proxy.fault = lambda handler, call: handler.reply(200, BAD_BODIES[name])
    error = refused(lambda: backend.sign_message(MESSAGE))
    assert kind(error) == MALFORMED
    assert len(error.message) < 400


def test_an_endless_answer_is_not_read(proxy, backend):
    """Chunked, so that no length is told before."""
    stop = threading.Event()

    def endless(handler, call):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not stop.is_set():
            handler.wfile.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")

    proxy.fault = endless
    assert kind(refused(lambda: backend.sign_message(MESSAGE))) == MALFORMED
    stop.set()


def test_an_answer_that_is_not_read_to_its_end_leaves_no_socket_open(proxy):
    """Also while its error is still held, whose traceback holds what the reading left behind."""
    connections = Connections(f"http://127.0.0.1:{proxy.port}/", TIMEOUT)
    huge = BAD_BODIES["huge"]
    proxy.fault = lambda handler, call: handler.reply(200, huge * 2, Connection="close")
    with pytest.raises(TooLarge) as held:
        Exchange(connections, b'{"method": "eth_accounts"}', {}).run()
    open_still = [one for one in gc.get_objects() if isinstance(one, socket.socket) and half_closed(one)]
    assert not open_still, held
    connections.close()


def half_closed(sock: socket.socket) -> bool:
    """Closed by name, but something that reads from it keeps its descriptor."""
    return sock._closed and sock.fileno() != -1


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"SSH-2.0-nonsense\r\n\r\n", MALFORMED),
        (b"HTTP/1.1 abc OK\r\n\r\n", MALFORMED),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n", MALFORMED),
        (b"HTTP/1.1 200 OK\r\na: " + b"b" * 70_000 + b"\r\n\r\n", MALFORMED),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", UNREACHABLE),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{}", UNREACHABLE),
        (b"HTTP/1.1 200 OK\r\nContent-Le", MALFORMED),
        (b"HTTP/1.1", MALFORMED),
        (b"", UNREACHABLE),
    ],
    ids=lambda value: value[:40] if isinstance(value, bytes) else "",
)
def test_what_is_no_http(proxy, backend, raw, expected):
    def fault(handler, call):
        handler.wfile.write(raw)
        return remote.drop(handler, call)

    proxy.fault = fault
    assert kind(refused(lambda: backend.sign_message(MESSAGE))) == expected


STATUSES = {
    400: MALFORMED,
    401: ("key_backend_denied", Disposition.STOP),
    403: ("key_backend_denied", Disposition.STOP),
    404: MALFORMED,
    407: ("key_backend_denied", Disposition.STOP),
    408: UNREACHABLE,
    429: ("key_backend_throttled", Disposition.RETRY),
    500: UNREACHABLE,
    502: UNREACHABLE,
    503: UNREACHABLE,
    201: MALFORMED,
    204: MALFORMED,
}


@pytest.mark.parametrize("status", STATUSES)
def test_each_http_status_has_its_disposition(proxy, backend, status):
    proxy.fault = lambda handler, call: handler.reply(status, b"")
    error = refused(lambda: backend.sign_message(MESSAGE))
    assert kind(error) == STATUSES[status]
    assert str(status) in error.message
    assert len(proxy.requests) == 1, "nothing was repeated"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(anvil, proxy, backend, status):
    with remote.Proxy(anvil.url) as trap:
        location = f"http://127.0.0.1:{trap.port}/"
        proxy.fault = lambda handler, call: handler.reply(status, b"", Location=location)
        error = refused(lambda: backend.sign_message(MESSAGE))
        assert kind(error) == MALFORMED
        assert "redirect" in error.message
        assert trap.connections == 0


ERRORS = {
    -32601: ("key_backend_denied", Disposition.STOP),
    -32600: ("key_backend_denied", Disposition.STOP),
    -32602: ("key_backend_denied", Disposition.STOP),
    4001: ("key_backend_denied", Disposition.STOP),
    4100: ("key_backend_denied", Disposition.STOP),
    -32000: ("key_backend_denied", Disposition.OPERATOR),
    -32603: ("key_backend_denied", Disposition.OPERATOR),
    1: ("key_backend_denied", Disposition.OPERATOR),
    -32005: ("key_backend_throttled", Disposition.RETRY),
    429: ("key_backend_throttled", Disposition.RETRY),
    -32002: UNREACHABLE,
}


@pytest.mark.parametrize("code", ERRORS)
def test_each_json_rpc_error_has_its_disposition(proxy, backend, code):
    said = {"code": code, "message": "no\n\x1b[31m" + "x" * 1000}
    proxy.fault = lambda handler, call: handler.reply_json({"jsonrpc": "2.0", "id": call["id"], "error": said})
    error = refused(lambda: backend.sign_message(MESSAGE))
    assert isinstance(error, KeyUnavailable)
    assert kind(error) == ERRORS[code]
    assert error.message.isprintable()
    assert len(error.message) < 350
    assert f"eth_sign: {code}: no" in error.message


def test_an_error_without_id_counts(proxy, backend):
    said = {"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "Parse error"}}
    proxy.fault = lambda handler, call: handler.reply_json(said)
    assert refused(lambda: backend.sign_message(MESSAGE)).code == "key_backend_denied"


def test_a_method_that_is_not_offered(proxy, backend):
    def other_method(handler, call):
        call["method"] = "eth_nonsense"

    proxy.fault = other_method
    error = refused(lambda: backend.sign_message(MESSAGE))
    assert kind(error) == ("key_backend_denied", Disposition.STOP)
    assert "Method not found" in error.message


# --- connections ----------------------------------------------------------------------------------------------------


def test_a_lost_connection_is_opened_again(proxy, backend):
    backend.sign_message(MESSAGE)
    proxy.break_connections()
    assert backend.sign_message(MESSAGE) == right_signature(), "a kept-alive connection that died is no trouble"
    proxy.fault = remote.drop
    before = len(proxy.requests)
    assert kind(refused(lambda: backend.sign_message(MESSAGE))) == UNREACHABLE
    assert len(proxy.requests) - before <= 2
    proxy.fault = None
    assert backend.sign_message(MESSAGE) == right_signature()


def test_nobody_listens():
    backend = opened("rpc+http://127.0.0.1:1/?method=eth_sign")
    error = refused(backend.address)
    assert kind(error) == UNREACHABLE
    assert "Connection refused" in error.message


def test_a_name_that_does_not_resolve():
    backend = opened("rpc+https://nowhere.invalid/?method=eth_sign", timeout=5)
    assert kind(refused(backend.address)) == UNREACHABLE


def test_a_hanging_signer_is_bounded(proxy):
    backend = opened(proxy.uri(address=ADDRESS), timeout=0.5)
    proxy.fault = remote.hang
    began = time.monotonic()
    error = refused(lambda: backend.sign_message(MESSAGE))
    assert kind(error) == UNREACHABLE
    assert "within 0.5 s" in error.message
    assert 0.4 < time.monotonic() - began < 3
    proxy.fault = None
    proxy.release.set()
    backend.close()


@pytest.mark.parametrize("where", ["headers", "body", "body until the end"])
def test_an_answer_that_drips_is_bounded_and_leaves_no_thread(proxy, where):
    stop = threading.Event()

    start = {
        "headers": b"HTTP/1.1 200 OK\r\na: ",
        "body": b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n",
        "body until the end": b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
    }

    def drip(handler, call):
        handler.wfile.write(start[where])
        while not stop.wait(0.05):
            handler.wfile.write(b" ")

    backend = opened(proxy.uri(address=ADDRESS), timeout=0.5)
    proxy.fault = drip
    began = time.monotonic()
    assert kind(refused(lambda: backend.sign_message(MESSAGE))) == UNREACHABLE
    assert time.monotonic() - began < 3
    deadline = time.monotonic() + 20
    while any(thread.name == "bounded-call" for thread in threading.enumerate()):
        assert time.monotonic() < deadline, "the thread still waits for the socket"
        time.sleep(0.01)
    stop.set()
    backend.close()


def test_the_environment_names_no_proxy(anvil, proxy, backend, monkeypatch):
    with remote.Proxy(anvil.url) as trap:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{trap.port}")
        assert backend.sign_message(MESSAGE) == right_signature()
        assert trap.connections == 0


FORK = """
import os, sys
from orchestrator import eip191
from orchestrator.signers.backends import rpc
from orchestrator.signers.backends.uri import KeyUri

backend = rpc.open_backend(KeyUri.parse(sys.argv[1]), pin=None, timeout=10)
address = backend.address()
child = os.fork()
for number in range(20):
    message = b"%d %d" % (child, number)
    assert eip191.recover(message, backend.sign_message(message)) == address
if child == 0:
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_process_opens_its_own_connection(proxy):
    done = subprocess.run(
        [sys.executable, "-c", FORK, proxy.uri(address=ADDRESS)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "0"
    assert proxy.connections == 2


# --- the header and TLS ---------------------------------------------------------------------------------------------


@pytest.fixture
def authorization(tmp_path):
    path = tmp_path / "authorization"
    path.touch(mode=0o600)
    path.write_text("Bearer a-secret-token\n")
    return path


def test_the_header_comes_from_its_file_at_each_request(proxy, authorization):
    proxy.authorization = "Bearer a-secret-token"
    backend = opened(proxy.uri(address=ADDRESS, authorization_source=f"file:{authorization}"))
    assert backend.sign_message(MESSAGE) == right_signature()
    proxy.authorization = "Bearer another"
    assert kind(refused(lambda: backend.sign_message(MESSAGE))) == ("key_backend_denied", Disposition.STOP)
    authorization.write_text("Bearer another")
    assert backend.sign_message(MESSAGE) == right_signature()
    backend.close()


def test_without_a_file_no_header_is_sent(proxy, backend):
    backend.sign_message(MESSAGE)
    assert "Authorization" not in proxy.headers[-1]


@pytest.mark.parametrize(
    "content", [b"Bearer a\nX-Other: b", b"a\rb", "Bearer ü".encode(), b"a\0b", b" a", b"x" * 4097]
)
def test_a_header_that_is_none(proxy, authorization, content):
    authorization.write_bytes(content)
    backend = opened(proxy.uri(address=ADDRESS, authorization_source=f"file:{authorization}"))
    error = refused(lambda: backend.sign_message(MESSAGE))
    assert kind(error) == ("password_unreadable", Disposition.STOP)
    assert proxy.connections == 0


def test_a_file_that_others_can_read_is_refused(proxy, authorization):
    authorization.chmod(0o644)
    backend = opened(proxy.uri(address=ADDRESS, authorization_source=f"file:{authorization}"))
    assert refused(backend.address).code == "keystore_permissions"
    assert proxy.connections == 0


def test_the_header_is_in_no_error_even_if_it_comes_back(proxy, authorization):
    def echo(handler, call):
        said = {"code": -32000, "message": f"bad: {handler.headers['Authorization']} a-secret-token"}
        return handler.reply_json({"jsonrpc": "2.0", "id": call["id"], "error": said})

    backend = opened(proxy.uri(address=ADDRESS, authorization_source=f"file:{authorization}"))
    texts = [repr(backend), repr(vars(backend))]
    for fault in (echo, remote.drop, lambda handler, call: handler.reply(401, b"")):
        proxy.fault = fault
        try:
            backend.sign_message(MESSAGE)
        except OrchestratorError as error:
            texts.append("".join(traceback.format_exception(error)) + repr(error) + repr(vars(error)))
    assert len(texts) == 5
    assert "bad: (hidden) (hidden)" in texts[2]
    assert "a-secret-token" not in "".join(texts)
    with pytest.raises(TypeError):
        pickle.dumps(backend)


@pytest.fixture
def certificate(tmp_path):
    """A certificate for 127.0.0.1, signed by itself."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now - datetime.timedelta(days=1))
    builder = builder.not_valid_after(now + datetime.timedelta(days=1))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = builder.add_extension(alternative, critical=False).sign(key, hashes.SHA256())
    path = tmp_path / "certificate.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


@pytest.mark.parametrize("trusted", [True, False])
def test_https_with_a_certificate_that_is_trusted_or_not(proxy, certificate, monkeypatch, trusted):
    proxy.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    proxy.tls.load_cert_chain(certificate)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    backend = opened(proxy.uri(address=ADDRESS))
    if trusted:
        assert backend.sign_message(MESSAGE) == backend.sign_message(MESSAGE) == right_signature()
        assert proxy.connections == 1
    else:
        error = refused(lambda: backend.sign_message(MESSAGE))
        assert kind(error) == MALFORMED
        assert "certificate" in error.message
        assert proxy.requests == []
    backend.close()


def test_a_broken_https_connection_is_worth_another_try(proxy, certificate, monkeypatch):
    proxy.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    proxy.tls.load_cert_chain(certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    backend = opened(proxy.uri(address=ADDRESS))
    backend.sign_message(MESSAGE)
    proxy.break_connections()
    assert backend.sign_message(MESSAGE) == right_signature(), "a kept-alive connection that died is no trouble"
    proxy.fault = remote.drop
    assert kind(refused(lambda: backend.sign_message(MESSAGE))) == UNREACHABLE
    proxy.fault = None
    assert backend.sign_message(MESSAGE) == right_signature()


def test_https_to_a_server_that_speaks_none(proxy):
    backend = opened(proxy.uri(address=ADDRESS).replace("rpc+http:", "rpc+https:"))
    error = refused(lambda: backend.sign_message(MESSAGE))
    assert error.code in ("key_backend_malformed", "key_backend_unreachable")
    backend.close()


def test_the_request_is_json_rpc(proxy, backend):
    backend.sign_message(MESSAGE)
    backend.address()
    first, second = proxy.requests
    assert json.dumps(first, sort_keys=True) == json.dumps(
        {"jsonrpc": "2.0", "id": 1, "method": "eth_sign", "params": [ADDRESS, "0x" + MESSAGE.hex()]}, sort_keys=True
    )
    assert (second["id"], second["method"], second["params"]) == (2, "eth_accounts", [])
    assert proxy.headers[0]["Content-Type"] == "application/json"
