"""Texts of a given length that were thought of to make a parser slow: each shape of a family, by its name."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

Shape = Callable[[int], bytes]


def _of(unit: bytes, before: bytes = b"", after: bytes = b"") -> Shape:
    return lambda size: before + unit * ((size - len(before) - len(after)) // len(unit)) + after


def _counted(unit: bytes, before: bytes, after: bytes, separator: bytes = b",") -> Shape:
    """``unit`` with another number each time."""
    width = len(unit % 100_000) + len(separator)

    def made(size: int) -> bytes:
        count = max(1, (size - len(before) - len(after)) // width)
        return before + separator.join(unit % (100_000 + index) for index in range(count)) + after

    return made


SHAPES: dict[str, dict[str, Shape]] = {
    "text": {
        "one letter": _of(b"a"),
        "digits": _of(b"1"),
        "hex": _of(b"ab", b"0x"),
        "spaces": _of(b" "),
        "line feeds": _of(b"\n"),
        "NUL": _of(b"\0"),
        "backslashes": _of(b"\\"),
        "quotes": _of(b'"'),
        "escaped quotes": _of(b'\\"', b'"'),
        "colons": _of(b":"),
        "slashes": _of(b"/a"),
        "commas": _of(b"a=1,"),
        "percent": _of(b"%41"),
        "not UTF-8": _of(b"\xff"),
        "UTF-16": _of(b"[\0", b"\xff\xfe"),
        "combining": _of("\u0f73\u0301".encode()),
        "expanding": _of("\ufdfa".encode()),
        "bidirectional": _of("\u202e".encode()),
        "UUIDs": _of(b"5b0f1c2d-0000-4000-8000-000000000001 "),
        "almost UUIDs": _of(b"5b0f1c2d-0000-4000-8000-00000000000 "),
        "addresses": _of(b"0x" + b"ab" * 20 + b" "),
    },
    "json": {
        "unterminated, deep": _of(b'\\"', b"[" * 70 + b'"'),
        "escapes": _of(b"\\n", b'"', b'"'),
        "escaped backslashes": _of(b"\\\\", b'"', b'"'),
        "surrogates": _of(b"\\ud83d\\ude00", b'"', b'"'),
        "lone surrogates": _of(b"\\ud83d", b'"', b'"'),
        "brackets": _of(b"["),
        "braces": _of(b"{"),
        "nested objects": _of(b'{"a":'),
        "nested objects, wide": _of(b'{"a":' * 60 + b"0" + b"}" * 60 + b",", b"[", b"0]"),
        "brackets in strings": _of(b'"["'),
        "empty lists": _of(b"[],", b"[", b"0]"),
        "empty objects": _of(b"{},", b"[", b"0]"),
        "numbers": _of(b"1,", b"[", b"0]"),
        "fractions": _of(b"1.5e3,", b"[", b"0]"),
        "one number": _of(b"1"),
        "one fraction": _of(b"1", b"0."),
        "long numbers": _of(b"9" * 99 + b",", b"[", b"0]"),
        "strings": _of(b'"",', b"[", b"0]"),
        "members": _counted(b'"%d":1', b"{", b"}"),
        "one member": _of(b'"a":1,', b"{", b'"a":1}'),
        "long text": _of(b"a", b'"', b'"'),
        "long text, not ASCII": _of("é".encode(), b'"', b'"'),
        "space": _of(b" ", b"", b"1"),
        "objects, unclosed": _of(b'{"a":1,', b"x"),
    },
    "toml": {
        "dotted key": _of(b".a", b"a", b"=1"),
        "dotted table": _of(b".a", b"[a", b"]"),
        "dotted keys": _counted(b"a.a.a.a.a.a%d=1", b"", b"\n", b"\n"),
        "brackets": _of(b"[", b"a="),
        "inline tables": _of(b"{a=", b"a="),
        "list": _of(b"1,", b"a=[", b"]"),
        "tables": _counted(b"[a%d]", b"", b"\n", b"\n"),
        "arrays of tables": _of(b"[[a]]\n"),
        "escapes": _of(b"\\n", b'a="', b'"'),
        "escapes, lines": _of(b"\\n", b'a="""', b'"""'),
        "unterminated": _of(b'\\"""', b'a="""'),
        "quotes": _of(b"''\n", b"a='''", b"'''"),
        "number": _of(b"1", b"a="),
        "underscores": _of(b"1_", b"a="),
        "comments": _of(b"#"),
    },
    "wrapped": {
        "UTF-16 objects": _of(b'{\0"\0a\0"\0:\0', b"\xff\xfe"),
        "objects in text": _of(b'{"a":1}', b"x"),
        "strings of objects": lambda size: json.dumps({"x": '{"a":' * (size // 8)}).encode(),
        "Base64 of objects": lambda size: base64.b64encode(b'{"a":' * (size * 3 // 20)),
        "Base64 of Base64": lambda size: base64.b64encode(base64.b64encode(b'{"a":' * (size * 9 // 80))),
        "hex runs": _counted(b"ab" * 28 + b"%d", b"", b"", b" "),
        "RLP": lambda size: b"\xf9" + (size - 3).to_bytes(2, "big") + b"\x80" * (size - 3),
        "nested RLP": _of(b"\xc0"),
        "sign-in words": _of(b"wants you to "),
        "accounts": _of(b"account id "),
        "lists of bytes": _counted(b"[1,%d]", b"[", b"]"),
    },
    "sign-in": {
        name: lambda size, before=before, unit=unit: (
            before + unit * ((size - len(before)) // len(unit)) + (b'"' if b"URI" in before else b"")
        )
        for name, before, unit in (
            ("domain", b"", b"a:"),
            ("host", b"[", b"1:"),
            ("scheme", b"", b"a://"),
            *(
                (
                    f"URI {unit!r}",
                    b"a.b wants you to sign in with your Ethereum account:\n"
                    b"0x0000000000000000000000000000000000000001\n\n\nURI: a:" + start,
                    unit,
                )
                for start, unit in (
                    (b"", b"/a"), (b"//", b"a@"), (b"//", b"a:"), (b"", b"%41"), (b"?", b"?/"), (b"", b"/"),
                )
            ),
        )
    },
}  # fmt: skip
