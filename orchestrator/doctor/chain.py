"""Whether the node is there, is of the right chain, and knows finality."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import TYPE_CHECKING

from orchestrator.connect import make_profile, make_rpc
from orchestrator.doctor.check import CheckFailed
from orchestrator.settings import Settings
from orchestrator.wallet.reading import DEFAULT_PROFILE

if TYPE_CHECKING:
    from orchestrator.chain.node.parse import Header
    from orchestrator.chain.node.rpc import Rpc
    from orchestrator.doctor.database import Database
    from orchestrator.models import ChainId

OLDEST_HEAD = timedelta(minutes=15)
"""An older newest block means that the node does not follow its chain."""
DEVELOPMENT_CHAINS = frozenset({1337, 31337})
"""Chains of Anvil, Hardhat and Ganache, which mine when they are asked to."""


class Chain:
    """One connection for its checks."""

    def __init__(self, settings: Settings, stack: AsyncExitStack) -> None:
        self._settings = settings
        self._stack = stack
        self._opened: Rpc | None = None

    def _rpc(self) -> Rpc:
        if self._opened is None:
            self._opened = make_rpc(self._settings, timeout=min(10.0, self._settings.request_timeout))
            self._stack.push_async_callback(self._opened.close)
        return self._opened

    async def _header(self, tag: str) -> Header | None:
        """None where the node does not know the tag."""
        from orchestrator.chain.node.head import optional_header

        answer = await self._rpc().call_or_failure("eth_getBlockByNumber", [tag, False])
        return optional_header(answer, f"the {tag} block")

    async def _head(self) -> Header:
        head = await self._header("latest")
        if head is None:
            raise CheckFailed(
                "the node has no latest block", "Wait until the node has synchronised, or use another one."
            )
        return head

    async def reachable(self) -> str:
        from orchestrator.chain.node.survey import disagreements, survey

        states = await survey(self._rpc())
        unwell = [state for state in states if state.error is not None]
        if len(unwell) == len(states) and unwell[0].error is not None:
            raise unwell[0].error
        told = "; ".join(map(str, states))
        if unwell:
            raise CheckFailed(told, "Mend it, or take it out of ORCHESTRATOR_RPC_URL; the others are asked meanwhile.")
        if different := await disagreements(states):
            raise CheckFailed(
                f"{told}; {'; '.join(different)}",
                "Run it again: nodes may differ for a moment. If it lasts, take the one that is wrong out of "
                "ORCHESTRATOR_RPC_URL.",
            )
        return told

    async def traffic(self) -> str:
        """What the checks cost, and what they found out about each endpoint. Asks nothing."""
        from orchestrator.chain.node.survey import traffic

        return "; ".join(traffic(one) for one in self._rpc().endpoints)

    async def served(self) -> ChainId:
        """The node's chain."""
        return await self._rpc().chain_id()

    async def chain_id(self, database: Database) -> str:
        found = await self._rpc().chain_id()
        known = await database.chains()
        if not known:
            return f"the node serves {found}; the journal knows no customer's chain yet"
        if known != {found}:
            listed = ", ".join(sorted(map(str, known)))
            raise CheckFailed(
                f"the node serves {found}, the journal's customers and wallets are on {listed}",
                "Set ORCHESTRATOR_RPC_URL to a node of that chain, or ORCHESTRATOR_DATABASE_URL to this one's journal.",
            )
        return f"the node serves {found}, as the journal's customers and wallets have it"

    async def clock(self) -> str:
        head = await self._head()
        chain = await self._rpc().chain_id()
        age = timedelta(seconds=time.time() - head.timestamp)
        tolerance = self._settings.clock_tolerance
        if chain.number in DEVELOPMENT_CHAINS:
            return f"block {head.block.number} is {age.total_seconds():.0f} s old; not judged on a development chain"
        if age.total_seconds() < -tolerance:
            raise CheckFailed(
                f"block {head.block.number} is {-age.total_seconds():.0f} s ahead of this machine's clock",
                "Let NTP set this machine's clock; if it is right, the node's chain is not.",
            )
        if age > OLDEST_HEAD:
            raise CheckFailed(
                f"the newest block, {head.block.number}, is {age.total_seconds() / 60:.0f} minutes old",
                "Check whether the node still follows its chain, or use another one.",
            )
        return f"the newest block, {head.block.number}, is {max(0.0, age.total_seconds()):.0f} s old"

    async def finality(self) -> str:
        finalized, head = await self._header("finalized"), await self._head()
        confirmations = self._settings.confirmations
        if finalized is None:
            raise CheckFailed(
                f"the node does not know the tag finalized: only {confirmations} confirmations would count",
                "Use a node that does (any node of Ethereum since 2022). Without the tag a block's end is a guess, and "
                "a closure cannot be proven.",
            )
        behind = head.block.number - finalized.block.number
        return f"block {finalized.block.number} is finalized, {behind} behind the head; confirmations: {confirmations}"

    async def fork(self) -> str:
        """The fork that the newest block is of: the one whose header fields hash to its hash."""
        from orchestrator.closure.chains import no_evm
        from orchestrator.closure.proof.header import verify_header
        from orchestrator.errors import ProofInvalid

        rpc = self._rpc()
        other_machine = no_evm(await rpc.chain_id())
        if other_machine is not None:
            raise CheckFailed(other_machine, "Use a chain that runs the EVM: on this one no closure can be proven.")
        block = await rpc.call("eth_getBlockByNumber", ["latest", False])
        try:
            head = verify_header(block)
        except ProofInvalid as error:
            raise CheckFailed(
                f"the newest block is of no fork that this release knows: {error.message}",
                "Try another node. If it says the same, no closure can be proven on this chain before a release knows "
                "its headers.",
            ) from error
        return f"block {head.number} is of {head.fork.names}, by its header: a fork that this release knows"

    async def factory(self) -> str:
        """The factory has code, and that of the default profile's wallets answers as it does."""
        self._settings.need("factory")
        profile = make_profile(self._settings)
        from eth_hash.auto import keccak

        from orchestrator.artifacts import load
        from orchestrator.chain.node import parse
        from orchestrator.chain.node.rpc import RpcFailure

        factory = str(self._settings.factory)
        fix = "Set ORCHESTRATOR_FACTORY to the platform's wallet factory on this chain."
        predict = keccak(b"predictSmartWallet(address,address,bytes16)")[:4] + bytes(96)
        rpc = self._rpc()
        code_hex, predicted = await rpc.batch(
            [
                ("eth_getCode", [factory, "latest"]),
                ("eth_call", [{"to": factory, "data": "0x" + predict.hex()}, "latest"]),
            ]
        )
        code = parse.data(rpc.demand(code_hex), "eth_getCode")
        if not code:
            raise CheckFailed(f"there is no contract at {factory} on this chain", fix)
        word = b"" if isinstance(predicted, RpcFailure) else parse.data(predicted, "predictSmartWallet")
        if profile.id == DEFAULT_PROFILE and (len(word) != 32 or any(word[:12]) or not any(word[12:])):
            raise CheckFailed(f"the contract at {factory} is not a factory: it cannot say where it would deploy", fix)
        head = await self._head()
        if self._settings.factory_block > head.block.number:
            raise CheckFailed(
                f"the setting factory_block is {self._settings.factory_block}, the chain's head is {head.block.number}",
                "Set ORCHESTRATOR_FACTORY_BLOCK to the block of the factory's deployment, or leave it unset.",
            )
        if profile.id != DEFAULT_PROFILE:
            missing = ", ".join(profile.unchecked) or "nothing is left out"
            return f"{factory} has a contract; profile of its wallets: {profile.name}, NOT checked: {missing}"
        known = load("SmartWalletFactory").matches(code)
        return f"{factory} is a factory, {'with' if known else 'not with'} the code that this package ships"
