"""Hostile bytes: what some protocol gives another meaning, in the forms that it may come in."""

# ruff: noqa: E501 (tables: a case a line)

from __future__ import annotations

import base64
import json
from typing import Any

import rlp
from eth_abi import encode as abi_encode
from eth_account import Account
from eth_account.messages import encode_defunct, encode_typed_data
from eth_utils import keccak

from tests.challenge.vector_parts import ADDRESS, FULL, KEY, OTHER, UUID, Case, lines, raw, text

TYPED_DATA = {
    "types": {
        "EIP712Domain": [{"name": "name", "type": "string"}],
        "Permit": [{"name": "spender", "type": "address"}, {"name": "value", "type": "uint256"}],
    },
    "primaryType": "Permit",
    "domain": {"name": "Token"},
    "message": {"spender": OTHER, "value": 1},
}


def signed(**fields: Any) -> bytes:
    base = {"to": OTHER, "value": 1, "gas": 21000, "nonce": 0, "chainId": 31337}
    return bytes(Account.sign_transaction(base | fields, KEY).raw_transaction)


FEES = {"maxFeePerGas": 2, "maxPriorityFeePerGas": 1}
TO = bytes.fromhex(OTHER[2:])
LEGACY = signed(gasPrice=1)
DYNAMIC = signed(**FEES)
CREATION = rlp.encode([b"", b"\x01", b"\x52\x08", b"", b"\x00", b"\x60\x00" * 20, b"\x01", b"", b""])
UNSIGNED = rlp.encode([b"", b"\x01", b"\x52\x08", TO, b"\x01", b"data", b"\x01", b"", b""])
UNSIGNED_DYNAMIC = b"\x02" + rlp.encode([31337, 0, 1, 2, 21000, TO, 1, b"", []])
BLOB = b"\x03" + rlp.encode([31337, 0, 1, 2, 21000, TO, 0, b"", [], 1, [b"\x01" * 32], 1, 7, 9])
AUTHORIZED = Account.sign_authorization({"chainId": 31337, "address": OTHER, "nonce": 0}, KEY)
DELEGATION = signed(**FEES, gas=100000, authorizationList=[AUTHORIZED])
AUTHORIZATION = b"\x05" + rlp.encode([31337, TO, 0])
_SIGNABLE = encode_typed_data(full_message=TYPED_DATA)
PREHASH = b"\x19" + _SIGNABLE.version + _SIGNABLE.header + _SIGNABLE.body
DIGEST = keccak(PREHASH)
SIGNATURE = bytes(Account.sign_message(encode_defunct(text=UUID), KEY).signature)
USER_OPERATION = {
    "sender": ADDRESS,
    "nonce": "0x0",
    "callData": "0x",
    "callGasLimit": "0x1",
    "verificationGasLimit": "0x1",
    "preVerificationGas": "0x1",
    "maxFeePerGas": "0x1",
    "maxPriorityFeePerGas": "0x1",
    "paymasterAndData": "0x",
    "signature": "0x",
}
PACKED_OPERATION = keccak(
    abi_encode(
        ["address", "uint256", "bytes32", "bytes32", "bytes32", "uint256", "bytes32", "bytes32"],
        [ADDRESS, 0, keccak(b""), keccak(b""), bytes(32), 1, bytes(32), keccak(b"")],
    )
)
TRANSFER = bytes.fromhex("a9059cbb") + abi_encode(["address", "uint256"], [OTHER, 10**18])
STRUCT = keccak(b"Permit(address spender,uint256 value)") + abi_encode(["address", "uint256"], [OTHER, 1])


def base64_text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def transactions() -> list[Case]:
    rule = "transaction"
    pays = "signed, it moves value"
    as_json = {"from": ADDRESS, "to": OTHER, "value": "0x1", "data": "0x", "gas": "0x5208"}
    call = {"jsonrpc": "2.0", "id": 1, "method": "eth_sendTransaction", "params": [{"to": OTHER}]}
    return [
        raw("legacy", f"a legacy transaction (EIP-155): {pays}", rule, LEGACY),
        raw("legacy, unsigned", "the nine fields whose hash is signed for chain 1", rule, UNSIGNED),
        raw("legacy, before EIP-155", "six fields, valid on every chain", rule, rlp.encode([0, 1, 21000, TO, 1, b""])),
        raw("legacy, long", "a list with a length of its length", rule, signed(gasPrice=1, gas=60000, data=b"\x7f" * 600)),
        raw("legacy, creation", "deploys a contract: no recipient", rule, CREATION),
        raw("EIP-2930", "type 0x01", rule, signed(gasPrice=1, gas=30000, type=1, accessList=[{"address": OTHER, "storageKeys": []}])),
        raw("EIP-1559", "type 0x02", rule, DYNAMIC),
        raw("EIP-1559, unsigned", "what is hashed and signed", rule, UNSIGNED_DYNAMIC),
        raw("EIP-4844", "type 0x03", rule, BLOB),
        raw("EIP-4844 with its blobs", "the network's wrapping: a list of lists", rule, b"\x03" + rlp.encode([rlp.decode(BLOB[1:]), [b"b"], [b"c"], [b"p"]])),
        raw("EIP-7702", "type 0x04: delegates the account's code", rule, DELEGATION),
        raw("type 0x71", "another chain's own type (EIP-2718)", rule, b"\x71" + rlp.encode([0, 1, 2, 21000, TO, 1, b""])),
        raw("type 0x7f", "the last type that EIP-2718 has", rule, b"\x7f" + rlp.encode([0, 1, 2, 21000, TO, 1, b""])),
        raw("empty list", "a list with nothing in it is a list", rule, b"\xc0"),
        raw("list in lists", "a list that is no known transaction", rule, rlp.encode([[b"a", [b"b"]], b"c"])),
        raw("in an RLP string", "as a block's body carries it", rule, rlp.encode(DYNAMIC)),
        raw("legacy and a byte", "a decoder that drops what follows signs it", rule, UNSIGNED + b"\x00"),
        raw("legacy and a line feed", "as a file ends", rule, LEGACY + b"\n"),
        raw("EIP-1559 and bytes", "a decoder that drops what follows sends it", rule, DYNAMIC + b"more"),
        text("hexadecimal", "what eth_sendRawTransaction takes", rule, "0x" + DYNAMIC.hex()),
        text("hexadecimal, bare", "without 0x", rule, LEGACY.hex()),
        text("hexadecimal, upper case", "with 0X", rule, "0X" + DYNAMIC.hex().upper()),
        text("hexadecimal and a line feed", "as a file ends", rule, "0x" + LEGACY.hex() + "\n"),
        lines("hexadecimal in lines", "as a mail breaks it", rule, [DYNAMIC.hex()[:80], DYNAMIC.hex()[80:]]),
        text("hexadecimal with colons", "as a debugger prints it", rule, DYNAMIC.hex(":")),
        text("Base64", "decoded twice it is a transaction", rule, base64_text(DYNAMIC)),
        text("Base64, for URLs, no padding", "the other alphabet", rule, base64.urlsafe_b64encode(LEGACY).decode().rstrip("=")),
        text("hexadecimal in Base64", "wrapped twice", rule, base64_text(b"0x" + DYNAMIC.hex().encode())),
        text("Base64 in Base64", "wrapped twice", rule, base64_text(base64_text(DYNAMIC).encode())),
        text("JSON string", "in quotes", rule, json.dumps("0x" + LEGACY.hex())),
        text("JSON of a raw transaction", "in a document", rule, json.dumps({"signed": ["0x" + DYNAMIC.hex()]})),
        text("JSON of bytes", "a list of numbers", rule, json.dumps(list(DYNAMIC))),
        text("JSON of a buffer", "as Node.js writes bytes", rule, json.dumps({"type": "Buffer", "data": list(LEGACY)})),
        text("JSON transaction", "as eth_sendTransaction takes it", rule, json.dumps(as_json)),
        text("JSON-RPC call", "a wallet may act on it", rule, json.dumps(call)),
        text("user operation", "ERC-4337, as JSON", rule, json.dumps(USER_OPERATION)),
    ]  # fmt: skip


def authorizations() -> list[Case]:
    rule = "authorization"
    tuple_ = {"chainId": "0x7a69", "address": OTHER, "nonce": "0x0"}
    return [
        raw("EIP-7702", "hands the account to other code", rule, AUTHORIZATION),
        raw("EIP-7702, any chain", "chain 0 is every chain", rule, b"\x05" + rlp.encode([0, TO, 0])),
        raw("EIP-7702, other shape", "0x05 and any list", rule, b"\x05" + rlp.encode([TO])),
        raw("EIP-7702 and a byte", "something after it", rule, AUTHORIZATION + b"\x00"),
        text("hexadecimal", "as text", rule, "0x" + AUTHORIZATION.hex()),
        text("hexadecimal, upper case", "as text", rule, AUTHORIZATION.hex().upper()),
        text("Base64", "as text", rule, base64_text(AUTHORIZATION)),
        text("JSON", "as a wallet is asked for it", rule, json.dumps(tuple_)),
        text("JSON, viem", "the other name of the address", rule, json.dumps({"chainId": 0, "contractAddress": OTHER, "nonce": 1})),
    ]  # fmt: skip


def typed() -> list[Case]:
    inner = json.dumps(TYPED_DATA)
    return [
        raw("EIP-712 prehash", "what typed data is hashed from", "eip191", PREHASH),
        raw("EIP-712 prefix", "0x1901 and nothing else", "eip191", b"\x19\x01"),
        text("EIP-712 prehash, hexadecimal", "as text", "eip191", "0x" + PREHASH.hex()),
        text("EIP-712 prehash, Base64", "as text", "eip191", base64_text(PREHASH)),
        raw("EIP-191 validator", "version 0x00: data for a contract", "eip191", b"\x19\x00" + TO + b"data"),
        raw("EIP-191 message", "prefixed already: a message in a message", "eip191", b"\x19Ethereum Signed Message:\n36" + UUID.encode()),
        raw("EIP-191 message, hexadecimal", "as text", "eip191", (b"\x19Ethereum Signed Message:\n32" + DIGEST).hex().encode()),
        text("EIP-191 words", "the prefix written out", "eip191", "\\x19Ethereum Signed Message:\\n32" + "a" * 32),
        raw("EIP-191 unknown version", "0x19 and another version", "eip191", b"\x19\x02something"),
        raw("Bitcoin message", "another chain's prefix on the same curve", "eip191", b"\x18Bitcoin Signed Message:\n\x05hello"),
        text("EIP-712 document", "a permit", "eip712", inner),
        text("EIP-712 document with BOM", "a byte order mark and space before it", "eip712", "\ufeff \n" + inner),
        text("EIP-712 document, nested", "in another document", "eip712", json.dumps({"a": [{"b": TYPED_DATA}]})),
        text("EIP-712 document, Base64", "as text", "eip712", base64_text(inner.encode())),
        text("EIP-712 document, hexadecimal", "as text", "eip712", inner.encode().hex()),
        text("EIP-712 part", "two of its members", "eip712", json.dumps({"primaryType": "Permit", "message": {}})),
        text("EIP-712 member twice", "the second of a member's name hides the first", "eip712", '{"a": {"types": {}, "domain": {}}, "a": 1}'),
        text("EIP-712 document, not quite JSON", "a comma too many", "eip712", inner[:-1] + ",}"),
    ]  # fmt: skip


def digests() -> list[Case]:
    why = "what it is the hash of cannot be seen"
    return [
        raw("raw", why, "digest", DIGEST),
        raw("raw zeros", why, "digest", bytes(32)),
        raw("EIP-191 hash", "of another message", "digest", keccak(b"\x19Ethereum Signed Message:\n5hello")),
        raw("user operation hash", "ERC-4337: whoever has it signed sends the operation", "digest", PACKED_OPERATION),
        text("hexadecimal without 0x, upper case", why, "digest", DIGEST.hex().upper()),
        text("hexadecimal, bare", "also the form of a private key", "digest", DIGEST.hex()),
        text("hexadecimal with 0x and a line feed", why, "digest", "0x" + DIGEST.hex() + "\n"),
        text("hexadecimal, 0X and spaces", why, "digest", f"  0X{DIGEST.hex()} "),
        text("hexadecimal and a line feed", why, "digest", DIGEST.hex() + "\n"),
        text("hexadecimal, 0X", why, "digest", "0X" + DIGEST.hex()),
        lines("hexadecimal in lines", why, "digest", [DIGEST.hex()[:32], DIGEST.hex()[32:]]),
        text("Base64", why, "digest", base64_text(DIGEST)),
        text("Base64 without padding", why, "digest", base64_text(DIGEST).rstrip("=")),
        raw("RLP string", why, "digest", b"\xa0" + DIGEST),
        text("JSON parameter", "as eth_sign takes it", "digest", json.dumps(["0x" + DIGEST.hex()])),
        text("decimal", "a number of 256 bits", "digest", str(int.from_bytes(b"\xf0" + DIGEST[1:], "big"))),
        text("private key", "the key of a test, as text", "digest", KEY[2:]),
        text("32 characters", "text that a library takes for 32 bytes", "digest", "a" * 31 + "-"),
        text("UUID without hyphens", "32 characters", "digest", UUID.replace("-", "")),
        raw("signature", "a signature over a signature proves what was not meant", "signature", SIGNATURE),
        raw("signature, v of 0", "the other form of v", "signature", SIGNATURE[:64] + bytes([SIGNATURE[64] - 27])),
        raw("signature, compact", "EIP-2098", "signature", SIGNATURE[:64]),
        text("signature, hexadecimal", "as submitted", "signature", "0x" + SIGNATURE.hex()),
        text("signature, Base64", "as text", "signature", base64_text(SIGNATURE)),
        text("signature, hexadecimal in Base64", "as the platform takes it", "signature", base64_text(b"0x" + SIGNATURE.hex().encode())),
        raw("ERC-20 transfer", "calldata", "abi", TRANSFER),
        text("ERC-20 transfer, hexadecimal", "calldata", "abi", "0x" + TRANSFER.hex()),
        raw("EIP-712 struct", "what a permit's hash is made of", "abi", STRUCT),
    ]  # fmt: skip


def characters() -> list[Case]:
    rule = "characters"
    whole = "\n".join(FULL)
    return [
        text("escape sequence", "clears a terminal", rule, "hello \x1b[2J"),
        text("NUL", "ends the text for some readers", rule, UUID + "\x00"),
        text("backspace", "hides what stands before it", rule, "pay\b\b\bhello"),
        text("delete", "a control character", rule, "hello\x7f"),
        text("tab", "a control character", rule, "hello\tworld"),
        text("C1", "next line, in Latin-1", rule, "a\u0085b"),
        text("CRLF message", "lines end otherwise than was signed", rule, "\r\n".join(FULL)),
        text("right-to-left override", "shows the statement backwards", rule, whole.replace("I accept", "I \u202eaccept")),
        text("isolate", "reorders what is shown", rule, "a\u2066b"),
        text("right-to-left mark", "invisible", rule, "a\u200fb"),
        text("zero width space in a domain", "invisible", rule, whole.replace("offblocks", "off\u200bblocks", 1)),
        text("zero width space after a UUID", "invisible", rule, UUID + "\u200b"),
        text("soft hyphen", "invisible", rule, "hel\u00adlo"),
        text("byte order mark", "invisible", rule, "\ufeff" + UUID),
        text("line separator", "another line end", rule, "a\u2028b"),
        text("tag characters", "invisible text", rule, "hello" + "".join(chr(0xE0000 + ord(c)) for c in "pay")),
        text("no-break space", "looks like a space", rule, "sign\u00a0in"),
        text("Hangul filler", "a letter that shows nothing", rule, "a\u3164b"),
        text("variation selector", "invisible", rule, "a\ufe0fb"),
        text("private use", "means what a font says", rule, "a\ue000b"),
        raw("UTF-16", "text with a NUL in each character", rule, UUID.encode("utf-16-le")),
    ]  # fmt: skip


def forms() -> list[Case]:
    whole = "\n".join(FULL)
    uuid, sign_in = "uuid.form", "eip4361.form"
    other_form = "another text with the same meaning"
    return [
        text("UUID, upper case", other_form, uuid, UUID.upper()),
        text("UUID, mixed case", other_form, uuid, UUID.replace("d", "D", 1)),
        text("UUID in braces", other_form, uuid, "{" + UUID + "}"),
        text("UUID as a URN", other_form, uuid, f"urn:uuid:{UUID}"),
        text("UUID in quotes", other_form, uuid, f'"{UUID}"'),
        text("UUID and a line feed", other_form, uuid, UUID + "\n"),
        text("UUID after a space", other_form, uuid, " " + UUID),
        text("UUID in Base64", "encoded once too often", uuid, base64_text(UUID.encode())),
        text("UUID in full-width digits", other_form, uuid, UUID.replace("5", "\uff15")),
        text("UUID with another hyphen", other_form, uuid, UUID.replace("-", "\u2010")),
        text("UUID in hexadecimal", other_form, uuid, UUID.encode().hex()),
        raw("UUID in UTF-16", "text in another encoding", uuid, UUID.encode("utf-16")),
        text("UUID, half a hyphen", other_form, uuid, UUID.replace("-", "", 1)),
        text("sign-in with a space", "a lenient reader takes it", sign_in, whole.replace("account:", "account: ", 1)),
        text("sign-in, upper case", "a lenient reader takes it", sign_in, whole.replace("wants you to sign in", "WANTS YOU TO SIGN IN")),
        text("sign-in of another chain", "CAIP-122: another account's message", sign_in, whole.replace("Ethereum", "Solana", 1)),
        text("sign-in after a line", "a lenient reader skips it", sign_in, "\n" + whole),
        text("sign-in in Base64", "encoded once too often", sign_in, base64_text(whole.encode())),
        raw("sign-in in UTF-16", "text in another encoding", sign_in, whole.encode("utf-16")),
        text("sign-in in JSON", "as some wallets are asked", sign_in, json.dumps({"statement": whole.split("\n")[0]})),
    ]  # fmt: skip
