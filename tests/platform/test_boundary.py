"""The edge stays an edge: one module alone imports the HTTP library, and no public signature shows its types."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import orchestrator.platform
from orchestrator.platform import PlatformClient
from orchestrator.ports.platform import Platform

FOLDER = Path(inspect.getfile(orchestrator.platform)).parent
HTTP = {"httpx", "httpx_aiohttp", "aiohttp", "yarl"}


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def test_one_module_alone_imports_the_http_library():
    importing = {path.name for path in FOLDER.glob("*.py") if HTTP & set(imported(path))}
    assert importing == {"transport.py"}


def test_no_public_signature_shows_a_type_of_the_http_library():
    for name, method in inspect.getmembers(PlatformClient, inspect.isfunction):
        if not name.startswith("_"):
            assert not any(word in str(inspect.signature(method)) for word in HTTP), name


def test_the_client_has_every_call_of_the_port():
    wanted = {name for name, _ in inspect.getmembers(Platform, inspect.isfunction) if not name.startswith("_")}
    for name in wanted:
        ours, theirs = inspect.signature(getattr(PlatformClient, name)), inspect.signature(getattr(Platform, name))
        assert list(ours.parameters) == list(theirs.parameters)


def test_the_public_names_are_sorted():
    assert orchestrator.platform.__all__ == sorted(orchestrator.platform.__all__)
