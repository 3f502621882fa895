"""What closing leaves behind, as far as one node knows: beside a verdict, never part of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from eth_hash.auto import keccak

from orchestrator.chain.node import parse
from orchestrator.chain.node.rpc import Call, RpcFailure
from orchestrator.closure.evm.facts import Analysis
from orchestrator.closure.proof.evidence import CodeKind, Proven
from orchestrator.closure.verdict import Residue
from orchestrator.errors import ChainError
from orchestrator.models import Address
from orchestrator.wallet.contract import address_word

ENTRY_POINTS: Final = (
    ("0.6", Address("0x5FF137D4b0FDCD49DcA30c7CF57E578a026d2789")),
    ("0.7", Address("0x0000000071727De22E5E9d8BAf0edAc6f37da032")),
    ("0.8", Address("0x4337084D9E255Ff0702461CF8895CE9E3b5Ff108")),
)
"""ERC-4337's singletons, by version; on a chain without them there is no code at these addresses."""

APPROVALS: Final = (
    ("Approval(address,address,uint256)", "an ERC-20 allowance (or an ERC-721 approval)"),
    ("ApprovalForAll(address,address,bool)", "an operator of its ERC-721 or ERC-1155 tokens"),
    ("Approval(address,address,address,uint160,uint48)", "a Permit2 allowance"),
)
"""Events with the giver first and indexed, and what they gave."""
_GIVEN: Final = {keccak(event.encode()): meaning for event, meaning in APPROVALS}
_BALANCE_OF: Final = keccak(b"balanceOf(address)")[:4]
_MOST: Final = 50
"""Approvals that are listed one by one."""

NOT_EXAMINED: Final = Residue(
    "not_looked_at",
    "tokens that it holds, roles and permissions that other contracts keep for it, signatures given earlier that "
    "others honour without asking it, and the same address on other chains, where CREATE2 can still deploy code",
)


def proven_residue(proven: Proven | None, analysis: Analysis | None) -> list[Residue]:
    """What follows from the proof and the analysis, without asking anyone."""
    found: list[Residue] = []
    if proven is None:
        return found
    if proven.balance:
        fate = ", which can never leave" if analysis is not None and analysis.result == "inert" else ""
        found.append(Residue("ether", f"it holds {proven.balance} wei{fate}"))
    if analysis is not None and analysis.takes_ether:
        found.append(Residue("takes_ether", "a call with ether can succeed: ether can still enter"))
    elif proven.kind is CodeKind.CONTRACT:
        text = "ether can be forced in (block rewards, withdrawals, SELFDESTRUCT), whatever the code does"
        found.append(Residue("forced_ether", text))
    if analysis is not None and analysis.logs:
        found.append(Residue("logs", "a call can still succeed that emits an event log"))
    return found


def deposit_calls(address: Address, at: Any) -> list[Call]:
    """The questions whose answers ``deposits`` reads."""
    data = "0x" + (_BALANCE_OF + address_word(address)).hex()
    return [("eth_call", [{"to": entry_point, "data": data}, at]) for _, entry_point in ENTRY_POINTS]


def deposits(answers: Sequence[Any]) -> list[Residue]:
    """Deposits in the EntryPoints: they can pay for nothing once the account validates nothing, and stay."""
    found: list[Residue] = []
    for (version, entry_point), answer in zip(ENTRY_POINTS, answers, strict=True):
        name = f"EntryPoint {version} ({entry_point})"
        if isinstance(answer, RpcFailure):
            found.append(Residue("unknown", f"its deposit in {name} could not be read: {answer.message}"))
            continue
        try:
            data = parse.data(answer, "balanceOf", limit=64)
        except ChainError as error:
            found.append(Residue("unknown", f"its deposit in {name} could not be read: {error.message}"))
            continue
        if len(data) == 32 and any(data):
            found.append(Residue("entry_point_deposit", f"{int.from_bytes(data, 'big')} wei in {name}"))
    return found


def approval_topics(address: Address) -> list[bytes | list[bytes]]:
    """The topics of the logs that ``approvals`` reads."""
    return [list(_GIVEN), address_word(address)]


def approvals(logs: Sequence[parse.Log] | ChainError, address: Address) -> list[Residue]:
    """Approvals that the account gave in its time, by their logs; they may have been used up or taken back since."""
    if isinstance(logs, ChainError):
        return [Residue("unknown", f"approvals given earlier could not be searched: {logs.message}")]
    last: dict[tuple[Address, tuple[bytes, ...]], tuple[str, bytes, int]] = {}
    for log in logs:
        meaning = _GIVEN.get(log.topics[0]) if log.topics else None
        if meaning is None or len(log.topics) < 3 or log.topics[1] != address_word(address):
            continue
        # Permit2's has the token before the spender; the last topic is the spender in all three but ERC-721's.
        receiver = log.topics[2] if len(log.topics) < 4 or len(log.data) == 0 else log.topics[3]
        value = int.from_bytes(log.data[:32], "big") if log.data else 1
        last[(log.address, log.topics)] = (meaning, receiver, value)
    found = [
        Residue("approval", f"{meaning} at {contract} for 0x{receiver[12:].hex()}: {value} when last changed")
        for (contract, _), (meaning, receiver, value) in last.items()
        if value
    ]
    if len(found) > _MOST:
        return [*found[:_MOST], Residue("approval", f"and {len(found) - _MOST} more")]
    return found
