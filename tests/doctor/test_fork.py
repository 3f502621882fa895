"""Which fork the node's newest block is of, of real headers, served as their nodes gave them."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from orchestrator.doctor.chain import Chain
from orchestrator.doctor.check import CheckFailed
from orchestrator.settings import Settings

HEADERS = json.loads((Path(__file__).parents[1] / "closure" / "real_headers.json").read_text())
AMSTERDAM = HEADERS["a devnet of reth 2.7.0, Amsterdam"]


class Node(ThreadingHTTPServer):
    """Answers for its chain and its newest block."""

    head: Any = AMSTERDAM
    chain = "0x1"


class _Handler(BaseHTTPRequestHandler):
    server: Node

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        results = {"eth_chainId": self.server.chain, "eth_getBlockByNumber": self.server.head}
        calls = asked if isinstance(asked, list) else [asked]
        answers = [{"jsonrpc": "2.0", "id": call["id"], "result": results[call["method"]]} for call in calls]
        body = json.dumps(answers if isinstance(asked, list) else answers[0]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def serving() -> Iterator[Node]:
    with Node(("127.0.0.1", 0), _Handler) as node:
        thread = threading.Thread(target=node.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield node
        node.shutdown()
        thread.join()


@pytest.fixture
def node(serving: Node) -> Node:
    serving.head, serving.chain = AMSTERDAM, "0x1"
    return serving


async def told(node: Node) -> str:
    settings = Settings.model_validate({"rpc_url": f"http://127.0.0.1:{node.server_port}"})
    async with contextlib.AsyncExitStack() as stack:
        return await Chain(settings, stack).fork()


@pytest.mark.parametrize(
    ("name", "fork"),
    [
        ("mainnet, Cancun", "Cancun"),
        ("mainnet, Osaka", "Prague or Osaka"),
        ("a devnet of reth 2.7.0, Amsterdam", "Amsterdam"),
        ("BNB Smart Chain, an epoch's first block", "a fork before London"),
        ("Arbitrum One", "London or Paris"),
    ],
)
async def test_the_fork_of_the_head_is_told(node: Node, name: str, fork: str) -> None:
    node.head = HEADERS[name]
    number = int(HEADERS[name]["number"], 16)
    assert await told(node) == f"block {number} is of {fork}, by its header: a fork that this release knows"


async def test_a_fork_that_is_not_known_names_what_was_left_out(node: Node) -> None:
    node.head = {**AMSTERDAM, "inclusionListRoot": "0x" + "12" * 32, "hash": "0x" + "34" * 32}
    with pytest.raises(CheckFailed) as caught:
        await told(node)
    assert caught.value.detail.startswith("the newest block is of no fork that this release knows: ")
    assert caught.value.detail.endswith("them: inclusionListRoot")
    assert "no closure can be proven" in caught.value.fix


@pytest.mark.parametrize("head", [None, [], "0x", 5])
async def test_a_head_that_is_no_block(node: Node, head: Any) -> None:
    node.head = head
    with pytest.raises(CheckFailed, match="expected an object"):
        await told(node)


@pytest.mark.parametrize(("chain", "name"), [("0x144", "zkSync Era"), ("0x12c", "zkSync Sepolia")])
async def test_a_chain_without_evm_bytecode_is_named(node: Node, chain: str, name: str) -> None:
    node.chain = chain
    with pytest.raises(CheckFailed, match=f"{name}.*does not run EVM bytecode"):
        await told(node)
