"""``examine`` on a real Anvil, and before a node that lies: each gets its own answer, and a lie is never a pass."""

from __future__ import annotations

import itertools
import json
import logging

import jsonschema
import pytest
from aiohttp import web

from orchestrator import schemas
from orchestrator.chain.examination.examiner import examine
from orchestrator.chain.examination.pinned import parse_block
from orchestrator.chain.examination.residue import ENTRY_POINTS
from orchestrator.chain.node.rpc import Rpc
from orchestrator.closure.certificate.builder import build_certificate
from orchestrator.closure.proof.evidence import prove
from orchestrator.closure.proof.header import verify_header
from orchestrator.devnet.dev_accounts import DEV_ACCOUNTS
from orchestrator.errors import OrchestratorError, SettingsError
from orchestrator.models import checksum
from tests.chain.lies import lie, refuse
from tests.closure.cases.assembler import assemble
from tests.closure.soundness.asm import code
from tests.closure.test_header import hash_of

OWNER = DEV_ACCOUNTS[1]
SUBJECT, IMPLEMENTATION = (checksum(f"{number:040x}") for number in (0x5AB_0000_0001, 0x1A9_0000_0001))
IMPLEMENTATION_SLOT = 0x360894A13BA1A3210667C828492DB98DCA3E2076CC3735A920A3CA505D382BBC
GUARDED = "3 0 SLOAD EQ @closed JUMPI 9 1 SSTORE STOP closed: 0 0 REVERT"
"""Writes, unless slot 0 is 3."""


@pytest.fixture(autouse=True)
def no_defects(caplog):
    """A defect ends as a verdict, and must be seen here all the same."""
    with caplog.at_level(logging.DEBUG, "orchestrator.chain.examination.examiner"):
        yield
    assert [record for record in caplog.records if record.name == "orchestrator.chain.examination.examiner"] == []


def keeps(verdict):
    """The verdict, if its document keeps to the schema."""
    document = json.loads(json.dumps(verdict.to_json()))
    jsonschema.Draft202012Validator(json.loads(schemas.text("verify-closure"))).validate(document)
    return verdict


def told(verdict):
    return (verdict.verdict, verdict.analysis, verdict.reason)


def failed(verdict):
    return {check.name for check in verdict.checks if check.result == "fail"}


@pytest.fixture
def put(anvil):
    """Puts code and storage at an address, and makes it final."""

    async def run(program, storage=None, *, at=SUBJECT, final=True):
        code = program if isinstance(program, bytes) else assemble(program)
        await anvil.rpc("anvil_setCode", at, "0x" + code.hex())
        for slot, value in (storage or {}).items():
            await anvil.rpc("anvil_setStorageAt", at, f"0x{slot:064x}", f"0x{value:064x}")
        await anvil.mine()  # what was put is in the state of the next block
        if final:
            await anvil.finalize()
        return at

    return run


@pytest.fixture
async def closed(wallets, anvil, account_id):
    wallet, _ = await wallets.deploy(account_id)
    await wallets.activate(wallet)
    await wallets.close(wallet)
    await anvil.finalize()
    return wallet


# --- by the table --------------------------------------------------------------------------------------------------


async def test_a_closed_wallet(rpc, closed):
    found = await examine(rpc, closed)
    verdict = keeps(found.verdict)
    assert told(verdict) == ("irreversible", "inert", "inert")
    assert failed(verdict) == set()
    assert dict(verdict.slots)[0] == 3
    assert rpc.round_trips <= 5
    proven = prove(found.evidence, verdict.block.hash)
    assert set(proven.facts.storage) == {slot for slot, _ in verdict.slots}, "nothing that was only guessed"
    assert verdict.code_hash == proven.code_hash


async def test_an_open_wallet(rpc, wallets, anvil, account_id):
    wallet, _ = await wallets.deploy(account_id)
    await wallets.activate(wallet)
    await anvil.finalize()
    found = await examine(rpc, wallet)
    verdict = keeps(found.verdict)
    assert told(verdict) == ("reversible", "acting", "acting")
    assert verdict.witness.confirmed
    assert verdict.witness.opcode == "SSTORE"
    assert verdict.witness.address == wallet
    assert verdict.witness.sender in verdict.witness.needs
    assert rpc.round_trips <= 5


async def test_the_witness_really_works(anvil, rpc, put):
    """Sent as a transaction, it does what it says."""
    verdict = keeps((await examine(rpc, await put("CALLDATASIZE 7 LT @on JUMPI STOP on: 9 4 SSTORE STOP"))).verdict)
    assert told(verdict) == ("reversible", "acting", "acting")
    assert verdict.witness.needs.startswith("anyone can send it")
    witness = verdict.witness
    await anvil.rpc(
        "eth_sendTransaction",
        {"from": OWNER.address, "to": SUBJECT, "data": "0x" + witness.calldata.hex(), "value": hex(witness.value)},
    )
    await anvil.mine()
    assert int(await anvil.rpc("eth_getStorageAt", SUBJECT, "0x4", "latest"), 16) == 9


PREIMAGE = f"0 CALLDATALOAD 0 MSTORE 32 0 KECCAK256 {2**255 + 12345} EQ"

FOR_ITSELF = f"{PREIMAGE} CALLER ADDRESS EQ OR @call JUMPI STOP call: 0 0 0 0 0 ORIGIN GAS CALL POP STOP"
"""Calls who sent the transaction, if it is called by itself. By another only with a number that nobody knows."""


@pytest.mark.parametrize(
    "program",
    [
        f"CALLDATASIZE @inner JUMPI 0 0 1 0 ADDRESS GAS STATICCALL POP STOP inner: {FOR_ITSELF}",
        "CALLER ADDRESS EQ @inner JUMPI 0 0 0 0 0 ADDRESS GAS CALL POP STOP inner: 0 0 REVERT",
        "0 0 0 0 0 4 0xffff CALL POP STOP",
        f"{2**48 - 1} TIMESTAMP LT @early JUMPI 1 0 SSTORE STOP early: 0 0 REVERT",
    ],
    ids=["static", "itself", "precompile", "never"],
)
async def test_what_is_executed_and_is_no_act_confirms_nothing(rpc, put, program):
    verdict = keeps((await examine(rpc, await put(program))).verdict)
    assert told(verdict) == ("inconclusive", "acting", "acting_unconfirmed")
    assert not verdict.witness.confirmed


PAYS = f"0 0 0 0 {{}} {OWNER.address} 0xffff CALL POP STOP"
UNPAID = f"CALLVALUE @no JUMPI {12_000_000} GAS LT @no JUMPI {{}} no: 0 0 REVERT"
"""It takes no ether, and a lot of gas: that keeps the wide search short."""


@pytest.mark.parametrize(
    ("program", "wei", "needs"),
    [
        (PAYS.format(1), 1, "with 1 wei"),
        (UNPAID.format(PAYS.format(1)), 0, "once the account holds 1 wei (ether can be forced into any account)"),
        (UNPAID.format("0 0 9 CREATE POP STOP"), 0, "once the account holds 9 wei"),
        (UNPAID.format(PAYS.format(2**96)), 0, None),  # nobody ever has as much
    ],
)
async def test_what_only_ether_is_missing_for(rpc, put, program, wei, needs):
    """A call that the account has not the ether for is not made, and will be when it has."""
    verdict = keeps((await examine(rpc, await put(program))).verdict)
    assert (verdict.verdict, verdict.witness.value) == ("reversible" if needs else "inconclusive", wei)
    assert (needs or "nothing leaves the account") in verdict.witness.needs


async def test_an_account_is_never_given_less_than_it_holds(anvil, rpc, put):
    """A precompile that refuses its input is not called for another reason. Ether that is there stays there, so what
    waits for less of it waits for ever."""
    fails = "SELFBALANCE 5 GT @act JUMPI 0 0 0 0 3 9 0xffff CALL POP STOP act: 1 0 SSTORE STOP"
    await anvil.set_balance(SUBJECT, 10)
    verdict = keeps((await examine(rpc, await put(UNPAID.format(fails)))).verdict)
    assert told(verdict) == ("inconclusive", "acting", "acting_unconfirmed")


async def test_a_preimage_gate_is_not_confirmed(rpc, put):
    gate = f"{PREIMAGE} @on JUMPI 0 0 REVERT on: 9 0 SSTORE STOP"
    verdict = keeps((await examine(rpc, await put(gate))).verdict)
    assert told(verdict) == ("inconclusive", "acting", "acting_unconfirmed")
    assert verdict.witness.opcode == "SSTORE"
    assert not verdict.witness.confirmed


LIBRARY = checksum(f"{0x11B_0000_0001:040x}")
CLONE = f"363d3d373d3d3d363d73{LIBRARY[2:]}5af43d82803e903d91602b57fd5bf3"
"""ERC-1167's runtime code."""
ASKED = f"32 0 0 0 {IMPLEMENTATION} GAS STATICCALL POP 0 0 0 0 0 MLOAD GAS DELEGATECALL POP STOP"
"""Runs the code at the address that another contract answers, which the analysis cannot follow."""


@pytest.mark.parametrize(
    ("program", "library", "reason"),
    [
        (bytes.fromhex(CLONE), "", "delegate_idle"),  # an ERC-1167 proxy to an empty address
        (bytes.fromhex(CLONE), "9 4 SSTORE STOP", "acting"),
        (ASKED, "", "delegate_idle"),
        (ASKED, "4 SLOAD 0 MSTORE 32 0 RETURN", "delegate_idle"),
        (ASKED, "0 4 SSTORE STOP", "delegate_idle"),
        (ASKED, "9 4 SSTORE STOP", "acting"),
        (ASKED, f"0 0 0 0 0 {OWNER.address} GAS CALL POP STOP", "acting"),
    ],
)
async def test_a_delegate_acts_by_what_comes_of_it(rpc, put, program, library, reason):
    """Nothing came of it, but another day something may: that is no pass, and no proof of an open account."""
    await put(library, at=LIBRARY)
    await put(f"{LIBRARY} 0 MSTORE 32 0 RETURN", at=IMPLEMENTATION)
    verdict = keeps((await examine(rpc, await put(program))).verdict)
    opened = reason == "acting"
    assert told(verdict) == ("reversible" if opened else "inconclusive", "acting", reason)
    assert verdict.witness.confirmed is opened
    if opened:
        assert LIBRARY in verdict.detail, "whose instruction acted"
    else:
        said = "no code ran: there is none" if library == "" else "changes nothing and calls nobody"
        assert said in verdict.detail


@pytest.mark.parametrize(
    ("after", "until", "told_"),
    [
        (2**40, 0, ("reversible", "inert", "authority_answer")),
        (2**46, 0, ("irreversible", "inert", "inert")),
        (9, 8, ("irreversible", "inert", "inert")),
        (8, 9, ("inconclusive", "inert", "authority_unconfirmed")),  # it was once; the analysis knows no time
    ],
)
async def test_a_validation_of_a_user_operation_for_a_time(rpc, put, after, until, told_):
    verdict = keeps((await examine(rpc, await put(f"{after << 208 | until << 160} 0 MSTORE 32 0 RETURN"))).verdict)
    assert told(verdict) == told_


async def test_an_answer_with_authority(rpc, put):
    always = "0x1626ba7e 224 SHL 0 MSTORE 32 0 RETURN"
    verdict = keeps((await examine(rpc, await put(always))).verdict)
    assert told(verdict) == ("reversible", "inert", "authority_answer")
    assert (verdict.witness.opcode, verdict.witness.confirmed) == ("RETURN", True)
    assert verdict.witness.pc == len(assemble(always)) - 1
    assert verdict.witness.calldata[:4] == bytes.fromhex("1626ba7e")


async def test_an_answer_that_cannot_be_shown(rpc, put):
    hidden = f"""4 CALLDATALOAD 0 MSTORE 32 0 KECCAK256 {2**255 + 12345} EQ @on JUMPI 0 0 REVERT
        on: 0x1626ba7e 224 SHL 0 MSTORE 32 0 RETURN"""
    verdict = keeps((await examine(rpc, await put(hidden))).verdict)
    assert told(verdict) == ("inconclusive", "inert", "authority_unconfirmed")


RENOUNCED = "0 SLOAD CALLER EQ @owner JUMPI 0 0 REVERT owner: 9 1 SSTORE STOP"
"""Writes for the owner, who is nobody: slot 0 is empty."""


@pytest.mark.parametrize(
    ("chain", "closed"), [(31337, True), (1, True), (137, False), (42220, False), (10, False), (424242, False)]
)
async def test_an_owner_that_was_renounced(liar, liar_rpc, anvil, put, chain, closed):
    """On Celo and OP Stack chains calls do come from the address 0; of most others nobody knows."""
    await put(RENOUNCED)
    liar.change = lie("eth_chainId", hex(chain))
    verdict = keeps((await examine(liar_rpc, SUBJECT)).verdict)
    shown = {check.name: check.result for check in verdict.checks}
    if closed:
        assert told(verdict) == ("irreversible", "inert", "inert")
        assert shown["callers"] == "pass"
    else:
        assert told(verdict) == ("inconclusive", "undecided", "caller_zero")
        assert f"eip155:{chain}" in verdict.detail
        assert shown["callers"] == "fail"
    # What such a call does, on a real node: it succeeds from 0, and from nobody else.
    await anvil.rpc("eth_call", {"from": "0x" + "00" * 20, "to": SUBJECT}, "finalized")
    with pytest.raises(OrchestratorError, match="revert"):
        await anvil.rpc("eth_call", {"from": OWNER.address, "to": SUBJECT}, "finalized")


@pytest.mark.parametrize("chain", [137, 42220])
async def test_a_closed_wallet_rests_on_no_caller(liar, liar_rpc, closed, chain):
    liar.change = lie("eth_chainId", hex(chain))
    verdict = keeps((await examine(liar_rpc, closed)).verdict)
    assert told(verdict) == ("irreversible", "inert", "inert")
    assert "calls from the address 0 were followed" in next(c.detail for c in verdict.checks if c.name == "callers")


async def test_an_origin_of_0_closes_nothing(rpc, put):
    """Polygon's state syncs have it, and anybody's message reaches them."""
    verdict = keeps((await examine(rpc, await put("ORIGIN @no JUMPI 9 1 SSTORE no: STOP"))).verdict)
    assert told(verdict) == ("inconclusive", "acting", "acting_unconfirmed")


@pytest.mark.parametrize(
    ("answer", "selector"),
    [
        ("96 0 RETURN", "f465c77e"),
        ("1 0 MSTORE 32 0 RETURN", "920f5c84"),
        ("0xb0671381 224 SHL 0 MSTORE 32 0 RETURN", "1626ba7e"),
        ("0xf4dd92ce 224 SHL 0 MSTORE 32 0 RETURN", "f4dd92ce"),
    ],
)
async def test_an_answer_of_another_kind(rpc, put, answer, selector):
    only = f"0 CALLDATALOAD 224 SHR 0x{selector} EQ @yes JUMPI 0 0 REVERT yes: {answer}"
    verdict = keeps((await examine(rpc, await put(only))).verdict)
    assert told(verdict) == ("reversible", "inert", "authority_answer")
    assert verdict.witness.calldata[:4].hex() == selector


async def test_undecided(rpc, put):
    verdict = keeps((await examine(rpc, await put("0 CALLDATALOAD JUMP a: STOP b: STOP"))).verdict)
    assert told(verdict) == ("inconclusive", "undecided", "unknown_jump")


@pytest.mark.parametrize("state", [3, 2])
async def test_an_upgradeable_proxy(rpc, put, state):
    """EIP-1967: the implementation's code is proven, and executed on the proxy's storage."""
    await put(GUARDED, at=IMPLEMENTATION)
    proxy = f"""CALLDATASIZE 0 0 CALLDATACOPY 0 0 CALLDATASIZE 0 {IMPLEMENTATION_SLOT} SLOAD GAS DELEGATECALL
        RETURNDATASIZE 0 0 RETURNDATACOPY @ok JUMPI RETURNDATASIZE 0 REVERT ok: RETURNDATASIZE 0 RETURN"""
    await put(proxy, {IMPLEMENTATION_SLOT: int(IMPLEMENTATION, 16), 0: state})
    found = await examine(rpc, SUBJECT)
    verdict = keeps(found.verdict)
    assert list(found.evidence.targets) == [IMPLEMENTATION]
    assert set(prove(found.evidence).facts.storage) == {slot for slot, _ in verdict.slots}
    assert IMPLEMENTATION_SLOT in dict(verdict.slots)
    if state == 3:
        assert told(verdict) == ("irreversible", "inert", "inert")
        assert rpc.round_trips <= 6
    else:
        assert told(verdict) == ("reversible", "acting", "acting")
        assert verdict.witness.address == IMPLEMENTATION


async def test_slots_that_nobody_would_guess(rpc, put):
    """Proven on demand, in further rounds: the second is known only when the first one's value is."""
    first, second = 2**200 + 1, 2**201 + 7
    code = f"{first} SLOAD SLOAD 3 EQ @closed JUMPI 9 1 SSTORE STOP closed: 0 0 REVERT"
    verdict = keeps((await examine(rpc, await put(code, {first: second, second: 3}))).verdict)
    assert told(verdict) == ("irreversible", "inert", "inert")
    assert dict(verdict.slots) == {first: second, second: 3}


@pytest.mark.parametrize("address", [OWNER.address, checksum("ab" * 20)], ids=["of a key", "never used"])
async def test_no_code(rpc, anvil, address):
    await anvil.mine()  # Anvil's block 0 has the state root of an empty state
    await anvil.finalize()
    verdict = keeps((await examine(rpc, address)).verdict)
    assert told(verdict) == ("reversible", "not_run", "no_code")


async def test_no_code_yet(rpc, anvil, put):
    await anvil.mine(3)
    before = await anvil.block_number() - 1
    await put("STOP", final=False)
    for block in ("finalized", str(before)):
        verdict = keeps((await examine(rpc, SUBJECT, block)).verdict)
        assert told(verdict) == ("inconclusive", "not_run", "not_final")


async def test_a_chain_whose_first_block_is_its_finalized_one(rpc, anvil, put):
    """So it is for a while after every start of a devnet. Anvil's block 0 has the root of an empty state."""
    await put("STOP", final=False)
    assert await anvil.block_number("finalized") == 0
    verdict = keeps((await examine(rpc, SUBJECT)).verdict)
    assert told(verdict) == ("inconclusive", "not_run", "not_final")


async def test_a_delegated_account(rpc, put):
    verdict = keeps((await examine(rpc, await put(bytes.fromhex("ef0100" + "ab" * 20)))).verdict)
    assert told(verdict) == ("reversible", "not_run", "delegated_7702")
    assert checksum("ab" * 20) in verdict.detail


async def test_a_precompile(rpc, anvil):
    await anvil.mine()
    await anvil.finalize()
    verdict = keeps((await examine(rpc, checksum(f"{1:040x}"))).verdict)
    assert told(verdict) == ("inconclusive", "not_run", "system_address")


# --- blocks --------------------------------------------------------------------------------------------------------


async def test_above_finalized(rpc, put):
    await put(GUARDED, {0: 3}, final=False)
    verdict = keeps((await examine(rpc, SUBJECT, "latest")).verdict)
    assert told(verdict) == ("inconclusive", "inert", "not_final")
    assert failed(verdict) == {"finality"}
    await put(GUARDED, {0: 2}, final=False)
    assert told((await examine(rpc, SUBJECT, "latest")).verdict) == ("reversible", "acting", "acting")


async def test_history(rpc, anvil, put):
    await put(GUARDED, {0: 2})
    opened = await anvil.block_number("finalized")
    await put(GUARDED, {0: 3})
    then = await anvil.rpc("eth_getBlockByNumber", "finalized", False)
    await anvil.mine(5)
    for block in (then["number"], str(int(then["number"], 16)), then["hash"], then["hash"].upper().replace("X", "x")):
        verdict = keeps((await examine(rpc, SUBJECT, block)).verdict)
        assert told(verdict) == ("irreversible", "inert", "inert")
        assert verdict.block.hash == then["hash"]
    assert told((await examine(rpc, SUBJECT, str(opened))).verdict) == ("reversible", "acting", "acting")
    assert told((await examine(rpc, SUBJECT, "safe")).verdict) == ("inconclusive", "inert", "not_final")


@pytest.mark.parametrize("block", ["999999999", "0x" + "77" * 32])
async def test_blocks_that_are_not_there(rpc, block):
    verdict = keeps((await examine(rpc, SUBJECT, block)).verdict)
    assert told(verdict) == ("inconclusive", "not_run", "no_such_block")


@pytest.mark.parametrize("block", ["", "pending", "earliest", "-1", "0x", "0xzz", "1" * 30, "0x" + "1" * 63, "1.5"])
def test_blocks_that_are_none(block):
    with pytest.raises(SettingsError):
        parse_block(block)


# --- a node that lies, or cannot answer ----------------------------------------------------------------------------


@pytest.fixture
async def subject(put):
    return await put(GUARDED, {0: 3})


async def test_the_truth_through_the_liar(liar, liar_rpc, subject):
    assert told((await examine(liar_rpc, subject)).verdict) == ("irreversible", "inert", "inert")


def _changed(*path, value):
    def change(answer):
        place = answer
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value(place[path[-1]]) if callable(value) else value
        return answer

    return change


def _finalized(request):
    return request["params"][0] == "finalized"


WORD = "0x" + "11" * 32
LIES = {
    "state root": (
        lie("eth_getBlockByNumber", _changed("stateRoot", value=WORD), when=_finalized),
        "header_mismatch",
        "block_hash",
    ),
    "block hash": (
        lie("eth_getBlockByNumber", _changed("hash", value=WORD), when=_finalized),
        "header_mismatch",
        "block_hash",
    ),
    "time": (
        lie("eth_getBlockByNumber", _changed("timestamp", value="0x1"), when=_finalized),
        "header_mismatch",
        "block_hash",
    ),
    "account proof": (
        lie("eth_getProof", _changed("accountProof", -1, value=lambda node: node[:-2] + "00")),
        "proof_invalid",
        "account_proof",
    ),
    "balance": (lie("eth_getProof", _changed("balance", value="0x7")), "proof_invalid", "account_proof"),
    "another account": (
        lie("eth_getProof", _changed("address", value="0x" + "22" * 20)),
        "proof_invalid",
        "account_proof",
    ),
    "slot's value": (
        lie("eth_getProof", _changed("storageProof", 0, "value", value="0x2")),
        "proof_invalid",
        "storage_proofs",
    ),
    "slot's proof": (
        lie("eth_getProof", _changed("storageProof", 0, "proof", value=[])),
        "proof_invalid",
        "storage_proofs",
    ),
    "slots left out": (lie("eth_getProof", _changed("storageProof", value=[])), "missing_fact", None),
    "other code": (lie("eth_getCode", "0x00"), "proof_invalid", "code_hash"),
    "no code": (lie("eth_getCode", "0x"), "proof_invalid", "code_hash"),
}


@pytest.mark.parametrize("which", LIES)
async def test_a_lie_is_found_and_named(liar, liar_rpc, subject, which):
    liar.change, reason, check = LIES[which]
    verdict = keeps((await examine(liar_rpc, subject)).verdict)
    assert (verdict.verdict, verdict.reason) == ("inconclusive", reason)
    assert check is None or check in failed(verdict)


async def test_slots_that_are_asked_again_are_given(liar, liar_rpc, subject):
    """A node that leaves the guessed slots out is asked for those that matter."""
    asked = []

    def once(request, answer):
        if request["method"] == "eth_getProof":
            asked.append(len(request["params"][1]))
            if len(asked) == 1:
                answer["result"]["storageProof"] = []
        return answer

    liar.change = once
    assert told((await examine(liar_rpc, subject)).verdict)[0] == "irreversible"
    assert asked[1] < asked[0]


@pytest.mark.parametrize(("chain", "name"), [("0x144", "zkSync Era"), ("0x12c", "zkSync Sepolia")])
async def test_a_chain_that_runs_no_evm_bytecode_is_refused_by_name(liar, liar_rpc, subject, chain, name):
    """Whatever its headers and proofs come to."""
    liar.change = lie("eth_chainId", chain)
    verdict = keeps((await examine(liar_rpc, subject)).verdict)
    assert told(verdict) == ("inconclusive", "not_run", "unsupported_chain")
    assert verdict.detail == (
        f"{name} (eip155:{int(chain, 16)}) does not run EVM bytecode, so nothing can be proven about its contracts"
    )


class Amsterdam:
    """A chain of Amsterdam's headers over Anvil's states: Anvil 1.7.1 does not know that fork."""

    def __init__(self, liar) -> None:
        self.real = {}
        liar.ask, liar.change = self._ask, self._change

    def _ask(self, request):
        text = json.dumps(request)
        for hash_, real in self.real.items():
            text = text.replace(hash_, real)
        return json.loads(text)

    def _change(self, request, answer):
        block = answer.get("result")
        if request["method"].startswith("eth_getBlockBy") and block is not None:
            fields = dict(verify_header(block).fields)
            real = fields.pop("hash")
            fields |= {"blockAccessListHash": "0x" + "ba" * 32, "slotNumber": "0x77"}
            block |= {**fields, "hash": hash_of(fields)}
            self.real[block["hash"]] = real
        return answer


async def test_a_chain_of_amsterdam(liar, liar_rpc, rpc, put):
    """Proven to the certificate, by code that uses all of its instructions; before that fork they are undefined."""
    open_again = "9 1 SSTORE STOP"
    zeros = "0 " * 15
    program = code(f"""
        0 SLOAD x"4b" {zeros} x"e680" 3 EQ {zeros} x"e780" POP {"POP " * 14} 0 x"e88e" POP POP POP
        0 SLOAD 3 EQ @closed JUMPI {open_again} closed: 0 0 REVERT""")
    subject = await put(program, {0: 3})
    assert told((await examine(rpc, subject)).verdict) == ("inconclusive", "undecided", "undefined_opcode")
    Amsterdam(liar)
    found = await examine(liar_rpc, subject)
    verdict = keeps(found.verdict)
    assert told(verdict) == ("irreversible", "inert", "inert")
    document = json.loads(build_certificate(found.evidence, verdict))
    assert (document["header"]["slotNumber"], document["block"]["hash"]) == ("0x77", verdict.block.hash)
    assert any("(Amsterdam or later, by the header)" in line for line in document["restsOn"])
    assert any(line.startswith("EIP-8024: ") for line in document["restsOn"]), "a draft whose encoding changed before"
    opened = await put(program, {0: 4})
    verdict = keeps((await examine(liar_rpc, opened)).verdict)
    assert told(verdict)[1] == "acting"


def _misspelt(request, answer):
    """As nodes and gateways of the field write numbers; no value is changed."""
    result = answer.get("result")
    if request["method"] == "eth_getBlockByNumber":
        result["number"] = "0x0" + result["number"][2:]
        result["timestamp"] = int(result["timestamp"], 16)
        result |= {"difficulty": "0x00", "gasUsed": "0x", "nonce": None, "l1BlockNumber": "0x1"}
    if request["method"] == "eth_getProof":
        result["nonce"] = "0x0" + result["nonce"][2:]
        result["balance"] = int(result["balance"], 16)
        for entry in result["storageProof"]:
            entry["key"] = f"0x{int(entry['key'], 16):02x}"
            entry["value"] = "0x" if int(entry["value"], 16) == 0 else "0x0" + entry["value"][2:]
            entry["proof"] = [*entry["proof"], "0x80"]
        result["storageProof"] = result["storageProof"] or None
    return answer


async def test_what_is_misspelt_is_proven_and_written_in_one_spelling(liar, liar_rpc, put):
    """The account, and one that it continues in."""
    await put(GUARDED, at=IMPLEMENTATION)
    subject = await put(
        bytes.fromhex(f"363d3d373d3d3d363d73{IMPLEMENTATION[2:]}5af43d82803e903d91602b57fd5bf3"), {0: 3}
    )
    plain = (await examine(liar_rpc, subject)).evidence
    liar.change = _misspelt
    examination = await examine(liar_rpc, subject)
    assert told(examination.verdict) == ("irreversible", "inert", "inert")
    assert examination.evidence == plain


@pytest.mark.parametrize(
    ("code", "message", "reason"),
    [
        (-32601, "the method eth_getProof does not exist", "no_proof_method"),
        (-32000, "missing trie node 1234 (path ) state 0x11 is not available", "state_pruned"),
        (-32000, "historical state unavailable", "state_pruned"),
        (-32602, "distance to target block exceeds maximum proof window", "state_pruned"),
        (-32000, "World state unavailable", "state_pruned"),
        (-32600, "eth_getProof is not available on the Free tier", "rpc_plan"),
        (-32000, "Account not found", "no_code"),
        (-32016, "over rate limit", "rpc_overload"),
        (-32000, "computer says no", "rpc_refused"),
    ],
)
async def test_refusals_say_what_they_mean(liar, liar_rpc, subject, code, message, reason):
    liar.change = refuse(lambda request: request["method"] == "eth_getProof", code, message)
    verdict = keeps((await examine(liar_rpc, subject)).verdict)
    assert told(verdict) == ("inconclusive", "not_run", reason)


async def test_a_method_that_is_missing_is_no_chain_of_another_kind(liar, liar_rpc, subject):
    liar.change = refuse(lambda request: request["method"] == "eth_getProof", -32601, "Method not found")
    verdict = (await examine(liar_rpc, subject)).verdict
    assert "does not have the method eth_getProof" in verdict.detail
    assert "Ethereum" not in verdict.detail


@pytest.mark.parametrize("most", [1, 3, 4])
async def test_a_node_with_small_batches_is_proven_all_the_same(liar, liar_rpc, subject, most):
    error = {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "batch too large"}}
    liar.gate = lambda calls: web.json_response(error) if len(calls) > most else None
    assert told((await examine(liar_rpc, subject)).verdict) == ("irreversible", "inert", "inert")


async def test_a_block_that_cannot_be_read_again_for_a_rate_limit_has_not_left_the_chain(liar, liar_rpc, subject):
    asked = itertools.count()
    liar.change = refuse(
        lambda request: request["params"][:1] == ["finalized"] and next(asked) > 0, -32016, "over rate limit"
    )
    assert told((await examine(liar_rpc, subject)).verdict) == ("inconclusive", "inert", "rpc_overload")


async def test_newest_code_that_cannot_be_asked(liar, liar_rpc, subject):
    """It matters for an account without code only."""
    liar.change = refuse(lambda request: request["method"] == "eth_getCode" and request["params"][1] == "latest")
    assert told((await examine(liar_rpc, subject)).verdict) == ("irreversible", "inert", "inert")
    verdict = keeps((await examine(liar_rpc, checksum("ab" * 20))).verdict)
    assert told(verdict) == ("inconclusive", "not_run", "latest_unknown")


async def test_a_node_without_finalized(liar, liar_rpc, subject):
    liar.change = refuse(lambda request: request["params"][:1] in (["finalized"], ["safe"]), -32602, "unknown tag")
    verdict = keeps((await examine(liar_rpc, subject)).verdict)
    assert told(verdict) == ("inconclusive", "inert", "not_final")
    assert "no finalized block" in verdict.detail


async def test_a_node_without_block_hashes_is_asked_by_number(liar, liar_rpc, subject):
    liar.change = refuse(
        lambda request: any(isinstance(param, dict) and "blockHash" in param for param in request["params"]),
        -32602,
        "invalid argument: hex string expected",
    )
    found = await examine(liar_rpc, subject)
    assert told(found.verdict) == ("irreversible", "inert", "inert")
    assert liar_rpc.round_trips <= 5


async def test_a_block_that_is_replaced_while_it_is_read(liar, liar_rpc, subject):
    seen = []

    def replaced(request, answer):
        if request["method"] == "eth_getBlockByNumber" and request["params"][0].startswith("0x"):
            seen.append(1)
            if len(seen) <= limit:
                return {**answer, "result": {**answer["result"], "hash": WORD}}
        return answer

    liar.change = replaced
    limit = 1
    assert told((await examine(liar_rpc, subject)).verdict) == ("irreversible", "inert", "inert")
    assert len(seen) == 2, "read again, from the beginning"
    limit = 1000
    verdict = keeps((await examine(liar_rpc, subject)).verdict)
    assert told(verdict) == ("inconclusive", "inert", "not_canonical")


async def test_a_finality_violation(anvil, rpc, put):
    await put(GUARDED, {0: 3})
    block = await anvil.rpc("eth_getBlockByNumber", "finalized", False)
    assert told((await examine(rpc, SUBJECT, block["hash"])).verdict)[0] == "irreversible"
    await anvil.reorg(await anvil.block_number() - int(block["number"], 16) + 1)
    await anvil.mine(4)
    verdict = keeps((await examine(rpc, SUBJECT, block["hash"])).verdict)
    assert verdict.verdict == "inconclusive"
    assert verdict.reason in ("no_such_block", "not_canonical")


async def test_a_node_that_cannot_be_reached():
    async with Rpc("http://127.0.0.1:9", timeout=2) as rpc:
        verdict = keeps((await examine(rpc, SUBJECT)).verdict)
    assert told(verdict) == ("inconclusive", "not_run", "chain_unreachable")
    assert (verdict.chain_id, verdict.block, verdict.code_hash) == (None, None, None)


async def _slow(_request):
    import asyncio

    await asyncio.sleep(20)
    return web.Response(text="late")


async def _garbage(_request):
    return web.Response(text="<html>not json", content_type="application/json")


async def _endless(_request):
    return web.Response(text="[" + " " * 3_000_000 + "]", content_type="application/json")


async def _deep(_request):
    return web.Response(text="[" * 100_000 + "]" * 100_000, content_type="application/json")


async def _broken(_request):
    return web.Response(status=503)


@pytest.mark.parametrize("answer", [_slow, _garbage, _endless, _deep, _broken])
async def test_answers_that_are_none(liar, answer):
    liar.raw = answer
    async with Rpc(liar.url, timeout=0.3, max_answer_bytes=1_000_000, patience=0) as rpc:
        verdict = keeps((await examine(rpc, SUBJECT)).verdict)
    assert verdict.verdict == "inconclusive"
    assert verdict.reason in ("chain_unreachable", "chain_nonsense", "answer_unreadable", "answer_too_large")


VALUES = [
    None,
    True,
    5,
    2**4000,
    "",
    "0x",
    "0xzz",
    "0x0",
    "0x" + "f" * 64,
    "0x" + "f" * 100_000,
    [],
    {},
    [{}],
    "\ud800",
]
METHODS = (
    "eth_chainId",
    "eth_getBlockByNumber",
    "eth_getProof",
    "eth_getCode",
    "eth_call",
    "eth_getLogs",
    "debug_traceCall",
    "eth_getStorageAt",
)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("state", [3, 2], ids=["closed", "open"])
async def test_values_of_every_type_never_raise_and_never_pass(liar, liar_rpc, put, method, state):
    await put(GUARDED, {0: state})
    for value in VALUES:
        liar.change = lie(method, value)
        verdict = keeps((await examine(liar_rpc, SUBJECT)).verdict)
        assert verdict.reason != "internal", (value, verdict)
        if state == 2 or method in METHODS[:4]:
            assert verdict.verdict != "irreversible", (value, verdict)


# --- residue -------------------------------------------------------------------------------------------------------


def kinds(verdict):
    return {item.kind for item in verdict.residue}


async def test_residue_stands_beside_the_verdict(rpc, anvil, wallets, account_id):
    wallet, _ = await wallets.deploy(account_id)
    await wallets.activate(wallet)
    token = await wallets.create("TestToken")
    await wallets.do(wallet, "approveEscrow(address,uint256)", token, 12345, sender=OWNER.address)
    await wallets.close(wallet)
    await anvil.set_balance(wallet, 77)
    _, entry_point = ENTRY_POINTS[1]
    await anvil.rpc("anvil_setCode", entry_point, "0x" + assemble("4242 0 MSTORE 32 0 RETURN").hex())
    await anvil.mine()
    await anvil.finalize()
    verdict = keeps((await examine(rpc, wallet)).verdict)
    assert told(verdict) == ("irreversible", "inert", "inert")
    text = {item.kind: item.detail for item in verdict.residue}
    assert text["ether"] == "it holds 77 wei, which can never leave"
    assert text["entry_point_deposit"] == f"4242 wei in EntryPoint 0.7 ({entry_point})"
    assert token in text["approval"]
    assert "12345" in text["approval"]
    assert text["not_looked_at"]


async def test_ether_and_logs_that_can_come(rpc, put):
    verdict = keeps((await examine(rpc, await put("0 0 LOG0 STOP"))).verdict)
    assert verdict.verdict == "irreversible"
    assert {"takes_ether", "logs"} <= kinds(verdict)


async def test_logs_that_a_node_does_not_search(liar, liar_rpc, subject):
    liar.change = refuse(lambda request: request["method"] == "eth_getLogs", -32005, "query exceeds max results")
    verdict = keeps((await examine(liar_rpc, subject)).verdict)
    assert verdict.verdict == "irreversible"
    assert "unknown" in kinds(verdict)
