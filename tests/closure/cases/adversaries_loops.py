"""Adversaries that act after a number of rounds or frames that the caller chooses, or on one of two like paths."""

from __future__ import annotations

from tests.closure.cases.act import Adversary, Call, act
from tests.closure.cases.adversaries_raw import NOTHING, OPENS, data, program, raw

END = f"opens: {OPENS}"
DEEPER = "0 0 1 CALLDATASIZE SUB 0 ADDRESS GAS DELEGATECALL POP"
"""Calls itself, with one byte of calldata less."""

LOOPS: tuple[Adversary, ...] = (
    raw(
        "loop_clears_memory",
        program(
            "1 0x31f MSTORE8 0 loop: DUP1 0 CALLDATALOAD EQ @done JUMPI 0 DUP2 MSTORE8 1 ADD @loop JUMP "
            f"done: 0x300 MLOAD ISZERO @opens JUMPI 0 0 REVERT {END}"
        ),
        "Each round clears a byte, and the 800th the guard.",
        act(Call(data=data(0x400))),
    ),
    raw(
        "loop_toggles_storage",
        program("0 loop: DUP1 0 CALLDATALOAD EQ @done JUMPI 1 SLOAD 1 SUB 1 SSTORE 1 ADD @loop JUMP done: STOP"),
        "A slot is as it was after an even number of rounds, and not after an odd one.",
        act(Call(data=data(7))),
    ),
    raw(
        "loop_grows_stack",
        program(
            "0 CALLDATALOAD 0 MSTORE 1 1 1 loop: 0 MLOAD ISZERO @done JUMPI 1 0 MLOAD SUB 0 MSTORE 0 @loop JUMP "
            f"done: DUP3 ISZERO @opens JUMPI 0 0 REVERT {END}"
        ),
        "Each round leaves a word on the stack, until the guard is out of reach.",
        act(Call(data=data(3))),
    ),
    raw(
        "loop_doubles_pointer",
        program(
            "0 SLOAD 0x200 MSTORE 1 0 loop: DUP1 0 CALLDATALOAD EQ @done JUMPI "
            "1 ADD SWAP1 0 DUP2 MSTORE 2 MUL SWAP1 @loop JUMP "
            f"done: 0x200 MLOAD ISZERO @opens JUMPI 0 0 REVERT {END}"
        ),
        "Words are cleared at twice the place each round, in the tenth at the guard's.",
        act(Call(data=data(10))),
    ),
    raw(
        "loop_remembers_first_round",
        program(
            "0 loop: DUP1 0 CALLDATALOAD EQ @done JUMPI DUP1 ISZERO 32 CALLDATALOAD 77 EQ AND @marks JUMPI @next JUMP "
            f"marks: 1 0x80 MSTORE next: 1 ADD @loop JUMP done: 0x80 MLOAD @opens JUMPI STOP {END}"
        ),
        "What the first round found decides after the last.",
        act(Call(data=data(5, 77))),
    ),
    raw(
        "loop_in_loop",
        program(
            "0 outer: DUP1 0 CALLDATALOAD EQ @done JUMPI 0 inner: DUP1 32 CALLDATALOAD EQ @next JUMPI "
            "0x4d DUP3 DUP3 MUL EQ @opens JUMPI 1 ADD @inner JUMP next: POP 1 ADD @outer JUMP "
            f"done: STOP {END}"
        ),
        "Opens where the numbers of an outer and an inner round have a certain product.",
        act(Call(data=data(12, 12))),
    ),
    raw(
        "loop_reads_password",
        program(
            "0 0 loop: DUP1 CALLDATASIZE EQ @done JUMPI DUP1 CALLDATALOAD 248 SHR DUP3 0x40 ADD EQ @good JUMPI "
            "SWAP1 POP 0 SWAP1 @next JUMP good: SWAP1 1 ADD SWAP1 next: DUP2 9 EQ @opens JUMPI 1 ADD @loop JUMP "
            f"done: STOP {END}"
        ),
        "A machine of nine states, which opens after the right nine bytes in a row.",
        act(Call(data=b"noise " + bytes(range(0x40, 0x49)))),
    ),
    raw(
        "loop_counts_below_zero",
        program(
            "5 loop: DUP1 0 CALLDATALOAD EQ @done JUMPI 1 SWAP1 SUB 0 DUP2 SLT @opens JUMPI @loop JUMP "
            f"done: STOP {END}"
        ),
        "Counts down from five, past zero.",
        act(Call(data=data(999))),
    ),
)

FRAMES: tuple[Adversary, ...] = (
    raw(
        "recursion_twenty_deep",
        program(
            "1 SLOAD 1 ADD 1 SSTORE 1 SLOAD 20 EQ @opens JUMPI CALLDATASIZE @deeper JUMPI @out JUMP "
            f"deeper: {DEEPER} out: 1 1 SLOAD SUB 1 SSTORE STOP {END}"
        ),
        "Calls itself, counts the frames, and opens in the twentieth.",
        act(Call(data=bytes(40))),
        analysis="undecided",
        reason="recursion",
    ),
    raw(
        "recursion_nine_deep",
        program(
            "1 SLOAD 1 ADD 1 SSTORE 1 SLOAD 9 EQ @opens JUMPI CALLDATASIZE @deeper JUMPI @out JUMP "
            f"deeper: {DEEPER} out: 1 1 SLOAD SUB 1 SSTORE STOP {END}"
        ),
        "The same in the ninth.",
        act(Call(data=bytes(40))),
    ),
    raw(
        "recursion_adds_up",
        program(
            "CALLDATASIZE @deeper JUMPI 32 0 RETURN deeper: 32 0 1 CALLDATASIZE SUB 0 ADDRESS GAS DELEGATECALL POP "
            f"0 MLOAD 1 ADD DUP1 20 EQ @opens JUMPI 0 MSTORE 32 0 RETURN {END}"
        ),
        "Each frame answers one more than the one within, and at twenty it opens.",
        act(Call(data=bytes(25))),
    ),
    raw(
        "acts_then_alike_taken",
        program(
            "0 CALLDATALOAD @acts JUMPI @join JUMP acts: 0 0 0 CREATE POP join: 0 0 0 0 2 GAS STATICCALL POP "
            "loop: CALLDATASIZE 99 EQ @loop JUMPI STOP"
        ),
        "Two paths meet in like states; the one that jumped has acted before.",
        act(Call(data=data(1)), shows="created"),
        opcode="CREATE",
    ),
    raw(
        "acts_then_alike_not_taken",
        program(
            "0 CALLDATALOAD @join JUMPI 0 0 0 CREATE POP join: 0 0 0 0 2 GAS STATICCALL POP "
            "loop: CALLDATASIZE 99 EQ @loop JUMPI STOP"
        ),
        "Two paths meet in like states; the one that did not jump has acted before.",
        act(NOTHING, shows="created"),
        opcode="CREATE",
    ),
    raw(
        "writes_then_alike",
        program("0 CALLDATALOAD @join JUMPI 7 5 SSTORE join: CALLDATASIZE 99 EQ @join JUMPI STOP"),
        "Two paths meet with like stacks and memories; one has written.",
        act(NOTHING),
    ),
)

ADVERSARIES = (*LOOPS, *FRAMES)
