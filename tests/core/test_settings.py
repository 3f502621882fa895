"""Settings: who wins, secrets by file, and that no secret is ever shown."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from orchestrator.errors import SettingsError
from orchestrator.platform import PlatformSettings
from orchestrator.settings import PREFIX, SECRETS, Settings, load_settings

HUNTER = "hunter2-very-secret"


@pytest.fixture
def toml(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "orchestrator.toml"
        path.write_text(text)
        return path

    return write


def refused(*args, **options) -> str:
    with pytest.raises(SettingsError) as raised:
        load_settings(*args, **options)
    assert HUNTER not in repr(raised.value)
    assert raised.value.__cause__ is None or HUNTER not in repr(raised.value.__cause__)
    return raised.value.message


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


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_secrets_by_file(toml, tmp_path, name):
    (tmp_path / "secret").write_text(HUNTER + "\r\n")
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
    assert "cannot read" in refused({"ORCHESTRATOR_API_SECRET_FILE": str(tmp_path / "none")})
    assert "cannot read" in refused({}, toml('api_secret_file = "none"'))
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    assert "not text" in refused({"ORCHESTRATOR_API_SECRET_FILE": str(tmp_path / "bytes")})


@pytest.mark.parametrize("text", ["no toml", "other = 1", "[table]\nx = 1", "confirmations = 'x'", "confirmations = 0"])
def test_a_bad_file_names_what_is_bad(toml, text):
    message = refused({}, toml(text))
    assert any(part in message for part in ("not TOML", "unknown setting", "ORCHESTRATOR_CONFIRMATIONS"))


def test_a_file_that_is_not_there(tmp_path):
    assert "cannot read --config" in refused({}, tmp_path / "none.toml")


@pytest.mark.parametrize("name", sorted(SECRETS | {"keystore_password"}))
def test_no_secret_is_shown(toml, name):
    settings = load_settings({f"{PREFIX}{name.upper()}": HUNTER})
    assert HUNTER not in f"{settings} {settings!r} {settings.model_dump()} {settings.model_dump_json()}"
    for wrong in (f'["{HUNTER}"]', f'{{inner = "{HUNTER}"}}'):
        assert name.upper() in refused({}, toml(f"{name} = {wrong}"))


@pytest.mark.parametrize(
    "name", sorted({"confirmations", "patience", "factory", "tokens", "pagination", "poll_interval"})
)
def test_a_wrong_value_names_its_setting(name):
    assert f"{PREFIX}{name.upper()}" in refused({f"{PREFIX}{name.upper()}": "wrong"})


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
