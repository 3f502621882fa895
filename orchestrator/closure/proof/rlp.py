"""RLP (Yellow Paper, appendix B) of hostile bytes: every malformed one is a ProofInvalid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import rlp  # type: ignore[import-untyped]
from rlp.exceptions import RLPException  # type: ignore[import-untyped]

from orchestrator.errors import ProofInvalid

Item = bytes | list["Item"]


def encode(items: Sequence[Item]) -> bytes:
    """The RLP of a list."""
    return bytes(rlp.encode(items))


def decode(data: bytes, what: str) -> Item:
    """The byte string or list in ``data``, which must be all of it. Raises ProofInvalid that names ``what``."""
    try:
        return cast("Item", rlp.decode(data))
    except (RLPException, RecursionError, ValueError, IndexError, TypeError) as error:
        raise ProofInvalid(f"{what}: malformed RLP ({type(error).__name__})") from error
