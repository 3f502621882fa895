"""Hostile text beside JSON: TOML, identifiers, and characters that hide."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import unicodedata
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from orchestrator.cli.output import clean
from orchestrator.errors import MalformedAnswer, SettingsError
from orchestrator.foreign import MalformedToml, is_hidden, read_toml, shown
from orchestrator.models import to_uuid
from orchestrator.platform.wire import AccountWire, Instant, read
from tests.hostile.parsers import ACCOUNT, UUID

# --- TOML ------------------------------------------------------------------------------------------------------------


@given(st.text("ab.=[]{}\"'#\\\n ,1", max_size=60))
def test_what_is_no_deeper_is_read_as_tomllib_reads_it(text):
    try:
        expected = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        with pytest.raises(MalformedToml):
            read_toml(text)
    else:
        try:
            assert read_toml(text) == expected
        except MalformedToml as error:
            assert "nests deeper" in str(error)  # noqa: PT017  (only where there are many dots or brackets)
            assert max(text.count("."), text.count("["), text.count("{")) > 16


@pytest.mark.parametrize(
    "text",
    [
        "a=" + "[" * 17 + "]" * 17,
        "a" + ".a" * 17 + "=1",
        "[a" + ".a" * 17 + "]",
        "a=" + "{a=" * 17 + "1" + "}" * 17,
        'a=["""x"""", ' + "[" * 17,
        "a=['''x'''', " + "[" * 17,
        'a = "\\"" # "\nb=' + "[" * 17,
    ],
)
def test_depth_is_refused_before_it_is_parsed(text):
    with pytest.raises(MalformedToml, match="nests deeper than 16"):
        read_toml(text)


@pytest.mark.parametrize(
    "text",
    [
        'a = "' + "[" * 99 + '"',
        "a = '''\n" + "[.\n" * 99 + "'''",
        'a = """\n\\"""' + "[." * 99 + '"""',
        "# " + "[.{" * 99 + "\na = 1",
        'a = "' + "b." * 99 + '"',
    ],
)
def test_what_stands_in_strings_and_comments_is_no_depth(text):
    assert read_toml(text) == tomllib.loads(text)


MEMORY = """
import resource, sys
from orchestrator.errors import SettingsError
from orchestrator.policy import parse_policy
from orchestrator.settings import load_settings
from pathlib import Path
path = Path(sys.argv[1])
def most(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = most()
for text in "a" + ".a" * 20_000 + "=1", "a=" + "[" * 90_000, "a=" + "{a=" * 60_000, "[a" + ".a" * 20_000 + "]":
    path.write_text(text)
    for run in (lambda: load_settings(config=path, environment={}), lambda: parse_policy(text, "policy")):
        try:
            run()
        except SettingsError as error:
            print(error.code)
print((most() - before) // before)
"""


def test_no_settings_file_and_no_policy_takes_memory(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path / "a.toml")], capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["settings_invalid", "policy_invalid"] * 4 + ["0"], done.stdout + done.stderr


# --- identifiers and times -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        UUID[:-1] + "\n",
        UUID + "\n",
        " " + UUID,
        "{" + UUID + "}",
        "urn:uuid:" + UUID,
        UUID.replace("-", ""),
        UUID.replace("5", "\uff15", 1),
        UUID.replace("0", "_", 1),
        UUID.replace("0000", "+000", 1),
        "",
    ],
)
def test_a_uuid_in_another_form_is_nobodys(text):
    with pytest.raises(SettingsError) as caught:
        to_uuid(text, "an account id")
    assert caught.value.code == "not_a_uuid"
    with pytest.raises(MalformedAnswer, match="field id: expected a UUID"):
        read(AccountWire, ACCOUNT | {"updatedAt": ACCOUNT["createdAt"], "id": text}, "call")


def test_a_uuid_in_upper_case_is_taken():
    assert to_uuid(UUID.upper(), "an account id") == UUID


@pytest.mark.parametrize(
    "text",
    [
        "9999-12-31T23:59:59-23:59",
        "0001-01-01T00:00:00+23:59",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00+01:60",
    ],
)
def test_a_time_beyond_time_is_a_malformed_field(text):
    with pytest.raises(MalformedAnswer, match="field updatedAt"):
        read(AccountWire, ACCOUNT | {"updatedAt": text}, "call")


def test_the_last_and_the_first_times_are_taken():
    assert Instant.parse("9999-12-31T23:59:59.999999999Z").moment.year == 9999
    assert Instant.parse("0001-01-01T00:00:00Z").moment.year == 1


# --- what is shown ---------------------------------------------------------------------------------------------------

HIDING = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def test_hidden_are_exactly_these_categories_and_a_few_characters_that_show_nothing():
    by_category = {c for c in map(chr, range(0x110000)) if unicodedata.category(c) in HIDING}
    hidden = {c for c in map(chr, range(0x110000)) if is_hidden(c)}
    assert by_category <= hidden
    assert len(hidden - by_category) == 8 + 16 + 240
    assert set("\u061c\u200b\u2028\u2029\u202e\u2066\ufeff\u00ad\u180e\ufe0f\u034f\ud800") <= hidden
    assert not set("aé漢😀 \u00a0\u3000") & hidden


@given(st.text(st.characters()))
def test_nothing_hidden_reaches_a_terminal_or_a_page(text):
    assert not any(map(is_hidden, shown(text)))
    console = Console(file=StringIO(), width=10_000, highlight=False, emoji=False)
    console.print(clean(text), soft_wrap=True)
    assert not any(map(is_hidden, console.file.getvalue().replace("\n", "").replace("\t", "")))
