"""The published OpenAPI document is true: schemathesis sends what it allows and what it forbids, signed each time.

A hook signs every request and gives it a fresh idempotency key, unless the key or digest in the request is one that the
document forbids: those go out as they are, and must be refused.
"""

from __future__ import annotations

import re
import time
import uuid

import pytest
import requests
import schemathesis
from cryptography.hazmat.primitives import serialization
from hypothesis import HealthCheck, settings
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation import GenerationMode
from schemathesis.pytest.lazy import get_all_tests

from orchestrator.devnet.dev_accounts import DEV_ACCOUNTS
from orchestrator.devnet.simulator import Options, SimulatorConfig, SimulatorThread, auth, cards, challenges
from orchestrator.devnet.simulator.http_signatures import Message, content_digest, sign_message
from orchestrator.devnet.simulator.openapi import DIGEST, document
from orchestrator.devnet.simulator.routes import API
from orchestrator.devnet.simulator.schemas import UUID, Schemas
from tests.departures import deliberate
from tests.profile import FULL

COUNT = 50 if FULL else 3
OWNER = DEV_ACCOUNTS[1].address


PLEASE_SIGN = {"Authorization": "Bearer sign", "Signature": "sign", "Signature-Input": "sign"}


class Signer(requests.auth.AuthBase):
    """Signs a prepared request, as the last thing before it is sent."""

    def __init__(self, thread, programme, *, digest_is_wrong):
        self.digest_is_wrong = digest_is_wrong
        self.thread = thread
        self.credentials = programme.credentials
        self.key_id = programme.credentials.signing_key_id
        self.key = serialization.load_pem_private_key(programme.credentials.signing_key.encode(), password=None)
        self.public = self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def _login(self):
        """Credentials and key anew: the requests before may have replaced or removed them."""
        platform = self.thread.simulator.platform
        with platform.store.transaction():
            auth.set_credentials(platform, self.credentials.api_key, self.credentials.api_secret)
            auth.set_signing_key(platform, self.key_id, self.public)
        return auth.issue_token(platform, self.credentials.api_key)[0]

    def __call__(self, request):
        headers = request.headers
        if any(headers.get(name) != value for name, value in PLEASE_SIGN.items()):
            return request  # a check tries what happens without, or with a wrong, authentication
        token = self.thread.run(self._login)
        headers["Authorization"] = f"Bearer {token}"
        del headers["Signature"], headers["Signature-Input"]
        body = request.body.encode() if isinstance(request.body, str) else request.body or b""
        assert isinstance(body, bytes)
        digest = headers.get("Content-Digest")
        if digest is not None and (not self.digest_is_wrong or re.fullmatch(DIGEST, digest)):
            headers["Content-Digest"] = content_digest(body)
        if "Idempotency-Key" in headers and UUID.fullmatch(headers["Idempotency-Key"]):
            headers["Idempotency-Key"] = str(uuid.uuid4())
        covered = ["@method", "@authority", "@path", "authorization"]
        covered += [name for name in ("content-digest", "content-type", "idempotency-key") if name in headers]
        given = [(name.lower(), _text(value)) for name, value in headers.items()]
        signed = sign_message(
            Message(request.method, request.url, given),
            key=self.key,
            key_id=self.key_id,
            created=int(time.time()),
            covered=covered,
        )
        headers.update(signed)
        return request


def _digest_is_wrong(case):
    """Whether the case tries a wrong Content-Digest. (Where the others are tried, schemathesis puts in a poor one.)"""
    if case.meta is None:
        return False
    tried = getattr(case.meta.phase.data, "parameter", None)
    return case.meta.is_negative_at(ParameterLocation.HEADER) and tried in (None, "Content-Digest")


def _text(value):
    return value.decode("latin-1") if isinstance(value, bytes) else value


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    config = SimulatorConfig(
        database=tmp_path_factory.mktemp("openapi") / "platform.sqlite", options=Options(chain_wait=0.0)
    )
    with SimulatorThread(config) as thread:
        thread.programme = thread.bootstrap(OWNER)
        yield thread


def _furnish(thread):
    """Accounts in every state, so that valid identifiers exist. Returns them."""
    platform = thread.simulator.platform
    customer = thread.programme.customer_id
    made = []
    with platform.store.transaction():
        for status in ("initiating", "active", "active", "inactive", "closed"):
            identifier = str(uuid.uuid4())
            platform.store.insert(
                "accounts",
                id=identifier,
                customer_id=customer,
                status=status,
                type="card_account",
                currencies='["EUR"]',
                created_at=platform.clock.iso(),
                updated_at=platform.clock.iso(),
                chain_id=None if status == "initiating" else f"eip155:31337:{OWNER}",
            )
            if status == "initiating":
                challenges.issue(platform, identifier, "creation", challenges.account_text())
            else:
                cards.add(platform, identifier)
            made.append(identifier)
    return made


def _load():
    described = document(API, Schemas(31337), "127.0.0.1")
    # To the generator the signature is a part of the authentication: the hook makes it, or leaves it wrong.
    names = {"signature": "Signature", "signatureInput": "Signature-Input"}
    schemes = described["components"]["securitySchemes"]
    schemes |= {scheme: {"type": "apiKey", "in": "header", "name": name} for scheme, name in names.items()}
    for operation in [one for methods in described["paths"].values() for one in methods.values()]:
        operation["parameters"] = [one for one in operation["parameters"] if one["name"] not in names.values()]
        operation["security"] = [{scheme: [] for scheme in schemes}] if operation["security"] else []
    del described["webhooks"]
    loaded = schemathesis.openapi.from_dict(described)
    loaded.config.generation.update(
        modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE], with_security_parameters=False
    )
    loaded.config.phases.coverage.enabled = FULL  # each limit of each member, one after the other
    # A correct request can meet a state that forbids it (422), or carry a signature that is not the owner's (400).
    loaded.config.checks.positive_data_acceptance.expected_statuses = ["2xx", "400", "401", "404", "409", "422"]
    return loaded


@pytest.mark.parametrize("operation", [f"{row.method} {row.path}" for row in API if row.path != "/openapi.json"])
def test_every_operation_is_as_documented(operation, server):
    """Its cases are made here and not while the tests are collected, since each worker collects all of them."""
    method, path = operation.split(" ")
    chosen = settings(max_examples=COUNT, deadline=None, suppress_health_check=list(HealthCheck))
    schema = _load().include(method=method, path=path)
    (built,) = get_all_tests(schema=schema, test_func=_judge, settings=chosen, given_kwargs=None)
    built.ok()[1](server=server)


def _judge(case, server):
    name, value = next(iter(case.path_parameters.items()), ("", None))
    if isinstance(value, str) and UUID.fullmatch(value) and int(value[-1], 16) % 4:
        if name == "customerId":
            case.path_parameters[name] = server.programme.customer_id
        elif name == "accountId":
            made = server.run(lambda: _furnish(server))
            case.path_parameters[name] = made[int(value[-2], 16) % len(made)]
    session = requests.Session()
    session.trust_env = False
    session.auth = Signer(server, server.programme, digest_is_wrong=_digest_is_wrong(case))
    authenticated = bool(case.operation.definition.raw.get("security"))
    with session, deliberate():
        case.call_and_validate(
            base_url=server.url, session=session, headers=dict(PLEASE_SIGN) if authenticated else None
        )


def test_the_document_names_every_operation(server):
    published_document = requests.get(f"{server.url}/openapi.json", timeout=10).json()
    assert published_document["openapi"].startswith("3.1")
    published = {(method.upper(), path) for path, methods in published_document["paths"].items() for method in methods}
    assert published == {(row.method, row.path) for row in API if row.path != "/openapi.json"}
    for path, methods in published_document["paths"].items():
        for method, operation in methods.items():
            names = {parameter["name"] for parameter in operation["parameters"]}
            unsigned = path.startswith("/auth/")
            assert ("Idempotency-Key" in names) is (method != "get" and not unsigned), (method, path)
            assert ({"Signature", "Signature-Input"} <= names) is not unsigned, (method, path)
