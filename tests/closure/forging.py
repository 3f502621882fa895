"""Certificates that somebody has changed."""

from __future__ import annotations

import hashlib
import json

import rfc8785


def forge(data: bytes, change) -> bytes:
    """Changes the content and makes the file whole again, as anyone could: canonical and with a right digest."""
    document = json.loads(data)
    change(document)
    document.pop("signature")
    digest = hashlib.sha256(rfc8785.dumps(document)).hexdigest()
    return rfc8785.dumps({**document, "signature": {"scheme": "unsigned", "sha256": digest}}) + b"\n"


def put(*path):
    """A change that puts a value at a place: the names on the way, the last name, the value."""
    *way, name, value = path

    def change(document):
        target = document
        for part in way:
            target = target[part]
        target[name] = value

    return change
