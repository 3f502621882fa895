"""What the programs that the suite forks import; a name that is missing costs time and nothing else."""

from importlib import import_module

for _name in (
    "orchestrator.cli.main",
    "orchestrator.app",
    "orchestrator.service.server",
    "web3",
    "alembic.command",
    "alembic.runtime.environment",
    "uvicorn.protocols.http.h11_impl",
    "uvicorn.lifespan.on",
    "rich.progress",
    "rich.console",
    "psycopg",
):
    import_module(_name)
