"""The rule of a profile for CREATE2 addresses, held against what the profile knows. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from orchestrator.artifacts import Artifact
from orchestrator.wallet import abi
from orchestrator.wallet import document as d
from orchestrator.wallet.problems import Wrong
from orchestrator.wallet.rules import Create2Rule, EventRule
from orchestrator.wallet.subject import ACCOUNT_TYPES, literal

_LITERAL: Final = re.compile(r"0x(?:[0-9a-fA-F]{2})*")


def assemble_create2(
    rule: d.Create2,
    kind: str,
    immutables: frozenset[str],
    event: EventRule | None,
    artifact: Callable[[str], Artifact],
) -> Create2Rule:
    """Raises Wrong."""
    path = ("account", "create2")
    known = _Known(kind, immutables, event)
    hashed = not isinstance(rule.salt, str)
    salt = rule.salt if not isinstance(rule.salt, str) else (rule.salt,)
    types = _types(rule.types or (() if hashed else (known.usual(salt[0]),)), (*path, "types"))
    arguments = _types(rule.argument_types, (*path, "argument_types"))
    for names, kinds, member in ((salt, types, "salt"), (rule.arguments, arguments, "arguments")):
        if len(names) != len(kinds):
            raise Wrong((*path, member), f"{len(names)} values and {len(kinds)} types")
        for name, each in zip(names, kinds, strict=True):
            known.check(name, each, (*path, member))
    if not salt or (any(map(abi.is_dynamic, types)) and (rule.packed or not hashed)):
        raise Wrong((*path, "salt"), "expected values that are each a word")
    init_code = None
    if rule.init_code == "erc1167":
        if kind != "erc1167" or rule.arguments:
            raise Wrong((*path, "init_code"), "erc1167 is of kind erc1167, and takes no arguments")
    else:
        try:
            init_code = artifact(rule.init_code)
        except ValueError as error:
            raise Wrong((*path, "init_code"), str(error)) from None
        if not init_code.bytecode:
            raise Wrong((*path, "init_code"), "the artifact has no creation code, or libraries are missing in it")
    return Create2Rule(salt, types, hashed, rule.packed, init_code, rule.arguments, arguments)


def _types(texts: tuple[str, ...], path: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return tuple(abi.canonical_type(text) for text in texts)
    except ValueError as error:
        raise Wrong(path, str(error)) from None


class _Known:
    """The values that a wallet's address may be computed from."""

    def __init__(self, kind: str, immutables: frozenset[str], event: EventRule | None) -> None:
        self._kind = kind
        self._immutables = immutables
        self._event = event

    def usual(self, name: str) -> str:
        """The type that a value has by itself."""
        argument = self._event.signature.argument(name) if self._event else None
        return argument.type if argument is not None else "bytes32"

    def check(self, name: str, kind: str, path: tuple[str, ...]) -> None:
        """Raises Wrong unless there will be such a value of such a type; in the order in which ``meaning`` looks."""
        argument = self._event.signature.argument(name) if self._event else None
        types: tuple[str, ...]
        if name.startswith("0x"):
            try:
                if _LITERAL.fullmatch(name):
                    literal(name, kind)
                    return
            except ValueError:
                pass
            raise Wrong(path, f"{name[:80]} is no {kind}")
        if name == "account":
            types = ACCOUNT_TYPES
        elif name == "implementation" and self._kind != "direct":
            types = ("address",)
        elif name in self._immutables:
            types = () if abi.is_dynamic(kind) else (kind,)
        elif argument is not None and not (argument.indexed and abi.is_dynamic(argument.type)):
            types = (argument.type,)
        elif name == "factory" or (name == "owner" and self._event is not None and self._event.owner is not None):
            types = ("address",)
        else:
            raise Wrong(
                path,
                f"nothing tells {name[:80]}: expected account, owner, factory, implementation, an argument of the "
                "event, an immutable that every accepted contract has, or a value as 0x…",
            )
        if kind not in types:
            raise Wrong(path, f"{name} is {' or '.join(types) or 'a word'}, not {kind}")
