"""The one block that an examination is of: chosen, its header verified by its hash, and every question pinned by it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.chain.examination.record import Ended, Record
from orchestrator.chain.node import parse
from orchestrator.chain.node.failure import as_error
from orchestrator.chain.node.head import latest_header
from orchestrator.chain.node.refusals import Kind
from orchestrator.chain.node.rpc import Call, Rpc, RpcFailure
from orchestrator.closure.chains import no_evm
from orchestrator.closure.proof.evidence import Check
from orchestrator.closure.proof.header import ProvenHeader, verify_header
from orchestrator.closure.proof.merkle import EMPTY_ROOT
from orchestrator.errors import ChainNonsense, ProofInvalid, SettingsError
from orchestrator.models import BlockRef, ChainId

TAGS: Final = ("finalized", "safe", "latest")
_HASH: Final = re.compile(r"0x[0-9a-fA-F]{64}")
_NUMBER: Final = re.compile(r"0x[0-9a-fA-F]{1,16}|[0-9]{1,18}")
_UNCLEAR: Final = frozenset({Kind.PARAMS, Kind.OTHER, Kind.BEHIND})
"""Refusals that may be about a block that is named by its hash."""


def parse_block(text: str) -> str:
    """A block argument in the form that ``pin_block`` takes: a tag, a hex number or a hash.

    Raises SettingsError (``usage``) for anything else. A block that is not mined (``pending``) has no state root.
    """
    given = text.strip()
    if given in TAGS:
        return given
    if _HASH.fullmatch(given):
        return given.lower()
    if _NUMBER.fullmatch(given):
        return hex(int(given, 16 if given.startswith("0x") else 10))
    raise SettingsError(
        f"expected finalized, safe, latest, a block number or a block hash, got {given[:80]!r}", code="usage"
    )


@dataclass(slots=True)
class PinnedBlock:
    """A block of a node's chain, with a header that hashes to its hash. Reads only."""

    rpc: Rpc
    chain_id: ChainId
    """The node's word: no header has it."""
    verified: ProvenHeader
    by_hash: bool = True
    """Whether the node takes hashes; else it is asked by number."""

    @property
    def block(self) -> BlockRef:
        """Its number and hash."""
        return self.verified.block

    @property
    def empty(self) -> bool:
        """Whether its state has no account at all: Anvil's block 0 says so, whatever it answers for it."""
        return self.verified.state_root == EMPTY_ROOT

    @property
    def at(self) -> Any:
        """The block parameter (EIP-1898) that pins every question."""
        return {"blockHash": self.block.hash} if self.by_hash else hex(self.block.number)

    async def ask(self, calls: Callable[[Any], list[Call]], demanded: int | None = None) -> list[Any]:
        """The answers at the block. A node that does not take hashes is asked by number: proofs show if it moved.

        The first ``demanded`` (default: all) must not be refused: else raises Ended with a code that says why. Raises
        ChainUnreachable, ChainNonsense.
        """
        answers = await self.rpc.batch(calls(self.at))
        if self.by_hash and any(isinstance(a, RpcFailure) and a.kind in _UNCLEAR for a in answers[:demanded]):
            self.by_hash = False
            answers = await self.rpc.batch(calls(self.at))
        for answer in answers[:demanded]:
            if isinstance(answer, RpcFailure):
                raise _refused(answer, self.rpc.endpoint)
        return answers


async def pin_block(rpc: Rpc, wanted: str, record: Record) -> PinnedBlock:
    """The block that ``wanted`` names (as ``parse_block`` gives it), in one round trip.

    Records chain and block, and the check of a header that does not hold. Raises Ended (``no_such_block``,
    ``unsupported_chain``, ``header_mismatch``, ``no_state_root``), ChainUnreachable, ChainNonsense.
    """
    by_hash = len(wanted) == 66
    chain, answer, latest = await rpc.batch(
        [
            ("eth_chainId", []),
            (f"eth_getBlockBy{'Hash' if by_hash else 'Number'}", [wanted, False]),
            ("eth_getBlockByNumber", ["latest", False]),
        ]
    )
    number = parse.quantity(rpc.demand(chain), "eth_chainId")
    if number == 0:
        raise ChainNonsense("eth_chainId: expected a chain's number, got 0, which no chain has")
    record.chain_id = chain_id = ChainId(number)
    other_machine = no_evm(chain_id)
    if other_machine is not None:
        raise Ended("unsupported_chain", other_machine)
    if isinstance(answer, RpcFailure) and answer.passing and answer.kind is not Kind.BEHIND:
        rpc.demand(answer)
    if (answer is None or isinstance(answer, RpcFailure)) and wanted in TAGS:
        latest_header(rpc, latest)
        answer = latest  # a node without the tag: what can be said is said, and never "irreversible"
    if answer is None or isinstance(answer, RpcFailure):
        what = f": {answer.message}" if isinstance(answer, RpcFailure) else ""
        raise Ended("no_such_block", f"{rpc.endpoint} has no block {wanted}{what}")
    if not isinstance(answer, dict):
        raise ChainNonsense(f"the block: expected an object, got {parse.show(answer)}")
    verified = _verified(answer, wanted if by_hash else None, record)
    if wanted not in TAGS and not by_hash and verified.number != int(wanted, 16):
        raise ChainNonsense(f"the block: asked for number {int(wanted, 16)}, got {verified.number}")
    record.block = verified.block
    return PinnedBlock(rpc, chain_id, verified)


def _verified(block: dict[str, Any], expected: str | None, record: Record) -> ProvenHeader:
    try:
        verified = verify_header(block, expected_hash=expected)
    except ProofInvalid as error:
        record.checks = [Check("block_hash", "fail", error.message)]
        what = f"{error.message}; either the node changed it, or this chain's headers are not Ethereum's"
        raise Ended("header_mismatch", what) from error
    if not any(verified.state_root):
        record.checks = [Check("block_hash", "fail", "the header's state root is zero")]
        raise Ended("no_state_root", "the block has no state root (as blocks mined on a local fork): no proof")
    return verified


def _refused(failure: RpcFailure, node: str) -> Exception:
    """The refusal of a question without which nothing can be proven."""
    error = as_error(failure, node)
    match failure.kind:
        case Kind.PRUNED:
            widen = failure.meaning.widen or "an archive node has"
            return Ended("state_pruned", f"{node} no longer has this block's state ({widen}): {failure}")
        case Kind.METHOD:
            name = "no_proof_method" if failure.method == "eth_getProof" else "rpc_refused"
            return Ended(name, f"{node} does not have the method {failure.method}: {failure}")
        case Kind.ABSENT:
            what = "there is no such account, and so no code; this node does not prove that"
            return Ended("no_code", f"{node}: {failure}: {what}")
    return error if failure.passing else Ended(error.code, error.message)
