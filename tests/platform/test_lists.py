"""Lists as long as a programme gets, read item by item: as strict as a whole answer, bounded, and in linear time."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import MalformedAnswer, PlatformUnreachable
from orchestrator.platform import PlatformClient
from orchestrator.platform.answers import parse_json
from orchestrator.platform.lists import ArrayReader
from orchestrator.platform.transport import Answer, Call
from tests.profile import full_only

CALL = Call("GET", "api.example", "/v1/accounts", modifying=False)
JSON = {"content-type": "application/json"}
MOST = 4096

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**6), 10**6)
    | st.text(st.sampled_from('a"\\[]{},: é\n\u2028'), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('a"[{', max_size=4), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.text('ab"]}\\', max_size=4), values, max_size=4)
cuts = st.lists(st.integers(1, 40), min_size=1, max_size=8)


def head(**headers: str) -> Answer:
    return Answer(200, JSON | headers, b"", 0.0)


def read(body: bytes, sizes: list[int], reader: ArrayReader | None = None) -> list[Any]:
    """The items of ``body``, fed in pieces of these sizes, over and over."""
    reader = reader or ArrayReader(head(), CALL, lambda value: value, MOST)
    at = turn = 0
    while at < len(body):
        size = sizes[turn % len(sizes)]
        reader.feed(body[at : at + size])
        at, turn = at + size, turn + 1
    return reader.end()


@given(st.lists(objects, max_size=5), cuts, st.sampled_from([None, 1]), st.booleans())
def test_the_items_are_the_same_however_the_bytes_are_cut(items: Any, sizes: Any, indent: Any, ascii_only: Any) -> None:
    body = json.dumps(items, indent=indent, ensure_ascii=ascii_only).encode()
    assert read(b" \r\n" + body + b"\t", sizes) == items


@given(st.lists(objects, max_size=3), cuts, st.data())
def test_what_is_no_list_of_objects_is_refused_exactly_where_a_whole_answer_would_be(
    items: Any, sizes: Any, data: Any
) -> None:
    body = bytearray(json.dumps(items).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body)))
        body[at : at + data.draw(st.integers(0, 2))] = data.draw(
            st.sampled_from([b"", b"[", b"]", b"{", b"}", b'"', b",", b"\\", b"0", b" ", b"\xff", b"\xef\xbb\xbf"])
        )
    whole = bytes(body)
    try:
        expected = parse_json(Answer(200, JSON, whole, 0.0), CALL)
    except MalformedAnswer:
        expected = None
    if isinstance(expected, list) and all(isinstance(item, dict) for item in expected):
        assert read(whole, sizes) == expected
    else:
        with pytest.raises(MalformedAnswer):
            read(whole, sizes)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "ends within the list"),
        (b"[", "ends within the list"),
        (b'[{"a": 1}', "ends within the list"),
        (b'[{"a": "', "ends within the list"),
        (b"{}", "expected a JSON array, got an object"),
        (b"null", "expected a JSON array, got another value"),
        (b"[1]", "after item 0 expected { or ], got '1'"),
        (b"[{},]", "after item 1 expected {, got ']'"),
        (b"[{}{}]", "after item 1 expected , or ], got '{'"),
        (b"[{}] []", "after item 1 expected the end, got '\\['"),
        (b'[{}, {"a": NaN}]', r"NaN is no JSON number .*, in item \[1\]"),
        (b'[{}, {"a": 1, "a": 2}]', r"'a' occurs twice in one object .*, in item \[1\]"),
        (b'[{}, {"a": "\xff"}]', r"not UTF-8 text.*in item \[1\]"),
        (b"[" + b'{"a":' * 100 + b"{}" + b"}" * 100 + b"]", r"nests deeper.*in item \[0\]"),
        (b'[{"a": "' + b"x" * MOST + b'"}]', r"item \[0\] of more than 4096 bytes"),
        (b'[{}, {"a": "' + b"[" * 10 * MOST, r"item \[1\] of more than 4096 bytes"),
        ('[{"a": 1}]'.encode("utf-16"), "expected a JSON array"),
    ],
    ids=lambda value: repr(value)[:30],
)
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_what_is_wrong_is_named(body: bytes, words: str, size: int) -> None:
    with pytest.raises(MalformedAnswer, match=words):
        read(body, [size])


def test_another_content_type_is_refused_before_a_byte_is_read() -> None:
    with pytest.raises(MalformedAnswer, match="Content-Type"):
        ArrayReader(Answer(200, {"content-type": "text/html"}, b"", 0.0), CALL, lambda value: value, MOST)


@pytest.mark.parametrize("item", [b'{"a": "%s"}' % (b'\\"' * 1500), b'{"a": %s}' % (b"[" * 30 + b"]" * 30), b"{}"])
def test_each_byte_is_looked_at_a_bounded_number_of_times(item: bytes) -> None:
    looked = 0

    class Counting(ArrayReader):
        def _look(self) -> None:
            nonlocal looked
            looked += len(self._waiting)
            super()._look()

    body = b"[" + b",".join([item] * (20_000 // len(item))) + b"]"
    read(body, [1], Counting(head(), CALL, lambda value: value, MOST))
    assert looked <= 4 * len(body)


def accounts(number: int, account_json: Any) -> bytes:
    wallet = "eip155:31337:0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
    return b"[%s]" % b",\n".join(
        json.dumps(account_json(str(uuid.UUID(int=index + 1)), chainId=wallet)).encode() for index in range(number)
    )


@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", [5_000, pytest.param(100_000, marks=full_only("100,000 accounts"))])
async def test_a_programme_of_many_accounts(
    server: Any, settings: Any, reply: Any, account_json: Any, number: int
) -> None:
    body = accounts(number, account_json)
    server.on("GET", "/accounts", reply(raw=body))
    turns = 0

    async def beside() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with PlatformClient(settings(timeout_seconds=60)) as client:
        await client.login()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        other = asyncio.create_task(beside())
        found = await client.accounts()
        other.cancel()
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    assert [account.id for account in found] == [str(uuid.UUID(int=index + 1)) for index in range(number)]
    assert turns >= len(body) / 32_768, "the event loop has its turn after each part"
    assert after - before < 4 * len(body) + 64 * 1024 * 1024


async def test_a_list_without_end_is_cut_off(server: Any, settings: Any, account_json: Any) -> None:
    async def endless(reader: Any, writer: Any) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n[")
        while True:
            writer.write(json.dumps(account_json()).encode() + b",")
            await writer.drain()

    async with PlatformClient(settings(max_list_bytes=100_000, retry_reads=False, keepalive_seconds=1e-6)) as client:
        await client.login()
        server.speak = endless
        with pytest.raises(MalformedAnswer, match="larger than 100000 bytes"):
            await client.accounts()


async def test_a_garbled_list_is_asked_for_again(server: Any, client: Any, reply: Any, account_json: Any) -> None:
    body = accounts(3, account_json)
    server.on("GET", "/accounts", reply(raw=body[:-20]), reply(raw=body, cut=900), reply(raw=body))
    assert len(await client.accounts()) == 3
    assert len(server.calls("GET", "/accounts")) == 3
    server.on("GET", "/accounts", reply(raw=body[:-20]))
    with pytest.raises(MalformedAnswer, match="ends within the list"):
        await client.accounts()


async def test_a_list_that_drips_is_cut_by_the_timeout(server: Any, settings: Any) -> None:
    async def drip(reader: Any, writer: Any) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n[")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with PlatformClient(settings(timeout_seconds=0.3, retry_reads=False, keepalive_seconds=1e-6)) as client:
        await client.login()
        server.speak = drip
        with pytest.raises(PlatformUnreachable, match="broke off"):
            await client.accounts()
