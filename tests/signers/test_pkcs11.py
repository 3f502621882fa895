"""Keys in a PKCS#11 token: real tokens of SoftHSM2. The checks that all back ends share are in test_conformance.py."""

from __future__ import annotations

import copy
import inspect
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from coincurve import PrivateKey

from orchestrator.errors import Disposition, KeyUnavailable, OrchestratorError, SettingsError
from orchestrator.models import Address
from orchestrator.passwords import FixedPassword, NoPassword, Secret
from orchestrator.runbook import advice
from orchestrator.signers.backends import ecdsa, pkcs11_errors
from orchestrator.signers.backends.pkcs11 import Pkcs11Backend, open_backend, point_of
from orchestrator.signers.backends.pkcs11_errors import Trouble
from orchestrator.signers.backends.pkcs11_module import module_at, no_try
from orchestrator.signers.backends.uri import KeyUri
from tests.signers.backends_pkcs11 import SoftToken, module_path, unavailable
from tests.signers.conformance import must_run

DIGEST = bytes(range(32))
SECP256K1 = "06052b8104000a"
P256 = "06082a8648ce3d030107"


@pytest.fixture
def library() -> None:
    if reason := unavailable():
        (pytest.fail if must_run() else pytest.skip)(reason)


@pytest.fixture
def tokens(library: None) -> Iterator[Callable[..., SoftToken]]:
    made: list[SoftToken] = []

    def make(label: str | None = None) -> SoftToken:
        made.append(SoftToken(label))
        return made[-1]

    yield make
    for token in made:
        token.remove()


@pytest.fixture
def token(tokens: Callable[..., SoftToken]) -> SoftToken:
    return tokens()


class Asked:
    """A person at a prompt, who counts how often."""

    def __init__(self, *pins: str) -> None:
        self.pins = list(pins)
        self.times = 0

    def password(self, what: str, *, confirm: bool = False) -> Secret:
        self.times += 1
        return Secret(self.pins.pop(0) if len(self.pins) > 1 else self.pins[0])


def opened(
    token: SoftToken, name: str = "alice", *, timeout: float = 5.0, key_id: bytes | None = None
) -> Pkcs11Backend:
    """By a PIN that was given."""
    return open_backend(
        KeyUri.parse(token.uri(name, key_id=key_id)), pin=FixedPassword(Secret(token.pin)), timeout=timeout
    )


def require_signs(backend: Pkcs11Backend, address: Address) -> None:
    r, s = backend.sign_digest(DIGEST)
    assert len(ecdsa.finish(DIGEST, r, s, address, "test")) == 65


def failure(call: Callable[[], object], code: str, disposition: Disposition) -> OrchestratorError:
    with pytest.raises(OrchestratorError) as caught:
        call()
    assert (caught.value.code, caught.value.disposition) == (code, disposition), caught.value.message
    return caught.value


# --- keys ------------------------------------------------------------------------------------------------------------


def test_signs_with_the_imported_key(token: SoftToken) -> None:
    address = token.import_key("alice", PrivateKey())
    backend = opened(token)
    assert (backend.name, backend.address()) == ("pkcs11", address)
    require_signs(backend, address)
    backend.close()
    backend.close()
    require_signs(backend, address)


def test_makes_a_key_that_cannot_leave(token: SoftToken) -> None:
    backend = opened(token, "made here")
    address = backend.create()
    assert backend.address() == address
    assert opened(token, "made here").address() == address
    require_signs(backend, address)
    assert backend.weakness() is None


def test_makes_a_key_by_id(token: SoftToken) -> None:
    address = opened(token, "alice", key_id=b"\xfe\x00").create()
    only_id = KeyUri.parse(token.uri("alice").replace("object=alice", "id=%fe%00"))
    require_signs(open_backend(only_id, pin=FixedPassword(Secret(token.pin))), address)


def test_never_makes_a_second_key_of_a_name(token: SoftToken) -> None:
    address = token.import_key("alice", PrivateKey())
    backend = opened(token)
    failure(backend.create, "key_exists", Disposition.STOP)
    require_signs(backend, address)


@pytest.mark.parametrize("attribute", ["EXTRACTABLE", "SENSITIVE"])
def test_tells_of_a_key_that_could_leave(token: SoftToken, attribute: str) -> None:
    token.generate("alice", SECP256K1, **{attribute: attribute == "EXTRACTABLE"})
    assert attribute in (opened(token).weakness() or "")


def test_two_keys_of_one_name_are_refused_until_the_id_tells_them_apart(token: SoftToken) -> None:
    token.import_key("alice", PrivateKey(), key_id=b"\x01")
    second = token.import_key("alice", PrivateKey(), key_id=b"\x02")
    assert "got 2" in failure(lambda: opened(token).sign_digest(DIGEST), "key_ambiguous", Disposition.STOP).message
    backend = opened(token, key_id=b"\x02")
    assert backend.address() == second
    require_signs(backend, second)


def test_two_tokens_of_one_label_are_refused_until_the_serial_tells_them_apart(
    tokens: Callable[..., SoftToken],
) -> None:
    first = tokens()
    address = first.import_key("alice", PrivateKey())
    tokens(first.label)
    failure(lambda: opened(first).address(), "key_ambiguous", Disposition.STOP)
    uri = KeyUri.parse(first.uri("alice").replace(";object", f";serial={first.serial};object"))
    backend = open_backend(uri, pin=FixedPassword(Secret(first.pin)))
    assert backend.address() == address
    require_signs(backend, address)


def test_a_key_of_another_curve_is_refused_by_name(token: SoftToken) -> None:
    token.generate("alice", P256)
    for call in (opened(token).address, lambda: opened(token).sign_digest(DIGEST)):
        assert "P-256" in failure(call, "key_unsuitable", Disposition.STOP).message


def test_a_key_that_may_not_sign_is_refused(token: SoftToken) -> None:
    token.generate("alice", SECP256K1, SIGN=False)
    failure(lambda: opened(token).sign_digest(DIGEST), "key_unsuitable", Disposition.STOP)


def test_a_key_that_asks_for_each_signature_is_refused(token: SoftToken) -> None:
    token.generate("alice", SECP256K1, ALWAYS_AUTHENTICATE=True)
    failure(lambda: opened(token).sign_digest(DIGEST), "key_unsuitable", Disposition.STOP)


def test_without_its_public_key_it_signs_but_has_no_address(token: SoftToken) -> None:
    address = token.import_key("alice", PrivateKey())
    token.destroy("alice", only_public=True)
    require_signs(opened(token), address)
    failure(opened(token).address, "key_unsuitable", Disposition.STOP)


def test_the_public_key_is_found_by_the_id_of_the_private_one(token: SoftToken) -> None:
    address = token.import_key("alice", PrivateKey(), key_id=b"\x07")
    token.import_key("bob", PrivateKey(), key_id=b"\x08")
    token.rename_public("alice", "another label")
    assert opened(token).address() == address


def test_no_such_key(token: SoftToken) -> None:
    failure(lambda: opened(token).sign_digest(DIGEST), "key_not_found", Disposition.STOP)


def test_a_removed_key_is_not_found_and_a_new_one_of_the_name_is_another(token: SoftToken) -> None:
    address = token.import_key("alice", PrivateKey())
    backend = opened(token)
    require_signs(backend, address)
    token.destroy("alice")
    failure(lambda: backend.sign_digest(DIGEST), "key_not_found", Disposition.STOP)
    token.import_key("alice", PrivateKey())
    r, s = backend.sign_digest(DIGEST)
    failure(lambda: ecdsa.finish(DIGEST, r, s, address, "test"), "signature_mismatch", Disposition.OPERATOR)


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_only_digests_are_signed(token: SoftToken, length: int) -> None:
    token.import_key("alice", PrivateKey())
    with pytest.raises(AssertionError, match="32 bytes"):
        opened(token).sign_digest(bytes(length))


# --- a token that goes away, and one that hangs ----------------------------------------------------------------------


def test_token_pulled_in_the_middle_and_put_back(token: SoftToken) -> None:
    address = token.import_key("alice", PrivateKey())
    backend = opened(token)
    require_signs(backend, address)
    for _ in range(2):
        token.pull()
        for call in (lambda: backend.sign_digest(DIGEST), backend.address):
            failure(call, "key_backend_unreachable", Disposition.RETRY)
        token.mend()
        require_signs(backend, address)


def test_a_pulled_token_is_never_taken_for_an_empty_one(token: SoftToken) -> None:
    token.import_key("alice", PrivateKey())
    bob = token.import_key("bob", PrivateKey(), key_id=b"\x02")
    require_signs(opened(token, "bob"), bob)
    token.pull()  # SoftHSM2 now lists the token still, with nothing in it
    failure(opened(token).address, "key_backend_unreachable", Disposition.RETRY)
    failure(opened(token, "new").create, "key_backend_unreachable", Disposition.RETRY)


def test_a_pulled_token_leaves_the_others_signing(tokens: Callable[..., SoftToken]) -> None:
    pulled, kept = tokens(), tokens()
    lost = pulled.import_key("alice", PrivateKey())
    address = kept.import_key("alice", PrivateKey())
    gone, here = opened(pulled), opened(kept)
    require_signs(gone, lost)
    require_signs(here, address)
    pulled.pull()
    for _ in range(3):
        failure(lambda: gone.sign_digest(DIGEST), "key_backend_unreachable", Disposition.RETRY)
        require_signs(here, address)
    pulled.mend()
    require_signs(gone, lost)
    require_signs(here, address)


def test_no_such_token(token: SoftToken) -> None:
    uri = KeyUri.parse(token.uri("alice").replace(token.label, "nobody"))
    backend = open_backend(uri, pin=NoPassword())
    failure(backend.address, "key_backend_unreachable", Disposition.RETRY)


def test_a_token_that_hangs_costs_the_timeout_and_no_more(token: SoftToken) -> None:
    address = token.import_key("alice", PrivateKey())
    backend = opened(token, timeout=0.5)
    require_signs(backend, address)
    token.hang()
    started = time.monotonic()
    with ThreadPoolExecutor(20) as pool:
        for result in [pool.submit(backend.sign_digest, DIGEST) for _ in range(20)]:
            failure(result.result, "key_backend_unreachable", Disposition.RETRY)
    assert time.monotonic() - started < 5
    backend.close()  # bounded too
    token.mend()
    require_signs(opened(token), address)


def test_a_login_that_hangs_costs_about_the_timeout_for_each_of_many(token: SoftToken) -> None:
    address = token.import_key("alice", PrivateKey())
    token.hang()
    backend = opened(token, timeout=0.5)
    started = time.monotonic()
    with ThreadPoolExecutor(20) as pool:
        for result in [pool.submit(backend.sign_digest, DIGEST) for _ in range(20)]:
            failure(result.result, "key_backend_unreachable", Disposition.RETRY)
    assert time.monotonic() - started < 5
    token.mend()
    require_signs(opened(token), address)


def test_a_process_whose_token_hangs_can_end(token: SoftToken) -> None:
    token.import_key("alice", PrivateKey())
    script = """
import sys
from orchestrator.errors import KeyUnavailable
from orchestrator.passwords import NoPassword
from orchestrator.signers.backends.pkcs11 import open_backend
from orchestrator.signers.backends.uri import KeyUri
backend = open_backend(KeyUri.parse(sys.argv[1]), pin=NoPassword(), timeout=0.5)
backend.sign_digest(bytes(32))
print("signed", flush=True)
sys.stdin.readline()
try:
    backend.sign_digest(bytes(32))
except KeyUnavailable as error:
    print(error.code)
"""
    command = [sys.executable, "-c", script, token.uri("alice", token.pin_file(token.folder.parent.parent))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "signed\n"
        token.hang()
        assert process.communicate("\n", timeout=60)[0] == "key_backend_unreachable\n"
    assert process.returncode == 0


def test_what_was_given_up_before_it_began_is_never_done(token: SoftToken) -> None:
    token.import_key("alice", PrivateKey())
    backend = opened(token, timeout=0.3)
    backend.address()
    token.hang()
    failure(backend.address, "key_backend_unreachable", Disposition.RETRY)  # begun, and waiting in the module
    failure(opened(token, "made late", timeout=0.3).create, "key_backend_unreachable", Disposition.RETRY)
    token.mend()
    failure(opened(token, "made late").address, "key_not_found", Disposition.STOP)


def test_50_threads_and_5_keys_on_one_token(token: SoftToken) -> None:
    keys = {f"key{n}": token.import_key(f"key{n}", PrivateKey(), key_id=bytes((n,))) for n in range(1, 6)}
    backends = {name: opened(token, name, timeout=30) for name in keys}

    def use(number: int) -> bool:
        name = f"key{number % 5 + 1}"
        digest = number.to_bytes(32, "big")
        r, s = backends[name].sign_digest(digest)
        return len(ecdsa.finish(digest, r, s, keys[name], "test")) == 65

    with ThreadPoolExecutor(50) as pool:
        assert all(pool.map(use, range(1, 201)))
    backends["key1"].close()  # the session is the others' too
    require_signs(backends["key2"], keys["key2"])
    for backend in backends.values():
        backend.close()
    require_signs(backends["key1"], keys["key1"])


def test_others_in_the_process_may_log_in_and_out(token: SoftToken) -> None:
    import pkcs11

    address = token.import_key("alice", PrivateKey())
    found = module_path()
    assert found is not None
    module = module_at(found)

    def log_in() -> pkcs11.Session:
        library = pkcs11.lib(str(found.resolve()))
        library.reinitialize()  # as another program has made the token meanwhile
        session = library.get_token(token_label=token.label).open(user_pin=token.pin)
        session.create_object({pkcs11.Attribute.CLASS: pkcs11.ObjectClass.DATA, pkcs11.Attribute.LABEL: "mark"})
        return session

    session = module.call(log_in, 5, "test")
    backend = opened(token)
    require_signs(backend, address)
    marks = module.call(lambda: list(session.get_objects({pkcs11.Attribute.LABEL: "mark"})), 5, "test")
    assert len(marks) == 1  # their session has not been ended
    module.call(session.close, 5, "test")  # logs out of all sessions with the token
    require_signs(backend, address)
    module.call(pkcs11.lib(str(found.resolve())).finalize, 5, "test")
    require_signs(backend, address)


def test_a_forked_process_is_told_so(token: SoftToken) -> None:
    token.import_key("alice", PrivateKey())
    script = """
import os, sys
from orchestrator.errors import OrchestratorError
from orchestrator.passwords import NoPassword
from orchestrator.signers.backends.pkcs11 import open_backend
from orchestrator.signers.backends.uri import KeyUri
uri = KeyUri.parse(sys.argv[1])
backend = open_backend(uri, pin=NoPassword())
backend.sign_digest(bytes(32))
child = os.fork()
if child == 0:
    told = []
    for one in (backend, open_backend(uri, pin=NoPassword())):
        try:
            one.sign_digest(bytes(32))
        except OrchestratorError as error:
            told.append((error.code, error.disposition.value))
    backend.close()
    os._exit(0 if told == [("key_backend_unreachable", "stop")] * 2 else 1)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
backend.sign_digest(bytes(32))
sys.exit(status)
"""
    folder = token.folder.parent.parent
    command = [sys.executable, "-c", script, token.uri("alice", token.pin_file(folder))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


# --- PINs ------------------------------------------------------------------------------------------------------------


def test_a_wrong_pin_is_not_tried_twice_even_if_it_is_right_now(token: SoftToken, tmp_path: Path) -> None:
    address = token.import_key("alice", PrivateKey())
    file = token.pin_file(tmp_path, "not-the-pin")
    backend = open_backend(KeyUri.parse(token.uri("alice", file)), pin=NoPassword())
    assert "locks after a few wrong PINs" in advice(failure(backend.address, "key_backend_denied", Disposition.STOP))
    token.set_pin("not-the-pin")
    token.pull()
    failure(backend.address, "key_backend_unreachable", Disposition.RETRY)
    token.mend()  # SoftHSM2 has read the token anew, so a second try would be let in
    for _ in range(2):
        assert "not tried again" in failure(backend.address, "key_backend_denied", Disposition.STOP).message
    token.set_pin("another-pin")
    file.write_text("another-pin\n")
    require_signs(backend, address)


def test_a_pin_is_asked_once_for_many_threads_and_kept_for_later_logins(token: SoftToken) -> None:
    address = token.import_key("alice", PrivateKey())
    asked = Asked(token.pin)
    uri = KeyUri.parse(token.uri("alice"))
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda _: require_signs(open_backend(uri, pin=asked), address), range(20)))
    assert asked.times == 1
    backend = open_backend(uri, pin=asked)
    token.pull()
    failure(backend.address, "key_backend_unreachable", Disposition.RETRY)
    token.mend()
    require_signs(backend, address)
    assert asked.times == 1


def test_closing_one_key_leaves_the_login_to_the_others(token: SoftToken) -> None:
    keys = {name: token.import_key(name, PrivateKey(), key_id=name.encode()) for name in ("alice", "bob")}
    asked = Asked(token.pin)
    alice, bob = (open_backend(KeyUri.parse(token.uri(name)), pin=asked) for name in keys)
    require_signs(alice, keys["alice"])
    require_signs(bob, keys["bob"])
    alice.close()
    require_signs(bob, keys["bob"])
    assert asked.times == 1
    bob.close()
    require_signs(bob, keys["bob"])  # nobody was left, so the PIN was forgotten
    assert asked.times == 2


def test_whoever_waits_for_another_to_type_the_pin_waits_for_the_timeout(token: SoftToken) -> None:
    address = token.import_key("alice", PrivateKey())
    reached, typed = threading.Event(), threading.Event()

    class Slow:
        def password(self, what: str, *, confirm: bool = False) -> Secret:
            assert token.label in what
            reached.set()
            assert typed.wait(60)
            return Secret(token.pin)

    uri = KeyUri.parse(token.uri("alice"))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(lambda: require_signs(open_backend(uri, pin=Slow(), timeout=5), address))
        assert reached.wait(60)
        second = open_backend(uri, pin=NoPassword(), timeout=0.3)
        failure(second.address, "key_backend_unreachable", Disposition.RETRY)
        typed.set()
        first.result(60)  # however long it took to type
    require_signs(second, address)


def test_a_person_can_correct_a_wrong_pin(token: SoftToken) -> None:
    address = token.import_key("alice", PrivateKey())
    backend = open_backend(KeyUri.parse(token.uri("alice")), pin=Asked("mistyped", token.pin))
    failure(backend.address, "key_backend_denied", Disposition.STOP)
    require_signs(backend, address)


def test_a_pin_file_that_others_can_read_is_refused(token: SoftToken, tmp_path: Path) -> None:
    token.import_key("alice", PrivateKey())
    file = token.pin_file(tmp_path)
    file.chmod(0o644)
    backend = open_backend(KeyUri.parse(token.uri("alice", file)), pin=NoPassword())
    assert "chmod 600" in failure(backend.address, "keystore_permissions", Disposition.STOP).message
    file.unlink()
    failure(backend.address, "password_unreadable", Disposition.STOP)
    failure(opened_without_pin(token).address, "password_missing", Disposition.STOP)


def opened_without_pin(token: SoftToken) -> Pkcs11Backend:
    return open_backend(KeyUri.parse(token.uri("alice")), pin=NoPassword())


@pytest.mark.parametrize(("flag", "word"), [("USER_PIN_FINAL_TRY", "one try"), ("USER_PIN_LOCKED", "locked")])
def test_the_last_try_is_left_to_a_person(library: None, flag: str, word: str) -> None:
    from pkcs11 import TokenFlag

    assert word in (no_try(TokenFlag[flag] | TokenFlag.USER_PIN_COUNT_LOW) or "")
    assert no_try(TokenFlag.USER_PIN_COUNT_LOW | TokenFlag.LOGIN_REQUIRED) is None


def test_no_pin_in_what_can_be_seen(token: SoftToken, tmp_path: Path) -> None:
    token.import_key("alice", PrivateKey())
    seen: list[str] = []
    wrong = "wrong-" + token.pin
    for pin, name in ((wrong, "alice"), (token.pin, "nobody"), (token.pin, "alice")):
        backend = open_backend(KeyUri.parse(token.uri(name)), pin=FixedPassword(Secret(pin)), timeout=0.5)
        for trouble in (lambda: None, token.pull, token.hang):
            trouble()
            try:
                backend.sign_digest(DIGEST)
            except OrchestratorError as error:
                seen += [str(error), repr(error), repr(error.__context__), repr(error.__cause__)]
            token.mend()
        seen += [repr(backend), str(backend), f"{backend}", repr(vars(backend))]
        for leak in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="neither pickled nor copied"):
                leak(backend)
    assert len(seen) > 20
    assert not [text for text in seen if token.pin in text]


# --- errors and settings ---------------------------------------------------------------------------------------------


def test_every_exception_of_the_library_has_a_meaning(library: None) -> None:
    from pkcs11 import exceptions

    names = {
        name
        for name, kind in vars(exceptions).items()
        if inspect.isclass(kind) and issubclass(kind, exceptions.PKCS11Error)
    }
    assert len(names) > 70
    assert names == pkcs11_errors.TROUBLE.keys()
    assert sum(len(listed.split()) for listed in pkcs11_errors._TROUBLE.values()) == len(names)  # none twice


@pytest.mark.parametrize(
    ("trouble", "code", "disposition"),
    [
        (Trouble.LOST, "key_backend_unreachable", Disposition.RETRY),
        (Trouble.BUSY, "key_backend_throttled", Disposition.RETRY),
        (Trouble.DENIED, "key_backend_denied", Disposition.STOP),
        (Trouble.MEND, "key_backend_denied", Disposition.OPERATOR),
        (Trouble.MISSING, "key_not_found", Disposition.STOP),
        (Trouble.UNSUITABLE, "key_unsuitable", Disposition.STOP),
        (Trouble.STRANGE, "key_backend_malformed", Disposition.OPERATOR),
    ],
)
def test_every_meaning_has_a_code(trouble: Trouble, code: str, disposition: Disposition) -> None:
    assert len(Trouble) == 7
    error = pkcs11_errors.translated("pkcs11:token=a", trouble, "PKCS#11 error X")
    assert (error.code, error.disposition) == (code, disposition)
    assert "PKCS#11 error X" in error.message


def test_the_missing_library_is_named_with_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pkcs11", None)
    uri = KeyUri.parse("pkcs11:token=a;object=b?module-path=/usr/lib/nothing.so")
    error = failure(lambda: open_backend(uri, pin=NoPassword()), "extra_missing", Disposition.STOP)
    assert 'pip install "offblocks-orchestrator[hsm]"' in error.message


def test_a_module_that_is_not_there_is_named_with_what_to_type(library: None, tmp_path: Path) -> None:
    for path in (tmp_path / "none.so", tmp_path):
        uri = KeyUri.parse(f"pkcs11:token=a;object=b?module-path={path}")
        error = failure(lambda uri=uri: open_backend(uri, pin=NoPassword()), "pkcs11_module", Disposition.STOP)
        assert isinstance(error, SettingsError)
        assert str(path) in error.message


def test_a_file_that_is_no_module_is_refused(library: None, tmp_path: Path) -> None:
    path = tmp_path / "text.so"
    path.write_text("not a shared library")
    path.chmod(0o644)
    backend = open_backend(KeyUri.parse(f"pkcs11:token=a;object=b?module-path={path}"), pin=NoPassword())
    failure(backend.address, "pkcs11_module", Disposition.STOP)
    failure(backend.address, "pkcs11_module", Disposition.STOP)


def test_a_module_that_cannot_start_is_worth_another_try(library: None, tmp_path: Path) -> None:
    conf = tmp_path / "softhsm2.conf"
    conf.write_text(f"directories.tokendir = {tmp_path / 'tokens'}\n")
    script = """
import pathlib, sys
from orchestrator.errors import KeyUnavailable
from orchestrator.passwords import NoPassword
from orchestrator.signers.backends.pkcs11 import open_backend
from orchestrator.signers.backends.uri import KeyUri
backend = open_backend(KeyUri.parse(sys.argv[1]), pin=NoPassword())
for _ in range(2):
    try:
        backend.address()
    except KeyUnavailable as error:
        print(error.code, "GeneralError" in error.message, "is not there" in error.message)
    pathlib.Path(sys.argv[2]).mkdir(mode=0o700, exist_ok=True)
"""
    uri = f"pkcs11:token=a;object=b?module-path={module_path()}"
    done = subprocess.run(
        [sys.executable, "-c", script, uri, str(tmp_path / "tokens")],
        env={**os.environ, "SOFTHSM2_CONF": str(conf)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout == "key_backend_unreachable True False\nkey_backend_unreachable False True\n", done.stderr


def test_a_module_that_others_can_write_is_refused(library: None, tmp_path: Path) -> None:
    found = module_path()
    assert found is not None
    path = tmp_path / "module.so"
    path.write_bytes(found.read_bytes())
    path.chmod(0o666)
    uri = KeyUri.parse(f"pkcs11:token=a;object=b?module-path={path}")
    assert "666" in failure(lambda: open_backend(uri, pin=NoPassword()), "pkcs11_module", Disposition.STOP).message


def test_another_scheme_is_refused() -> None:
    uri = KeyUri.parse("rpc+http://127.0.0.1:1/?method=eth_sign")
    failure(lambda: open_backend(uri, pin=NoPassword()), "key_uri", Disposition.STOP)


def test_the_point_is_read_in_both_forms() -> None:
    key = PrivateKey().public_key
    for raw in (key.format(compressed=False), key.format(compressed=True)):
        assert point_of(raw) == raw
        assert point_of(bytes((0x04, len(raw))) + raw) == raw
    for odd in (b"", b"\x04", b"\x04\x41" + bytes(60), b"\x30\x41" + bytes(65)):
        with pytest.raises(KeyUnavailable, match="point"):
            ecdsa.address_of_point(point_of(odd), "test")


def test_importing_it_needs_no_library() -> None:
    code = "import sys, orchestrator.signers.backends.pkcs11; sys.exit('pkcs11' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=os.environ, timeout=60).returncode == 0


def test_the_module_has_one_thread(token: SoftToken) -> None:
    token.import_key("alice", PrivateKey())
    for _ in range(3):
        opened(token).sign_digest(DIGEST)
    threads = [thread for thread in threading.enumerate() if thread.name == f"pkcs11 {module_path().resolve().name}"]
    assert len(threads) == 1
    assert threads[0].daemon
