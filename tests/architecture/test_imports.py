"""The directions of imports (.importlinter), the command line's speed, and rules that no linter knows."""

import ast
import os
import pkgutil
import re
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from importlinter.application.use_cases import read_user_options
from importlinter.cli import lint_imports

import orchestrator
from orchestrator.journal.store import Journal

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
_NAME = re.compile(r"``([a-z_]+(?:(?:\.[A-Za-z_0-9]+)+|(?:/[a-z_0-9]+)+\.py))``")
OUTSIDE_OF_THE_LAYERS = {"cli", "devnet", "service", "doctor"}
"""They put parts together for people and tests, and may use a library for themselves."""


def modules():
    return sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if "artifacts/" not in str(path))


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def imports(path: Path) -> set[str]:
    """Every imported module's full name, those inside of functions included."""
    found: set[str] = set()
    for node in ast.walk(parsed(PACKAGE / path)):
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


# --- circles ----------------------------------------------------------------------------------------------------------


def module_name(path: Path) -> str:
    return ".".join(("orchestrator", *path.with_suffix("").parts)).removesuffix(".__init__")


def imported_at_run_time(path: Path, known: set[str]) -> set[str]:
    """The package's modules that one imports when it runs, at its top or inside of a function; not what is imported for
    types only, nor the packages that Python imports around a module by itself."""
    tree = parsed(PACKAGE / path)
    package = ("orchestrator", *path.parent.parts)
    for_types = {
        node
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
        for statement in branch.body
        for node in ast.walk(statement)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if node in for_types:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            around = package[: len(package) + 1 - node.level] if node.level else ()
            source = ".".join((*around, *([node.module] if node.module else [])))
            named = {f"{source}.{alias.name}" for alias in node.names}
            found |= named if named <= known else {source} | named
    return found & known


def test_no_module_imports_itself_in_a_circle():
    paths = {module_name(path): path for path in (file.relative_to(PACKAGE) for file in PACKAGE.rglob("*.py"))}
    graph = {name: imported_at_run_time(path, set(paths)) for name, path in paths.items()}
    assert sum(map(len, graph.values())) > 500, "the reader of imports finds too few"
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


CONNECTED = ("certifier", "chain.node.reader", "chain.examination.prover", "platform.client", "signers.keyring")
PROVING = ("chain.examination.examiner", "chain.node.canonical", "closure.certificate.verifier")
PROOF = {"web3", "eth_account", "eth_keyfile", "py_ecc", "alembic", "jsonschema", "starlette"}
NO_PROOF = PROOF | {"rlp", "eth_utils", "eth_abi", "sqlalchemy.dialects.postgresql"}
NO_NETWORK = NO_PROOF | {
    "httpx",
    "aiohttp",
    "cryptography",
    "coincurve",
    "filelock",
    "structlog",
    "orchestrator.closure",
}
STARTS = [
    ("--help", "pass", NO_NETWORK | {"sqlalchemy", "asyncio", "rich"}),
    ("a command's settings", "import orchestrator.settings", NO_NETWORK | {"sqlalchemy", "asyncio", "rich"}),
    ("status --json, journal --json", "for words in (['status'], ['journal']): run([*words, '--json'])", NO_NETWORK),
    ("accounts show, activate", "import " + ", ".join(map("orchestrator.".__add__, CONNECTED)), NO_PROOF),
    ("verify-closure, certificate verify", "import " + ", ".join(map("orchestrator.".__add__, PROVING)), PROOF),
]
"""What a kind of command does before it asks anybody, and what it must not have imported by then: each after those
above it, in one process. No time is measured: ``scripts/development/benchmark_start.py`` does."""


async def test_each_kind_of_command_imports_only_what_it_uses(tmp_path):
    lines = [
        "import contextlib, io, sys",
        "from orchestrator.cli.main import main",
        "def run(words):",
        "    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):",
        "        try: main(words)",
        "        except SystemExit as ended: assert not ended.code, words",
        "run(['--help'])",
    ]
    for _, work, heavy in STARTS:
        lines += [work, f"print(sorted({heavy!r} & sys.modules.keys()))"]
    environment = {name: text for name, text in os.environ.items() if not name.startswith("ORCHESTRATOR_")}
    environment["ORCHESTRATOR_DATABASE_URL"] = url = f"sqlite:///{tmp_path}/journal.db"
    async with await Journal.open(url):
        pass  # it is there
    found = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, env=environment, check=False
    )
    assert (found.stderr, found.returncode) == ("", 0)
    assert dict(zip([name for name, *_ in STARTS], found.stdout.splitlines(), strict=True)) == {
        name: "[]" for name, *_ in STARTS
    }


@pytest.mark.parametrize("part", ["errors.py", "models.py", "lifecycle", "challenge"])
def test_the_pure_core_reads_no_clock_and_draws_no_numbers(part):
    for path in modules():
        if path.parts[0] != part:
            continue
        for node in ast.walk(parsed(PACKAGE / path)):
            if isinstance(node, ast.Attribute):
                assert node.attr not in {"now", "utcnow", "today", "uuid4", "urandom"} or (
                    isinstance(node.value, ast.Name) and node.value.id in {"c", "context", "expectation", "self"}
                ), f"{path}:{node.lineno}"


def test_every_module_says_what_it_is_for():
    texts = {str(path): (PACKAGE / path).read_text() for path in modules()}
    assert [name for name, text in texts.items() if text.strip() and not ast.get_docstring(ast.parse(text))] == []


# --- foreign text -----------------------------------------------------------------------------------------------------

OWN_JSON = {
    "closure/certificate/envelope.py": "the shipped schemas",
    "schemas/__init__.py": "the shipped schemas",
    "wallet/releases.py": "the shipped artifacts",
    "artifacts/__init__.py": "the shipped artifacts",
    "journal/replay.py": "the journal's own rows",
    "journal/rows.py": "the journal's own rows",
    "journal/migrations/versions/r0002_signing.py": "the journal's own rows",
    "cli/approve.py": "what was asked, from the journal",
    "authorization/restore_guard.py": "the journal's own events",
    "lifecycle/oversight_state.py": "the journal's own events",
    "challenge/forms.py": "looks for JSON in any text, counts its depth itself, never raises",
    "devnet/simulator/accounts.py": "the simulator's own rows",
    "devnet/simulator/jobs.py": "the simulator's own rows",
    "devnet/simulator/webhooks.py": "the simulator's own rows",
    "devnet/simulator/deliveries.py": "the simulator's own rows",
    "devnet/simulator/server.py": "the simulator's own answer",
}
"""Modules that parse JSON without ``foreign``, and whose JSON it is."""
RAISES_THE_RECURSION_LIMIT = {"web3", "eth_account", "eth_keyfile", "py_ecc"}


@cache
def all_modules() -> dict[str, ast.Module]:
    return {str(path.relative_to(PACKAGE)): parsed(path) for path in PACKAGE.rglob("*.py")}


def called(tree: ast.AST) -> set[str]:
    """The names of what is called, without what they are looked up in; with ``()`` where nothing is handed on."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            found |= {name} if node.args or node.keywords else {name, name + "()"}
    return found


@cache
def calls() -> dict[str, set[str]]:
    return {name: called(tree) for name, tree in all_modules().items()}


def calling(*names: str) -> set[str]:
    return {name for name, found in calls().items() if found & set(names)}


def test_foreign_json_is_parsed_in_one_place():
    parsing = {
        name
        for name in calling("loads", "load", "JSONDecoder", "raw_decode", "json()", "model_validate_json")
        if "json" in {getattr(node, "id", None) for node in ast.walk(all_modules()[name])}
    } | calling("json()", "model_validate_json")
    assert parsing - {"foreign.py"} == set(OWN_JSON)


def test_foreign_toml_identifiers_and_times_are_parsed_in_few_places():
    assert {str(path) for path in modules() if "tomllib" in imports(path)} == {"foreign.py"}
    assert calling("UUID") == {"challenge/account_mentions.py", "devnet/simulator/chain.py"}, (
        "use models.canonical_uuid"
    )
    assert calling("parsedate_to_datetime", "parsedate", "parsedate_tz", "fromisoformat", "strptime") == {
        "challenge/eip4361.py",
        "foreign.py",
        "journal/rows.py",
        "journal/signatures.py",
        "oversight/history.py",
    }


def test_imports_that_raise_the_recursion_limit_put_it_back():
    """py_ecc, which these import, sets it to 100,000 for the whole process."""
    found = 0
    for name, tree in all_modules().items():
        kept: set[ast.AST] = set()
        for node in ast.walk(tree):
            typed = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            if typed or (isinstance(node, ast.With) and ast.unparse(node.items[0]) == "lazy_py_ecc()"):
                kept |= set(ast.walk(node))
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
            if any(each.split(".")[0] in RAISES_THE_RECURSION_LIMIT for each in names):
                found += 1
                assert node in kept, f"{name}:{node.lineno}"
    assert found > 5


def test_no_module_leaves_another_recursion_limit():
    code = (
        "import importlib, pkgutil, sys, orchestrator\n"
        "for found in pkgutil.walk_packages(orchestrator.__path__, 'orchestrator.'):\n"
        "    if 'migrations' not in found.name and '__main__' not in found.name:\n"
        "        importlib.import_module(found.name)\n"
        "print(sys.getrecursionlimit())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split()[-1:] == ["1000"], done.stderr


# --- what documentation strings name ---------------------------------------------------------------------------------


def _named(path: Path) -> set[str]:
    """What the file's strings name in double backticks: ``a.b`` or ``a/b.py``."""
    texts = (node.value for node in ast.walk(parsed(path)) if isinstance(node, ast.Constant))
    return {name for text in texts if isinstance(text, str) for name in _NAME.findall(text)}


def _is_there(name: str) -> bool:
    if "/" in name:
        return (PACKAGE / name).exists() or (TOP / name).exists()
    try:
        pkgutil.resolve_name(f"orchestrator.{name.removeprefix('orchestrator.')}")
    except (ImportError, AttributeError):
        return False
    return True


def test_modules_that_documentation_strings_name_exist():
    """Of the package's own. Names that begin with ``policy.`` are members of a policy's document."""
    ours = {path.parts[0].removesuffix(".py") for path in modules()} - {"policy"} | {"orchestrator"}
    named = {
        (str(path), name)
        for path in modules()
        for name in _named(PACKAGE / path)
        if "/" in name or name.split(".")[0] in ours
    }
    assert len(named) > 40
    assert {(path, name) for path, name in named if not _is_there(name)} == set()
