"""Mutation testing of the closure proof: each rule is broken on purpose, and a test has to notice.

    python -m tests.closure.mutation --sample 100 --seed 1
    python -m tests.closure.mutation --only frame.py --lines 380-460

A mutant is one small change of the syntax tree: a comparison, a constant, a sign, a boolean, a statement left out. Each
runs in a process of its own, on a copy of the sources taken at the start, against the tests that are quick. Prints the
survivors, with the line, and ends with 1 if there are any. A survivor is a missing test, or a change without a meaning.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import functools
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = (
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "orchestrator/closure/evm").glob("*.py")),
    "orchestrator/closure/judge.py",
    "orchestrator/closure/verdict_checks.py",
    "orchestrator/closure/witness/call.py",
    "orchestrator/closure/witness/inversion.py",
    "orchestrator/closure/witness/propose.py",
)
PASSED_OVER = ("__init__.py", "facts.py")
"""Types without rules."""
TABLE = "TABLE"
"""Of the instructions (``opcodes.py``): a row of it is not a rule."""
TESTS = (
    "tests/closure/soundness/test_rules.py",
    "tests/closure/soundness/test_opcodes.py",
    "tests/closure/soundness/test_amsterdam.py",
    "tests/closure/test_cases.py",
    "tests/closure/test_verdict.py",
    "tests/closure/test_witness.py",
    "tests/closure/soundness/test_soundness.py::test_nothing_that_is_called_inert_acts",
)
TIMEOUT = 240
"""Seconds for one mutant; one that takes longer hangs, and that is noticed too."""

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd, ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}  # fmt: skip
_CALLS = {"min": "max", "max": "min", "any": "all", "all": "any", "least": "most", "most": "least"}


@dataclass(frozen=True)
class Mutant:
    """The ``change``-th way to break the ``index``-th node of the file's syntax tree."""

    file: str
    line: int
    index: int
    change: int

    def tree(self) -> ast.Module:
        """The mutated syntax tree."""
        tree = _parsed(self.file)
        _apply(list(ast.walk(tree))[self.index], self.change)
        return ast.fix_missing_locations(tree)

    def __str__(self) -> str:
        old, new = list(ast.walk(_parsed(self.file))), list(ast.walk(_parsed(self.file)))
        _apply(new[self.index], self.change)
        for above in (True, False):  # the whole statement's first line, if the change is to be seen there
            at = _statement(old, self.index) if above else self.index
            before, after = (ast.unparse(each[at]).splitlines()[0] for each in (old, new))
            if before != after:
                break
        return f"{self.file}:{self.line}\n  - {before}\n  + {after}"


# --- making them ---


def mutants(file: str) -> list[Mutant]:
    """All of a file, in the order of its lines."""
    found = []
    tree = _parsed(file)
    notes = {id(node) for note in _notes(tree) for node in ast.walk(note)}
    for index, node in enumerate(ast.walk(tree)):
        if id(node) not in notes:
            found += [Mutant(file, getattr(node, "lineno", 0), index, change) for change in range(_changes(node))]
    return sorted(found, key=lambda mutant: mutant.line)


def _parsed(file: str) -> ast.Module:
    tree = ast.parse(_source(file))
    _drop_annotations(tree)
    return tree


@functools.cache
def _source(file: str) -> str:
    """As it was when it was first read: the engine may be edited while this runs."""
    return (ROOT / file).read_text()


def _statement(nodes: list[ast.AST], index: int) -> int:
    """The place of the innermost statement that holds a node."""
    best = index
    for at, node in enumerate(nodes):
        if isinstance(node, ast.stmt) and any(each is nodes[index] for each in ast.walk(node)):
            best = at  # outer statements come first in the walk
    return best


def _drop_annotations(tree: ast.Module) -> None:
    """Types and docstrings decide nothing."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
            for argument in (*node.args.args, *node.args.kwonlyargs, *node.args.posonlyargs):
                argument.annotation = None
        body = getattr(node, "body", None)
        if isinstance(body, list) and body:
            kept = [each for each in body if not (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))]
            node.body = kept or [ast.Pass(lineno=body[0].lineno, col_offset=0)]  # type: ignore[attr-defined]


def _notes(tree: ast.Module) -> Iterator[ast.AST]:
    """What no rule reads: a variable's type, the table, and what a word is said to come from, for witnesses."""
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign):
            yield node if isinstance(node.target, ast.Name) and node.target.id == TABLE else node.annotation
        elif isinstance(node, ast.keyword) and node.arg in ("expression", "origin"):
            yield node.value
        elif isinstance(node, ast.Assign) and any(
            isinstance(t, ast.Attribute) and t.attr == "trail" for t in node.targets
        ):
            yield node


def _changes(node: ast.AST) -> int:
    """How many mutants a node gives."""
    match node:
        case ast.Compare(ops=[op]) if type(op) in _COMPARISONS:
            return 1
        case ast.BoolOp() | ast.UnaryOp(op=ast.Not()) | ast.IfExp():
            return 1
        case ast.BinOp(op=op) if type(op) in _OPERATORS:
            return 1
        case ast.Constant(value=bool()):
            return 1
        case ast.Constant(value=int()):
            return 2
        case ast.Call(func=ast.Name(id=name)) if name in _CALLS:
            return 1
        case ast.If() | ast.While():
            return 1
        case ast.AugAssign() | ast.Continue() | ast.Break():
            return 1
        case ast.Expr(value=ast.Call()) | ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            return 1
        case _:
            return 0


def _apply(node: ast.AST, change: int) -> None:
    match node:
        case ast.Compare(ops=[op]):
            node.ops = [_COMPARISONS[type(op)]()]
        case ast.BoolOp(op=op):
            node.op = ast.Or() if isinstance(op, ast.And) else ast.And()
        case ast.UnaryOp(op=ast.Not()):
            node.op, node.operand = ast.Not(), ast.UnaryOp(ast.Not(), node.operand)
        case ast.IfExp():
            node.body, node.orelse = node.orelse, node.body
        case ast.BinOp(op=op):
            node.op = _OPERATORS[type(op)]()
        case ast.Constant(value=bool()):
            node.value = not node.value
        case ast.Constant(value=int(value)):
            node.value = value + 1 - 2 * change
        case ast.Call(func=ast.Name() as function):
            function.id = _CALLS[function.id]
        case ast.If() | ast.While():
            node.test = ast.UnaryOp(ast.Not(), node.test)
        case ast.AugAssign() | ast.Continue() | ast.Break() | ast.Expr() | ast.Assign():
            place = {"lineno": node.lineno, "col_offset": node.col_offset}
            node.__class__ = ast.Pass  # type: ignore[assignment]
            node.__dict__.clear()
            node.__dict__.update(place)


# --- running them ---


def copy_of_the_sources() -> Path:
    """A folder with the package and its tests as they are now."""
    folder = Path(tempfile.mkdtemp(prefix="mutants-"))
    leave = shutil.ignore_patterns("node_modules", "__pycache__", ".venv")
    for name in ("orchestrator", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=leave)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def start(mutant: Mutant | None, folder: Path, tests: Sequence[str], keyword: str = "") -> int:
    """A child process that runs the tests on the mutant (or on the sources as they are); its id."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    try:
        os.setsid()
        os.chdir(folder)
        sink = os.open(folder / f"output-{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        sys.path.insert(0, str(folder))
        sys.dont_write_bytecode = True
        if mutant is not None:
            (folder / mutant.file).write_text(ast.unparse(mutant.tree()))
        import pytest

        options = ["-x", "-q", "-pno:randomly", "-pno:cacheprovider", "-pno:xdist", "--no-header", "--tb=line"]
        options += ["-k", keyword] if keyword else []
        code = int(pytest.main([*options, *tests]))
    except BaseException:  # noqa: BLE001  (whatever it is: the mutant did not get through)
        traceback.print_exc()
        code = 99
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def survives(child: int, folder: Path) -> bool:
    """Waits for a child; kills it after ``TIMEOUT``. Its output is then in the folder's ``output``."""
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            with contextlib.suppress(FileNotFoundError):
                (folder / f"output-{child}").rename(folder / "output")
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", default=[], help="files, by the end of their name")
    parser.add_argument("--lines", help="FROM-TO, with one file")
    parser.add_argument("--sample", type=int, help="so many mutants, chosen by --seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--tests", nargs="*", default=TESTS)
    parser.add_argument("--keyword", default="", help="as pytest's -k: which of the tests")
    options = parser.parse_args()
    files = [file for file in SOURCES if not file.endswith(PASSED_OVER) and (ROOT / file).exists()]
    if options.only:
        files = [file for file in files if file.endswith(tuple(options.only))]
    folder = copy_of_the_sources()
    todo = [mutant for file in files for mutant in mutants(file)]
    if options.lines:
        first, last = map(int, options.lines.split("-"))
        todo = [mutant for mutant in todo if first <= mutant.line <= last]
    everything = len(todo)
    if options.sample is not None:
        chance = random.Random(options.seed)
        todo = chance.sample(todo, min(options.sample, len(todo)))
    tests = [test for test in options.tests if (ROOT / test.partition("::")[0]).exists()]
    import pyrevm  # noqa: F401  (before the children are made: what is slow to import, and no part of the project)
    import pytest  # noqa: F401

    started, survivors, done = time.monotonic(), [], 0
    try:
        if not survives(start(None, folder, tests, options.keyword), folder):
            print("the tests fail without a mutant:")
            print((folder / "output").read_text()[-3000:])
            return 2
        print(
            f"{len(todo)} of {everything} mutants of {len(files)} files; "
            f"without one the tests take {time.monotonic() - started:.0f} s"
        )
        for mutant in todo:
            survived = survives(start(mutant, folder, tests, options.keyword), folder)
            (folder / mutant.file).write_text(_source(mutant.file))
            if survived:
                survivors.append(mutant)
                print(f"SURVIVES {mutant}", flush=True)
            done += 1
            if time.monotonic() - started > options.seconds:
                break
    finally:
        shutil.rmtree(folder)
    print(f"{done} mutants, {len(survivors)} survive, seed {options.seed}, {time.monotonic() - started:.0f} s")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
