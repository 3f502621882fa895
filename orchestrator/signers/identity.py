"""The keystore's id: it identifies this folder of keys, in the journal and in the log of what was signed.

    KEYSTORE/.signing/keystore.json     {"version": 1, "id": UUID}

A copy of the folder keeps the id: that is what shows a restored keystore as the one that it is a copy of.
"""

from __future__ import annotations

import contextlib
import uuid
from pathlib import Path
from typing import Final

from orchestrator import files
from orchestrator.models import canonical_uuid
from orchestrator.signers import document

_FOLDER: Final = ".signing"
_FILE: Final = "keystore.json"
_WHAT: Final = "the keystore's id"


def keystore_id(keystore: Path) -> str:
    """UUID text. SIDE EFFECTS: the first call for a folder makes it (and the folder).

    Raises KeyUnavailable: ``keystore_unreadable``, ``keystore_permissions``, ``keystore_unwritable``.
    """
    known = known_id(keystore)
    if known is None:
        path = keystore / _FOLDER / _FILE
        files.make_private_folder(keystore, "keystore folder")
        files.make_private_folder(path.parent, "folder")
        content = document.dump({"version": 1, "id": str(uuid.uuid4())})
        with files.folder_lock(path.parent), contextlib.suppress(FileExistsError):  # another process was first
            files.create(path, content)
        known = known_id(keystore)
    if known is None:
        raise AssertionError("it was made just now")
    return known


def known_id(keystore: Path) -> str | None:
    """As ``keystore_id``, but None where there is none yet; it makes none."""
    path = keystore / _FOLDER / _FILE
    if not (files.require_private_folder(path.parent, "folder") and path.exists()):
        return None
    where = f"{_WHAT} {path}"
    data = files.read_private(
        path, _WHAT, max_bytes=document.MAX_BYTES, follow_symlinks=False, code="keystore_unreadable"
    )
    found = document.parse(data, where)
    text = found.get("id")
    if found.get("version") != 1 or not isinstance(text, str):
        document.unreadable(where, "version 1 and an id", "something else")
    try:
        canonical = canonical_uuid(text)
    except ValueError:
        canonical = ""
    if text != canonical:
        document.unreadable(where, "a UUID", document.short(text))
    return text
