"""RLP and Merkle-Patricia proofs, walked strictly: which value a 32-byte root holds for a key, or that it holds none.

The library ``trie`` also reads proofs, but passes over nodes that nobody needs and fails in its own ways on malformed
ones; here each node must be the next one on the key's path, and every failure is a ProofInvalid. Formats: Ethereum
Yellow Paper, appendices B (RLP) and D ("modified Merkle Patricia tree"); keys are hashed first ("secure" tries).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

import rlp  # type: ignore[import-untyped]
from eth_hash.auto import keccak
from rlp.exceptions import RLPException  # type: ignore[import-untyped]

from orchestrator.errors import ProofInvalid

Item = bytes | list["Item"]
EMPTY_ROOT: Final = bytes.fromhex("56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421")
"""keccak256(rlp(b"")): the root of a trie without entries."""
EMPTY_NODE: Final = b"\x80"
"""The RLP of the empty node: what an empty trie and an empty place of a branch hold."""


def encode(items: Sequence[Item]) -> bytes:
    """The RLP of a list."""
    return bytes(rlp.encode(items))


def decode(data: bytes, what: str) -> Item:
    """The byte string or list in ``data``, which must be all of it. Raises ProofInvalid that names ``what``."""
    try:
        return cast("Item", rlp.decode(data))
    except (RLPException, RecursionError, ValueError, IndexError, TypeError) as error:
        raise ProofInvalid(f"{what}: malformed RLP ({type(error).__name__})") from error


def prove(root: bytes, key: bytes, nodes: Sequence[bytes], what: str) -> bytes | None:
    """The RLP value at ``keccak256(key)`` in the trie with this root, or None if the proof shows that there is none.

    ``what`` names the proof in messages; ``state`` bounds the nodes as it reads them, and leaves out empty ones, which
    some clients send and others do not. Raises ProofInvalid for anything but a complete proof without extra nodes.
    """
    if root == EMPTY_ROOT:
        if nodes:
            raise ProofInvalid(f"{what}: expected no node, as the root is the empty trie's, got {len(nodes)}")
        return None
    return _Walk(nodes, _nibbles(keccak(key)), what).run(root)


class _Walk:
    """One proof on its way from the root to the end of the key's path."""

    def __init__(self, nodes: Sequence[bytes], path: tuple[int, ...], what: str) -> None:
        self.nodes = nodes
        self.path = path
        self.what = what
        self.used = 0
        self.depth = 0

    def run(self, root: bytes) -> bytes | None:
        item = self._take(root)
        while True:
            if isinstance(item, list) and len(item) == 17:
                if self.depth == len(self.path):
                    raise self._malformed("a value in a branch, which a trie of hashed keys never has")
                child = item[self.path[self.depth]]
                self.depth += 1
            elif isinstance(item, list) and len(item) == 2:
                is_leaf, part = self._decode_path(item[0])
                rest = self.path[self.depth :]
                if is_leaf:
                    return self._end(self._value(item[1]) if part == rest else None)
                if not part:
                    raise self._malformed("an extension without a path")
                if rest[: len(part)] != part:
                    return self._end(None)
                child = item[1]
                self.depth += len(part)
                if child == b"":
                    raise self._malformed("an extension without a child")
            else:
                raise self._malformed("something other than a list of 17 (branch) or 2 items (leaf, extension)")
            if child == b"":
                return self._end(None)
            if isinstance(child, list):
                item = self._inline(child)
            elif len(child) == 32:
                item = self._take(child)
            else:
                raise self._malformed(f"a reference of {len(child)} bytes, expected 32")

    def _take(self, expected: bytes) -> Item:
        """The proof's next node, which must have the expected hash."""
        if self.used >= len(self.nodes):
            raise ProofInvalid(
                f"{self.what}: expected a node with hash 0x{expected.hex()} at position {self.used}, "
                f"the proof ends after {len(self.nodes)} nodes"
            )
        node = self.nodes[self.used]
        actual = keccak(node)
        if actual != expected:
            raise ProofInvalid(
                f"{self.what}: node {self.used} has the wrong hash: expected 0x{expected.hex()}, got 0x{actual.hex()}"
            )
        item = decode(node, f"{self.what}: node {self.used}")
        self.used += 1
        return item

    def _inline(self, child: list[Item]) -> Item:
        """A node of less than 32 bytes stands in its parent; some nodes send it once more as an element of its own."""
        encoded = encode(child)
        if len(encoded) >= 32:
            raise self._malformed(f"an embedded node of {len(encoded)} bytes, expected less than 32")
        if self.used < len(self.nodes) and self.nodes[self.used] == encoded:
            self.used += 1
        return child

    def _decode_path(self, item: Item) -> tuple[bool, tuple[int, ...]]:
        """Yellow Paper, appendix C ("hex-prefix encoding"): whether it is a leaf, and its nibbles."""
        if not isinstance(item, bytes) or not item or item[0] >> 4 > 3:
            raise self._malformed("a malformed path")
        nibbles = _nibbles(item)
        odd, is_leaf = nibbles[0] & 1, nibbles[0] & 2
        if not odd and nibbles[1] != 0:
            raise self._malformed("a malformed path")
        return bool(is_leaf), nibbles[1:] if odd else nibbles[2:]

    def _value(self, item: Item) -> bytes:
        if not isinstance(item, bytes) or not item:
            raise self._malformed("an empty value")
        return item

    def _end(self, value: bytes | None) -> bytes | None:
        if self.used != len(self.nodes):
            raise ProofInvalid(
                f"{self.what}: expected {self.used} nodes, got {len(self.nodes)}: the rest proves nothing"
            )
        return value

    def _malformed(self, actual: str) -> ProofInvalid:
        return ProofInvalid(f"{self.what}: node {max(self.used - 1, 0)} is or holds {actual}")


def _nibbles(data: bytes) -> tuple[int, ...]:
    return tuple(nibble for byte in data for nibble in (byte >> 4, byte & 15))
