"""Adversaries that no compiler writes: memory tricks, corners of the arithmetic, jumps, and what is no code at all.

Slot 0 holds 1 (closed) and ``closed()`` reads it. Most programs compute one word; where it is not zero they open.
"""

from __future__ import annotations

from dataclasses import replace

from eth_hash.auto import keccak

from tests.closure.cases.act import Act, Adversary, Call, act
from tests.closure.cases.assembler import assemble
from tests.closure.cases.case import RAW, AnalysisResult, Case, Send, SetBalance, SetCode, SetStorage, Step

GETTER = "0 CALLDATALOAD 224 SHR 0x597e1fb5 EQ @getter JUMPI"
GETTER_END = "getter: 0 SLOAD 0 MSTORE 32 0 RETURN"
OPENS = "0 0 SSTORE STOP"
MIN = -(2**255)
GUARD = "0 SLOAD 0x80 MSTORE"
"""The flag, kept in the word at 0x80: its last byte is at 0x9f."""
IS_CLEAR = "0x80 MLOAD ISZERO"
NOTHING = Call()
ACCOUNT_AT = 0xACC0012000000000000000000000000000004CF5
CLEARS_AT = 0xC1EA125000000000000000000000000000000002
HELPER_AT = 0x4E1FE12000000000000000000000000000000001


def program(text: str) -> bytes:
    return assemble(f"{GETTER} {text} {GETTER_END}")


def word(expression: str) -> bytes:
    return program(f"{expression} @opens JUMPI 0 0 REVERT opens: {OPENS}")


def raw(
    name: str,
    code: bytes,
    why: str,
    how: Act | None = None,
    *,
    opcode: str | None = "SSTORE",
    opcodes: tuple[str, ...] = (),
    confirmed: bool = True,
    analysis: AnalysisResult = "acting",
    reason: str | None = None,
    more: tuple[Step, ...] = (),
) -> Adversary:
    acting = analysis == "acting"
    case = Case(
        f"{'counter' if analysis == 'inert' else 'adversary'}_raw_{name}",
        "raw",
        "",
        (SetCode("account", code, address=ACCOUNT_AT), SetStorage("account", {0: 1}), *more),
        why,
        analysis=analysis,
        opcode=opcode if acting else None,
        opcodes=opcodes,
        confirmed=confirmed if acting else None,
        verdict="reversible" if acting and confirmed else "irreversible" if analysis == "inert" else "inconclusive",
        configurations=RAW,
        reason=reason,
    )
    return Adversary(case, how)


def opens(name: str, expression: str, why: str, *calls: Call) -> Adversary:
    """Opens by a call with nothing, or by ``calls``."""
    return raw(name, word(expression), why, act(*(calls or (NOTHING,))))


def data(*words: int) -> bytes:
    return b"".join((each % 2**256).to_bytes(32) for each in words)


MEMORY = (
    opens(
        "calldatacopy_one_byte",
        f"{GUARD} 1 32 0x9f CALLDATACOPY {IS_CLEAR}",
        "One byte of the calldata, past its end, is copied over the guard's last byte.",
    ),
    opens(
        "calldatacopy_unaligned",
        f"{GUARD} 0x21 0 0x7f CALLDATACOPY {IS_CLEAR}",
        "A copy that begins one byte before the guard covers all of it.",
    ),
    opens(
        "calldatacopy_unknown_size",
        f"{GUARD} CALLDATASIZE 0 0 CALLDATACOPY {IS_CLEAR}",
        "The calldata is copied to the beginning of memory, and may be longer than is thought.",
        Call(data=bytes(0xA0)),
    ),
    opens(
        "calldatacopy_unknown_place",
        f"{GUARD} 1 0 32 CALLDATALOAD 0xff AND CALLDATACOPY {IS_CLEAR}",
        "One byte is copied to where the calldata says.",
        Call(data=data(0, 0x9F)),
    ),
    opens(
        "mstore8_unknown_place",
        f"{GUARD} 0 0 CALLDATALOAD 0xff AND MSTORE8 {IS_CLEAR}",
        "One byte is written to where the calldata says.",
        Call(data=data(0x9F)),
    ),
    opens(
        "mstore_unaligned",
        f"{GUARD} 0 CALLDATALOAD 0x61 MSTORE 0x80 MLOAD 1 EQ ISZERO",
        "A word is written so that its last byte falls on the guard's first.",
        Call(data=data(1)),
    ),
    opens(
        "mcopy_overlapping",
        f"{GUARD} 2 0x9e 0x9f MCOPY {IS_CLEAR} 0xa0 MLOAD 248 SHR 1 EQ AND",
        "Source and destination overlap: the source is read before it is overwritten.",
    ),
    opens(
        "mcopy_unaligned",
        f"{GUARD} 0 CALLDATALOAD 0 MSTORE 3 29 0x9d MCOPY {IS_CLEAR}",
        "The end of an unknown word is copied over the guard's end.",
    ),
    opens(
        "codecopy_past_end",
        f"{GUARD} 32 0xffff 0x80 CODECOPY {IS_CLEAR}",
        "Behind the code's end there are zeros.",
    ),
    opens(
        "codecopy_far_past_end",
        f"{GUARD} 32 -1 0x80 CODECOPY {IS_CLEAR}",
        "An offset in the code that no machine word holds reads zeros.",
    ),
    opens(
        "returndatacopy",
        f"{GUARD} 0 0 1 0 4 GAS STATICCALL POP 1 0 0x9f RETURNDATACOPY {IS_CLEAR}",
        "A byte of another contract's answer is copied over the guard.",
    ),
    opens(
        "extcodecopy",
        f"{GUARD} 1 0 0x9f CALLER EXTCODECOPY {IS_CLEAR}",
        "A byte of the caller's code, which it has not, is copied over the guard.",
    ),
    opens(
        "answer_shorter_than_its_place",
        f"{GUARD} 32 0x80 CALLDATASIZE 0 4 GAS STATICCALL POP {IS_CLEAR}",
        "The place of an answer covers the guard, and how much of it is written is up to the answer.",
        Call(data=bytes(32)),
    ),
    opens("calldataload_far", "-1 CALLDATALOAD ISZERO", "Far behind the calldata there are zeros."),
    opens(
        "calldatacopy_far",
        f"{GUARD} 32 -5 0x80 CALLDATACOPY {IS_CLEAR}",
        "A copy from an offset that no machine word holds.",
        Call(data=b"\xff" * 64),
    ),
    opens(
        "memory_size",
        "0 CALLDATALOAD 0xfff AND MLOAD POP 0x400 MSIZE GT",
        "How much memory was used depends on the calldata.",
        Call(data=data(0x800)),
    ),
    opens(
        "either_slot",
        "0 CALLDATALOAD 1 AND SLOAD ISZERO",
        "One of two slots is read, and the second is empty.",
        Call(data=data(1)),
    ),
    opens(
        "hash_of_overwritten",
        f"{GUARD} 1 0 0x9f CALLDATACOPY 32 0x80 KECCAK256 0x{keccak(data(7)).hex()} EQ",
        "A hash of memory of which one byte is unknown.",
        Call(data=b"\x07"),
    ),
)

ARITHMETIC = (
    opens("sdiv_of_the_smallest", f"0 -1 {MIN} SDIV SLT", "The smallest number divided by -1 is itself."),
    opens("sdiv_truncates", "2 -7 SDIV -3 EQ", "Signed division rounds towards zero."),
    opens("div_by_zero", "0 5 DIV ISZERO 0 5 SDIV ISZERO AND", "Division by zero is zero."),
    opens("mod_by_zero", "0 5 MOD 0 -5 SMOD OR 0 7 8 ADDMOD OR ISZERO", "So is a remainder."),
    opens("smod_sign", "3 -7 SMOD -1 EQ -3 7 SMOD 1 EQ AND", "A remainder has the dividend's sign."),
    opens("sar_256", "-8 300 SAR -1 EQ", "A negative number shifted right by 256 or more is -1."),
    opens("sar_huge", f"{MIN} -1 SAR -1 EQ", "The shift is unsigned, however large."),
    opens("shl_256", "1 256 SHL ISZERO", "Shifted left by 256, nothing is left: not by 256 mod 256."),
    opens("shr_huge", f"-1 {2**64} SHR ISZERO", "Nor by what a machine word keeps of the shift."),
    opens("signextend", "0 0x1280 0 SIGNEXTEND SLT", "Extended from its lowest byte, 0x1280 is negative."),
    opens(
        "signextend_31", "-5 31 SIGNEXTEND -5 EQ 128 -1 SIGNEXTEND 128 EQ AND", "From byte 31 on it changes nothing."
    ),
    opens(
        "slt_against_lt",
        "0 CALLDATALOAD 10 DUP2 SLT SWAP1 10 SWAP1 GT AND",
        "Less than ten by one comparison, more by the other.",
        Call(data=data(-1)),
    ),
    opens("byte_32", "-1 32 BYTE ISZERO", "There is no byte 32."),
    opens("exp_corners", "0 0 EXP 1 EQ 256 2 EXP ISZERO AND", "0 to the power of 0 is 1, and 2 to that of 256 is 0."),
    opens("addmod_wide", "-2 -1 -1 ADDMOD 2 EQ", "The sum is not cut to 256 bits before the remainder."),
    opens("mulmod_wide", "12 -1 -1 MULMOD 9 EQ", "Nor is the product."),
    opens(
        "multiply_wraps",
        "0 CALLDATALOAD DUP1 3 MUL 1 EQ SWAP1 4 LT AND",
        "Three times a large number is one.",
        Call(data=data(pow(3, -1, 2**256))),
    ),
    opens(
        "known_bits",
        "0 CALLDATALOAD 0xff AND 0x0f OR 0x10 ADD 0x10f EQ",
        "A carry out of bits that are known into ones that are not.",
        Call(data=data(0xF0)),
    ),
    raw(
        "clz_corners",
        word("0 CLZ 256 EQ 1 CLZ 255 EQ AND"),
        "Zero has 256 leading zeros (EIP-7939).",
        act(NOTHING, on="anvil"),
    ),
    opens(
        "signextend_by_unknown",
        "0 0x1280 0 CALLDATALOAD SIGNEXTEND SLT",
        "From which byte it is extended, the calldata says.",
        Call(data=data(0)),
    ),
    opens("shift_by_unknown", "1 0 CALLDATALOAD SHL ISZERO", "Shifted out altogether.", Call(data=data(256))),
    opens(
        "sar_by_unknown",
        f"{MIN} 0 CALLDATALOAD SAR -1 EQ",
        "Only ones are left of a negative number.",
        Call(data=data(2**255)),
    ),
    opens("byte_of_unknown", "0x1234 0 CALLDATALOAD BYTE ISZERO", "A byte that is not there.", Call(data=data(2**128))),
    opens(
        "exp_by_unknown", "0 CALLDATALOAD 2 EXP ISZERO", "Two to a power that is large is zero.", Call(data=data(256))
    ),
    opens(
        "sdiv_by_unknown",
        f"0 0 CALLDATALOAD {MIN} SDIV SLT 0 CALLDATALOAD ISZERO 0 CALLDATALOAD -1 EQ OR AND",
        "A negative number divided by a negative one, and still negative.",
        Call(data=data(-1)),
    ),
    opens("div_by_unknown", "0 CALLDATALOAD 7 DIV ISZERO", "Divided by more than itself, or by nothing.", NOTHING),
    opens(
        "addmod_by_unknown",
        "0 CALLDATALOAD 5 7 ADDMOD ISZERO 0 CALLDATALOAD 1 GT AND",
        "Modulo zero there is no remainder.",
        NOTHING,
    ),
    opens(
        "borrow",
        "0xff 1 0 CALLDATALOAD 0xff AND SUB GT",
        "One less than a small number is a very large one.",
        NOTHING,
    ),
    opens(
        "caller_ends_in_zero",
        "CALLER 0xff AND ISZERO",
        "No caller is zero, but a caller's last byte may be.",
        Call(sender="0x1111111111111111111111111111111111111100"),
    ),
    opens(
        "caller_is_like_the_account",
        "CALLER ADDRESS XOR 0xffff AND ISZERO",
        "No caller is the account, but a caller may end as it does.",
        Call(sender=f"0x{0x11 << 152 | ACCOUNT_AT & 0xFFFF:040x}"),
    ),
    opens(
        "clears_high_bits",
        "CALLER 0 CALLDATALOAD 160 SHL OR 96 SHL 96 SHR CALLER EQ",
        "Dirty bits above an address, shifted out again.",
    ),
)


def table_jump() -> bytes:
    """A jump to one of three places, read from a table in the code at 2 * (x mod 3)."""
    text = (
        "2 3 0 CALLDATALOAD MOD 2 MUL @table ADD 30 CODECOPY 0 MLOAD JUMP "
        f"table= #{{}} fails: 0 0 REVERT stops: STOP opens: {OPENS}"
    )
    code = program(text.format("000000000000"))
    fails = code.index(b"\x00" * 6) + 6
    stops = fails + len(assemble("x: 0 0 REVERT"))
    return program(text.format("".join(f"{place:04x}" for place in (fails, stops, stops + 2))))


TABLE_JUMP = table_jump()
UNKNOWN_JUMP = program(f"32 CALLDATALOAD JUMP opens: {OPENS}")
LANDING = UNKNOWN_JUMP.index(assemble(f"x: {OPENS}"))
JUMPS = (
    raw(
        "jump_into_push_data",
        program(f"32 CALLDATALOAD @real JUMPI @fake JUMP #61 fake= #5b5b POP real: {OPENS}"),
        "A 0x5b within push data is no destination; the real one stands behind it.",
        act(Call(data=data(0, 1))),
    ),
    raw(
        "jump_only_into_push_data",
        program(f"@fake JUMP #61 fake= #5b50 {OPENS}"),
        "Counter-example: there is no destination but in push data.",
        None,
        analysis="inert",
    ),
    raw(
        "jump_behind_push_data",
        program(f"@real JUMP #6060 real: {OPENS}"),
        "A destination that looks like push data to who reads backwards.",
        act(NOTHING),
    ),
    raw(
        "jumpi_nowhere_not_taken",
        program(f"0 0xffff JUMPI {OPENS}"),
        "A jump to nowhere that is not taken does not fail.",
        act(NOTHING),
    ),
    raw(
        "jumpi_nowhere_perhaps",
        program(f"0 CALLDATALOAD 0xffff JUMPI {OPENS}"),
        "A jump to nowhere fails for some, and lets others pass.",
        act(NOTHING),
    ),
    raw(
        "jump_from_table",
        TABLE_JUMP,
        "One of three targets in a table opens.",
        act(Call(data=data(2))),
    ),
    raw(
        "jump_from_calldata",
        UNKNOWN_JUMP,
        "The calldata says where to go on.",
        act(Call(data=data(0, LANDING))),
        analysis="undecided",
        reason="unknown_jump",
    ),
)


CLEARS = SetCode("module", assemble(OPENS), address=CLEARS_AT)
HEAVY = "700000 MLOAD POP"
"""About a million gas, for memory."""


def starved(name: str, helper: str, text: str, why: str) -> Adversary:
    """Delegates to a helper that cannot fail but for want of gas, and gets just too little."""
    return raw(
        name,
        program(text.replace("HELPER", f"0x{HELPER_AT:040x}")),
        why,
        act(Call(gas=1_000_000)),
        more=(SetCode("helper", assemble(helper), address=HELPER_AT),),
    )


def create2(salt: int, init: bytes, creator: int) -> int:
    """EIP-1014."""
    return int.from_bytes(keccak(b"\xff" + creator.to_bytes(20) + salt.to_bytes(32) + keccak(init))[12:])


CALLS = (
    raw(
        "callcode",
        program("0 0 0 0 0 32 CALLDATALOAD GAS CALLCODE POP STOP"),
        "Runs other code on its own storage, the old way.",
        act(Call(data=data(0, CLEARS_AT))),
        opcode="CALLCODE",
        more=(CLEARS,),
    ),
    raw(
        "create_of_nothing",
        program("0 0 0 CREATE POP STOP"),
        "Creates an empty contract: its nonce grows.",
        act(NOTHING, shows="created"),
        opcode="CREATE",
    ),
    raw(
        "selfdestruct",
        program("CALLER SELFDESTRUCT"),
        "Gives what it has to anybody.",
        act(NOTHING, shows="ether"),
        opcode="SELFDESTRUCT",
        more=(SetBalance("account", 5),),
    ),
    raw(
        "call_without_gas",
        program("0 0 0 0 1 CALLER 0 CALL POP STOP"),
        "A call with no gas still carries ether.",
        act(NOTHING, shows="ether"),
        opcode="CALL",
        more=(SetBalance("account", 5),),
    ),
    raw(
        "static_call_that_writes",
        program(
            f"CALLDATASIZE 1 EQ @writes JUMPI 0 0 1 0 ADDRESS GAS STATICCALL ISZERO @opens JUMPI STOP "
            f"writes: CALLER ADDRESS EQ ISZERO @harmless JUMPI 7 9 SSTORE harmless: STOP opens: {OPENS}"
        ),
        "A static call of itself that would write always fails, and that opens.",
        act(NOTHING),
    ),
    raw(
        "inner_writes_are_undone",
        program(
            "CALLDATASIZE 1 EQ @inner JUMPI 0 0 1 0 ADDRESS GAS DELEGATECALL POP 0 SLOAD ISZERO @opens JUMPI STOP "
            "inner: 0 0 SSTORE 0 0 REVERT opens: 9 9 SSTORE STOP"
        ),
        "Counter-example: what an inner frame writes before it fails is not there afterwards.",
        analysis="inert",
    ),
    raw(
        "inner_writes_stay",
        program(
            "CALLDATASIZE 1 EQ @inner JUMPI 0 0 1 0 ADDRESS GAS DELEGATECALL POP "
            "0 SLOAD ISZERO @opens JUMPI 0 0 REVERT inner: 0 0 SSTORE STOP opens: 9 9 SSTORE STOP"
        ),
        "An inner frame opens, and the outer one sees it.",
        act(NOTHING),
    ),
    starved(
        "starved_answer",
        f"{HEAVY} 1 0 MSTORE 32 0 RETURN",
        f"32 0x80 0 0 HELPER GAS DELEGATECALL POP {IS_CLEAR} @opens JUMPI STOP opens: {OPENS}",
        "Takes the answer of a delegate call from memory, where it is not if the call had too little gas.",
    ),
    starved(
        "starved_size",
        f"{HEAVY} 32 0 RETURN",
        f"0 0 0 0 HELPER GAS DELEGATECALL POP RETURNDATASIZE ISZERO @opens JUMPI STOP opens: {OPENS}",
        "Looks at the size of an answer that there is not if the call had too little gas.",
    ),
    starved(
        "starved_lock",
        f"{HEAVY} 1 0 SSTORE STOP",
        "0 0 SSTORE 0 0 0 0 HELPER GAS DELEGATECALL POP STOP",
        "Opens, and leaves it to a delegate call to close again.",
    ),
    raw(
        "lock_not_released",
        program("2 1 SSTORE CALLDATASIZE 5 EQ @early JUMPI 0 1 SSTORE early: STOP"),
        "Takes a lock, and on one path forgets to give it back.",
        act(Call(data=b"12345")),
    ),
    raw(
        "lock_released",
        program("2 1 SSTORE CALLDATASIZE 5 EQ @late JUMPI late: 0 1 SSTORE STOP"),
        "Counter-example: takes a lock, and gives it back on every path.",
        analysis="inert",
    ),
    raw(
        "blob_fee",
        word("BLOBBASEFEE 1 LT"),
        "Opens when blobs are dear.",
        act(Call(excess_blob_gas=10_000_000)),
        confirmed=False,
    ),
)

ERC1271 = act(
    Call("isValidSignature(bytes32,bytes)", (bytes(32), bytes(65))),
    shows="answer",
    answer=0x1626BA7E << 224,
    mask=((1 << 32) - 1) << 224,
)


def answers(name: str, text: str, why: str, how: Act = ERC1271) -> Adversary:
    """Inert, and yet somebody is told that a signature is valid."""
    case = Case(
        f"answers_raw_{name}",
        "raw",
        "",
        (SetCode("account", program(text), address=ACCOUNT_AT), SetStorage("account", {0: 1})),
        why,
        authority="isValidSignature(bytes32,bytes)",
        confirmed=True,
        verdict="reversible",
        configurations=RAW,
    )
    return Adversary(case, how)


ANSWERS = (
    answers("four_bytes", "0x1626ba7e 0 MSTORE 4 28 RETURN", "An answer of four bytes, without what pads it."),
    answers(
        "by_precompile",
        "CALLDATASIZE 0 0 CALLDATACOPY 0 0 CALLDATASIZE 0 4 GAS STATICCALL POP "
        "RETURNDATASIZE 0 0 RETURNDATACOPY RETURNDATASIZE 0 RETURN",
        "The question goes to a precompile and comes back, and is its own answer.",
    ),
    answers(
        "by_copied_code",
        "32 @magic 0 CODECOPY 32 0 RETURN magic= #1626ba7e" + "00" * 28,
        "The answer lies in the code.",
    ),
    answers(
        "by_arithmetic",
        "0x0b135d3f 2 MUL 224 SHL 0 MSTORE 32 0 RETURN",
        "The answer is computed.",
    ),
    answers(
        "by_chance",
        "TIMESTAMP 1 AND 0x1626ba7e MUL 224 SHL 0 MSTORE 32 0 RETURN",
        "The answer is yes every other second.",
        replace(ERC1271, calls=(replace(ERC1271.calls[0], timestamp=1_800_000_001),)),
    ),
)

SHELL = assemble("0 0 0 0 CALLER GAS STATICCALL POP 32 0 0 RETURNDATACOPY 32 0 RETURN")
"""Creation code that is always the same: it asks its creator for the code to leave behind."""
FACTORY_AT = 0xFAC7012000000000000000000000000000000001
FACTORY = assemble(
    f"""
    CALLDATASIZE @make JUMPI 0 SLOAD 0 MSTORE 32 0 RETURN      ; asked: the code
    make: 0 CALLDATALOAD 0 SSTORE
    0x{SHELL.hex()} {(32 - len(SHELL)) * 8} SHL 0 MSTORE
    0 {len(SHELL)} 0 0 CREATE2
    32 CALLDATALOAD @destroy JUMPI STOP
    destroy: 0 0 0 0 0 DUP6 GAS CALL STOP
    """
)
METAMORPH_AT = create2(0, SHELL, FACTORY_AT)
DESTROYED = int.from_bytes(assemble("CALLER SELFDESTRUCT").ljust(32, b"\0"))
LATER = int.from_bytes(assemble("0x2a 0 SSTORE CALLER SELFDESTRUCT").ljust(32, b"\0"))
DELEGATED_AT = 0x7702000000000000000000000000000000000002


def not_run(name: str, why: str, how: Act | None, *setup: Step, reversible: bool) -> Adversary:
    case = Case(
        f"adversary_raw_{name}",
        "raw",
        "",
        setup,
        why,
        analysis="not_run",
        verdict="reversible" if reversible else "inconclusive",
        configurations=RAW,
    )
    return Adversary(case, how)


NO_CODE = (
    not_run(
        "metamorphic",
        "Created and destroyed in one transaction: no code now, and other code later at the same address.",
        act(Call(to="factory", data=data(LATER, 0)), shows="code"),
        SetCode("factory", FACTORY, address=FACTORY_AT),
        Send("factory", data=data(DESTROYED, 1)),
        SetCode("account", b"", address=METAMORPH_AT),
        reversible=True,
    ),
    not_run(
        "delegated_account",
        "An externally owned account that is delegated (EIP-7702), to code that opens; its key may choose another.",
        act(NOTHING, on="anvil"),
        CLEARS,
        SetCode("account", bytes.fromhex("ef0100") + CLEARS_AT.to_bytes(20), address=DELEGATED_AT),
        SetStorage("account", {0: 1}),
        reversible=True,
    ),
    not_run(
        "object_format",
        "Code of a format (EOF) that the EVM does not run today, and may one day.",
        None,
        SetCode("account", bytes.fromhex("ef000101000402000100010400000000800000fe")),
        reversible=False,
    ),
    not_run(
        "reserved_prefix",
        "Code of another machine (Stylus), behind the reserved prefix.",
        None,
        SetCode("account", bytes.fromhex("eff00000") + bytes(8)),
        reversible=False,
    ),
    raw(
        "undefined_opcode",
        program(f"#0c {OPENS}"),
        "Fails today at an instruction that a later fork may define.",
        analysis="undecided",
        reason="undefined_opcode",
    ),
    raw(
        "undefined_opcode_deep",
        program("0 CALLDATALOAD @deep JUMPI STOP deep: 1 2 #b0 POP STOP"),
        "The same, on one branch, of what may become another kind of instruction.",
        analysis="undecided",
        reason="undefined_opcode",
    ),
)

ADVERSARIES = (*MEMORY, *ARITHMETIC, *JUMPS, *CALLS, *ANSWERS, *NO_CODE)
