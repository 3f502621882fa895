"""Judges recorded traffic by the platform's own OpenAPI file: with jsonschema on that file itself, and with nothing of
this project's."""

import base64
import binascii
import json
import re
import uuid
from datetime import datetime
from urllib.parse import parse_qsl

from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from tests.simulator.published_file import load, operations, resolved

FORMATS = FormatChecker(formats=())


@FORMATS.checks("uuid", raises=ValueError)
def _uuid(value):
    return not isinstance(value, str) or str(uuid.UUID(value)) == value.lower()


@FORMATS.checks("byte", raises=binascii.Error)
def _byte(value):
    return not isinstance(value, str) or bool(base64.b64decode(value, validate=True))


@FORMATS.checks("date-time", raises=ValueError)
def _time(value):
    if not isinstance(value, str):
        return True
    cut = re.sub(r"(\.\d{6})\d{1,3}(?=Z$)", r"\1", value)
    return datetime.fromisoformat(cut).utcoffset() is not None


@FORMATS.checks("uri", raises=ValueError)
def _uri(value):
    return not isinstance(value, str) or re.match(r"https?://[^/\s]+", value) is not None


def _pointer(*parts):
    return "/".join(part.replace("~", "~0").replace("/", "~1") for part in parts)


class PublishedJudge:
    """``judged(exchange)`` and ``delivered(exchange)`` give the departures of one exchange, as short texts."""

    def __init__(self, base="/v1"):
        self._base = base
        contents = {"$schema": "https://json-schema.org/draft/2020-12/schema", **load()}
        resource = Resource(contents=contents, specification=DRAFT202012)
        self._registry = Registry().with_resource("urn:published", resource)
        self._calls = [
            (re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(base + path))), method, path)
            # A path that is fixed goes before one with a parameter.
            for method, path in sorted(operations(), key=lambda call: call[1].count("{"))
        ]

    def judged(self, exchange):
        for pattern, method, path in self._calls:
            if method == exchange.method and pattern.fullmatch(exchange.path):
                yield from self._exchange(
                    operations()[method, path]["operationId"], ("paths", path, method.lower()), exchange
                )
                return
        yield f"{exchange.method} {exchange.path}, request: no such call"

    def delivered(self, exchange):
        yield from self._exchange("webhook", ("webhooks", "{callbackUrl}", "post"), exchange)

    def _exchange(self, name, where, exchange):
        operation = load()
        for part in where:
            operation = operation[part]
        for what in self._request(operation, where, exchange):
            yield f"{name}, request: {what}"
        for what in self._answer(operation, where, exchange):
            yield f"{name}, answer: {what}"

    def _request(self, operation, where, exchange):
        parameters = [resolved(one) for one in operation.get("parameters", ())]
        for one in parameters:
            if one["in"] == "header" and one["required"] and not exchange.headers.get(one["name"].lower()):
                yield f"no {one['name']}"
        if operation.get("security") and not exchange.headers.get("authorization", "").startswith("Bearer "):
            yield "no bearer token"
        known = {one["name"] for one in parameters if one["in"] == "query"}
        for one, _ in parse_qsl(exchange.query, keep_blank_values=True):
            if one not in known:
                yield f"query {one}"
        if "requestBody" in operation:
            yield from self._body((*where, "requestBody"), exchange.headers, exchange.body)
        elif exchange.body:
            yield "a body"

    def _answer(self, operation, where, exchange):
        status = str(exchange.status)
        if status not in operation["responses"]:
            yield f"status {status}"
        elif "content" in operation["responses"][status]:
            yield from self._body((*where, "responses", status), exchange.answer_headers, exchange.answer)
        elif exchange.answer and exchange.status < 400:
            yield "a body"

    def _body(self, where, headers, body):
        if headers.get("content-type", "").partition(";")[0] != "application/json":
            yield "no application/json"
        try:
            value = json.loads(body)
        except ValueError:
            yield "no JSON"
            return
        schema = {"$ref": f"urn:published#/{_pointer(*where, 'content', 'application/json', 'schema')}"}
        for problem in Draft202012Validator(schema, registry=self._registry, format_checker=FORMATS).iter_errors(value):
            yield f"{'.'.join(map(str, problem.path)) or 'body'} {problem.validator} {problem.message[:120]}"
