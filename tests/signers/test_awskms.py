"""AWS KMS keys by botocore, against a local stand-in for the service that really signs digests."""

from __future__ import annotations

import inspect
import json
import logging
import pickle
import subprocess
import sys
import threading
import time
import traceback

import pytest
from coincurve import PublicKey
from cryptography.hazmat.primitives.asymmetric import utils

from orchestrator import eip191
from orchestrator.errors import Disposition, KeyUnavailable, OrchestratorError, SettingsError
from orchestrator.passwords import NoPassword
from orchestrator.runbook import advice
from orchestrator.signers.backends import awskms, awskms_errors, ecdsa
from orchestrator.signers.backends.backend import DigestBackend
from orchestrator.signers.backends.uri import KeyUri

from . import kms_stand_in as kms

TIMEOUT = 5.0
DIGEST = eip191.personal_hash(b"a challenge")


@pytest.fixture
def stand_in(monkeypatch):
    with kms.KmsStandIn() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def key(stand_in):
    return stand_in.add("a")


@pytest.fixture
def backend(stand_in, key):
    backend = opened(stand_in.uri("alias/a"))
    yield backend
    backend.close()


def opened(uri: str, timeout: float = TIMEOUT) -> awskms.AwsKms:
    return awskms.open_backend(KeyUri.parse(uri), pin=NoPassword(), timeout=timeout)


def address_of(key):
    return eip191.address_of(PublicKey(key.point))


def refused(call) -> OrchestratorError:
    with pytest.raises(OrchestratorError) as caught:
        call()
    error = caught.value
    assert error.__context__ is None or error.__suppress_context__, "a library's error is carried along"
    return error


def kind(error: OrchestratorError) -> tuple[str, Disposition]:
    return error.code, error.disposition


# --- the way when all is well ---------------------------------------------------------------------------------------


def test_it_is_a_digest_backend(backend):
    assert isinstance(backend, DigestBackend)
    assert backend.name == "awskms"


@pytest.mark.parametrize("form", ["alias/a", "{id}", "arn:aws:kms:eu-central-1:111122223333:key/{id}"])
def test_address_by_alias_id_and_arn(stand_in, key, form):
    backend = opened(stand_in.uri(form.format(id=key.id)))
    assert backend.address() == address_of(key)
    assert ecdsa.finish(DIGEST, *backend.sign_digest(DIGEST), backend.address(), "here")
    backend.close()


@pytest.mark.parametrize("half", ["low", "high", None])
def test_signatures_recover_to_the_address(stand_in, key, backend, half):
    stand_in.half = half
    for number in range(10):
        message = b"message %d" % number
        digest = eip191.personal_hash(message)
        r, s = backend.sign_digest(digest)
        if half is not None:
            assert (s > eip191.ORDER // 2) == (half == "high")
        signature = ecdsa.finish(digest, r, s, address_of(key), "here")
        assert eip191.recover(message, signature) == address_of(key)


def test_two_signatures_of_one_digest_differ_and_both_hold(key, backend):
    first, second = backend.sign_digest(DIGEST), backend.sign_digest(DIGEST)
    assert first != second
    for r, s in (first, second):
        assert ecdsa.finish(DIGEST, r, s, address_of(key), "here")


def test_create_makes_a_key_with_the_alias(stand_in):
    backend = opened(stand_in.uri("alias/new/one"))
    address = backend.create()
    (made,) = stand_in.keys.values()
    assert stand_in.aliases == {"alias/new/one": made.id}
    assert (made.spec, made.usage, address_of(made)) == ("ECC_SECG_P256K1", "SIGN_VERIFY", address)
    assert ecdsa.finish(DIGEST, *backend.sign_digest(DIGEST), address, "here")
    backend.close()


def test_create_never_replaces(stand_in, key, backend):
    error = refused(backend.create)
    assert isinstance(error, SettingsError)
    assert error.code == "key_exists"
    assert list(stand_in.keys) == [key.id]


def test_create_needs_an_alias(stand_in, key):
    backend = opened(stand_in.uri(key.id))
    error = refused(backend.create)
    assert isinstance(error, SettingsError)
    assert error.code == "key_create_unsupported"
    assert stand_in.requests == []


def test_a_key_whose_alias_is_refused_is_named(stand_in):
    def fault(handler, operation, body):
        if operation == "CreateAlias":
            raise kms.Refusal("AccessDeniedException", "not authorized to perform: kms:CreateAlias")

    stand_in.fault = fault
    backend = opened(stand_in.uri("alias/new"))
    error = refused(backend.create)
    (made,) = stand_in.keys.values()
    assert kind(error) == ("key_backend_denied", Disposition.OPERATOR)
    assert made.id in error.message
    backend.close()


def test_a_lost_answer_to_create_makes_no_second_key(stand_in):
    def fault(handler, operation, body):
        if operation == "CreateKey":
            handler.server.stand_in.operate(operation, body)
            kms.drop(handler, operation, body)

    stand_in.fault = fault
    backend = opened(stand_in.uri("alias/new"))
    error = refused(backend.create)
    assert kind(error) == ("key_backend_unreachable", Disposition.OPERATOR)
    assert "a key may have been made" in error.message
    assert stand_in.requests.count("CreateKey") == 1
    backend.close()


def test_fifty_at_once(stand_in, key, backend):
    digests = [eip191.personal_hash(b"%d" % number) for number in range(50)]
    results: dict[bytes, tuple[int, int]] = {}
    gate = threading.Barrier(len(digests))

    def work(digest: bytes) -> None:
        gate.wait()
        results[digest] = backend.sign_digest(digest)

    threads = [threading.Thread(target=work, args=(digest,)) for digest in digests]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == len(digests)
    for digest, (r, s) in results.items():
        assert ecdsa.finish(digest, r, s, address_of(key), "here")


def test_keys_of_one_endpoint_share_a_client(stand_in):
    keys = [stand_in.add(f"key-{number}") for number in range(20)]
    backends = [opened(stand_in.uri(f"alias/key-{number}")) for number in range(20)]
    assert [backend.address() for backend in backends] == [address_of(key) for key in keys]
    assert stand_in.connections == 1
    for backend in backends:
        backend.close()
        backend.close()
    assert backends[0].address() == address_of(keys[0]), "a use after close opens it again"
    backends[0].close()


# --- trouble --------------------------------------------------------------------------------------------------------

CODES = [
    *((code, "key_backend_throttled", Disposition.RETRY) for code in awskms_errors.THROTTLED),
    *((code, "key_backend_unreachable", Disposition.RETRY) for code in awskms_errors.PASSING),
    *((code, "key_backend_denied", Disposition.STOP) for code in awskms_errors.CREDENTIALS),
    *((code, "key_backend_denied", Disposition.STOP) for code in awskms_errors.DENIED),
    *((code, "key_backend_denied", Disposition.OPERATOR) for code in awskms_errors.NOT_NOW),
    *((code, "key_not_found", Disposition.STOP) for code in awskms_errors.NOT_FOUND),
    ("ValidationException", "key_backend_malformed", Disposition.OPERATOR),
    ("SomethingNewException", "key_backend_malformed", Disposition.OPERATOR),
]


def test_every_error_code_has_its_disposition(stand_in, backend):
    for given, code, disposition in sorted(CODES):
        stand_in.fault = kms.refuse(given, "no reason")
        error = refused(lambda: backend.sign_digest(DIGEST))
        assert isinstance(error, KeyUnavailable)
        assert kind(error) == (code, disposition), given
        assert given in error.message
        assert backend_where(stand_in) in error.message
    assert len(stand_in.requests) == len(CODES), "nothing was repeated"


def backend_where(stand_in) -> str:
    return f"awskms key alias/a at http://127.0.0.1:{stand_in.port} (eu-central-1)"


def test_every_error_of_the_services_own_description_is_known():
    """Those that the two operations name in botocore's model of the service."""
    from botocore.session import Session

    model = Session().get_service_model("kms")
    named = {
        shape.name
        for name in ("GetPublicKey", "Sign", "DescribeKey")
        for shape in model.operation_model(name).error_shapes
    }
    known = (
        awskms_errors.THROTTLED
        | awskms_errors.PASSING
        | awskms_errors.CREDENTIALS
        | awskms_errors.DENIED
        | awskms_errors.NOT_NOW
        | awskms_errors.NOT_FOUND
    )
    assert named - known == set()


@pytest.mark.parametrize(
    ("status", "code", "disposition"),
    [
        (429, "key_backend_throttled", Disposition.RETRY),
        (500, "key_backend_unreachable", Disposition.RETRY),
        (503, "key_backend_unreachable", Disposition.RETRY),
        (404, "key_backend_malformed", Disposition.OPERATOR),
        (302, "key_backend_malformed", Disposition.OPERATOR),
    ],
)
def test_a_status_without_a_known_code(stand_in, backend, status, code, disposition):
    stand_in.fault = lambda handler, operation, body: handler.reply(status, b"<html>a gateway</html>") or {}
    assert kind(refused(lambda: backend.sign_digest(DIGEST))) == (code, disposition)


def test_none_of_the_librarys_exceptions_is_left_unmapped():
    """Each class of botocore.exceptions becomes ours, with a sentence."""
    import botocore.exceptions

    classes = [
        value
        for _, value in inspect.getmembers(botocore.exceptions, inspect.isclass)
        if issubclass(value, Exception) and not issubclass(value, Warning) and value.__module__ == "botocore.exceptions"
    ]
    assert len(classes) > 80
    seen = set()
    for cls in classes:
        error = cls.__new__(cls)
        if isinstance(error, botocore.exceptions.ClientError):
            error.response = {"Error": {}, "ResponseMetadata": {}}
        mapped = awskms_errors.translate(error, "here")
        assert isinstance(mapped, KeyUnavailable), cls
        assert mapped.message.startswith("here")
        seen.add(mapped.code)
    assert seen == {"key_backend_unreachable", "key_backend_denied", "key_backend_malformed"}


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("ReadTimeoutError", "key_backend_unreachable"),
        ("ConnectTimeoutError", "key_backend_unreachable"),
        ("EndpointConnectionError", "key_backend_unreachable"),
        ("ConnectionClosedError", "key_backend_unreachable"),
        ("ProxyConnectionError", "key_backend_unreachable"),
        ("ResponseStreamingError", "key_backend_unreachable"),
        ("SSLError", "key_backend_malformed"),
        ("NoCredentialsError", "key_backend_denied"),
        ("CredentialRetrievalError", "key_backend_denied"),
        ("ProfileNotFound", "key_backend_denied"),
        ("UnauthorizedSSOTokenError", "key_backend_denied"),
        ("ParamValidationError", "key_backend_malformed"),
    ],
)
def test_what_the_librarys_exceptions_become(name, code):
    import botocore.exceptions

    cls = getattr(botocore.exceptions, name)
    assert awskms_errors.translate(cls.__new__(cls), "here").code == code


def test_a_dropped_connection_is_retried_once_and_then_reported(stand_in, key, backend):
    backend.address()
    stand_in.break_connections()
    assert backend.address() == address_of(key), "a kept-alive connection that died is no trouble"
    stand_in.fault = kms.drop
    assert kind(refused(lambda: backend.sign_digest(DIGEST))) == ("key_backend_unreachable", Disposition.RETRY)
    assert stand_in.requests.count("Sign") == 2
    stand_in.fault = None
    assert ecdsa.finish(DIGEST, *backend.sign_digest(DIGEST), address_of(key), "here")


def test_nobody_listens(stand_in):
    """The stand-in is there for its credentials only."""
    backend = opened("awskms://127.0.0.1:1/alias/a?region=eu-central-1")
    assert kind(refused(backend.address)) == ("key_backend_unreachable", Disposition.RETRY)
    backend.close()


def test_a_hanging_service_is_bounded(stand_in, key):
    backend = opened(stand_in.uri("alias/a"), timeout=0.5)
    backend.address()
    stand_in.fault = kms.hang
    began = time.monotonic()
    error = refused(lambda: backend.sign_digest(DIGEST))
    assert kind(error) == ("key_backend_unreachable", Disposition.RETRY)
    assert 0.4 < time.monotonic() - began < 3
    stand_in.fault = None
    stand_in.release.set()
    assert opened(stand_in.uri("alias/a")).address() == address_of(key)
    backend.close()


def test_an_answer_that_drips_is_bounded(stand_in, key):
    """Each byte comes within botocore's own time limit; the whole does not."""
    stop = threading.Event()

    def drip(handler, operation, body):
        handler.answered = True
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not stop.wait(0.1):
            handler.wfile.write(b" ")
        return {}

    backend = opened(stand_in.uri("alias/a"), timeout=0.6)
    backend.address()
    stand_in.fault = drip
    began = time.monotonic()
    assert refused(lambda: backend.sign_digest(DIGEST)).code == "key_backend_unreachable"
    assert time.monotonic() - began < 3
    stop.set()
    backend.close()


def test_an_answer_that_breaks_off_is_worth_another_try(stand_in, key, backend):
    def cut(handler, operation, body):
        document = json.dumps(handler.server.stand_in.operate(operation, body)).encode()
        handler.answered = True
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(document) + document[:-5])
        return kms.drop(handler, operation, body)

    stand_in.fault = cut
    assert kind(refused(lambda: backend.sign_digest(DIGEST))) == ("key_backend_unreachable", Disposition.RETRY)
    stand_in.fault = None
    assert backend.address() == address_of(key)


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        b"\x30",
        bytes.fromhex("3006020101020101") + b"\0",
        bytes.fromhex("300702020001020101"),  # r with a needless zero
        bytes.fromhex("3006020181020101"),  # r below zero
        bytes.fromhex("308106020101020101"),  # the length in a longer form
        bytes(64),
        bytes(65),
    ],
)
def test_a_signature_that_is_not_der(stand_in, backend, signature):
    stand_in.fault = kms.der_answer(signature)
    error = refused(lambda: backend.sign_digest(DIGEST))
    assert kind(error) == ("key_backend_malformed", Disposition.OPERATOR)


@pytest.mark.parametrize("numbers", [(0, 1), (1, 0), (eip191.ORDER, 1), (1, eip191.ORDER), (2**256, 1), (1, 2**3000)])
def test_numbers_outside_of_the_group(stand_in, key, backend, numbers):
    stand_in.fault = kms.der_answer(utils.encode_dss_signature(*numbers))
    error = refused(lambda: ecdsa.finish(DIGEST, *backend.sign_digest(DIGEST), address_of(key), "here"))
    assert kind(error) == ("key_backend_malformed", Disposition.OPERATOR)


def test_another_keys_signature(stand_in, key, backend):
    stand_in.fault = kms.other_key
    error = refused(lambda: ecdsa.finish(DIGEST, *backend.sign_digest(DIGEST), address_of(key), "here"))
    assert kind(error) == ("signature_mismatch", Disposition.OPERATOR)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"null",
        b"not json",
        b"[" * 200_000,
        b'{"Signature": 1}',
        b'{"Signature": "a"}',
        b'{"Signature": null, "SigningAlgorithm": "ECDSA_SHA_256"}',
        b'{"Signature": "MAYCAQECAQE=", "SigningAlgorithm": "ECDSA_SHA_512"}',
        b"\xff\xfe",
    ],
    ids=lambda body: body[:30],
)
def test_answers_that_are_none(stand_in, backend, body):
    stand_in.fault = kms.answer(body)
    error = refused(lambda: backend.sign_digest(DIGEST))
    assert kind(error) == ("key_backend_malformed", Disposition.OPERATOR)


def test_a_digest_of_another_length_is_refused_by_the_service(stand_in, backend):
    error = refused(lambda: backend.sign_digest(DIGEST[:31]))
    assert kind(error) == ("key_backend_malformed", Disposition.OPERATOR)
    assert "ValidationException" in error.message


@pytest.mark.parametrize(("spec", "usage"), [("ECC_NIST_P256", "SIGN_VERIFY"), ("ECC_SECG_P256K1", "KEY_AGREEMENT")])
def test_a_key_of_another_kind(stand_in, spec, usage):
    stand_in.add("other", spec=spec, usage=usage)
    backend = opened(stand_in.uri("alias/other"))
    error = refused(backend.address)
    assert kind(error) == ("key_backend_denied", Disposition.STOP)
    assert (spec if spec != "ECC_SECG_P256K1" else usage) in error.message
    backend.close()


def test_a_public_key_of_another_curve_under_the_right_name(stand_in, backend):
    other = stand_in.add(spec="ECC_NIST_P256")
    answer = stand_in.operate("GetPublicKey", {"KeyId": other.id})
    stand_in.fault = kms.answer({"PublicKey": answer["PublicKey"]}, to="GetPublicKey")
    error = refused(backend.address)
    assert kind(error) == ("key_backend_malformed", Disposition.OPERATOR)
    assert "secp256r1" in error.message


@pytest.mark.parametrize("public_key", ["", "AAAA", "MAA="])
def test_a_public_key_that_is_none(stand_in, backend, public_key):
    stand_in.fault = kms.answer({"PublicKey": public_key}, to="GetPublicKey")
    assert kind(refused(backend.address)) == ("key_backend_malformed", Disposition.OPERATOR)


def test_no_such_key(stand_in):
    backend = opened(stand_in.uri("alias/none"))
    assert kind(refused(backend.address)) == ("key_not_found", Disposition.STOP)
    assert kind(refused(lambda: backend.sign_digest(DIGEST))) == ("key_not_found", Disposition.STOP)
    backend.close()


# --- credentials ----------------------------------------------------------------------------------------------------


def test_wrong_credentials_are_denied_and_looked_up_again(stand_in, key, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    backend = opened(stand_in.uri("alias/a"))
    error = refused(backend.address)
    assert kind(error) == ("key_backend_denied", Disposition.STOP)
    assert "InvalidSignatureException" in error.message
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", stand_in.secret_key)
    assert backend.address() == address_of(key), "the same process takes up the right ones"
    backend.close()


def test_no_credentials(stand_in, key, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    backend = opened(stand_in.uri("alias/a"))
    error = refused(backend.address)
    assert kind(error) == ("key_backend_denied", Disposition.STOP)
    assert "no AWS credentials" in error.message
    assert "AWS_PROFILE" in advice(error)
    assert "PIN" not in advice(error)
    backend.close()


@pytest.mark.parametrize(
    ("authority", "expected"),
    [
        ("", "https://kms.eu-central-1.amazonaws.com"),
        ("kms.example.org", "https://kms.example.org"),
        ("kms.example.org:8443", "https://kms.example.org:8443"),
        ("127.0.0.1:4566", "http://127.0.0.1:4566"),
    ],
)
def test_only_the_uri_says_where_requests_go(stand_in, monkeypatch, authority, expected):
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    uri = KeyUri.parse(f"awskms://{authority}/alias/a?region=eu-central-1")
    client = awskms._shared(uri.endpoint, uri.region, TIMEOUT).client()
    assert (client.meta.endpoint_url, client.meta.region_name) == (expected, "eu-central-1")


def test_the_environment_redirects_nothing(stand_in, key, monkeypatch):
    with kms.KmsStandIn() as trap:
        for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KMS", "HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{trap.port}")
        backend = opened(stand_in.uri("alias/a"))
        assert backend.address() == address_of(key)
        backend.close()
        assert trap.connections == 0


def test_no_secret_in_errors_logs_or_reprs(stand_in, key, backend, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    texts = [repr(backend), str(backend), repr(vars(backend))]

    def collect(call) -> None:
        try:
            call()
        except OrchestratorError as error:
            texts.append("".join(traceback.format_exception(error)) + repr(error) + repr(vars(error)))

    collect(lambda: backend.sign_digest(DIGEST))
    for fault in (kms.drop, kms.refuse("ThrottlingException"), kms.refuse("SomethingNew", stand_in.session_token)):
        stand_in.fault = fault
        collect(lambda: backend.sign_digest(DIGEST))
    stand_in.fault = None
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret-access-key")
    fresh = opened(stand_in.uri("alias/a"), timeout=4)  # the service repeats the session token in its refusal
    collect(fresh.address)
    fresh.close()
    assert "InvalidSignatureException" in texts[-1]
    everything = "\n".join([*texts, caplog.text])
    for secret in (stand_in.access_key, stand_in.secret_key, stand_in.session_token, "wrong-secret-access-key"):
        assert secret not in everything


def test_pickling_carries_no_credentials(stand_in, backend):
    backend.address()
    with pytest.raises(TypeError):
        pickle.dumps(backend)


def test_a_missing_extra_says_what_to_type():
    code = (
        "import sys; sys.modules['botocore'] = None\n"
        "from orchestrator.signers.backends import awskms\n"
        "from orchestrator.signers.backends.uri import KeyUri\n"
        "uri = KeyUri.parse('awskms:///alias/a?region=eu-central-1')\n"
        "try: awskms.open_backend(uri, pin=None)\n"
        "except Exception as error: print(type(error).__name__, error.code, error.message)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("SettingsError extra_missing")
    assert 'pip install "offblocks-orchestrator[aws]"' in done.stdout


def test_importing_the_module_imports_no_library():
    code = (
        "import sys, orchestrator.signers.backends.awskms, orchestrator.signers.backends.rpc\n"
        "print({'botocore', 'requests', 'cryptography'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


FORK = """
import os, sys
from orchestrator import eip191
from orchestrator.signers.backends import awskms, ecdsa
from orchestrator.signers.backends.uri import KeyUri

backend = awskms.open_backend(KeyUri.parse(sys.argv[1]), pin=None, timeout=10)
address = backend.address()
child = os.fork()
for number in range(20):
    digest = eip191.personal_hash(b"%d %d" % (child, number))
    ecdsa.finish(digest, *backend.sign_digest(digest), address, "here")
if child == 0:
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_process_opens_its_own_connection(stand_in, key):
    done = subprocess.run(
        [sys.executable, "-c", FORK, stand_in.uri("alias/a")], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "0"
    assert stand_in.connections == 2
