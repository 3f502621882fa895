"""The journal on a PostgreSQL server, for runners on several machines (extra ``postgres``: psycopg 3).

Writers go one at a time, as on SQLite: each takes a transaction-level advisory lock first (PostgreSQL, "Advisory
Locks"), so nobody waits for a row that another may still take back, and ``seq`` has no gaps. The level is READ
COMMITTED: what a writer reads after the lock is what the one before it committed.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import URL

from orchestrator.errors import SettingsError

if TYPE_CHECKING:
    import psycopg

_LOCK: Final = int.from_bytes(hashlib.sha256(b"offblocks-orchestrator journal").digest()[:8], "big", signed=True)
_LEAST_WAIT: Final = 1
"""Milliseconds: to PostgreSQL a wait of 0 has no end."""
_IDLE: Final = "60s"
"""After which the server ends a writer that holds the lock and has gone silent (a frozen process, a dead network)."""
_CONNECT_SECONDS: Final = 10

_BEGIN_WRITE: Final = (
    # In this order: the wait below is bounded by the first.
    "SELECT set_config('lock_timeout', '%dms', true), "
    f"set_config('idle_in_transaction_session_timeout', '{_IDLE}', true), "
    # A commit is on the disk before it is acknowledged, whatever this server's default; never less than it asks for.
    "CASE WHEN current_setting('synchronous_commit') IN ('on', 'remote_apply') THEN '' "
    "ELSE set_config('synchronous_commit', 'on', true) END, "
    f"pg_advisory_xact_lock({_LOCK})"
)

_SECRETS: Final = ("password", "sslpassword", "passfile", "oauth_client_secret")


def postgres_engine(url: URL) -> sa.Engine:
    """Sends nothing yet. Raises SettingsError (``extra_missing``, ``database_url``)."""
    try:
        import psycopg as _  # noqa: F401
    except ImportError as error:
        raise SettingsError(
            'a PostgreSQL database needs an extra: pip install "offblocks-orchestrator[postgres]"', code="extra_missing"
        ) from error
    engine = sa.create_engine(
        url.set(drivername="postgresql+psycopg"),
        connect_args=_connect_args(url),
        isolation_level="READ COMMITTED",
        pool_pre_ping=True,
        hide_parameters=True,
    )
    sa.event.listen(engine, "begin", _on_begin)
    return engine


async def connected(engine: sa.Engine) -> psycopg.AsyncConnection[tuple[Any, ...]]:
    """A connection of its own to the engine's server, on this event loop. Raises psycopg.Error."""
    import psycopg

    (*conninfo,), arguments = engine.dialect.create_connect_args(engine.url)
    return await psycopg.AsyncConnection.connect(
        conninfo[0] if conninfo else "", **{**arguments, **_connect_args(engine.url)}
    )


def _connect_args(url: URL) -> dict[str, Any]:
    """Keywords of ``psycopg.connect`` that the URL does not give."""
    defaults = {"connect_timeout": _CONNECT_SECONDS, "application_name": "offblocks-orchestrator"}
    return {
        **{name: value for name, value in defaults.items() if name not in url.query},
        # No prepared statements: they do not survive a pooler between here and the server.
        "prepare_threshold": None,
    }


def _on_begin(connection: sa.Connection) -> None:
    call = connection.get_execution_options().get("call")
    if call is None:
        return
    driver: Any = connection.connection.driver_connection
    call.over(driver.pgconn.socket)
    if call.write:
        connection.exec_driver_sql(_BEGIN_WRITE % max(_LEAST_WAIT, call.remaining() * 1000))


def shown(url: URL) -> str:
    """The URL for people: without its secrets."""
    return _without_secrets(url).render_as_string()


def fingerprint(url: URL) -> str:
    """Names a database without revealing anything of it: 64 hex digits, the same whatever the password is."""
    return hashlib.sha256(shown(url).encode()).hexdigest()


def scrub(text: str, url: URL) -> str:
    """A driver's message without the URL's secrets, should it repeat them."""
    secrets = [url.password, *(value for name in _SECRETS for value in _values(url, name))]
    for secret in secrets:
        if secret:
            text = text.replace(str(secret), "***")
    return text


def _values(url: URL, name: str) -> tuple[str, ...]:
    value = url.query.get(name, ())
    return (value,) if isinstance(value, str) else tuple(value)


def _without_secrets(url: URL) -> URL:
    bare = URL.create("postgresql", url.username, None, url.host, url.port, url.database)
    return bare.set(query={name: value for name, value in url.query.items() if name not in _SECRETS})
