"""What a node said about one account at one block, and what of it holds against the block's hash. Pure, no network.

``Evidence`` is hostile: anyone may have written it. ``prove`` checks all of it (header, account, slots, codes) and
hands the rest of the program ``Proven``: numbers and bytes that follow from one hash. Nothing else may be analysed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, Literal, TypeVar

from orchestrator.closure.chains import EIP_6780_SINCE, LOW_PRECOMPILES, NO_CALL_FROM_ZERO, no_evm
from orchestrator.closure.evm.facts import AccountFacts
from orchestrator.closure.evm.machine import LAST_SYSTEM_ADDRESS, STUBS
from orchestrator.closure.proof.header import Fork, ProvenHeader, verify_header
from orchestrator.closure.proof.state import (
    EMPTY_CODE_HASH,
    ProvenState,
    one_spelling,
    storage_keys,
    verify_account,
    verify_code,
)
from orchestrator.errors import ProofInvalid
from orchestrator.models import Address, BlockRef, ChainId, checksum

Result = Literal["pass", "fail", "skipped"]
_T = TypeVar("_T")

MAX_TARGETS: Final = 256
"""More accounts than any contract of this world continues in."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was checked. ``pass`` speaks for the claim, ``fail`` against it, ``skipped`` not at all."""

    name: str
    result: Result
    detail: str


class CodeKind(StrEnum):
    """What an account's proven code is, before anything is executed."""

    CONTRACT = "contract"
    """EVM code."""
    NONE = "none"
    """An account of a key, one that is not there yet, or one that is gone: a state shows no difference."""
    DELEGATED = "delegated"
    """EIP-7702: 0xef0100 and an address; its key can replace it at any time."""
    UNSUPPORTED = "unsupported"
    """Begins with 0xef, which EIP-3541 keeps for formats other than the EVM's of today (EOF, Stylus)."""
    SYSTEM = "system"
    """At or below ``LAST_SYSTEM_ADDRESS``, or a stub: whatever its code says, a precompile may run."""


@dataclass(frozen=True, slots=True)
class Target:
    """An account that the analysed one continues in by DELEGATECALL."""

    proof: Mapping[str, Any]
    """``eth_getProof``'s answer, without slots."""
    code: bytes


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that a verdict rests on, as nodes gave it. Not verified."""

    chain_id: ChainId
    """The node's word: no header has it."""
    address: Address
    header: Mapping[str, Any]
    """The block as a node gave it, or ``ProvenHeader.fields``."""
    account_proof: Mapping[str, Any]
    """``eth_getProof``'s answer (EIP-1186) with every slot that the analysis reads."""
    code: bytes
    targets: Mapping[Address, Target] = field(default_factory=dict)

    def narrowed(self, slots: Collection[int], targets: Collection[int]) -> Evidence:
        """The same with the proofs of these slots and targets only, sorted and in one spelling: what the analysis did
        not read goes. Raises ProofInvalid where a proof cannot be read."""
        account = one_spelling(self.account_proof)
        account["storageProof"] = [entry for entry in account["storageProof"] if int(entry["key"], 16) in slots]
        wanted = {to_eip55(target) for target in targets}
        return replace(
            self,
            account_proof=account,
            targets={
                address: Target(one_spelling({**target.proof, "storageProof": []}), target.code)
                for address, target in sorted(self.targets.items())
                if address in wanted
            },
        )


@dataclass(frozen=True, slots=True)
class Proven:
    """What follows from one block's hash about one account."""

    block: BlockRef
    state_root: str
    """``0x`` and 64 hex digits."""
    timestamp: int
    """The block's, seconds since 1970."""
    exists: bool
    """Whether the state has the account at all."""
    nonce: int
    balance: int
    """In wei."""
    code_hash: str
    """``0x`` and 64 hex digits; that of no bytes where there is no code."""
    kind: CodeKind
    permanence: str | None
    """Why code cannot go away (EIP-6780), in words; None if nothing shows it."""
    no_zero_caller: str | None
    """Why no call comes from the address 0, in words; None if nothing shows it."""
    facts: AccountFacts | None
    """For the analysis; None where there is no EVM code to analyse."""
    delegate: Address | None = None
    """Where an EIP-7702 delegation points."""


def prove(evidence: Evidence, block_hash: str | None = None, checks: list[Check] | None = None) -> Proven:
    """Verifies the header's hash (and that it is ``block_hash``), the account, its slots, its code, and each target.

    ``checks`` gets each check in its order, the failed one too. Raises ProofInvalid, whatever the evidence holds.
    """
    log = [] if checks is None else checks
    header = _check(log, "block_hash", lambda: _header(evidence, block_hash))
    slots = _check(log, "account_proof", lambda: _account(evidence, header))
    state = _check(log, "storage_proofs", lambda: _storage(evidence, header, slots))
    _check(log, "code_hash", lambda: _code(evidence.code, state))
    codes = _check(log, "targets", lambda: _targets(evidence, header))
    address = int(evidence.address, 16)
    kind = code_kind(address, evidence.code, evidence.chain_id)
    permanence = _permanence(evidence.chain_id, header)
    no_zero_caller = NO_CALL_FROM_ZERO.get(evidence.chain_id.number)
    return Proven(
        block=header.block,
        state_root="0x" + header.state_root.hex(),
        timestamp=header.timestamp,
        exists=state.exists,
        nonce=state.nonce,
        balance=state.balance,
        code_hash="0x" + state.code_hash.hex(),
        kind=kind,
        permanence=permanence,
        no_zero_caller=no_zero_caller,
        facts=None
        if kind is not CodeKind.CONTRACT
        else AccountFacts(
            address,
            evidence.code,
            dict(state.slots),
            codes,
            complete=False,
            permanent=permanence is not None,
            zero_caller=no_zero_caller is None,
            amsterdam=header.fork >= Fork.AMSTERDAM,
        ),
        delegate=to_eip55(int.from_bytes(evidence.code[3:], "big")) if kind is CodeKind.DELEGATED else None,
    )


def code_kind(address: int, code: bytes, chain: ChainId) -> CodeKind:
    """How an account with this code is to be judged."""
    if address <= LAST_SYSTEM_ADDRESS or (code in STUBS and chain.number not in LOW_PRECOMPILES):
        return CodeKind.SYSTEM
    if not code:
        return CodeKind.NONE
    if code[0] != 0xEF:
        return CodeKind.CONTRACT
    return CodeKind.DELEGATED if code[:3] == b"\xef\x01\x00" and len(code) == 23 else CodeKind.UNSUPPORTED


def to_eip55(number: int) -> Address:
    """An address as the engine has it (160 bits) in its EIP-55 form."""
    return checksum(f"{number:040x}")


# --- the checks, in order ------------------------------------------------------------------------------------------


def _check(log: list[Check], name: str, function: Callable[[], tuple[_T, str]]) -> _T:
    try:
        value, detail = function()
    except ProofInvalid as error:
        log.append(Check(name, "fail", error.message))
        raise
    except Exception as error:
        # Hostile documents: whatever they break must end as this error, never as a pass or a traceback.
        log.append(Check(name, "fail", f"the evidence is malformed ({type(error).__name__})"))
        raise ProofInvalid(f"{name}: the evidence is malformed ({type(error).__name__})") from error
    log.append(Check(name, "pass", detail))
    return value


def _header(evidence: Evidence, block_hash: str | None) -> tuple[ProvenHeader, str]:
    other_machine = no_evm(evidence.chain_id)
    if other_machine is not None:
        raise ProofInvalid(other_machine, code="unsupported_chain")
    header = verify_header(evidence.header, expected_hash=block_hash)
    return header, f"the header's fields hash to {header.hash} (block {header.number})"


def _account(evidence: Evidence, header: ProvenHeader) -> tuple[list[int], str]:
    """The account alone; its slots are a check of their own, so that a person sees which of the two does not hold."""
    slots = storage_keys(evidence.account_proof)
    bare = {**evidence.account_proof, "storageProof": []}
    state = verify_account(header.state_root, evidence.address, bare, ())
    what = "present, with its nonce, balance, storage root and code hash" if state.exists else "absent"
    return slots, f"proven {what} in the state root 0x{header.state_root.hex()}"


def _storage(evidence: Evidence, header: ProvenHeader, slots: list[int]) -> tuple[ProvenState, str]:
    state = verify_account(header.state_root, evidence.address, evidence.account_proof, slots)
    return state, f"{len(slots)} storage {'slot' if len(slots) == 1 else 'slots'} proven in the account's storage root"


def _code(code: bytes, state: ProvenState) -> tuple[None, str]:
    verify_code(code, state.code_hash)
    if state.code_hash == EMPTY_CODE_HASH:
        return None, "the account has no code"
    return None, f"{len(code)} bytes of code hash to the proven 0x{state.code_hash.hex()}"


def _targets(evidence: Evidence, header: ProvenHeader) -> tuple[dict[int, bytes], str]:
    if len(evidence.targets) > MAX_TARGETS:
        raise ProofInvalid(f"targets: expected at most {MAX_TARGETS}, got {len(evidence.targets)}")
    codes: dict[int, bytes] = {}
    for address, target in evidence.targets.items():
        try:
            state = verify_account(header.state_root, address, target.proof, ())
            verify_code(target.code, state.code_hash)
        except ProofInvalid as error:
            raise ProofInvalid(f"target {address}: {error.message}") from error
        codes[int(address, 16)] = target.code
    own = int(evidence.address, 16)
    if codes.get(own, evidence.code) != evidence.code:
        raise AssertionError(f"{evidence.address} is proven to have two codes")
    if not codes:
        return codes, "the code continues in no other account's"
    return codes, f"{len(codes)} DELEGATECALL {'target' if len(codes) == 1 else 'targets'} proven with their code"


def _permanence(chain: ChainId, header: ProvenHeader) -> str | None:
    if header.fork >= Fork.CANCUN:
        return "the header has the fields of Cancun, the fork of EIP-6780"
    since = EIP_6780_SINCE.get(chain.number)
    if since is not None and header.number >= since:
        return f"{chain} has EIP-6780 since block {since}"
    return None
