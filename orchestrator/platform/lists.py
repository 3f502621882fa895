"""Reads a whole list, in whichever way the platform cuts it into pages (silent in its documentation).

With the setting ``none`` an answer that says there is more is refused: half a list is never taken for the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from orchestrator.errors import MalformedAnswer
from orchestrator.platform.session import Session
from orchestrator.platform.settings import Pagination, PlatformSettings
from orchestrator.platform.transport import Answer

__all__ = ["MAX_PAGES", "read_all", "says_more"]

MAX_PAGES: Final = 10_000
_MORE: Final = ("hasMore", "hasNext", "nextCursor", "nextPage", "nextPageToken", "next")


async def read_all(session: Session, settings: PlatformSettings, segments: Sequence[str]) -> list[Any]:
    """All elements of a list, as JSON values. Raises MalformedAnswer for anything but an array where it must be, for a
    cursor that repeats, and for more than MAX_PAGES pages."""
    call = session.describe("GET", segments)
    found: list[Any] = []
    cursor = ""
    seen: set[str] = set()
    for page in range(MAX_PAGES):
        query: list[tuple[str, str]] = []
        if settings.pagination is Pagination.PAGE:
            query = [
                (settings.page_parameter, str(settings.first_page + page)),
                (settings.page_size_parameter, str(settings.page_size)),
            ]
        elif settings.pagination is Pagination.CURSOR and cursor:
            query = [(settings.cursor_parameter, cursor)]
        value, answer = await session.json("GET", segments, query=query)
        items = _items(value, settings.list_field, str(call))
        found.extend(items)
        if settings.pagination is Pagination.NONE:
            sign = says_more(value, answer)
            if sign:
                raise MalformedAnswer(
                    f"{call}: {sign} says that there is more, but the setting pagination is none: "
                    "the probe of the platform's choices shows which to set"
                )
            return found
        if settings.pagination is Pagination.PAGE:
            if len(items) < settings.page_size:
                return found
            continue
        cursor = _cursor(value, settings.cursor_field, str(call))
        if not cursor:
            return found
        if cursor in seen:
            raise MalformedAnswer(f"{call}: field {settings.cursor_field}: the same cursor was given twice")
        seen.add(cursor)
    raise MalformedAnswer(f"{call}: more than {MAX_PAGES} pages")


def says_more(value: Any, answer: Answer) -> str | None:
    """What in an answer says that the list goes on: a field or the ``Link`` header; None where nothing does."""
    if "rel=next" in answer.headers.get("link", "").replace('"', "").replace(" ", "").lower():
        return "header Link"
    if isinstance(value, dict):
        return next((f"field {name}" for name in _MORE if value.get(name)), None)
    return None


def _items(value: Any, field: str, what: str) -> list[Any]:
    if field:
        if not isinstance(value, dict) or field not in value:
            raise MalformedAnswer(f"{what}: field {field}: expected the list there, found no such field")
        value = value[field]
    if not isinstance(value, list):
        kind = "an object" if isinstance(value, dict) else "another value"
        raise MalformedAnswer(f"{what}: {'field ' + field + ': ' if field else ''}expected a JSON array, got {kind}")
    return value


def _cursor(value: Any, field: str, what: str) -> str:
    cursor = value.get(field) if isinstance(value, dict) else None
    if cursor is None:
        return ""
    if not isinstance(cursor, str) or len(cursor) > 4096:
        raise MalformedAnswer(f"{what}: field {field}: expected text of at most 4096 characters")
    return cursor
