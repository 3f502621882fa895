"""A person's own key file: opened once, when it first signs, by whichever thread."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestrator import eip191
from orchestrator.errors import KeyUnavailable
from orchestrator.passwords import FixedPassword, NoPassword, Secret
from orchestrator.signers.key_files import FileKey
from orchestrator.signers.keyring import Keyring

PASSWORD = Secret("correct-horse-battery-staple")


class Counting:
    """Gives the password, and counts how often it was asked for."""

    def __init__(self, password: Secret = PASSWORD):
        self.asked = 0
        self._password = password

    def password(self, what: str, *, confirm: bool = False) -> Secret:
        self.asked += 1
        return FixedPassword(self._password).password(what, confirm=confirm)


@pytest.fixture
def alice(tmp_path):
    """Her file, and her address."""
    made = Keyring(tmp_path, FixedPassword(PASSWORD), work_factor=2**12).create("alice")
    return tmp_path / "alice.json", made.address


def test_it_is_opened_once_when_it_first_signs(alice):
    path, address = alice
    password = Counting()
    key = FileKey(path, password)
    assert password.asked == 0
    messages = [f"message {number}".encode() for number in range(8)]
    with ThreadPoolExecutor(max_workers=8) as threads:
        signatures = list(threads.map(key.sign_message, messages))
    assert password.asked == 1
    pairs = zip(messages, signatures, strict=True)
    assert {eip191.recover(message, signature) for message, signature in pairs} == {address}


def test_a_wrong_password_is_asked_for_again(alice):
    path, _ = alice
    password = Counting(Secret("wrong"))
    key = FileKey(path, password)
    for _ in range(2):
        with pytest.raises(KeyUnavailable) as caught:
            key.sign_message(b"text")
        assert caught.value.code == "wrong_password"
    assert password.asked == 2


def test_a_missing_password_is_told_with_the_persons_own_settings(alice):
    path, _ = alice
    with pytest.raises(KeyUnavailable, match="ORCHESTRATOR_PERSON_PASSWORD_FILE") as caught:
        FileKey(path, NoPassword()).open()
    assert caught.value.code == "password_missing"


def test_a_file_that_others_can_read_is_refused(alice):
    path, _ = alice
    path.chmod(0o644)
    with pytest.raises(KeyUnavailable) as caught:
        FileKey(path, Counting()).open()
    assert caught.value.code == "keystore_permissions"


@pytest.mark.parametrize("take", [copy.copy, copy.deepcopy, pickle.dumps])
def test_it_is_neither_copied_nor_pickled(alice, take):
    key = FileKey(alice[0], Counting())
    with pytest.raises(TypeError, match="neither pickled nor copied"):
        take(key)
    assert repr(key) == f"FileKey({str(alice[0])!r})"
