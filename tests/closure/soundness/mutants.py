"""Mutants of real programs: our own artifacts closed, the corpus of cases where it is built, and the generated ones."""

from __future__ import annotations

import functools
import json
import random
from pathlib import Path
from typing import Any

from orchestrator.artifacts import load

from .asm import OPS
from .programs import CORNERS, SLOTS, Program, generate
from .world import SENDERS

BUILT = Path(__file__).resolve().parent.parent / "cases" / "built"
_NEAR = (
    ("LT", "GT", "SLT", "SGT", "EQ"), ("AND", "OR", "XOR"), ("ADD", "SUB", "MUL", "DIV", "SDIV", "MOD", "SMOD", "EXP"),
    ("SHL", "SHR", "SAR", "BYTE", "SIGNEXTEND"), ("ISZERO", "NOT"), ("CALL", "DELEGATECALL", "STATICCALL", "CALLCODE"),
    ("MSTORE", "MSTORE8", "SSTORE", "TSTORE"), ("SLOAD", "MLOAD", "TLOAD", "CALLDATALOAD"), ("RETURN", "REVERT"),
    ("CALLER", "ORIGIN", "ADDRESS", "CALLVALUE", "CALLDATASIZE", "CODESIZE", "RETURNDATASIZE", "PUSH0", "TIMESTAMP"),
    ("CALLDATACOPY", "CODECOPY", "RETURNDATACOPY", "MCOPY"), ("STOP", "INVALID", "JUMPDEST", "POP"),
    ("DUP1", "DUP2", "DUP3", "DUP4", "DUP5"), ("SWAP1", "SWAP2", "SWAP3", "SWAP4"),
)  # fmt: skip
NEAR: dict[int, tuple[int, ...]] = {OPS[name]: tuple(OPS[n] for n in row) for row in _NEAR for name in row}


def instructions(code: bytes) -> list[int]:
    """Where each instruction begins, in a straight walk (data at the end is walked as code too)."""
    out, at, end = [], 0, len(code)
    while at < end:
        out.append(at)
        op = code[at]
        at += op - 0x5E if 0x60 <= op <= 0x7F else 1
    return out


def mutate(rng: random.Random, program: Program, origin: str) -> Program:
    """One to four small changes of the code, or of a storage value."""
    code, storage, codes = bytearray(program.code), dict(program.storage), dict(program.codes)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        where = rng.choice([None, *codes]) if codes and rng.random() < 0.5 else None
        body = code if where is None else bytearray(codes[where])
        if rng.random() < 0.12 or not body:
            slot = rng.choice([*storage, *SLOTS[:3]])
            storage[slot] = rng.choice((*CORNERS, storage.get(slot, 0) ^ 1 << rng.randrange(256)))
            continue
        _change(rng, body)
        if where is not None:
            codes[where] = bytes(body)
    if not code or code[0] == 0xEF:  # an account like that is never analysed
        code = bytearray(b"\x00") + code
    return Program(origin, bytes(code), {s: v for s, v in storage.items() if v}, codes, program.address)


def _change(rng: random.Random, code: bytearray) -> None:
    starts = instructions(bytes(code))
    at = rng.choice(starts)
    op = code[at]
    kind = rng.randrange(10)
    if kind == 0:
        code[rng.randrange(len(code))] ^= 1 << rng.randrange(8)
    elif kind == 1:
        code[rng.randrange(len(code))] = rng.choice((0, 1, 0xFF, 0x5B, 0x55, 0xF1, 0xF4, rng.randrange(256)))
    elif kind in (2, 3):  # a near opcode
        swappable = [a for a in starts if code[a] in NEAR]
        if swappable:
            at = rng.choice(swappable)
            code[at] = rng.choice(NEAR[code[at]])
    elif kind == 4:  # taken out, its place kept
        width = 1 + (op - 0x5F if 0x60 <= op <= 0x7F else 0)
        code[at : at + width] = bytes([0x5B]) * len(code[at : at + width])
    elif kind == 5:
        if rng.random() < 0.5:
            del code[at : at + 1]
        else:
            code[at:at] = bytes([rng.choice((0x15, 0x19, 0x50, 0x80, 0x90, 0x5F, 0x33, 0x54, rng.randrange(256)))])
    elif kind in (6, 7):  # a constant
        pushes = [a for a in starts if 0x60 <= code[a] <= 0x7F]
        if pushes:
            at = rng.choice(pushes)
            width = code[at] - 0x5F
            old = int.from_bytes(code[at + 1 : at + 1 + width].ljust(width, b"\0"), "big")
            new = rng.choice((old + 1, old - 1, 0, old ^ 1 << rng.randrange(8 * width), rng.choice(CORNERS))) % 2 ** (
                8 * width
            )
            code[at + 1 : at + 1 + width] = new.to_bytes(width, "big")[: max(0, len(code) - at - 1)]
    elif kind == 8:  # a guard: turned round, or never taken, or always (PUSH2 dest JUMPI)
        guards = [
            a
            for a in starts
            if 0x60 <= code[a] <= 0x62 and code[a + 1 + code[a] - 0x5F : a + 2 + code[a] - 0x5F] == b"\x57"
        ]
        if guards:
            at = rng.choice(guards)
            end = at + 1 + code[at] - 0x5F
            if at and code[at - 1] == OPS["ISZERO"] and rng.random() < 0.7:
                code[at - 1] = 0x5B
            elif rng.random() < 0.5:
                code[end : end + 1] = b"\x50"
            else:
                code[end : end + 1] = b"\x56"
    else:  # two neighbours change places
        following = starts[starts.index(at) + 1 :][:2]
        if len(following) == 2:
            a, b, c = at, following[0], following[1]
            code[a:c] = code[b:c] + code[a:b]


@functools.cache
def real_programs() -> tuple[Program, ...]:
    """Our contracts as deployed, closed and open, and every case of the corpus that is built."""
    out = [*_artifacts()]
    if BUILT.is_dir():
        for file in sorted(BUILT.glob("*.json")):
            out += _cases(file)
    return tuple(out)


def _artifacts() -> list[Program]:
    out = []
    owner, operator, other = SENDERS
    for name in ("SmartWallet", "SmartWalletFactory", "TestEscrow", "TestToken"):
        artifact = load(name)
        code = bytearray(artifact.deployed_bytecode)
        values = {"owner": owner, "operator": operator, "factory": other, "entryPoint": other, "escrow": 0}
        for label, places in artifact.immutable_references.items():
            for start, length in places:
                code[start : start + length] = values.get(label, operator).to_bytes(length, "big")
        states = (3, 1, 3 | owner << 8) if name == "SmartWallet" else (0,)
        out += [Program(f"{name}, slot 0 = {state:#x}", bytes(code), {0: state} if state else {}) for state in states]
    return out


def _cases(file: Path) -> list[Program]:
    """The corpus as it was built: each account's code and storage, and the code of the accounts beside it."""
    document: dict[str, Any] = json.loads(file.read_text())
    found = [_case(name, file.stem, row) for name, row in sorted(document.items())]
    return [program for program in found if program.code and program.code[0] != 0xEF]


def _case(name: str, configuration: str, row: dict[str, Any]) -> Program:
    accounts = {int(address, 16): account for address, account in row["accounts"].items()}
    codes = {address: bytes.fromhex(account["code"][2:]) for address, account in accounts.items()}
    address = int(row["address"], 16)
    storage = {int(s, 16): int(v, 16) for s, v in accounts.get(address, {"storage": {}})["storage"].items()}
    code = codes.pop(address, b"")
    return Program(f"{name} ({configuration})", code, storage, {a: c for a, c in codes.items() if c}, address)


def mutant(seed: int) -> Program:
    """The mutant of this seed: of a real program, or of a generated one."""
    rng = random.Random(f"mutant {seed}")
    pick = rng.random()
    real = real_programs()
    base = generate(rng.randrange(10**9)) if pick < 0.35 else rng.choice(real)
    return mutate(rng, base, f"mutant({seed}) of {base.origin}")
