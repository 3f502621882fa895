"""Writes a policy document as TOML, with every default spelt out: reading it again gives the same policy."""

from __future__ import annotations

import json
from typing import Any

from orchestrator.policy.document import Policy


def to_toml(policy: Policy) -> str:
    """The document's text, with a line feed at its end."""
    whole = policy.model_dump(mode="json")
    lines = [f"version = {_value(whole['version'])}"]
    for section in ("challenge", "keys"):
        lines += ["", f"[{section}]", *_members(whole[section])]
    if not whole["limits"]:
        lines.insert(1, "limits = []")
    for limit in whole["limits"]:
        lines += ["", "[[limits]]", *_members(limit)]
    lines += ["", "[approvals]", *_members(whole["approvals"])]
    for name, person in whole["people"].items():
        lines += ["", f"[people.{name}]", *_members(person)]
    return "\n".join(lines) + "\n"


def _members(table: dict[str, Any]) -> list[str]:
    return [f"{name} = {_value(value)}" for name, value in table.items()]


def _value(value: Any) -> str:
    """JSON's strings, whole numbers and arrays of them are TOML's too; the document's texts are ASCII."""
    return json.dumps(value)
