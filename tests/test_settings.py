"""Settings: who wins, secrets by file, and that no secret is ever shown."""

import dataclasses
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from orchestrator.errors import SettingsError
from orchestrator.platform import PlatformSettings
from orchestrator.settings import (
    FROM_FILES,
    GONE,
    MOVED,
    OTHER_VARIABLES,
    PLATFORM_TABLE,
    PREFIX,
    SECRETS,
    Settings,
    load_settings,
    unknown_variables,
)

HUNTER = "hunter2-very-secret"


@pytest.fixture
def toml(tmp_path):
    def write(text: str) -> Path:
        return private(tmp_path / "orchestrator.toml", text.encode())

    return write


def private(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def refused(*args, **options) -> str:
    with pytest.raises(SettingsError) as raised:
        load_settings(*args, **options)
    assert HUNTER not in repr(raised.value)
    assert raised.value.__cause__ is None or HUNTER not in repr(raised.value.__cause__)
    return raised.value.message


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("CONFIRMATION", "CONFIRMATIONS"),
        ("RPCURL", "RPC_URL"),
        ("KEYSTORE_PASSWD", "KEYSTORE_PASSWORD"),
        ("Confirmaton", "CONFIRMATIONS"),
        ("API_SECRETFILE", "API_SECRET_FILE"),
        ("HOME", None),
    ],
)
def test_a_variable_that_sets_nothing_is_named(monkeypatch, name, meant):
    """With the one that it is a misspelling of; its value is not shown."""
    monkeypatch.setenv(PREFIX + name, HUNTER)
    (unknown,) = unknown_variables({PREFIX + name: HUNTER, "OTHER": "x", PREFIX + "EMPTY": ""})
    assert (unknown.name, unknown.meant) == (PREFIX + name, meant and PREFIX + meant)
    with pytest.warns(UserWarning, match=f"{PREFIX + name} is no setting") as warned:
        load_settings()
    assert HUNTER not in str(warned[0].message)


@pytest.mark.parametrize("name", sorted(GONE))
def test_a_setting_that_is_gone_is_named_and_no_other_is_meant(name):
    variable = PREFIX + name.upper()
    (gone,) = unknown_variables({variable: HUNTER})
    assert (gone.meant, str(gone)) == (None, f"{variable} is no longer a setting, and ignored")


@pytest.mark.parametrize("name", sorted(GONE - {"pagination", "list_field"}))
def test_a_setting_that_is_gone_is_ignored_in_a_file_with_a_note(toml, name):
    """0.1.0 read each of them, in the file too."""
    with pytest.warns(UserWarning, match=f"{name}: no longer a setting, and ignored") as warned:
        settings = load_settings({}, toml(f'{name} = "{HUNTER}"\nconfirmations = 2\n'))
    assert (settings.confirmations, len(warned), HUNTER in str(warned[0].message)) == (2, 1, False)


def test_every_setting_and_every_file_of_one_is_known():
    fields = Settings.model_fields.keys() - (PLATFORM_TABLE - MOVED)
    names = [*fields, *(f"{name}_file" for name in FROM_FILES), *OTHER_VARIABLES]
    assert unknown_variables({PREFIX + name.upper(): "x" for name in names}) == []


def test_nothing_is_needed_to_load():
    settings = load_settings({})
    assert settings.database_url.startswith("sqlite:////")
    with pytest.raises(SettingsError, match="ORCHESTRATOR_API_KEY, ORCHESTRATOR_API_SECRET") as raised:
        settings.need("api_key", "confirmations", "api_secret")
    assert raised.value.code == "settings_missing"


def test_the_command_line_then_the_environment_then_the_file(toml):
    config = toml('confirmations = 2\napi_key = "file"\nplatform_url = "file"\n')
    environment = {"ORCHESTRATOR_CONFIRMATIONS": "3", "ORCHESTRATOR_API_KEY": "environment"}
    settings = load_settings(environment, config, {"confirmations": 4, "api_key": None})
    assert (settings.confirmations, settings.api_key, settings.platform_url) == (4, "environment", "file")


def test_an_empty_variable_is_unset(toml):
    assert load_settings({"ORCHESTRATOR_API_KEY": ""}, toml('api_key = "file"')).api_key == "file"


@pytest.mark.parametrize("name", sorted(FROM_FILES - {"database_url"}))
def test_secrets_by_file(toml, tmp_path, name):
    private(tmp_path / "secret", f"{HUNTER}\r\n".encode())
    variable = f"{PREFIX}{name.upper()}"
    by_environment = load_settings({variable + "_FILE": str(tmp_path / "secret")})
    by_toml = load_settings({}, toml(f'{name}_file = "secret"'))
    both = load_settings({variable + "_FILE": str(tmp_path / "secret"), variable: "direct"})
    reverse = load_settings({variable: "direct", variable + "_FILE": str(tmp_path / "secret")})
    assert [getattr(s, name).get_secret_value() for s in (by_environment, by_toml)] == [HUNTER] * 2
    assert [getattr(s, name).get_secret_value() for s in (both, reverse)] == ["direct"] * 2
    # The environment wins over the file of settings, in whichever form.
    settings = load_settings({variable + "_FILE": str(tmp_path / "secret")}, toml(f'{name} = "from the file"'))
    assert getattr(settings, name).get_secret_value() == HUNTER


def test_a_secret_s_file_that_cannot_be_read(toml, tmp_path):
    assert "cannot be opened" in refused({"ORCHESTRATOR_API_SECRET_FILE": str(tmp_path / "none")})
    assert "cannot be opened" in refused({}, toml('api_secret_file = "none"'))
    private(tmp_path / "bytes", b"\xff\xfe")
    assert "not UTF-8 text" in refused({"ORCHESTRATOR_API_SECRET_FILE": str(tmp_path / "bytes")})
    private(tmp_path / "long", b"x" * 100_000)
    assert "at most 65536 bytes" in refused({"ORCHESTRATOR_API_SECRET_FILE": str(tmp_path / "long")})


@pytest.mark.parametrize("mode", [0o644, 0o666, 0o604, 0o602, 0o620, 0o660, 0o610])
@pytest.mark.parametrize("name", sorted(FROM_FILES))
def test_a_secret_s_file_that_others_can_open_is_refused_with_the_command_to_type(toml, tmp_path, name, mode):
    file = private(tmp_path / "secret", HUNTER.encode(), mode)
    for message in (
        refused({f"{PREFIX}{name.upper()}_FILE": str(file)}),
        refused({}, toml(f'{name}_file = "secret"')),
    ):
        assert name in message.lower()
        assert f"got {mode:o}; type chmod 600 {file}" in message


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o440, 0o640])
def test_only_a_file_of_root_s_may_be_open_to_a_group(tmp_path, mode, monkeypatch):
    """As Kubernetes (fsGroup) and Debian (ssl-cert) hand secrets over, behind symbolic links."""
    (tmp_path / "..data").mkdir()
    file = private(tmp_path / "..data" / "secret", HUNTER.encode(), mode)
    (tmp_path / "secret").symlink_to("..data/secret")
    environment = {"ORCHESTRATOR_API_SECRET_FILE": str(tmp_path / "secret")}
    is_root = file.stat().st_uid == 0
    if is_root or not mode & 0o040:
        assert load_settings(environment).api_secret.get_secret_value() == HUNTER
    if is_root:
        monkeypatch.setattr(os, "geteuid", lambda: 4711)
        assert load_settings(environment).api_secret.get_secret_value() == HUNTER, "root's, handed to another user"
        file.chmod(mode | 0o004)
        assert f"chmod 640 {tmp_path / 'secret'}" in refused(environment), "after chmod 600 this user could not read it"
        file.chmod(mode)
        os.chown(file, 4711, -1)
    if mode & 0o040:
        assert "chmod 600" in refused(environment)
    elif is_root:
        assert load_settings(environment).api_secret.get_secret_value() == HUNTER


def test_a_pipe_of_the_shell_s_own_is_read(tmp_path):
    reading, writing = os.pipe()
    os.write(writing, HUNTER.encode())
    os.close(writing)
    settings = load_settings({"ORCHESTRATOR_API_SECRET_FILE": f"/dev/fd/{reading}"})
    os.close(reading)
    assert settings.api_secret.get_secret_value() == HUNTER
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert "another kind" in refused({"ORCHESTRATOR_API_SECRET_FILE": str(tmp_path / "pipe")}), "and never waited for"


@pytest.mark.parametrize(
    ("line", "secret"),
    [
        ('api_secret = "x"', True),
        ('signing_key = "x"', True),
        ('webhook_token = "x"', True),
        ('keystore_password = "x"', True),
        ('rpc_url = "https://node.example/v3/0123456789abcdef"', True),
        ('rpc_url = "https://node.example/?key=0123456789abcdef"', True),
        ('rpc_url = "https://user:word@node.example"', True),
        ('rpc_url = "http://127.0.0.1:8545/"', False),
        ('database_url = "postgresql://me:word@db.example/journal"', True),
        ('database_url = "postgresql://me@db.example/journal"', False),
        ('database_url = "sqlite:////var/lib/journal.db"', False),
        ('api_key = "x"', False),
    ],
)
def test_a_file_of_settings_with_a_secret_in_it_is_for_nobody_else(toml, line, secret):
    file = toml(line)
    load_settings({}, file)
    file.chmod(0o644)
    if secret:
        assert f"chmod 600 {file}" in refused({}, file)
    else:
        load_settings({}, file)


@pytest.mark.parametrize("text", ["no toml", "other = 1", "[table]\nx = 1", "confirmations = 'x'", "confirmations = 0"])
def test_a_bad_file_names_what_is_bad(toml, text):
    message = refused({}, toml(text))
    assert any(part in message for part in ("not TOML", "unknown setting", "ORCHESTRATOR_CONFIRMATIONS"))


def test_several_nodes_are_a_list_or_separated_by_commas(toml):
    urls = ("https://one.example/v3/key", "http://two.example/?a=1,2", "http://three.example")
    written = toml(f"rpc_url = {list(urls)!r}")
    written.chmod(0o600)
    assert load_settings({}, written).rpc_urls == urls
    assert load_settings({"ORCHESTRATOR_RPC_URL": ", ".join(urls) + ","}).rpc_urls == urls
    assert load_settings({"ORCHESTRATOR_RPC_URL": "\n".join(urls) + "\n"}).rpc_urls == urls
    assert load_settings({}).rpc_urls == ()
    for glued in ("https://a/K1, wss://b/KEY", "https://a/K1,wss://b/KEY", "https://a/K1 b/KEY", "https://a/K1\nKEY"):
        with pytest.raises(SettingsError, match="ORCHESTRATOR_RPC_URL") as caught:
            _ = load_settings({"ORCHESTRATOR_RPC_URL": glued}).rpc_urls
        assert "KEY" not in str(caught.value)
    written.write_text("rpc_url = ['https://a/K1', 'b/KEY']")
    with pytest.raises(SettingsError, match="ORCHESTRATOR_RPC_URL"):
        _ = load_settings({}, written).rpc_urls
    kept = "https://a/K1,b?u=https://c"
    assert load_settings({"ORCHESTRATOR_RPC_URL": kept}).rpc_urls == (kept,)


def test_a_file_that_is_not_there(tmp_path):
    assert "cannot read --config" in refused({}, tmp_path / "none.toml")


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_no_secret_is_shown(toml, name):
    settings = load_settings({f"{PREFIX}{name.upper()}": HUNTER})
    assert HUNTER not in f"{settings} {settings!r} {settings.model_dump()} {settings.model_dump_json()}"
    for wrong in (f'[["{HUNTER}"]]', f'{{inner = "{HUNTER}"}}'):
        assert name.upper() in refused({}, toml(f"{name} = {wrong}"))


@pytest.mark.parametrize("name", sorted({"confirmations", "patience", "factory", "tokens", "poll_interval"}))
def test_a_wrong_value_names_its_setting(name):
    assert f"{PREFIX}{name.upper()}" in refused({f"{PREFIX}{name.upper()}": "wrong"})


# --- the platform's silent choices -----------------------------------------------------------------------------------


def test_the_platforms_choices_stand_in_a_table_of_their_own(toml, recwarn):
    config = toml('confirmations = 2\n[platform]\ncovered_components = ["@method"]\ndigest_algorithm = "sha-256"\n')
    settings = load_settings({}, config)
    assert (settings.covered_components, settings.digest_algorithm) == (("@method",), "sha-256")
    assert settings.confirmations == 2
    assert [str(one.message) for one in recwarn] == []


@pytest.mark.parametrize("name", sorted(MOVED))
def test_where_they_stood_before_they_are_read_once_more_with_a_note(toml, monkeypatch, name):
    value = {"digest_algorithm": "sha-256"}.get(name, "x")
    variable, expected = PREFIX + name.upper(), (value,) if name == "covered_components" else value
    monkeypatch.setenv(variable, value)
    with pytest.warns(UserWarning, match=rf"{variable} goes with the next release: write {name} into .*\[platform\]"):
        assert getattr(load_settings(), name) == expected
    monkeypatch.delenv(variable)
    outside = toml(f'{name} = "{value}"\n')
    with pytest.warns(UserWarning, match=rf"{name} outside of its table goes with the next release") as warned:
        assert getattr(load_settings({}, outside), name) == expected
    assert len(warned) == 1
    inside = toml(f'[platform]\n{name} = "{value}"\n')
    assert getattr(load_settings({variable: ""}, inside), name) == expected


@pytest.mark.parametrize("name", sorted(PLATFORM_TABLE - MOVED))
def test_what_no_release_had_elsewhere_stands_in_the_table_only(toml, monkeypatch, name):
    monkeypatch.setenv(variable := PREFIX + name.upper(), "chainId")
    with pytest.warns(UserWarning, match=rf"{variable} is ignored: write {name} into .*\[platform\]") as warned:
        assert getattr(load_settings(), name) == Settings.model_fields[name].default
    assert len(warned) == 1
    assert f"{name} outside of the table [platform]" in refused({}, toml(f'{name} = "chainId"\n'))
    assert getattr(load_settings({}, toml(f'[platform]\n{name} = "chainId"\n')), name) == "chainId"
    assert f"[platform] {name}" in refused({}, toml(f'[platform]\n{name} = "wrong"\n'))


def test_the_environment_comes_before_the_table(toml):
    config = toml('[platform]\nsignature_label = "file"\n')
    assert load_settings({"ORCHESTRATOR_SIGNATURE_LABEL": "environment"}, config).signature_label == "environment"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[platform]\nnonsense = 1\n", r"unknown setting \[platform\] nonsense"),
        ("[platform]\nconfirmations = 1\n", r"unknown setting \[platform\] confirmations"),
        ("platform = 1\n", "platform is expected to be a table"),
        ('[platform]\ndigest_algorithm = "md5"\n', "ORCHESTRATOR_DIGEST_ALGORITHM"),
    ],
)
def test_a_table_that_is_wrong_is_refused_by_name(toml, text, words):
    assert re.search(words, refused({}, toml(text)))


def test_the_clients_own_defaults_are_those_of_the_settings():
    defaults = {field.name: field.default for field in dataclasses.fields(PlatformSettings)}
    for name in PLATFORM_TABLE:
        assert Settings.model_fields[name].default == defaults[name]


def test_lists_from_words_and_from_toml(toml):
    addresses = ["0x" + digit * 40 for digit in "12"]
    for settings in (
        load_settings({"ORCHESTRATOR_TOKENS": " , ".join(addresses) + ","}),
        load_settings({}, toml(f"tokens = {addresses}")),
    ):
        assert settings.tokens == tuple(addresses)


@given(st.dictionaries(st.sampled_from(sorted(Settings.model_fields)), st.text(max_size=20), max_size=4))
def test_any_environment_loads_or_is_refused(values):
    try:
        load_settings({f"{PREFIX}{name.upper()}": text for name, text in values.items()})
    except SettingsError as error:
        assert error.message.startswith("setting ORCHESTRATOR_")  # noqa: PT017


_LOAD = """
import ctypes, resource
from orchestrator.settings import load_settings
libc = ctypes.CDLL(None)
load_settings({})
before = libc.prctl(3, 0, 0, 0, 0)
load_settings({"ORCHESTRATOR_API_SECRET": "a secret"})
print(before, libc.prctl(3, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE)[0])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_a_process_whose_settings_hold_a_secret_leaves_no_core_dump():
    done = subprocess.run([sys.executable, "-c", _LOAD], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "0", "0"]


def test_settings_are_not_pickled():
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(load_settings({PREFIX + "API_SECRET": HUNTER}))
    given = PlatformSettings(
        base_url="https://platform.example/v1",
        api_key="5df359f0-d299-40a1-8023-17c77a50144c",
        api_secret=SecretStr(HUNTER),
        signing_key_pem=SecretStr(HUNTER),
        signing_key_id="one",
    )
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(given)
