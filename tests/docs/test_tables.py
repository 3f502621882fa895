"""The documents' tables, compared with what they describe; and that everything they name exists."""

from __future__ import annotations

import inspect
import json
import re
import tomllib
from pathlib import Path
from typing import get_args

import pytest
import typer

from orchestrator import schemas
from orchestrator.cli.main import app
from orchestrator.devnet import pytest_plugin
from orchestrator.devnet.simulator.faults import IMMEDIATE, KINDS
from orchestrator.devnet.toolchain import FOUNDRY_VERSION
from orchestrator.lifecycle.recorded import Event
from orchestrator.platform.probe import SETTLED
from orchestrator.settings import FROM_FILES, OTHER_VARIABLES, PLATFORM_TABLE, PREFIX, Settings, load_settings
from tests.docs.markdown import DOCUMENTS, PAGES, ROOT, anchors, codes, links, paths, table, tables, text
from tests.docs.runbook_page import PAGE, page

# --- settings ----------------------------------------------------------------------------------------------------


def _default(value: object, home: Path) -> str:
    if value is None:
        return "unset"
    shown = ",".join(value) if isinstance(value, tuple) else str(value).replace(str(home), "~")
    shown = shown.removesuffix(".0")
    if shown:
        return f"`{shown}`"
    return "empty" if isinstance(value, str) else "none"


def test_every_setting_stands_with_its_default(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    defaults = load_settings({})
    rows = {codes(row[0])[0]: row[1] for name in ("settings", "platform-settings") for row in table(name)}
    expected = {_shown(name): _default(getattr(defaults, name), tmp_path) for name in Settings.model_fields}
    assert rows == expected


def _shown(name: str) -> str:
    """How a setting is named in the documentation."""
    return name if name in PLATFORM_TABLE else PREFIX + name.upper()


def test_the_secrets_that_may_be_files_are_named():
    before = text("docs/settings.md").split("may also be given as")[0].rsplit("\n\n", 1)[1]
    named = set(re.findall(r"ORCHESTRATOR_[A-Z_]+", before))
    assert {PREFIX + name.upper() for name in FROM_FILES} == named


def test_silent_choices_are_settings():
    named = {name for row in table("silent") for name in codes(row[2])}
    assert named <= {_shown(name) for name in Settings.model_fields}
    assert named >= PLATFORM_TABLE
    assert set(SETTLED) <= PLATFORM_TABLE, "what the probe prints answers a silent choice"


def test_every_variable_that_is_named_exists():
    known = {PREFIX + name.upper() for name in Settings.model_fields} | {PREFIX + name for name in OTHER_VARIABLES}
    known |= {f"{PREFIX}{name.upper()}_FILE" for name in FROM_FILES}
    named = {name for document in DOCUMENTS for name in re.findall(rf"{PREFIX}[A-Z_]*[A-Z]", text(document))}
    assert named - known == set()


# --- commands ----------------------------------------------------------------------------------------------------


def _commands() -> set[str]:
    """All commands, groups with their subcommands: ``accounts create``, ``keys request rotate``."""

    def inside(group, before: str) -> set[str]:
        found: set[str] = set()
        for name, command in group.commands.items():
            found |= inside(command, f"{before}{name} ") if hasattr(command, "commands") else {before + name}
        return found

    return inside(typer.main.get_command(app), "")


def test_the_table_of_commands_is_whole():
    listed: set[str] = set()
    for row in table("commands"):
        first, *others = codes(row[0])
        words = first.removeprefix("orchestrator ").split()
        listed.add(" ".join(words))
        group = " ".join(words[:-1])
        listed |= {
            other.removeprefix("orchestrator ") if other.startswith("orchestrator ") else f"{group} {other}"
            for other in others
        }
    assert listed == _commands()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_that_is_named_exists(document):
    commands = _commands()
    groups = {command.split()[0] for command in commands if " " in command}
    for first, second in re.findall(
        r"(?:^\$ |`|&& |exec )orchestrator ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?", text(document), re.MULTILINE
    ):
        assert first in groups or first in commands, f"{document}: orchestrator {first}"
        if first in groups and second:  # else the group as a whole: orchestrator keys …
            named = f"{first} {second}"
            assert any(f"{command} ".startswith(f"{named} ") for command in commands), f"{document}: {named}"


def test_every_make_target_that_is_named_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for document in DOCUMENTS for name in re.findall(r"`make ([a-z-]+)", text(document))}
    assert named - targets == set()


def test_the_exit_codes_are_the_commands():
    shown = [[row[0] for row in found] for found in tables("exit codes")]
    described = re.findall(r"(\d+) [a-z]", app.info.epilog)
    assert shown == [described, described], "the first page's, and the reference's"


# --- JSON documents, events ----------------------------------------------------------------------------------------


def test_the_table_of_documents_is_that_of_the_schemas():
    described = {name: json.loads(schemas.text(name)) for name in schemas.names()}
    rows = {codes(row[0])[0]: (row[1], codes(row[2])) for row in table("documents")}
    assert rows == {name: (schema["title"], list(schema.get("properties", {}))) for name, schema in described.items()}


def test_the_tables_of_events_are_whole():
    parts = ("creation", "sides", "operations", "decisions")
    named = [codes(row[0])[0] for part in parts for row in table(f"events {part}")]
    assert named == [event.model_fields["type"].default for event in get_args(Event)]


# --- fixtures, faults, codes -------------------------------------------------------------------------------------


def test_the_table_of_fixtures_is_the_plugin():
    fixtures = {
        (value._get_wrapped_function().__name__, value._fixture_function_marker.scope)
        for value in vars(pytest_plugin).values()
        if type(value).__name__ == "FixtureFunctionDefinition"
        and not value._get_wrapped_function().__name__.startswith("_")
    }
    assert fixtures
    assert {(codes(row[0])[0], row[1]) for row in table("fixtures")} == fixtures


def test_the_table_of_faults_is_whole():
    assert {name for row in table("faults") for name in codes(row[0])} == KINDS.keys() | IMMEDIATE.keys()


def test_the_runbooks_page_is_the_runbook():
    assert PAGE.read_text() == page(), "python -m tests.docs.runbook_page"


# --- dependencies ------------------------------------------------------------------------------------------------


def _names(requirements: list[str]) -> list[str]:
    return sorted(re.split(r"[\[<>=~! ]", line, maxsplit=1)[0] for line in requirements)


def _listed(marker: str) -> list[str]:
    rows = table(marker)
    assert all(len(row) == 2 and row[1] for row in rows), "each with a reason"
    return [codes(row[0])[0] for row in rows]


def test_every_python_dependency_has_its_line():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert _listed("runtime") == _names(project["project"]["dependencies"])
    for extra, packages in project["project"]["optional-dependencies"].items():
        assert _listed(extra) == _names(packages)
    assert _listed("dev") == _names(project["dependency-groups"]["dev"])
    tools = (ROOT / "requirements" / "tools.in").read_text().split()
    assert sorted(_listed("tools")) == _names(tools)


def test_every_npm_dependency_has_its_line():
    package = json.loads((ROOT / "contracts" / "package.json").read_text())
    assert _listed("npm") == [*package["dependencies"], *package["devDependencies"]]


def test_versions_that_are_named_are_the_pinned_ones():
    package = json.loads((ROOT / "contracts" / "package.json").read_text())
    named = re.findall(r"(?:cast|`anvil`|Foundry) (\d+\.\d+\.\d+)", "".join(map(text, DOCUMENTS)))
    assert len(named) >= 3
    assert set(named) == {FOUNDRY_VERSION}
    assert f"`solc` {package['dependencies']['solc']}" in text("contracts/README.md")


# --- files -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document):
    for path, anchor in links(document):
        assert (ROOT / path).is_file(), path
        assert not anchor or anchor in anchors(path), f"{path}#{anchor}"


def test_every_page_is_linked_from_the_index():
    indexed = {path for path, _ in links("docs/README.md")}
    assert {*PAGES, *(name for name in DOCUMENTS if name.count("/") and name.endswith("README.md"))} - indexed == {
        "docs/README.md"
    }
    assert "docs/README.md" in {path for path, _ in links("README.md")}


HISTORY = "CHANGELOG.md"
"""It names files that are gone."""
NOT_IN_THE_TREE = {"request/", ".toolchain/"}
"""A folder of the keystore; one that the set-up makes."""


@pytest.mark.parametrize("document", [name for name in DOCUMENTS if name != HISTORY])
def test_paths_that_are_named_exist(document):
    """Written from the project's folder, from the package's, or, on a page beside the code, from the page's."""
    folders = (ROOT, ROOT / "orchestrator", (ROOT / document).parent)
    named = paths(document) - NOT_IN_THE_TREE
    assert {path for path in named if not any((folder / path).exists() for folder in folders)} == set()


def test_modules_and_tests_that_are_named_exist():
    everything = "".join(map(text, DOCUMENTS))
    for module in re.findall(r"python -m (tests[\w.]+)", everything):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or path.is_dir(), module
    tests = re.findall(r"(tests/[\w/]+\.py)::(\w+)", everything)
    assert tests, "CONTRIBUTING says how one test is run"
    for path, function in tests:
        assert f"def {function}(" in (ROOT / path).read_text(), f"{path}::{function}"


def test_the_licence_is_the_packages():
    assert text("LICENSE").startswith("MIT License")
    assert "The offblocks-orchestrator authors" in text("LICENSE")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"## [{version}]" in text("CHANGELOG.md")
    assert inspect.getdoc(pytest_plugin)
