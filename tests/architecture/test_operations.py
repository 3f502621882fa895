"""A new operation has its place everywhere: what no table derives is compared here (see CONTRIBUTING.md)."""

import inspect
import json

import pytest
import typer

from orchestrator import schemas
from orchestrator.app import Orchestrator
from orchestrator.blocking import BlockingOrchestrator
from orchestrator.cli.main import app
from orchestrator.lifecycle.stages import STAGES
from orchestrator.models import OperationKind

KINDS = [str(kind) for kind in OperationKind]


def test_each_operation_has_its_stages():
    assert list(STAGES) == list(OperationKind)


@pytest.mark.parametrize("kind", KINDS)
def test_each_operation_can_be_asked_for(kind):
    assert kind in typer.main.get_command(app).commands
    for facade in (Orchestrator, BlockingOrchestrator):
        assert {"account_id", "timeout"} <= set(inspect.signature(getattr(facade, kind)).parameters)


def test_each_operation_is_in_its_schema():
    assert json.loads(schemas.text("operation"))["properties"]["operation"]["enum"] == [*KINDS, None]
