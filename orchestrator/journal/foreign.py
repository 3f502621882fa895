"""Tells a journal from another program's database."""

from __future__ import annotations

from orchestrator.errors import SettingsError

_OURS = frozenset({"alembic_version", "events", "signatures"})


def require_ours(tables: set[str], where: str) -> None:
    """Raises SettingsError ``database_foreign`` if there are tables and they are not a journal's."""
    if tables and not tables >= _OURS:
        raise SettingsError(
            f"the database {where} was not written by this program: expected the table 'events' among others, found "
            f"{', '.join(sorted(tables)[:5])}; nothing was changed",
            code="database_foreign",
        )
