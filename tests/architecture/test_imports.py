"""The directions of imports (.importlinter), the command line's speed, and rules that no linter knows."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from importlinter.application.use_cases import read_user_options
from importlinter.cli import lint_imports

import orchestrator

PACKAGE = Path(orchestrator.__file__).parent
TOP = Path(__file__).parents[2]
EDGES = {
    "httpx": "platform",
    "web3": "chain",
    "sqlalchemy": "journal",
    "psycopg": "journal",
    "filelock": "dispatch",
    "pkcs11": "signers",
    "botocore": "signers",
}
OUTSIDE_OF_THE_LAYERS = {"cli", "devnet", "service", "doctor"}
"""They put parts together for people and tests, and may use a library for themselves."""


def modules():
    return sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if "artifacts/" not in str(path))


def imports(path: Path) -> set[str]:
    """Every imported module's full name, those inside of functions included."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((PACKAGE / path).read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module)
    return found


def test_the_contracts_hold():
    assert lint_imports(config_filename=str(TOP / ".importlinter"), no_cache=True) == 0


def test_the_contracts_name_every_part():
    """A new part of the package must find its place in the layers."""
    options = read_user_options(str(TOP / ".importlinter"))
    layers = next(c for c in options.contracts_options if c["id"] == "layers")["layers"]
    placed = {name.strip().removeprefix("orchestrator.") for layer in layers for name in layer.split("|")}
    parts = {path.parts[0].removesuffix(".py") for path in modules()} - {"__init__", "__main__"}
    assert parts - placed - {"schemas"} == set(), "parts with no place in .importlinter"


@pytest.mark.parametrize("library", EDGES)
def test_one_part_imports_each_library(library):
    found = {path.parts[0] for path in modules() if any(name.split(".")[0] == library for name in imports(path))}
    assert found - OUTSIDE_OF_THE_LAYERS <= {EDGES[library]}


def test_what_the_command_line_imports_at_its_start_is_light():
    code = (
        "import sys, orchestrator, orchestrator.errors, orchestrator.models, orchestrator.settings\n"
        "import orchestrator.cli.main\n"
        "heavy = {'web3', 'eth_account', 'sqlalchemy', 'alembic', 'httpx', 'aiohttp', 'starlette', 'cryptography'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("part", ["errors.py", "models.py", "lifecycle", "challenge"])
def test_the_pure_core_reads_no_clock_and_draws_no_numbers(part):
    for path in modules():
        if path.parts[0] != part:
            continue
        for node in ast.walk(ast.parse((PACKAGE / path).read_text())):
            if isinstance(node, ast.Attribute):
                assert node.attr not in {"now", "utcnow", "today", "uuid4", "urandom"} or (
                    isinstance(node.value, ast.Name) and node.value.id in {"f", "facts", "expectation", "self"}
                ), f"{path}:{node.lineno}"


def test_every_module_says_what_it_is_for():
    texts = {str(path): (PACKAGE / path).read_text() for path in modules()}
    assert [name for name, text in texts.items() if text.strip() and not ast.get_docstring(ast.parse(text))] == []
