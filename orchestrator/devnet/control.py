"""Drives an Anvil: blocks, finality, time, reorganisations. One implementation for the commands, the fixtures and
:class:`~orchestrator.devnet.anvil.Anvil`, which differ in how they reach the node.

A reorganisation is what a real network shows: the newest blocks give way to others, which hold the same transactions.
Anvil itself forgets them. It also wipes the contracts where it has moved a state to disk; so a depth is refused whose
state the node no longer has in memory.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from orchestrator.errors import ChainError, ChainUnreachable, SettingsError

__all__ = ["ChainControl"]

_BLOCKS_PER_CALL: Final = 100
"""Blocks mined by one call: thousands take longer than a call may."""
_TRIES: Final = 20
"""A reorganisation is tried again where a block came in between."""
_NOBODY: Final = "0x" + "00" * 20
_SENT: Final = ("from", "to", "value", "gas", "input", "accessList", "type")
_FEES: Final = ("maxFeePerGas", "maxPriorityFeePerGas")


class ChainControl:
    """``rpc(method, *params)``: one JSON-RPC call, which raises ChainUnreachable, or ChainError where the node refuses.

    ``contracts``: those that were deployed before all else; a reorganisation that would take one is refused.
    Each call answers with the chain's heads. Raises SettingsError (code ``usage``) for what the node cannot do. Calls
    from several threads go one after the other.
    """

    def __init__(self, rpc: Callable[..., Any], *, contracts: Iterable[str] = ()) -> None:
        self._rpc = rpc
        self.lock = threading.RLock()
        """Held by each call, and by whoever else mines: Anvil may lose a block that it mines during a reorg."""
        self.contracts = tuple(contracts)
        self.floor = 0
        """The newest block that must stay: what a fixture goes back to after its test."""

    def heads(self) -> dict[str, Any]:
        """``{"block": {"number", "hash"}, "timestamp", "finalized"}``; the time in seconds since 1970."""
        block = self._block("latest")
        return {
            "block": {"number": int(block["number"], 16), "hash": block["hash"]},
            "timestamp": int(block["timestamp"], 16),
            "finalized": self._number("finalized"),
        }

    def mine(self, blocks: int = 1) -> dict[str, Any]:
        """Mines ``blocks`` blocks now, whatever the node does by itself."""
        _require_positive("blocks", blocks)
        with self.lock:
            for done in range(0, blocks, _BLOCKS_PER_CALL):
                self._order("anvil_mine", hex(min(_BLOCKS_PER_CALL, blocks - done)))
            return self.heads()

    def finalize(self) -> dict[str, Any]:
        """Mines until what is latest now is at or below ``finalized``."""
        with self.lock:
            target = self._number("latest")
            while (finalized := self._number("finalized")) < target:
                self.mine(target - finalized)
            return self.heads()

    def warp(self, seconds: int) -> dict[str, Any]:
        """Moves the chain's clock ahead and mines a block there."""
        _require_positive("seconds", seconds)
        with self.lock:
            self._order("evm_increaseTime", seconds)
            return self.mine()

    def reorg(self, depth: int, *, drop: bool = False) -> dict[str, Any]:
        """Replaces the newest ``depth`` blocks by as many others, PAST ``finalized`` if so deep.

        Their transactions stand in the new blocks again, at the same heights; one that fails there goes back to the
        pool. ``drop``: the new blocks are empty, and the transactions are not sent again.

        Raises SettingsError, and changes nothing, where the depth passes the chain's beginning, ``floor``, the
        deployment of ``contracts``, or the states that the node keeps (``Anvil(states=…)``). Raises ChainError where a
        transaction could not be sent again, or where a node with other options has lost its contracts by it.
        SIDE EFFECTS: senders of impersonated transactions are impersonated again.
        """
        _require_positive("depth", depth)
        with self.lock, self._paused():
            for _ in range(_TRIES):
                head = self._number("latest")
                first = head - depth + 1
                codes = self._codes_before(first, depth)
                old = self._block(hex(first))
                dropped = [] if drop else [tx for number in range(first, head + 1) for tx in self._transactions(number)]
                again = [self._again(tx) for tx in dropped]
                if self._number("latest") != head:
                    continue
                self._replace(depth, old, dropped, again)
                if self._codes("latest") != codes:
                    raise ChainError(
                        f"the node has lost the contracts by a reorg of {depth} blocks: start it anew, with "
                        "--prune-history, which keeps states in memory",
                        code="rpc_error",
                    )
                self._send_missing(dropped, again)
                if self._block(hex(first))["hash"] != old["hash"]:
                    return self.heads()
            raise ChainError(
                f"blocks come too fast to replace {depth} of them: pause the node's mining", code="rpc_error"
            )

    # ----------------------------------------------------------------------------------------------------- internals

    @contextlib.contextmanager
    def _paused(self) -> Iterator[None]:
        """The node mines nothing by itself meanwhile. One that mines every fraction of a second cannot be paused: it
        reports whole seconds only, so it could not be set going again; there a block may come in between."""
        stop: tuple[str, int]
        go: tuple[str, int]
        if self._rpc("anvil_getAutomine"):
            stop, go = ("evm_setAutomine", False), ("evm_setAutomine", True)
        elif seconds := self._rpc("anvil_getIntervalMining"):
            stop, go = ("evm_setIntervalMining", 0), ("evm_setIntervalMining", seconds)
        else:
            yield
            return
        self._order(*stop)
        try:
            yield
        finally:
            self._order(*go)

    def _replace(self, depth: int, old: dict[str, Any], dropped: list[dict[str, Any]], again: list[Any]) -> None:
        heights = [int(tx["blockNumber"], 16) - int(old["number"], 16) for tx in dropped]
        # Another miner: an empty block that is mined again within the second could have the same hash.
        self._order("anvil_setCoinbase", "0x" + os.urandom(20).hex())
        try:
            self._order("anvil_reorg", depth, [list(pair) for pair in zip(again, heights, strict=True)])
        finally:
            self._order("anvil_setCoinbase", old["miner"])

    def _codes_before(self, first: int, depth: int) -> list[str]:
        """The contracts' code below the block ``first``, whose state is there; else the refusal."""
        if first <= self.floor:
            raise _refused(
                depth, f"the newest block that must stay is {self.floor}, and the head is {first + depth - 1}"
            )
        try:
            before = self._codes(hex(first - 1))
        except ChainUnreachable:
            raise
        except ChainError as error:
            raise _refused(depth, f"the node no longer has the state of block {first - 1}: {error.message}") from error
        if before != self._codes("latest"):
            raise _refused(depth, f"the devnet's contracts are younger than block {first - 1}")
        return before

    def _again(self, tx: dict[str, Any]) -> Any:
        """A mined transaction as Anvil takes it again: its bytes; or, of an impersonated sender, who could not sign
        them (Anvil then writes r = 0, which no signature has), its fields."""
        if int(tx["r"], 16):
            return self._rpc("eth_getRawTransactionByHash", tx["hash"])
        self._order("anvil_impersonateAccount", tx["from"])
        fees = _FEES if tx.get("maxFeePerGas") else ("gasPrice",)
        return {name: tx[name] for name in (*_SENT, *fees) if tx.get(name) is not None}

    def _send_missing(self, dropped: list[dict[str, Any]], again: list[Any]) -> None:
        """What the new blocks did not take goes to the pool. Raises ChainError for what it does not take either."""
        lost = []
        for tx, sent in zip(dropped, again, strict=True):
            if self._rpc("eth_getTransactionReceipt", tx["hash"]) is not None:
                continue
            try:
                if isinstance(sent, str):
                    self._rpc("eth_sendRawTransaction", sent)
                else:
                    self._rpc("eth_sendUnsignedTransaction", sent | {"nonce": tx["nonce"]})
            except ChainUnreachable:
                raise
            except ChainError as error:
                lost.append(f"{tx['hash']}: {error.message}")
        if lost:
            raise ChainError(f"not sent again after the reorg: {'; '.join(lost)}", code="rpc_error")

    def _transactions(self, number: int) -> list[dict[str, Any]]:
        return list(self._rpc("eth_getBlockByNumber", hex(number), True)["transactions"])

    def _codes(self, block: str) -> list[str]:
        return [self._rpc("eth_getCode", contract, block) for contract in self.contracts or (_NOBODY,)]

    def _block(self, tag: str) -> dict[str, Any]:
        return dict(self._rpc("eth_getBlockByNumber", tag, False))

    def _number(self, tag: str) -> int:
        return int(self._block(tag)["number"], 16)

    def _order(self, method: str, *params: object) -> Any:
        try:
            return self._rpc(method, *params)
        except ChainUnreachable:
            raise
        except ChainError as error:
            raise SettingsError(f"the devnet's Anvil cannot do that: {error.message}", code="usage") from error


def _require_positive(name: str, value: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise SettingsError(f"{name}: expected a whole number from 1, got {value!r}", code="usage")


def _refused(depth: int, why: str) -> SettingsError:
    return SettingsError(f"cannot reorg {depth} blocks: {why}", code="usage")
