"""The simulator's table of the published platform, fact by fact, against the platform's own OpenAPI file."""

import pytest

from orchestrator.devnet.simulator.published_api import CALLS, DELIVERY
from orchestrator.devnet.simulator.routes import HANDLERS
from orchestrator.devnet.simulator.schemas import EVENTS, published
from tests.simulator.published_file import load, needs_file, operations, resolved, schema_of

# Calls of the file that concern no account.
OTHER_SUBJECTS = ("/cards", "/transactions", "/authorisations", "/simulator/cards", "/simulator/authorisations")

SCHEMAS = published()
ours = pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))


def shape(schema):
    """What a schema says of a value, whoever wrote it: types, formats, enumerations, members, and no prose."""
    schema = resolved(schema) if "$ref" in schema else schema
    parts = [shape(part) for part in schema.get("allOf", ())]
    said = {name: schema[name] for name in ("type", "format") if name in schema}
    if "enum" in schema:
        said["enum"] = set(schema["enum"])
    if "items" in schema:
        said["items"] = shape(schema["items"])
    if schema.get("type") == "object" or parts:
        said["type"] = "object"
        said["required"] = set(schema.get("required", ())).union(*(part["required"] for part in parts))
        said["members"] = {name: shape(one) for name, one in schema.get("properties", {}).items()}
        for part in parts:
            said["members"] |= part["members"]
    return said


def their_shape(content):
    schema = schema_of(content)
    return None if schema is None else shape(schema)


def our_shape(name):
    return None if name is None else shape(SCHEMAS[name])


@needs_file
def test_no_call_of_the_file_is_forgotten():
    known = {(call.method, call.path) for call in CALLS.values()}
    left = {
        (method, path)
        for method, path in set(operations()) - known
        if not path.startswith(OTHER_SUBJECTS) and not path.endswith("/transactions")
    }
    assert known <= set(operations())
    assert left == {("POST", "/accounts/{accountId}/cards")}


@needs_file
@ours
def test_each_call_is_the_files(call):
    theirs = operations()[call.method, call.path]
    parameters = [resolved(one) for one in theirs.get("parameters", ())]
    assert theirs["operationId"] == call.name
    assert (theirs.get("security") == [{"bearerAuth": []}]) is call.bearer
    headers = {one["name"].lower() for one in parameters if one["in"] == "header" and one["required"]}
    assert headers == set(call.required_headers)
    assert {one["name"] for one in parameters if one["in"] == "query"} == set(call.query)
    for one in parameters:
        if one["in"] == "path":
            assert shape(one["schema"]) == {"type": "string", "format": "uuid"}
    assert their_shape(theirs.get("requestBody", {})) == our_shape(call.body)
    statuses = {int(status): answer for status, answer in theirs["responses"].items()}
    assert {status for status in statuses if status < 400} == {call.status}
    assert their_shape(statuses[call.status]) == our_shape(call.answer)
    assert {status for status in statuses if status >= 400} == call.refusals


@needs_file
def test_a_delivery_is_the_files():
    theirs = load()["webhooks"]["{callbackUrl}"]["post"]
    headers = {resolved(one)["name"].lower() for one in theirs["parameters"]}
    assert headers == set(DELIVERY.required_headers)
    (status,) = theirs["responses"]
    assert int(status) == DELIVERY.status
    (receipt,) = resolved(schema_of(theirs["responses"][status]))["oneOf"]
    assert shape(receipt) == our_shape(DELIVERY.answer)
    events = resolved(schema_of(theirs["requestBody"]))["discriminator"]["mapping"]
    for kind, name in EVENTS.items():
        assert shape({"$ref": events[kind]}) == our_shape(name), kind
    kinds = SCHEMAS["AccountUpdate"]["properties"]["webhookType"]["enum"]
    assert set(kinds) == set(events)


def test_each_call_of_the_table_is_served():
    assert set(CALLS) == set(HANDLERS)
