"""What the platform supports: its one chain, and the tokens that a closing wallet hands back."""

from __future__ import annotations

from urllib.parse import parse_qs

from .answers import Answer
from .platform import Call, Platform

__all__ = ["assets", "chains"]


def _chain(platform: Platform) -> str:
    return f"eip155:{platform.config.chain_id}"


async def chains(platform: Platform, call: Call) -> Answer:  # noqa: ARG001  # the signature of a handler
    """GET /chains."""
    return Answer.of(200, [{"id": _chain(platform), "name": "Devnet"}])


async def assets(platform: Platform, call: Call) -> Answer:
    """GET /assets: all, or those of the chain that the query names."""
    chain = _chain(platform)
    if parse_qs(call.query).get("chain", [chain]) != [chain]:
        return Answer.of(200, [])
    tokens = platform.store.all("SELECT address FROM tokens ORDER BY rowid")
    return Answer.of(
        200,
        [
            {"id": f"{chain}/erc20:{row['address']}", "blockchain": chain, "name": "Test Token", "symbol": "TEST"}
            for row in tokens
        ],
    )
