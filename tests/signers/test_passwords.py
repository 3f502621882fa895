"""Where passwords come from, and what a bad source gets."""

from __future__ import annotations

import getpass
import io
import os

import pytest

from orchestrator.errors import KeyUnavailable
from orchestrator.passwords import FilePassword, FixedPassword, NoPassword, PromptPassword, Secret


@pytest.fixture
def password_file(tmp_path):
    path = tmp_path / "password"
    path.touch(mode=0o600)
    return path


@pytest.mark.parametrize("data", [b"secret", b"secret\n", b"secret\r\n"])
def test_one_line_end_is_not_part_of_the_password(password_file, data):
    password_file.write_bytes(data)
    assert FilePassword(password_file).password("key alice").reveal() == "secret"


def test_white_space_is_part_of_the_password(password_file):
    password_file.write_bytes(b" s\n\n")
    assert FilePassword(password_file).password("key alice").reveal() == " s\n"


@pytest.mark.parametrize(
    ("data", "text"), [(b"", "empty"), (b"\n", "empty"), (b"\xff-hidden", "UTF-8"), (b"x" * 5000, "at most 4096")]
)
def test_bad_contents_are_named_without_showing_them(password_file, data, text):
    password_file.write_bytes(data)
    with pytest.raises(KeyUnavailable, match=text) as caught:
        FilePassword(password_file).password("key alice")
    assert caught.value.code == "password_unreadable"
    assert str(password_file) in caught.value.message
    assert "hidden" not in caught.value.message
    assert caught.value.__context__ is None


def test_a_password_file_open_to_others_is_refused(password_file):
    password_file.write_text("secret")
    password_file.chmod(0o644)
    with pytest.raises(KeyUnavailable, match=f"chmod 600 {password_file}") as caught:
        FilePassword(password_file).password("key alice")
    assert caught.value.code == "keystore_permissions"


def test_a_linked_password_file_is_followed_and_a_pipe_does_not_block(password_file, tmp_path):
    password_file.write_text("secret")
    (tmp_path / "link").symlink_to(password_file)
    assert FilePassword(tmp_path / "link").password("key alice").reveal() == "secret"
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(KeyUnavailable, match="regular file"):
        FilePassword(tmp_path / "pipe").password("key alice")


def test_a_missing_password_file_is_named(tmp_path):
    with pytest.raises(KeyUnavailable, match=r"missing cannot be opened: No such file"):
        FilePassword(tmp_path / "missing").password("key alice")


def test_without_a_terminal_nothing_is_asked(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("secret\n"))
    for source in (PromptPassword(), NoPassword()):
        with pytest.raises(KeyUnavailable, match=r"key alice.*ORCHESTRATOR_KEYSTORE_PASSWORD_FILE") as caught:
            source.password("key alice")
        assert caught.value.code == "password_missing"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("answers", "confirm", "expected"),
    [
        (["secret"], False, "secret"),
        (["secret", "secret"], True, "secret"),
        (["a", "b"], True, None),
        ([""], True, None),
    ],
)
def test_a_person_types_a_new_password_twice(monkeypatch, answers, confirm, expected):
    monkeypatch.setattr("sys.stdin", Terminal())
    left = list(answers)
    monkeypatch.setattr(getpass, "getpass", lambda prompt: left.pop(0))
    if expected is None:
        with pytest.raises(KeyUnavailable, match=r"differ|empty"):
            PromptPassword().password("key alice", confirm=confirm)
    else:
        assert PromptPassword().password("key alice", confirm=confirm).reveal() == expected
    assert not left


def test_an_empty_setting_is_refused():
    with pytest.raises(KeyUnavailable, match="empty"):
        FixedPassword(Secret("")).password("key alice")
