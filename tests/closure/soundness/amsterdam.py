"""What another EVM, npm's ``@ethereumjs/evm``, makes of Amsterdam's instructions: recorded, as it is not always there.

    python -m tests.closure.soundness.amsterdam           # writes amsterdam.json
    python -m tests.closure.soundness.amsterdam --check   # compares, as the full test profile does

Each value of the immediates of DUPN, SWAPN and EXCHANGE is tried on a stack of different words that is just deep enough
for the deepest, and folded into one number afterwards: words in another order give another.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from .asm import code

RECORDED = Path(__file__).with_suffix(".json")
RUNNER = Path(__file__).parents[1] / "cases" / "evm.mjs"
SLOT = 0x1234567
DEPTHS = {"DUPN": (0xE6, 236), "SWAPN": (0xE7, 236), "EXCHANGE": (0xE8, 31)}
"""Opcode, and the words on the stack: one more than the deepest that it reaches."""
_ANSWER = "0 MSTORE 32 0 RETURN"

SINGLE = {
    "SLOTNUM": f'x"4b" {_ANSWER}',
    "SLOTNUM on a full stack": "1 " * 1024 + 'x"4b"',
    "SLOTNUM on a stack with room for one": "1 " * 1023 + 'x"4b"',
    "DUPN 17 of 17 words": "7 " + "0 " * 16 + f'x"e680" {_ANSWER}',
    "DUPN 17 of 16 words": "0 " * 16 + 'x"e680"',
    "DUPN on a full stack": "1 " * 1024 + 'x"e680"',
    "SWAPN 17 of 18 words": "7 " + "0 " * 17 + f'x"e780" {_ANSWER}',
    "SWAPN 17 of 17 words": "0 " * 17 + 'x"e780"',
    "EXCHANGE 1 2 of 3 words": f'7 8 9 x"e88e" POP {_ANSWER}',
    "EXCHANGE 1 2 of 2 words": '7 8 x"e88e"',
    "an immediate that is the code's last byte": "7 " + "0 " * 16 + 'x"e680"',
    "DUPN at the code's end": "7 " + "0 " * 144 + 'x"e6"',
    "DUPN at the code's end, one word too few": "0 " * 144 + 'x"e6"',
    "EXCHANGE at the code's end": "0 " * 30 + 'x"e8"',
    "a jump into an immediate that is a JUMPDEST": f'4 JUMP x"e65b" 7 {_ANSWER}',
    "a jump behind an immediate": f'4 JUMP x"e680" 7 {_ANSWER}',
    "a jump to a JUMPDEST behind an immediate": f'5 JUMP x"e6e65b" 7 {_ANSWER}',
    "a PUSH in an immediate hides what follows": 'x"605b56e6605b00"',
    "SELFDESTRUCT to somebody": "0xbeef SELFDESTRUCT",
    "SELFDESTRUCT to itself": "ADDRESS SELFDESTRUCT",
    "a jump to the last byte of 64 KiB": f'0xffff JUMP x"{"00" * 65531}5b"',
}
INITCODES = {"65536 bytes": "65536 0 RETURN", "65537 bytes": "65537 0 RETURN"}


def folded(name: str, immediate: int) -> bytes:
    """The instruction on a stack of 1, 2, 3, …, and what it made of it as one number."""
    opcode, words = DEPTHS[name]
    left = words + (name == "DUPN")
    fold = "31 MUL ADD " * (left - 1)
    numbers = " ".join(str(n) for n in range(1, words + 1))
    return code(f'{numbers} x"{opcode:02x}{immediate:02x}" {fold} {(1 << 64) - 1} AND {_ANSWER}')


def single(name: str) -> bytes:
    """The program of a row of ``SINGLE``."""
    return code(SINGLE[name])


def run(hardfork: str) -> dict[str, Any]:
    """All programs in the other EVM. Needs node, and `npm ci --ignore-scripts` in tests/closure/cases."""
    tried = [(name, immediate) for name in DEPTHS for immediate in range(256)]
    codes = [folded(*row) for row in tried] + [single(name) for name in SINGLE]
    asked = {
        "hardfork": hardfork,
        "slotNumber": SLOT,
        "codes": ["0x" + program.hex() for program in codes],
        "initcodes": ["0x" + code(text).hex() for text in INITCODES.values()],
    }
    done = subprocess.run(["node", RUNNER], input=json.dumps(asked), capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout)
    runs = [one["returned"] if one["returned"] == "halt" else _short(one["returned"]) for one in answer["runs"]]
    return {
        **{name: runs[256 * n : 256 * n + 256] for n, name in enumerate(DEPTHS)},
        "single": dict(zip(SINGLE, runs[len(tried) :], strict=True)),
        "all kept their code": all(one["kept"] for one in answer["runs"]),
        "deployed": dict(zip(INITCODES, answer["deployed"], strict=True)),
    }


def _short(returned: str) -> str:
    return hex(int(returned, 16)) if len(returned) > 2 else "0x"


def record() -> str:
    """The file's text, a line for each table."""
    forks = {"osaka": run("osaka"), "amsterdam": run("amsterdam")}
    for name in DEPTHS:
        assert set(forks["osaka"].pop(name)) == {"halt"}
    tables = [
        f"{json.dumps(fork)}: {{\n" + ",\n".join(f"{json.dumps(key)}: {json.dumps(row)}" for key, row in rows.items())
        for fork, rows in forks.items()
    ]
    return "{\n" + "\n},\n".join(tables) + "\n}\n}\n"


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        sys.exit(0 if record() == RECORDED.read_text() else "amsterdam.json differs from what the EVM does now")
    RECORDED.write_text(record())
