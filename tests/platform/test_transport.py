"""Foreign exceptions, dropped and half connections: surely not sent and perhaps sent are told apart."""

from __future__ import annotations

import asyncio
import inspect
import socket
import uuid

import aiohttp
import httpx
import pytest

from orchestrator.errors import MalformedAnswer, OrchestratorError, PlatformUnreachable, SettingsError, UncertainAnswer
from orchestrator.platform import PlatformClient, transport
from orchestrator.platform.transport import Call, Meaning, canonical_url, meaning_of, translate

EXCEPTIONS = sorted(
    (one for name in httpx.__all__ if inspect.isclass(one := getattr(httpx, name)) and issubclass(one, BaseException)),
    key=lambda one: one.__name__,
)
ID = "4f4b3c1e-4c3a-4a57-9b1e-3c1f6f8c0a11"
CALL = Call("PATCH", "api.example:443", "/v1/x", modifying=True)
READ = Call("GET", "api.example:443", "/v1/x", modifying=False)


def made(kind: type[BaseException]) -> BaseException:
    request = httpx.Request("GET", "https://api.example", headers={"Authorization": "Bearer hidden-token"})
    if kind is httpx.HTTPStatusError:
        return httpx.HTTPStatusError("", request=request, response=httpx.Response(500))
    parameters = inspect.signature(kind).parameters
    return kind("") if "message" in parameters else kind()


@pytest.mark.parametrize("kind", EXCEPTIONS, ids=lambda kind: kind.__name__)
def test_every_exception_of_httpx_has_a_meaning_of_its_own(kind):
    assert kind in transport._MEANINGS, f"{kind.__name__} is mapped by no line of its own"
    for call in (CALL, READ):
        for answering in (False, True):
            error = translate(made(kind), call, answering=answering)
            assert isinstance(error, OrchestratorError)
            assert call.method in error.message
            assert call.path in error.message
            assert call.host in error.message
            assert kind.__name__ in error.message
            assert "hidden" not in error.message


def test_the_list_of_exceptions_is_not_empty():
    assert len(EXCEPTIONS) > 20


@pytest.mark.parametrize("kind", EXCEPTIONS, ids=lambda kind: kind.__name__)
def test_once_the_answer_has_begun_nothing_counts_as_not_sent(kind):
    error = translate(made(kind), CALL, answering=True)
    assert not isinstance(error, PlatformUnreachable)


def test_only_these_are_surely_not_sent():
    not_sent = {kind for kind in EXCEPTIONS if meaning_of(kind) is Meaning.NOT_SENT}
    assert not_sent == {httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError}


def test_unknown_exceptions_are_taken_for_perhaps_sent():
    assert isinstance(translate(aiohttp.ClientError(), CALL), UncertainAnswer)
    assert isinstance(translate(RuntimeError(), CALL), UncertainAnswer)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080/v1"),
        ("HTTPS://API.Example:443/v1", "https://api.example/v1"),
        (
            "https://api.example/v1/a%20b?x=%E2%82%AC&y=a+b%2Bc%26",
            "https://api.example/v1/a%20b?x=%E2%82%AC&y=a+b%2Bc%26",
        ),
        ("https://api.example/v1?x=%41%7e", "https://api.example/v1?x=A~"),
    ],
)
def test_canonical_url(text, expected):
    assert canonical_url(text) == expected
    assert canonical_url(expected) == expected


async def test_refused_connection_is_surely_not_sent(settings):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        port = held.getsockname()[1]
        async with PlatformClient(settings(base_url=f"http://127.0.0.1:{port}/v1")) as client:
            with pytest.raises(PlatformUnreachable, match="not sent") as caught:
                await client.close(ID, key=str(uuid.uuid4()))
    assert f"127.0.0.1:{port}" in str(caught.value)


@pytest.mark.parametrize("method", ["close", "deactivate"])
async def test_connection_dropped_after_a_modifying_call_is_uncertain_and_sent_once(server, client, reply, method):
    path = f"/accounts/{ID}" + ("" if method == "close" else "/deactivate")
    verb = "DELETE" if method == "close" else "PATCH"
    server.on("GET", f"/accounts/{ID}", reply(404, {}))
    with pytest.raises(OrchestratorError):
        await client.account(ID)  # leaves a kept connection, on which aiohttp would repeat a DELETE by itself
    server.on(verb, path, reply(drop=True))
    with pytest.raises(UncertainAnswer, match="read back") as caught:
        await getattr(client, method)(ID, key=str(uuid.uuid4()))
    assert f"{verb} /v1{path}" in str(caught.value)
    assert len(server.calls(verb, path)) == 1


async def test_connection_dropped_on_a_read_is_repeated(server, client, reply, account_json):
    server.on("GET", f"/accounts/{ID}", reply(drop=True), reply(value=account_json(ID)))
    assert (await client.account(ID)).id == ID
    assert len(server.calls("GET", f"/accounts/{ID}")) == 2


async def test_half_an_answer(server, client, reply, account_json):
    server.on("PATCH", f"/accounts/{ID}/activate", reply(value=account_json(ID), cut=20))
    with pytest.raises(UncertainAnswer, match="broke off"):
        await client.reactivate(ID, key=str(uuid.uuid4()))
    server.on("GET", f"/accounts/{ID}", reply(value=account_json(ID), cut=20))
    with pytest.raises(PlatformUnreachable, match="broke off"):
        await client.account(ID)
    assert len(server.calls("GET", f"/accounts/{ID}")) == 3


async def test_no_answer_in_time(server, settings, reply):
    server.on("PATCH", f"/accounts/{ID}/activate", reply(hang=True))
    async with PlatformClient(settings(timeout_seconds=0.2)) as client:
        await client.login()
        with pytest.raises(UncertainAnswer, match="in time"):
            await client.reactivate(ID, key=str(uuid.uuid4()))
    assert len(server.calls("PATCH", f"/accounts/{ID}/activate")) == 1


async def test_an_answer_that_drips_is_cut_by_the_whole_timeout(server, settings):
    async def drip(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\ncontent-type: application/json\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    server.speak = drip
    async with PlatformClient(settings(timeout_seconds=0.2, retry_reads=False)) as client:
        with pytest.raises(PlatformUnreachable, match="broke off"):
            await client.login()


async def test_too_large_an_answer(server, settings, reply):
    server.on("GET", f"/accounts/{ID}", reply(raw=b" " * 5000))
    async with PlatformClient(settings(max_answer_bytes=4096)) as client:
        with pytest.raises(MalformedAnswer, match="larger than 4096 bytes"):
            await client.account(ID)


async def test_a_packed_answer_is_refused(server, client, reply):
    server.on("GET", f"/accounts/{ID}", reply(raw=b"xx", headers={"content-encoding": "gzip"}))
    with pytest.raises(MalformedAnswer, match="Content-Encoding"):
        await client.account(ID)


async def test_what_is_no_http(server, client):
    async def nonsense(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        await writer.drain()

    server.speak = nonsense
    with pytest.raises(PlatformUnreachable, match="does not speak HTTP"):
        await client.login()


async def test_a_redirect_is_not_followed(server, client, reply):
    server.on("GET", f"/accounts/{ID}", reply(302, headers={"location": "https://elsewhere.example/"}))
    with pytest.raises(MalformedAnswer, match="got 302"):
        await client.account(ID)


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example/v1",
        "ftp://127.0.0.1/v1",
        "https://user:word@api.example/v1",
        "https://api.example/v1?x=1",
        "https:///v1",
        "https://api.example:99999/v1",
        "",
    ],
)
def test_urls_that_are_refused(settings, url):
    with pytest.raises(SettingsError) as caught:
        settings(base_url=url)
    assert caught.value.code == "platform_url"
    assert "word" not in str(caught.value)
