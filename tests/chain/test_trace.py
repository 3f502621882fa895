"""Witnesses on a real Anvil: what counts as done, and what only looks like it."""

from __future__ import annotations

import pytest

from orchestrator.chain.examination.frames import effects, last_return, visited
from orchestrator.chain.examination.trace import Attempt, confirm, unrealizable
from orchestrator.chain.examination.witnesses import Search
from orchestrator.closure.evm.analysis import analyse
from orchestrator.closure.evm.facts import AccountFacts, Authority, Finding
from orchestrator.closure.witness.call import SYSTEM_ADDRESS, Call
from orchestrator.devnet.anvil import Anvil
from orchestrator.devnet.dev_accounts import DEV_ACCOUNTS
from orchestrator.errors import ChainNonsense
from orchestrator.models import BlockHash, BlockNumber, BlockRef
from tests.closure.cases.assembler import assemble

ACCOUNT, LIBRARY, HELPER = 0xACC0_0000_0001, 0x11B0_0000_0001, 0x4E10_0000_0001
SENDER = int(DEV_ACCOUNTS[3].address, 16)
POOR = 0x700A_0000_0001
BLOCK = BlockRef(BlockNumber(10), BlockHash("0x" + "ab" * 32))


def place(code: bytes, opcode: int) -> int:
    """Where a byte stands; it must stand there once."""
    assert code.count(opcode) == 1
    return code.index(opcode)


def hexed(address: int) -> str:
    return f"0x{address:040x}"


@pytest.fixture(scope="module")
def node():
    """One for all tests here, taken back to its beginning after each."""
    with Anvil() as node:
        yield node


@pytest.fixture
async def anvil(node):
    snapshot = await node.snapshot()
    yield node
    await node.revert(snapshot)


@pytest.fixture
def attempt(anvil, rpc):
    """Puts code at the account (and others), and tries one call for one finding."""

    async def run(
        program, opcode, *, storage=None, others=None, where=ACCOUNT, known=None, authority=None, balance=0, **call
    ):
        code = assemble(program)
        codes = {ACCOUNT: code, **{address: assemble(text) for address, text in (others or {}).items()}}
        for address, data in codes.items():
            await anvil.rpc("anvil_setCode", hexed(address), "0x" + data.hex())
        for slot, value in (storage or {}).items():
            await anvil.rpc("anvil_setStorageAt", hexed(ACCOUNT), f"0x{slot:064x}", f"0x{value:064x}")
        await anvil.mine()
        await anvil.set_balance(hexed(ACCOUNT), balance)
        target = authority
        if isinstance(opcode, Finding):
            target = opcode
        elif target is None:
            byte = assemble(opcode)[0]
            target = Finding(where, place(codes[where], byte), opcode, ())
        one = Attempt(target, Call(**{"sender": SENDER, "calldata": b"", **call}))
        head = await anvil.rpc("eth_getBlockByNumber", "latest", False)
        found = storage or {} if known is None else known
        now = {name: int(head[name], 16) for name in ("timestamp", "number")}
        (outcome,) = await confirm(rpc, {"blockHash": head["hash"]}, ACCOUNT, [one], {0: 0, **found}, **now)
        assert outcome.detail
        return outcome

    return run


async def test_a_write_that_changes_the_value(attempt):
    outcome = await attempt("9 0 SSTORE STOP", "SSTORE")
    assert outcome.confirmed
    assert outcome.detail == "slot 0x0 becomes 0x9, proven is 0x0"


async def test_a_write_of_the_same_value(attempt):
    outcome = await attempt("9 0 SSTORE STOP", "SSTORE", storage={0: 9})
    assert not outcome.confirmed
    assert "changes no value" in outcome.detail


async def test_a_lock_that_is_opened_again(attempt):
    """2 and then 1 into the same slot: the instruction is executed, and nothing has changed in the end."""
    code = "1 2 @w JUMP w: 0 SSTORE DUP1 @again JUMPI STOP again: 0 SWAP1 @w JUMP"
    outcome = await attempt(code, "SSTORE", storage={0: 1})
    assert (outcome.confirmed, outcome.detail.endswith("changes no value")) == (False, True)


async def test_a_write_to_a_slot_that_nobody_proved(attempt):
    to_input = "9 0 CALLDATALOAD SSTORE STOP"
    slot = (2**77).to_bytes(32, "big")
    assert (await attempt(to_input, "SSTORE", calldata=slot)).confirmed
    assert not (await attempt(to_input, "SSTORE", storage={2**77: 9}, known={}, calldata=slot)).confirmed


async def test_a_call_that_fails_at_the_top(attempt):
    outcome = await attempt("9 0 SSTORE 0 0 REVERT", "SSTORE")
    assert (outcome.confirmed, outcome.detail) == (False, "the call fails")


async def test_an_instruction_that_is_not_reached(attempt):
    outcome = await attempt("@on JUMP 9 0 SSTORE on: STOP", "SSTORE")
    assert not outcome.confirmed
    assert "without SSTORE" in outcome.detail


CALLS_ITSELF = "CALLDATASIZE @inner JUMPI 0 0 1 0 0 ADDRESS GAS CALL POP STOP inner: 9 0 SSTORE {end}"


async def test_a_write_in_a_frame_that_is_undone(attempt):
    outcome = await attempt(CALLS_ITSELF.format(end="0 0 REVERT"), "SSTORE")
    assert not outcome.confirmed
    assert "without SSTORE" in outcome.detail
    assert (await attempt(CALLS_ITSELF.format(end="STOP"), "SSTORE")).confirmed
    assert not (await attempt(CALLS_ITSELF.format(end="0 0 REVERT"), "CALL")).confirmed, "it goes to the account"


async def test_a_frame_whose_caller_is_undone(attempt):
    """The library's write succeeds; the account's frame around it fails, in a call of the account to itself."""
    code = (
        f"CALLDATASIZE @inner JUMPI 0 0 1 0 0 ADDRESS GAS CALL POP STOP "
        f"inner: 0 0 0 0 {hexed(LIBRARY)} GAS DELEGATECALL POP {{end}}"
    )
    others = {LIBRARY: "9 0 SSTORE STOP"}
    undone = await attempt(code.format(end="0 0 REVERT"), "SSTORE", others=others, where=LIBRARY)
    assert not undone.confirmed
    assert (await attempt(code.format(end="STOP"), "SSTORE", others=others, where=LIBRARY)).confirmed


async def test_a_write_of_another_account_is_not_the_accounts(attempt):
    """The same code at the same place, on another account's storage."""
    code = f"0 0 0 0 0 {hexed(LIBRARY)} GAS CALL POP STOP"
    outcome = await attempt(code, "SSTORE", others={LIBRARY: "9 0 SSTORE STOP"}, where=LIBRARY)
    assert not outcome.confirmed


ASKS_ITSELF = "CALLDATASIZE @inner JUMPI {ask} POP STOP inner: 0 0 0 0 0 ORIGIN GAS CALL POP STOP"
BY_CALL, BY_STATICCALL = "0 0 1 0 0 ADDRESS GAS CALL", "0 0 1 0 ADDRESS GAS STATICCALL"
THROUGH = f"CALLDATASIZE 0 0 CALLDATACOPY 0 0 CALLDATASIZE 0 0 {hexed(ACCOUNT)} GAS CALL STOP"


@pytest.mark.parametrize(
    ("ask", "acts"),
    [
        (BY_CALL, True),
        (BY_STATICCALL, False),
        (BY_STATICCALL.replace("ADDRESS", hexed(LIBRARY)), False),  # which calls back
        (BY_CALL.replace("ADDRESS", hexed(LIBRARY)), True),
    ],
)
async def test_nothing_comes_of_what_is_done_in_a_static_frame(attempt, ask, acts):
    """A CALL without ether is allowed there, and whoever is called can change nothing."""
    program = ASKS_ITSELF.format(ask=ask)
    inner = Finding(ACCOUNT, assemble(program).rindex(assemble("CALL")), "CALL", ())
    outcome = await attempt(program, inner, others={LIBRARY: THROUGH})
    assert (outcome.confirmed, "without CALL" in outcome.detail) == (acts, not acts)


PAYS = f"0 0 0 0 7 {hexed(HELPER)} GAS CALL POP STOP"
NOTHING_TO = "0 0 0 0 0 {} GAS CALL POP STOP"
DEPLOYS = "0 0 7 CREATE POP STOP"


@pytest.mark.parametrize(
    ("program", "opcode", "balance", "acts"),
    [
        (NOTHING_TO.format(0x10000), "CALL", 0, True),
        (NOTHING_TO.format(0xFFFF), "CALL", 0, False),  # precompiles: they compute
        (NOTHING_TO.format(4), "CALL", 0, False),
        ("0 0 0 0 7 4 GAS CALL POP STOP", "CALL", 7, True),
        ("CALLER ADDRESS EQ @inner JUMPI 0 0 0 0 0 ADDRESS GAS CALL POP STOP inner: 0 0 REVERT", "CALL", 0, False),
        ("CALLER ADDRESS EQ @inner JUMPI 0 0 0 0 7 ADDRESS GAS CALL POP STOP inner: STOP", "CALL", 7, False),
        (PAYS, "CALL", 7, True),
        (PAYS, "CALL", 6, False),
        (f"0 0 0 0 0 {hexed(LIBRARY)} GAS CALL POP STOP", "CALL", 0, True),  # it fails, and was called
        ("0 0 0 CREATE POP STOP", "CREATE", 0, True),
        ("0xfe 0 MSTORE 1 31 0 CREATE POP STOP", "CREATE", 0, True),  # the new code fails: a nonce is used
        (DEPLOYS, "CREATE", 7, True),
        (DEPLOYS, "CREATE", 6, False),
        ("0 SELFDESTRUCT", "SELFDESTRUCT", 0, True),
        ("ADDRESS SELFDESTRUCT", "SELFDESTRUCT", 7, False),
    ],
)
async def test_what_acts_by_being_executed(attempt, program, opcode, balance, acts):
    """A call or a creation that the account has not the ether for is not made; ether for itself goes nowhere, and so
    do calls to itself and, without ether, to precompiles."""
    outcome = await attempt(program, opcode, balance=balance, others={LIBRARY: "0 0 REVERT"})
    assert outcome.confirmed is acts
    assert acts or "nothing leaves the account" in outcome.detail
    assert outcome.unpaid == (7 if balance == 6 else 0)


async def test_a_self_destruct_in_its_own_favour_acts_where_code_is_not_permanent(anvil, rpc):
    """Not every header shows EIP-6780: before it, such an account loses its code, and may be created anew."""
    code = assemble("ADDRESS SELFDESTRUCT")
    await anvil.rpc("anvil_setCode", hexed(ACCOUNT), "0x" + code.hex())
    await anvil.mine()
    head = await anvil.rpc("eth_getBlockByNumber", "latest", False)
    block = BlockRef(BlockNumber(int(head["number"], 16)), BlockHash(head["hash"]))
    facts = AccountFacts(ACCOUNT, code, complete=True, permanent=False)
    search = Search(rpc, {"blockHash": block.hash}, facts, analyse(facts), block, int(head["timestamp"], 16), print)
    await search.run()
    assert (search.witness.confirmed, search.witness.opcode) == (True, "SELFDESTRUCT")


DELEGATES = f"0 0 0 0 {hexed(LIBRARY)} GAS DELEGATECALL"
CALLS_CODE = f"0 0 0 0 0 {hexed(LIBRARY)} GAS CALLCODE"
NO_CODE, IDLE = "no code ran: there is none", "what it ran changes nothing and calls nobody"


@pytest.mark.parametrize("program", [DELEGATES, CALLS_CODE], ids=["DELEGATECALL", "CALLCODE"])
@pytest.mark.parametrize(
    ("library", "came"),
    [
        ("", NO_CODE),
        ("STOP", IDLE),
        ("0 SLOAD 0 MSTORE 32 0 RETURN", IDLE),
        ("3 0 SSTORE STOP", IDLE),  # what is there already
        ("9 0 SSTORE STOP", "SSTORE"),
        ("9 0 SSTORE 3 0 SSTORE STOP", IDLE),  # a lock that is set and released
        ("9 0 SSTORE 0 0 REVERT", IDLE),  # and undone
        (f"9 {2**77} SSTORE STOP", "SSTORE"),  # a slot that nobody proved
        (f"0 {2**77} SSTORE STOP", IDLE),
        ("9 0 TSTORE 0 0 LOG0 STOP", IDLE),
        (f"0 0 0 0 {hexed(HELPER)} GAS STATICCALL POP STOP", IDLE),
        (f"0 0 0 0 0 {hexed(HELPER)} GAS CALL POP STOP", "CALL"),
        (f"0 0 0 0 0 {hexed(HELPER)} GAS CALL POP 0 0 REVERT", IDLE),
        (f"0 0 0 0 7 {hexed(HELPER)} GAS CALL POP STOP", IDLE),  # it has no ether
        ("0 0 0 CREATE POP STOP", "CREATE"),
        (f"{hexed(HELPER)} SELFDESTRUCT", "SELFDESTRUCT"),
        (f"{hexed(ACCOUNT)} SELFDESTRUCT", IDLE),
        (f"0 0 0 0 {hexed(HELPER)} GAS DELEGATECALL POP STOP", IDLE),
    ],
)
async def test_what_runs_others_code_acts_by_what_comes_of_it(attempt, program, library, came):
    opcode = program.split()[-1]
    outcome = await attempt(f"{program} POP STOP", opcode, storage={0: 3}, others={LIBRARY: library})
    if came in (NO_CODE, IDLE):
        assert (outcome.confirmed, outcome.idle, outcome.detail.rpartition(", but ")[2]) == (False, True, came)
    else:
        assert outcome.confirmed
        assert f", then {came} at " in outcome.detail, "what acted is named"


async def test_an_idle_delegate_hides_no_act_beside_it(attempt):
    outcome = await attempt(f"{DELEGATES} POP 9 0 SSTORE STOP", "DELEGATECALL")
    assert (outcome.confirmed, outcome.idle, ", then SSTORE at " in outcome.detail) == (True, False, True)


async def test_later_times_and_blocks(attempt):
    late = "2000000000 TIMESTAMP GT @on JUMPI 0 0 REVERT on: 9 0 SSTORE STOP"
    assert not (await attempt(late, "SSTORE")).confirmed
    assert (await attempt(late, "SSTORE", timestamp=2_000_000_001)).confirmed
    high = "1000000 NUMBER GT @on JUMPI 0 0 REVERT on: 9 0 SSTORE STOP"
    assert not (await attempt(high, "SSTORE")).confirmed
    assert (await attempt(high, "SSTORE", number=1_000_001)).confirmed


async def test_a_sender_gets_the_ether_that_it_needs(attempt):
    rich = f"CALLVALUE {10**30} EQ @on JUMPI 0 0 REVERT on: 9 0 SSTORE STOP"
    assert (await attempt(rich, "SSTORE", sender=POOR, value=10**30)).confirmed


async def test_code_at_fresh_addresses_only(attempt):
    asks = f"0 0 0 0 0 {hexed(HELPER)} GAS CALL POP 32 0 0 RETURNDATACOPY 0 MLOAD 0 SSTORE STOP"
    nine = assemble("9 0 MSTORE 32 0 RETURN")
    assert (await attempt(asks, "SSTORE", codes={HELPER: nine})).confirmed
    taken = await attempt(asks, "SSTORE", others={HELPER: "STOP"}, codes={HELPER: nine})
    assert (taken.confirmed, "not fresh" in taken.detail) == (False, True)


ERC1271 = Authority("isValidSignature(bytes32,bytes)", 0x1626BA7E, ())
VALIDATE = Authority("validateUserOp, EntryPoint 0.6", 0x3A871CDD, ())


@pytest.mark.parametrize(
    ("authority", "answer", "yes"),
    [
        (ERC1271, "0x1626ba7e 224 SHL", True),
        (ERC1271, "0xffffffff 224 SHL", False),
        (ERC1271, "0x1626ba7e", False),
        (VALIDATE, "0", True),
        (VALIDATE, "1", False),
        (VALIDATE, f"{2**40} 160 SHL", True),  # valid until then
        (VALIDATE, "1 160 SHL", False),  # that has passed
        (VALIDATE, f"{2**40} 208 SHL", True),  # valid from then on
        (VALIDATE, f"{2**46} 208 SHL", False),  # that never comes
        (VALIDATE, f"8 208 SHL {2**40} 160 SHL OR", True),
        (VALIDATE, f"{2**40} 208 SHL 8 160 SHL OR", False),  # from then on, until before that
    ],
)
async def test_answers(attempt, authority, answer, yes):
    program = f"{answer} 0 MSTORE 32 0 RETURN"
    outcome = await attempt(program, "RETURN", authority=authority)
    assert outcome.confirmed is yes
    assert outcome.place == (len(assemble(program)) - 1 if yes else None)


async def test_answers_that_are_none(attempt):
    for program in ("0 0 REVERT", "STOP", "0 0 MSTORE 3 0 RETURN"):
        assert not (await attempt(program, "RETURN", authority=VALIDATE)).confirmed


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ({"sender": 0}, "nobody can send"),
        ({"sender": ACCOUNT}, "the account itself"),
        ({"sender": 0xFFFF}, "nobody can send"),
        ({"sender": SYSTEM_ADDRESS}, "nobody can send"),
        ({"sender": 2**160}, "nobody can send"),
        ({"timestamp": 999}, "in the past"),
        ({"number": 9}, "earlier block"),
        ({"timestamp": 2**46}, "never comes"),
        ({"number": 2**46}, "never comes"),
        ({"timestamp": 2**46 - 1, "number": 2**46 - 1}, None),
        ({"codes": {ACCOUNT: b""}}, "none can be deployed"),
        ({"codes": {1: b""}}, "none can be deployed"),
        ({}, None),
        ({"sender": 0x10000, "timestamp": 1000, "number": 10, "codes": {HELPER: b"\0"}}, None),
    ],
)
def test_calls_that_nobody_can_make(call, reason):
    made = Attempt(Finding(ACCOUNT, 0, "CALL", ()), Call(**{"sender": SENDER, "calldata": b"", **call}))
    found = unrealizable(ACCOUNT, made, BLOCK, 1000)
    assert found is None if reason is None else reason in found


def test_of_what_could_not_be_paid_the_least_is_enough():
    """A call that no ether in the world is enough for does not hide the one behind it; a made one lacks nothing."""
    calls = [step(pc, "CALL", 1, (0, 0, 0, 0, wei, HELPER, 9)) for pc, wei in enumerate((2**255, 5, 7, 0, 1))]
    failed, made = step(9, "POP", 1, (0,)), step(9, "POP", 1, (1,))
    done = effects(trace(*(one for call in calls[:4] for one in (call, failed)), calls[4], made), ACCOUNT)
    assert (done.unpaid, done.called) == (5, {(ACCOUNT, 4, "CALL")})


# --- traces that no node should send -------------------------------------------------------------------------------


def step(pc, op, depth=1, stack=()):
    return {"pc": pc, "op": op, "depth": depth, "stack": [hex(word) for word in stack]}


def trace(*steps, failed=False):
    return {"failed": failed, "gas": 1, "returnValue": "", "structLogs": list(steps)}


def test_words_with_and_without_a_prefix():
    for shown in ("0x9", "9", "0" * 63 + "9", "0x" + "0" * 63 + "9"):
        logs = [{"pc": 4, "op": "SSTORE", "depth": 1, "stack": [shown, "0x1"]}]
        assert effects(trace(*logs), ACCOUNT).writes == {1: 9}


def test_old_names_of_instructions():
    assert (ACCOUNT, 0, "SELFDESTRUCT") in effects(trace(step(0, "SUICIDE", 1, (0,))), ACCOUNT).executed


@pytest.mark.parametrize(
    "hostile",
    [
        None,
        [],
        {},
        {"structLogs": []},
        {"failed": "no", "structLogs": []},
        {"failed": False, "structLogs": {}},
        trace(None),
        trace({}),
        trace({"pc": "0", "op": "STOP", "depth": 1}),
        trace(step(0, "SSTORE")),
        trace({"pc": 0, "op": "SSTORE", "depth": 1, "stack": [1, None]}),
        trace({"pc": 0, "op": "SSTORE", "depth": 1, "stack": ["0xzz", "0x"]}),
        trace(step(0, "STOP"), step(0, "STOP", 2)),
        trace(step(0, "STOP"), step(0, "STOP", 0)),
        trace(step(0, "CALL", 1, (0, 0, 0, 0, 0, 5, 9)), step(0, "STOP", 3)),
        trace(step(0, "CALL", 1, (0, 0, 0, 0, 0, 5, 9)), step(0, "STOP", 2)),
        trace(step(0, "CALL", 1, (0, 0, 0, 0, 0, 5, 9)), step(0, "STOP", 2), step(1, "STOP", 1)),
    ],
)
def test_traces_that_cannot_be(hostile):
    with pytest.raises(ChainNonsense):
        effects(hostile, ACCOUNT)


def test_what_is_read_of_a_trace_at_its_best():
    calls = trace(
        step(0, "CALL", 1, (0, 0, 0, 0, 0, 5, 9)), step(1, "STATICCALL", 1, (0, 0, 0, 6, 9)), step(2, "RETURN")
    )
    assert (visited(calls), last_return(calls)) == ({5, 6}, 2)
    for hostile in (None, {}, {"structLogs": 5}, trace(None), trace(step(0, "CALL")), trace(step(0, "STOP"))):
        assert (visited(hostile), last_return(hostile)) == (set(), None)


def test_a_failed_trace_did_nothing():
    assert effects(trace(step(0, "SSTORE", 1, (9, 0)), failed=True), ACCOUNT) is None


async def test_a_node_that_does_not_trace(liar, liar_rpc):
    def refuse(request, answer):
        if request["method"] == "debug_traceCall":
            return {"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32601, "message": "no such method"}}
        return answer

    liar.change = refuse
    one = Attempt(Finding(ACCOUNT, 0, "CALL", ()), Call(sender=SENDER, calldata=b""))
    (outcome,) = await confirm(liar_rpc, "latest", ACCOUNT, [one], {})
    assert (outcome.confirmed, "no such method" in outcome.detail) == (False, True)
