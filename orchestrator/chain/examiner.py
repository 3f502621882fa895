"""The verdict on any contract, from one node and nothing else: reads, proves, analyses, tries, and judges.

Everything is asked by the block's hash and believed as far as the proofs go. The analysis says which slots and which
codes it needs; these are proven, and it is run again until nothing is missing. At the end the block is looked at once
more. For a closed wallet: block · proofs and code · block again and residue · approvals, a round trip each.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from orchestrator.chain import parse
from orchestrator.chain.residue import (
    NOT_LOOKED_AT,
    approval_call,
    approvals,
    deposit_calls,
    deposits,
    proven_residue,
)
from orchestrator.chain.rpc import Call, Rpc, RpcFailure
from orchestrator.chain.witnesses import Search
from orchestrator.closure.evidence import (
    MAX_TARGETS,
    PROOF_FIELDS,
    Check,
    Evidence,
    Proven,
    Target,
    prove,
    storage_keys,
    to_eip55,
)
from orchestrator.closure.evm.analysis import analyse
from orchestrator.closure.evm.facts import Analysis, Facts
from orchestrator.closure.judge import judge
from orchestrator.closure.merkle import EMPTY_ROOT
from orchestrator.closure.proof import EMPTY_CODE_HASH, MAX_SLOTS, header_fields, verify_header
from orchestrator.closure.verdict import Residue, Standing, Trouble, Verdict, Witness
from orchestrator.errors import ChainError, ChainNonsense, OrchestratorError, ProofInvalid, SettingsError
from orchestrator.models import Address, BlockRef, ChainId

_LOG: Final = logging.getLogger(__name__)

TAGS: Final = ("finalized", "safe", "latest")
_HASH: Final = re.compile(r"0x[0-9a-fA-F]{64}")
_NUMBER: Final = re.compile(r"0x[0-9a-fA-F]{1,16}|[0-9]{1,18}")

_LIKELY_SLOTS: Final = (
    *range(8),  # where compilers put the first variables
    0x360894A13BA1A3210667C828492DB98DCA3E2076CC3735A920A3CA505D382BBC,  # EIP-1967: implementation
    0xB53127684A568B3173AE13B9F8A6016E243E63B6E8EE1178D6A717850B5D6103,  # admin
    0xA3F0AD74E5423AEBFD80D3EF4346578335A9A72AEAEE59FF6CB3582B35133D50,  # beacon
)
"""Asked for with the code, so that a usual contract needs no further round trip."""
_ROUNDS: Final = 12
"""Rounds of proofs: a proxy needs two, a chain of proxies one for each."""
_ATTEMPTS: Final = 3
"""Examinations before a block that is named by a tag and keeps being replaced is given up."""
_SEARCH_SECONDS: Final = 60.0
"""For all of the search for a witness; a verdict without one is better than none."""
_NOT_EVM: Final = {324: "zkSync Era", 300: "zkSync Sepolia"}
"""Chains known to run no EVM code; others show it by what they cannot answer."""


@dataclass(frozen=True, slots=True)
class Examination:
    """The verdict, and what it was made of: exactly what the analysis read. None if nothing could be proven."""

    verdict: Verdict
    evidence: Evidence | None
    round_trips: int = 0


def parse_block(text: str) -> str:
    """A block argument in the form that ``examine`` takes: a tag, a hex number or a hash.

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


async def examine(
    rpc: Rpc,
    address: Address,
    block: str = "finalized",
    *,
    progress: Callable[[str], None] | None = None,
) -> Examination:
    """The verdict on the contract at ``address``, at ``finalized``, ``safe``, ``latest``, a number or a hash.

    Never raises for what a node does or says: that is ``inconclusive`` with its reason. Raises SettingsError for a
    ``block`` that is none. Reads only. ``progress`` is told what is being done, in a few words.
    """
    wanted = parse_block(block)
    began = rpc.round_trips
    for attempt in range(_ATTEMPTS):
        run = _Examination(rpc, address, wanted, progress or (lambda _: None))
        await run.run()
        if run.standing is not Standing.NOT_CANONICAL or wanted not in TAGS or attempt == _ATTEMPTS - 1:
            break
    return Examination(run.verdict(), run.evidence, rpc.round_trips - began)


class _Trouble(Exception):
    """The end of an examination, with its reason."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.trouble = Trouble(code, message)


@dataclass(slots=True)
class _Examination:
    """One run. Whatever has been found when it ends, for whatever reason, is what the verdict is made of."""

    rpc: Rpc
    address: Address
    wanted: str
    tell: Callable[[str], None]
    chain_id: ChainId | None = None
    block: BlockRef | None = None
    header: dict[str, Any] = field(default_factory=dict)
    timestamp: int = 0
    empty: bool = False
    """Whether the block's state has no account at all: Anvil's block 0 says so, whatever it answers for it."""
    by_hash: bool = True
    evidence: Evidence | None = None
    proven: Proven | None = None
    analysis: Analysis | None = None
    witness: Witness | None = None
    checks: list[Check] = field(default_factory=list)
    residue: list[Residue] = field(default_factory=list)
    standing: Standing = Standing.UNKNOWN
    standing_detail: str = "the block could not be looked at again"
    code_at_latest: bool | None = None
    trouble: Trouble | None = None
    seconds: float = 0.0

    @property
    def number(self) -> int:
        """The account, as the engine has it."""
        return int(self.address, 16)

    @property
    def at(self) -> Any:
        """The block parameter (EIP-1898) that pins every question."""
        assert self.block is not None
        return {"blockHash": self.block.hash} if self.by_hash else hex(self.block.number)

    async def run(self) -> None:
        try:
            await self._run()
        except _Trouble as error:
            self.trouble = error.trouble
        except OrchestratorError as error:
            self.trouble = Trouble(error.code, error.message)
        except Exception as error:  # noqa: BLE001 - "any exception anywhere: inconclusive" is the promise
            _LOG.debug("examination of %s failed", self.address, exc_info=error)
            self.trouble = Trouble("internal", f"{type(error).__name__}: a defect of this tool; nothing is concluded")

    def verdict(self) -> Verdict:
        return judge(
            address=self.address,
            chain_id=self.chain_id,
            block=self.block,
            proven=self.proven,
            analysis=self.analysis,
            standing=self.standing,
            standing_detail=self.standing_detail,
            code_at_latest=self.code_at_latest,
            witness=self.witness,
            checks=self.checks,
            residue=[*proven_residue(self.proven, self.analysis), *self.residue, NOT_LOOKED_AT],
            trouble=self.trouble,
            milliseconds=self.seconds * 1000,
        )

    async def _run(self) -> None:
        self.tell("reading the block")
        await self._choose_block()
        self.tell(f"reading code and proofs at block {self.header['number']}")
        await self._prove_and_analyse()
        if self.analysis is not None and (self.analysis.findings or self.analysis.authority):
            self.tell("looking for a call that shows it")
            assert self.proven is not None
            assert self.proven.facts is not None
            await self._look_for_witness(self.proven.facts, self.analysis)
        self.tell("looking at the block again")
        await self._settle()

    # --- the block ----------------------------------------------------------------------------------------------

    async def _choose_block(self) -> None:
        by_hash = len(self.wanted) == 66
        wanted: Call = (f"eth_getBlockBy{'Hash' if by_hash else 'Number'}", [self.wanted, False])
        chain, answer, latest = await self.rpc.batch(
            [("eth_chainId", []), wanted, ("eth_getBlockByNumber", ["latest", False])]
        )
        number = parse.quantity(self.rpc.demand(chain), "eth_chainId")
        if number == 0:
            raise ChainNonsense("eth_chainId: expected a chain's number, got 0, which no chain has")
        self.chain_id = ChainId(number)
        if (answer is None or isinstance(answer, RpcFailure)) and self.wanted in TAGS:
            answer = latest  # a node without the tag: what can be said is said, and never "irreversible"
        if answer is None or isinstance(answer, RpcFailure):
            what = f": {answer.message}" if isinstance(answer, RpcFailure) else ""
            raise _Trouble("no_such_block", f"{self.rpc.endpoint} has no block {self.wanted}{what}")
        if not isinstance(answer, dict):
            raise ChainNonsense(f"the block: expected an object, got {parse.show(answer)}")
        self.header = header_fields(answer)
        header = self._verified_header(self.wanted if by_hash else None)
        if self.wanted not in TAGS and not by_hash and header.number != int(self.wanted, 16):
            raise ChainNonsense(f"the block: asked for number {int(self.wanted, 16)}, got {header.number}")
        self.block, self.timestamp = header.block, header.timestamp
        self.empty = header.state_root == EMPTY_ROOT

    def _verified_header(self, expected: str | None) -> Any:
        try:
            header = verify_header(self.header, expected_hash=expected)
        except ProofInvalid as error:
            self.checks = [Check("block_hash", "fail", error.message)]
            raise _Trouble("header_mismatch", f"{error.message}{self._not_evm()}") from error
        if not any(header.state_root):
            self.checks = [Check("block_hash", "fail", "the header's state root is zero")]
            raise _Trouble("no_state_root", "the block has no state root (as blocks mined on a local fork): no proof")
        return header

    def _not_evm(self) -> str:
        name = _NOT_EVM.get(self.chain_id.number) if self.chain_id is not None else None
        if name is not None:
            return f"; {name} ({self.chain_id}) does not run EVM code, so nothing can be proven about it"
        return "; either the node changed it, or this chain's blocks are not Ethereum's"

    # --- proofs and analysis ------------------------------------------------------------------------------------

    async def _prove_and_analyse(self) -> None:
        """Proves, analyses, and proves what was missing, until nothing is."""
        assert self.chain_id is not None
        code, proof, latest = await self._pinned(
            lambda at: [
                ("eth_getCode", [self.address, at]),
                ("eth_getProof", [self.address, [_word(slot) for slot in _LIKELY_SLOTS], at]),
                ("eth_getCode", [self.address, "latest"]),
            ],
            demanded=2,
        )
        if self.empty:
            proof, code = _nothing(self.address), "0x"
        self.evidence = Evidence(
            self.chain_id, self.address, self.header, _account_proof(proof), parse.data(code, "eth_getCode"), {}
        )
        if not isinstance(latest, RpcFailure):
            self.code_at_latest = parse.data(latest, "eth_getCode at latest") != b""
        for _ in range(_ROUNDS):
            self._prove()
            if self.proven is None or self.proven.facts is None:
                self.evidence = self.evidence.narrowed((), ())
                self._prove()
                return
            self.tell(f"executing every path of {len(self.evidence.code)} bytes of code")
            await self._analyse(self.proven.facts)
            slots, targets = self._needed(self.proven.facts)
            if not slots and not targets:
                break
            self.tell(f"proving {len(slots)} more slots and {len(targets)} more codes")
            await self._more_evidence(slots, targets)
        else:
            raise _Trouble("missing_fact", f"after {_ROUNDS} rounds of proofs the analysis still asks for more")
        self._keep_what_was_read()

    def _prove(self) -> None:
        assert self.evidence is not None
        assert self.block is not None
        self.proven, self.checks = None, []
        try:
            self.proven = prove(self.evidence, self.block.hash, self.checks)
        except ProofInvalid as error:
            self.analysis = None
            raise _Trouble("proof_invalid", error.message) from error

    async def _analyse(self, facts: Facts) -> None:
        started = time.perf_counter()
        self.analysis = await asyncio.to_thread(analyse, facts)
        self.seconds += time.perf_counter() - started

    def _needed(self, facts: Facts) -> tuple[list[int], list[int]]:
        """What the analysis asked for and has not been given, within bounds."""
        assert self.analysis is not None
        slots = [slot for slot in self.analysis.needs.slots if slot not in facts.storage]
        targets = [code for code in self.analysis.needs.codes if code not in facts.codes and code != facts.address]
        if len(facts.storage) + len(slots) > MAX_SLOTS or len(facts.codes) + len(targets) > MAX_TARGETS:
            raise _Trouble("missing_fact", f"the analysis asks for {len(slots)} slots and {len(targets)} codes more")
        return sorted(set(slots)), sorted(set(targets))

    async def _more_evidence(self, slots: Sequence[int], targets: Sequence[int]) -> None:
        """Asks for slots of the account, and for the targets' accounts and codes: one round trip."""
        assert self.evidence is not None
        old = self.evidence

        def calls(at: Any) -> list[Call]:
            asked: list[Call] = []
            if slots:
                asked.append(("eth_getProof", [self.address, [_word(slot) for slot in slots], at]))
            for target in targets:
                asked.append(("eth_getProof", [to_eip55(target), [], at]))
                asked.append(("eth_getCode", [to_eip55(target), at]))
            return asked

        answers = await self._pinned(calls)
        account = dict(old.account_proof)
        if slots:
            more = _account_proof(answers.pop(0))
            account["storageProof"] = [*account["storageProof"], *more["storageProof"]]
        found = dict(old.targets)
        for target, proof, code in zip(targets, answers[::2], answers[1::2], strict=True):
            address = to_eip55(target)
            found[address] = Target(_account_proof(proof), parse.data(code, f"eth_getCode of {address}"))
        self.evidence = Evidence(old.chain_id, old.address, old.header, account, old.code, found)

    def _keep_what_was_read(self) -> None:
        """Drops what was asked for by guess, so that the evidence has exactly the facts of the analysis."""
        assert self.evidence is not None
        assert self.analysis is not None
        self.evidence = self.evidence.narrowed(self.analysis.slots, self.analysis.targets)
        self._prove()

    async def _pinned(self, calls: Callable[[Any], list[Call]], demanded: int | None = None) -> list[Any]:
        """The answers at the block. A node that does not take hashes is asked by number: the proofs tell if it moved.

        The first ``demanded`` (default: all) must not be refused: else raises _Trouble with a code that says why.
        """
        answers = await self.rpc.batch(calls(self.at))
        if self.by_hash and any(isinstance(a, RpcFailure) and a.code != -32601 for a in answers[:demanded]):
            self.by_hash = False
            answers = await self.rpc.batch(calls(self.at))
        for answer in answers[:demanded]:
            if isinstance(answer, RpcFailure):
                raise _Trouble(*self._refused(answer))
        return answers

    def _refused(self, failure: RpcFailure) -> tuple[str, str]:
        words = failure.message.lower()
        node = self.rpc.endpoint
        if failure.code != -32601 and any(hint in words for hint in _PRUNED):
            return "state_pruned", f"{node} no longer has this block's state (an archive node has): {failure}"
        if failure.code == -32601 or any(hint in words for hint in _UNKNOWN_METHOD):
            name = "no_proof_method" if failure.method == "eth_getProof" else "rpc_refused"
            return name, f"{node} does not answer {failure.method}{self._not_evm()}"
        return "rpc_refused", f"{node}: {failure}"

    async def _look_for_witness(self, facts: Facts, analysis: Analysis) -> None:
        """The first call that really does it; else the first finding, with the call that should have."""
        assert self.block is not None
        search = Search(self.rpc, self.at, facts, analysis, self.block, self.timestamp, self.tell)
        try:
            async with asyncio.timeout(_SEARCH_SECONDS):
                await search.run()
        except (ChainError, TimeoutError) as error:
            _LOG.info("the search for a witness ended early: %s", error)  # the verdict stands, merely unconfirmed
        finally:
            self.witness = search.witness

    # --- the end ------------------------------------------------------------------------------------------------

    async def _settle(self) -> None:
        """Looks at the block again, after everything else was read; what closing left behind beside it."""
        assert self.block is not None
        finals: list[Call] = [
            ("eth_getBlockByNumber", ["finalized", False]),
            ("eth_getBlockByNumber", [hex(self.block.number), False]),
        ]
        logs = approval_call(self.address, self.block.number)
        held = deposit_calls(self.address, self.at)
        if self.analysis is None or self.analysis.result != "inert":
            given, *answers = await self.rpc.batch([logs, *held, *finals])
        else:
            # A search of the whole chain may take a node too long: it must not keep the block from being looked at.
            searching = asyncio.create_task(self._search(logs))
            try:
                answers = await self.rpc.batch([*held, *finals])
                given = await searching
            finally:
                searching.cancel()
        finalized, now = answers[-2:]
        self.residue += [*deposits(answers[:-2]), *approvals(given, self.address)]
        self._set_standing(finalized, now)

    async def _search(self, logs: Call) -> Any:
        try:
            return await self.rpc.call_or_failure(*logs)
        except ChainError as error:
            return error

    def _set_standing(self, finalized: Any, now: Any) -> None:
        assert self.block is not None
        number = self.block.number
        if now is None or isinstance(now, RpcFailure):
            self.standing_detail = f"the node has no block {number} any more"
            self.standing = Standing.NOT_CANONICAL
            return
        current = parse.header(now, f"block {number}").block
        if current != self.block:
            self.standing = Standing.NOT_CANONICAL
            self.standing_detail = f"block {number} of the chain is {current.hash}, not {self.block.hash}"
            return
        self.standing = Standing.NOT_FINAL
        if finalized is None or isinstance(finalized, RpcFailure):
            self.standing_detail = "the node knows no finalized block"
            return
        settled = parse.header(finalized, "the finalized block").block
        if settled.number < number:
            self.standing_detail = f"block {number} is above the node's finalized block {settled.number}"
            return
        if settled.number == number and settled != self.block:
            raise ChainNonsense(f"the finalized block {number} is {settled.hash}, the canonical one {self.block.hash}")
        self.standing = Standing.FINAL
        self.standing_detail = f"canonical, and at or below the node's finalized block {settled.number}"


_UNKNOWN_METHOD: Final = (
    "not supported",
    "method not found",
    "does not exist",
    "is not available",
    "unsupported method",
)
_PRUNED: Final = (
    "prun",
    "missing trie node",
    "no state available",
    "state not available",
    "historical state",
    "too old",
    "distance to target block",
    "archive",
    "is not available",
)
"""How nodes say that they no longer have a state: geth, Nethermind, Erigon, Reth, gateways."""


def _account_proof(answer: Any) -> dict[str, Any]:
    """``eth_getProof``'s answer, of which ``prove`` checks the members; here only that it can be taken apart."""
    if not isinstance(answer, dict):
        raise ProofInvalid(f"proof: expected an object, got {parse.show(answer)}")
    storage_keys(answer)
    missing = [name for name in PROOF_FIELDS if name not in answer]
    if missing:
        raise ProofInvalid(f"proof: expected {', '.join(missing)}, got an answer without")
    return answer


def _nothing(address: Address) -> dict[str, Any]:
    """The proof of absence from a state whose root is the empty trie's: that root is all there is to it."""
    return {
        "address": address,
        "accountProof": [],
        "balance": "0x0",
        "codeHash": "0x" + EMPTY_CODE_HASH.hex(),
        "nonce": "0x0",
        "storageHash": "0x" + EMPTY_ROOT.hex(),
        "storageProof": [],
    }


def _word(slot: int) -> str:
    return f"0x{slot:064x}"


__all__ = ["Examination", "examine", "parse_block"]
