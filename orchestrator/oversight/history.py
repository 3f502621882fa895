"""The signing history as one JSON document, to export it and to import it into another journal.

A journal that has imported it signs none of those challenges again. Only what prevents a second signature is in it:
no signature, no challenge's text, no key.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from orchestrator.errors import SettingsError
from orchestrator.foreign import MalformedJson, read_json
from orchestrator.lifecycle import oversight_events as o
from orchestrator.models import ChainAccount
from orchestrator.ports.journal import Journal, SignatureRow

FORMAT: Final = "offblocks-orchestrator-signing-history"
MAX_BYTES: Final = 256 * 1024 * 1024
_MAX_VALUES: Final = 10_000_000
"""Of a million signatures."""
_DIGEST: Final = re.compile(r"0x[0-9a-f]{64}")


def _digest(text: str) -> str:
    if _DIGEST.fullmatch(text) is None:
        raise ValueError("expected 0x and 64 hexadecimal digits in lower case")
    return text


def _signer(text: str | None) -> str | None:
    return None if text is None else str(ChainAccount.parse(text))


def _time(text: str | None) -> str | None:
    if text is not None and datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("expected a time with its zone")
    return text


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    accountId: str  # noqa: N815  (the document's name)
    purpose: Literal["creation", "deletion"]
    digest: Annotated[str, AfterValidator(_digest)]
    signer: Annotated[str | None, AfterValidator(_signer)]
    key: str | None
    at: Annotated[str | None, AfterValidator(_time)]
    made: bool


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    format: Literal["offblocks-orchestrator-signing-history"]
    version: Literal[1]
    journal: str
    exportedAt: str  # noqa: N815
    signatures: list[_Line]


@dataclass(frozen=True, slots=True)
class Imported:
    """``found`` signatures were in the document; ``new`` of them were not in the journal."""

    found: int
    new: int
    source: str
    """The id of the journal that the document comes from."""


async def export(journal: Journal, now: datetime) -> dict[str, Any]:
    """The document. Reads only."""
    lines = [
        {
            "accountId": row.account_id,
            "purpose": row.purpose,
            "digest": row.digest,
            "signer": row.signer,
            "key": row.key,
            "at": row.at,
            "made": row.made,
        }
        for row in await journal.signature_rows()
    ]
    return {
        "format": FORMAT,
        "version": 1,
        "journal": await journal.identity(),
        "exportedAt": now.isoformat().replace("+00:00", "Z"),
        "signatures": lines,
    }


async def import_document(journal: Journal, data: bytes, where: str, *, by: str, now: datetime) -> Imported:
    """Imports a document, whoever wrote it: at worst it makes challenges unsignable, and fills the policy's limits for
    one of their windows from now on, because a time after ``now`` is read as ``now``.

    ``where`` names it in errors. Raises SettingsError ``history_malformed``. SIDE EFFECTS: rows and one event.
    """
    document = await asyncio.to_thread(_parse, data, where)
    rows = [
        SignatureRow(
            account_id=line.accountId,
            purpose=line.purpose,
            digest=line.digest,
            signer=line.signer,
            key=line.key,
            at=line.at,
            made=line.made,
            live=False,
        )
        for line in document.signatures
    ]
    event = o.HistoryImported(
        source=document.journal, sha256=hashlib.sha256(data).hexdigest(), signatures=len(rows), by=by
    )
    (recorded,) = await journal.import_signatures(rows, event, at=now)
    new = recorded.event.signatures if isinstance(recorded.event, o.HistoryImported) else len(rows)
    return Imported(len(rows), new, document.journal)


def _parse(data: bytes, where: str) -> _Document:
    try:
        return _Document.model_validate(read_json(data, max_bytes=MAX_BYTES, max_values=_MAX_VALUES))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the document"
        raise SettingsError(
            f"{where}: {place}: {first['msg'].removeprefix('Value error, ')}", code="history_malformed"
        ) from None
    except MalformedJson as error:
        raise SettingsError(f"{where}: expected a JSON document, and it {error}", code="history_malformed") from None
