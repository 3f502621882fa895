"""The search for a call that follows a path: what is said to be met is met, and what can be met is found."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.closure.evm.analysis import analyse
from orchestrator.closure.evm.arithmetic import apply
from orchestrator.closure.evm.buffer import unknown_size
from orchestrator.closure.evm.facts import AccountFacts, Authority, Branch, Finding
from orchestrator.closure.evm.machine import ADDRESS_BITS, LAST_SYSTEM_ADDRESS
from orchestrator.closure.evm.opcodes import CONCRETE, SIGN
from orchestrator.closure.evm.words import ONES, AnyWord, Word
from orchestrator.closure.witness.call import HELPER, HELPER_CODE, MAX_SIZE, MAX_WORK, SYSTEM_ADDRESS, Call, CallInputs
from orchestrator.closure.witness.inversion import satisfy
from orchestrator.closure.witness.propose import propose

from .soundness.asm import code
from .soundness.test_opcodes import ARITY, ints

ACCOUNT = 0x5FBDB2315678AFECB367F032D93F642F64180AA3
OWNER = 0xF39FD6E51AAD88F6F4CE6AB8827279CFFFB92266
NOW, NUMBER = 1_800_000_000, 100
FINDING = Finding(ACCOUNT, 0, "SSTORE", ())
QUESTION = Authority("isValidSignature(bytes32,bytes)", 0x1626BA7E, ())


def fresh(target: Finding | Authority = FINDING, filling: int = 0) -> CallInputs:
    return CallInputs(ACCOUNT, target, filling, timestamp=NOW, number=NUMBER)


def calldata(offset: AnyWord) -> Word:
    return Word(expression=("CALLDATA" if isinstance(offset, int) else "CALLDATALOAD", offset))


def caller() -> Word:
    return Word(0, ONES ^ ADDRESS_BITS, (0, ACCOUNT), expression=("CALLER",))


def size(low: int = 0) -> AnyWord:
    return unknown_size(low, "CALLDATASIZE")


def given_by(name: str, *operands: AnyWord) -> Word:
    return Word(expression=(name, *operands))


def really(word: AnyWord, call: Call, inputs: CallInputs) -> int:
    """What the word is worth in the call that is made of the inputs; what no caller chooses is as was supposed."""
    if isinstance(word, int):
        return word
    assert word.expression is not None
    name, *operands = word.expression
    if name in CONCRETE:
        return CONCRETE[name](*(really(operand, call, inputs) for operand in operands))
    if name in ("CALLDATA", "CALLDATALOAD"):
        offset = really(operands[0], call, inputs)
        return int.from_bytes(call.calldata[offset : offset + 32].ljust(32, b"\0"), "big")
    inputs_of_a_call = {
        "CALLDATASIZE": len(call.calldata),
        "CALLER": call.sender,
        "ORIGIN": call.sender,
        "CALLVALUE": call.value,
        "TIMESTAMP": NOW if call.timestamp is None else call.timestamp,
        "NUMBER": NUMBER if call.number is None else call.number,
    }
    return inputs_of_a_call[name] if name in inputs_of_a_call else inputs.evaluate(word)


def assert_possible(call: Call) -> None:
    """Somebody can make the call."""
    assert LAST_SYSTEM_ADDRESS < call.sender <= ADDRESS_BITS
    assert call.sender not in (ACCOUNT, SYSTEM_ADDRESS)
    assert 0 <= call.value < 1 << 96
    assert len(call.calldata) <= MAX_SIZE
    assert call.timestamp is None or NOW <= call.timestamp < 1 << 46
    assert call.number is None or NUMBER <= call.number < 1 << 46


# --- laws -------------------------------------------------------------------------------------------------------------

leaves = st.one_of(
    ints,
    st.sampled_from((0, 4, 5, 36, 260, MAX_SIZE - 32)).map(calldata),
    st.builds(caller),
    st.builds(size, st.sampled_from((0, 4))),
    st.sampled_from(("CALLVALUE", "TIMESTAMP", "NUMBER", "ORIGIN", "SELFBALANCE", "GAS")).map(given_by),
    st.builds(lambda known, value: Word(value & known, known, expression=("SLOAD", 0)), ints, ints).filter(
        lambda word: word.known != ONES
    ),
)


def _applied(inner: st.SearchStrategy[AnyWord]) -> st.SearchStrategy[AnyWord]:
    def of(name: str) -> st.SearchStrategy[AnyWord]:
        return st.tuples(*[inner] * ARITY[name]).map(lambda operands: apply(name, *operands))

    return st.sampled_from(sorted(CONCRETE)).flatmap(of)


conditions = st.recursive(leaves, _applied, max_leaves=6)


@given(conditions, st.booleans(), st.booleans(), st.sampled_from((FINDING, QUESTION)), st.sampled_from((0, 1, HELPER)))
@example(apply("AND", calldata(4), apply("SHL", 1, calldata(4))), True, True, FINDING, 0)
@example(apply("AND", apply("ISZERO", calldata(4)), apply("EQ", calldata(4), 1)), True, False, FINDING, 0)
@example(apply("EQ", apply("SAR", 8, calldata(4)), 1 << 247), True, True, FINDING, 0)
@example(apply("EQ", calldata(MAX_SIZE - 32), 7), True, True, FINDING, 0)
@example(apply("LT", size(4), 4), True, True, QUESTION, 0)
def test_what_is_said_to_be_met_is_met_by_the_call(word, wanted, settling, target, filling):
    inputs = fresh(target, filling)
    inputs.settling = settling
    met = satisfy(inputs, word, wanted)
    call = inputs.call()
    assert met == (bool(inputs.evaluate(word)) == wanted)
    assert really(word, call, inputs) == inputs.evaluate(word)
    assert_possible(call)
    if isinstance(target, Authority) and len(call.calldata) >= 4:
        assert call.calldata[:4] == target.selector.to_bytes(4, "big")
    for leaf in _leaves(word):
        assert inputs.evaluate(leaf) & leaf.known == leaf.value


def _leaves(word: AnyWord) -> list[Word]:
    if isinstance(word, int):
        return []
    if word.expression is None or word.expression[0] not in CONCRETE:
        return [word]
    return [leaf for operand in word.expression[1:] for leaf in _leaves(operand)]


@given(st.lists(st.tuples(conditions, st.booleans()), min_size=2, max_size=4))
def test_what_an_equation_has_settled_stays(path):
    inputs = fresh()
    values = []
    for word, wanted in path:
        satisfy(inputs, apply("EQ", calldata(4), 7), True)
        satisfy(inputs, apply("EQ", caller(), OWNER), True)
        inputs.settling = wanted
        satisfy(inputs, word, wanted)
        values.append((inputs.evaluate(calldata(4)), inputs.sender()))
    if inputs.size() >= 36:
        assert values[0] == values[-1]


odd = ints.map(lambda value: value | 1)
RING = st.one_of(
    st.tuples(st.sampled_from(("ADD", "XOR", "SUB")), ints, st.booleans()),
    st.tuples(st.just("MUL"), odd, st.booleans()),
    st.just(("NOT", None, True)),
)
"""One to one: each value of the result is some operand's."""
PARTS = st.one_of(
    st.tuples(st.sampled_from(("AND", "OR")), ints, st.booleans()),
    st.tuples(st.sampled_from(("SHL", "SHR", "SAR")), st.integers(0, 255), st.just(True)),
    st.tuples(st.sampled_from(("BYTE", "SIGNEXTEND")), st.integers(0, 31), st.just(True)),
)


def _chain(word: AnyWord, steps: list[Any]) -> AnyWord:
    for name, constant, first in steps:
        operands = [word] if constant is None else [constant, word] if first else [word, constant]
        word = apply(name, *operands)
    return word


CHOSEN = {
    "calldata": (calldata(36), ints),
    "caller": (caller(), st.integers(LAST_SYSTEM_ADDRESS + 1, ADDRESS_BITS - 2).filter(lambda it: it != ACCOUNT)),
    "value": (given_by("CALLVALUE"), st.integers(0, (1 << 96) - 1)),
    "timestamp": (given_by("TIMESTAMP"), st.integers(NOW, (1 << 46) - 1)),
    "number": (given_by("NUMBER"), st.integers(NUMBER, (1 << 46) - 1)),
    "size": (size(), st.integers(0, MAX_SIZE)),
}


@given(st.sampled_from(sorted(CHOSEN)), st.data())
def test_an_equation_that_turns_around_is_met(name, data):
    leaf, possible = CHOSEN[name]
    value = data.draw(possible)
    parts = data.draw(st.lists(PARTS, max_size=3)) if name == "calldata" else []
    steps = [*parts, *data.draw(st.lists(RING, max_size=4))]
    wanted = _chain(value, steps)
    assert isinstance(wanted, int)
    assert satisfy(fresh(), apply("EQ", _chain(leaf, steps), wanted), True)


@given(
    st.sampled_from(("calldata", "value", "timestamp")),
    st.sampled_from(("LT", "GT", "SLT", "SGT")),
    st.booleans(),
    st.booleans(),
    ints,
    st.data(),
)
def test_an_order_that_is_possible_is_met(name, order, left, wanted, bound, data):
    leaf, possible = CHOSEN[name]
    value = data.draw(possible)
    steps = data.draw(st.lists(RING, max_size=3)) if name == "calldata" else []
    a, b = (_chain(value, steps), bound) if left else (bound, _chain(value, steps))
    if bool(CONCRETE[order](a, b)) == wanted:
        a, b = (_chain(leaf, steps), bound) if left else (bound, _chain(leaf, steps))
        assert satisfy(fresh(), apply(order, a, b), wanted)


# --- one case for each instruction that is turned around --------------------------------------------------------------

X = calldata(4)


@pytest.mark.parametrize(
    ("word", "wanted", "argument"),
    [
        (apply("EQ", apply("ADD", X, 5), 12), True, 7),
        (apply("EQ", apply("SUB", X, 5), 7), True, 12),
        (apply("EQ", apply("SUB", 5, X), 7), True, ONES - 1),
        (apply("EQ", apply("MUL", X, 3), 21), True, 7),
        (apply("EQ", apply("MUL", X, 6), 42), True, 7),
        (apply("EQ", apply("DIV", X, 6), 7), True, 42),
        (apply("EQ", apply("MOD", X, 100), 7), True, 7),
        (apply("EQ", apply("XOR", X, 0xFF), 0xF0), True, 0x0F),
        (apply("EQ", apply("NOT", X), 7), True, ONES - 7),
        (apply("EQ", apply("CLZ", X), 7), True, 1 << 248),
        (apply("EQ", apply("CLZ", apply("NOT", X)), 256), True, ONES),
        (apply("EQ", apply("AND", X, 0xF0), 0x70), True, 0x70),
        (apply("EQ", apply("OR", X, 0xF0), 0xF7), True, 0x07),
        (apply("EQ", apply("SHR", 8, X), 7), True, 7 << 8),
        (apply("EQ", apply("SHL", 8, X), 7 << 8), True, 7),
        (apply("EQ", apply("SAR", 8, X), ONES), True, SIGN | (ONES >> 8 << 8)),
        (apply("EQ", apply("BYTE", 30, X), 7), True, 7 << 8),
        (apply("EQ", apply("SIGNEXTEND", 0, X), ONES), True, 0xFF),
        (apply("EQ", apply("AND", apply("SIGNEXTEND", 0, X), 0xFF00), 0xFF00), True, 0x80),
        (apply("EQ", apply("AND", apply("SAR", 248, X), 0xFF00), 0xFF00), True, SIGN),
        (apply("EQ", apply("AND", apply("MUL", apply("AND", X, 0xFF), 3), 0xFF), 1), True, 0xAB),
        (apply("EQ", X, 0), False, 1),
        (apply("ISZERO", X), False, 1),
        (apply("ISZERO", apply("SUB", X, 7)), True, 7),
        (apply("XOR", X, 7), False, 7),
        (apply("LT", 6, X), True, 7),
        (apply("GT", X, 6), True, 7),
        (apply("SLT", X, 0), True, ONES),
        (apply("SGT", 0, X), True, ONES),
        (apply("GT", 7, X), False, 7),
        (apply("EQ", apply("LT", X, 7), 0), True, 7),
        (apply("AND", apply("GT", X, 6), apply("ISZERO", apply("SUB", X, 7))), True, 7),
        (apply("OR", apply("LT", X, 7), apply("GT", X, 7)), False, 7),
        (apply("AND", apply("EQ", X, 7), apply("EQ", calldata(36), 8)), True, 7),
        (apply("EQ", apply("OR", apply("BYTE", 30, X), 0x100), 0x107), True, 7 << 8),
        (apply("SHL", 255, X), True, 1),
        (apply("SHR", 255, X), True, SIGN),
        (apply("EQ", calldata(apply("ADD", X, 4)), 0), True, 0),
    ],
)
def test_the_argument_that_a_condition_asks_for(word, wanted, argument):
    inputs = fresh()
    assert satisfy(inputs, word, wanted)
    assert bool(inputs.evaluate(word)) == wanted
    assert inputs.evaluate(X) == argument


@pytest.mark.parametrize(
    "word",
    [
        0,
        apply("EQ", caller(), ACCOUNT),
        apply("EQ", caller(), SYSTEM_ADDRESS),
        apply("EQ", caller(), LAST_SYSTEM_ADDRESS),
        apply("EQ", given_by("CALLVALUE"), 1 << 96),
        apply("EQ", given_by("TIMESTAMP"), NOW - 1),
        apply("LT", given_by("NUMBER"), NUMBER),
        apply("EQ", given_by("NUMBER"), 1 << 63),
        apply("EQ", size(), MAX_SIZE + 1),
        apply("EQ", calldata(MAX_SIZE - 31), 1),
        apply("EQ", apply("SHL", 8, X), 7),
        apply("EQ", apply("AND", X, 0xF0), 7),
        apply("EQ", apply("OR", X, 0xF0), 7),
        apply("EQ", apply("BYTE", 30, X), 0x100),
        apply("EQ", Word(0x10, 0xF0, expression=("SLOAD", 0)), 0x20),
        apply("AND", apply("ISZERO", X), apply("EQ", X, 1)),
        apply("EQ", apply("SUB", X, X), 1),
    ],
)
def test_what_cannot_be_met_is_not_said_to_be(word):
    inputs = fresh()
    assert not satisfy(inputs, word, True)
    assert_possible(inputs.call())


def test_a_masked_sender_or_time_keeps_its_other_bits():
    inputs = fresh()
    assert satisfy(inputs, apply("EQ", apply("AND", caller(), 0xFF), 0x42), True)
    assert inputs.sender() & ~0xFF == fresh().sender() & ~0xFF
    assert satisfy(inputs, apply("EQ", apply("AND", given_by("TIMESTAMP"), 0xFF), (NOW - 1) & 0xFF), True)
    assert inputs.chosen["TIMESTAMP"] == NOW - 1 + 0x100


def test_an_account_with_code_is_put_where_the_call_can_name_it():
    inputs = fresh()
    assert satisfy(inputs, given_by("EXTCODESIZE", apply("AND", X, ADDRESS_BITS)), True)
    assert inputs.evaluate(X) == HELPER
    assert inputs.call().codes == {HELPER: HELPER_CODE}


def test_the_balance_asks_for_value():
    inputs = fresh()
    assert satisfy(inputs, apply("GT", given_by("SELFBALANCE"), 6), True)
    assert inputs.call().value == 7


def test_an_equation_about_some_bits_leaves_the_others_to_be_chosen():
    inputs = fresh()
    time = given_by("TIMESTAMP")
    assert satisfy(inputs, apply("EQ", apply("AND", time, 0xFF), 3), True)
    inputs.settling = False
    assert satisfy(inputs, apply("GT", time, NOW + 1000), True)
    assert inputs.evaluate(time) & 0xFF == 3
    inputs.settling = True
    assert not satisfy(inputs, apply("EQ", apply("AND", time, 0xFF), 1), True)


def test_bits_that_are_settled_never_make_an_input_too_great():
    inputs = fresh()
    assert satisfy(inputs, apply("EQ", apply("SHR", 152, caller()), 0xFF), True)
    inputs.settling = False
    satisfy(inputs, apply("LT", caller(), 0x20000), True)
    assert_possible(inputs.call())


# --- paths ------------------------------------------------------------------------------------------------------------


def calls_to(text: str) -> list[Call]:
    facts = AccountFacts(ACCOUNT, code(f"{text} @act JUMPI STOP act: 1 0 SSTORE STOP"), complete=True)
    return propose(facts, analyse(facts).findings[0], timestamp=NOW, number=NUMBER)


SELECTOR = "0 CALLDATALOAD 224 SHR 0x11223344 EQ"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", Call(fresh().sender(), b"")),
        (SELECTOR, Call(fresh().sender(), bytes.fromhex("11223344"))),
        (f"CALLER {OWNER:#x} EQ", Call(OWNER, b"")),
        ("CALLVALUE", Call(fresh().sender(), b"", 1)),
        (f"{NOW + 9} TIMESTAMP LT ISZERO", Call(fresh().sender(), b"", timestamp=NOW + 9)),
        (f"{NUMBER + 9} NUMBER EQ", Call(fresh().sender(), b"", number=NUMBER + 9)),
        ("CALLDATASIZE 5 EQ", Call(fresh().sender(), bytes(5))),
        (
            f"{SELECTOR} @one JUMPI STOP one: CALLER {OWNER:#x} EQ @two JUMPI STOP two: 6 4 CALLDATALOAD GT",
            Call(OWNER, bytes.fromhex("11223344") + (7).to_bytes(32, "big")),
        ),
        (f"{SELECTOR} CALLVALUE ISZERO AND CALLER {OWNER:#x} EQ AND", Call(OWNER, bytes.fromhex("11223344"))),
    ],
)
def test_the_call_that_a_path_asks_for(text, expected):
    assert calls_to(text)[0] == expected


@pytest.mark.parametrize("name", ["TIMESTAMP", "NUMBER"])
@pytest.mark.parametrize(("bound", "possible"), [(2**46 - 1, True), (2**46, False), (2**48 - 1, False)])
def test_no_call_waits_for_a_time_that_never_comes(name, bound, possible):
    """A certificate says of the same times that no block has them."""
    calls = calls_to(f"{bound} {name} LT ISZERO")
    assert [call.timestamp or call.number for call in calls[:1]] == ([bound] if possible else [])


def test_a_question_keeps_its_selector_and_no_call_is_proposed_twice():
    facts = AccountFacts(ACCOUNT, b"\0")
    calls = propose(facts, QUESTION, timestamp=NOW, number=NUMBER)
    assert {call.calldata[:4].hex() for call in calls} == {"1626ba7e"}
    assert all(calls.count(call) == 1 for call in calls)


def test_nothing_is_proposed_where_no_decision_can_be_met():
    path = (Branch(ACCOUNT, 0, True, apply("EQ", caller(), ACCOUNT)),)
    assert (
        propose(AccountFacts(ACCOUNT, b"\0"), Finding(ACCOUNT, 0, "SSTORE", path), timestamp=NOW, number=NUMBER) == []
    )


def test_a_decision_that_cannot_be_met_is_left_out():
    path = (
        Branch(ACCOUNT, 0, True, apply("EQ", caller(), SYSTEM_ADDRESS)),
        Branch(ACCOUNT, 1, True, apply("EQ", calldata(4), 7)),
    )
    calls = propose(AccountFacts(ACCOUNT, b"\0"), Finding(ACCOUNT, 0, "SSTORE", path), timestamp=NOW, number=NUMBER)
    assert calls[0].calldata == bytes(4) + (7).to_bytes(32, "big")


@pytest.mark.parametrize("root", ["0 CALLDATALOAD", "CALLDATASIZE", "CALLVALUE", "0 CALLDATALOAD 7 GT"])
@pytest.mark.parametrize("step", ["DUP1 ADD", "DUP1 AND", "DUP1 OR", "DUP1 NOT MUL", "DUP1 ISZERO ISZERO AND"])
def test_a_word_that_is_named_again_and_again_does_not_make_the_search_long(root, step):
    facts = AccountFacts(ACCOUNT, code(f"{root} {f'{step} ' * 20} 3 EQ @act JUMPI STOP act: 1 0 SSTORE STOP"))
    for finding in analyse(facts).findings:
        for filling in (0, 1):
            inputs = fresh(finding, filling)
            for branch in finding.path:
                satisfy(inputs, branch.condition, branch.taken)
            assert inputs.work <= MAX_WORK + 100
        propose(facts, finding, timestamp=NOW, number=NUMBER)
