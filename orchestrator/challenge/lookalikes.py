"""Bytes that must never be signed as a challenge, because some protocol gives a signature over them another meaning.

Each function answers what the bytes look like, or None. They read the bytes as they are and at what they stand for
(``forms``). Deliberately generous: a false alarm costs a refusal of something that is no known challenge anyway, and a
canonical UUID or a well-formed sign-in message is none of these.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from orchestrator.challenge.forms import PADDING, Form, json_objects, rlp_list, whole_list
from orchestrator.foreign import is_hidden

Forms = Sequence[Form]

_TYPED_TRANSACTIONS: Final = {1: "EIP-2930", 2: "EIP-1559", 3: "EIP-4844", 4: "EIP-7702"}
_AUTHORIZATION: Final = 0x05
_SIGNED_DATA: Final = 0x19
_PERSONAL: Final = b"Ethereum Signed Message:"
_BITCOIN: Final = b"\x18Bitcoin Signed Message:"
_TYPED_DATA_KEYS: Final = frozenset({"types", "primarytype", "domain", "message"})
_TYPED_DATA_WORDS: Final = (b"EIP712Domain", b'"primaryType"')
# fmt: off
_TRANSACTION_KEYS: Final = frozenset({
    "from", "to", "value", "data", "input", "gas", "gaslimit", "gasprice", "maxfeepergas", "maxpriorityfeepergas",
    "maxfeeperblobgas", "nonce", "chainid", "accesslist", "authorizationlist", "blobversionedhashes",
    "rawtransaction",
    # ERC-4337
    "sender", "calldata", "initcode", "factory", "factorydata", "callgaslimit", "verificationgaslimit",
    "preverificationgas", "accountgaslimits", "gasfees", "paymasteranddata",
})
_PARTIES: Final = frozenset({"from", "to", "sender"})
_PAYLOADS: Final = frozenset({"value", "data", "input", "calldata", "initcode"})
# fmt: on
_ADDRESS: Final = re.compile(r"(?:eip155:[0-9]+:)?0[xX][0-9A-Fa-f]{40}")
_FEWEST_KEYS: Final = 3
_RPC_METHOD: Final = re.compile(r"(?:eth|personal|wallet|account|debug)_[A-Za-z0-9]+")
_SIGN_IN: Final = re.compile(rb"wants\s+you\s+to\s+sign\s+in\s+with\s+your", re.IGNORECASE)
_UUID: Final = re.compile(
    r"[\s\"'{(\[<]*(?:urn:)?(?:uuid:)?[\s\"'{(\[<]*"
    r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}[\s\"'})\]>.,;\0]*",
    re.IGNORECASE,
)
_PEM: Final = re.compile(rb"-----BEGIN [A-Z0-9 ]{0,40}KEY[A-Z ]{0,10}-----")
_LONGEST_UUID: Final = 200
"""Bytes, with all that may be around it."""
_DECIMAL_WORD: Final = re.compile(rb"\s*[0-9]{70,78}\s*")
_WORD: Final = 32
_ORDER: Final = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
"""Of secp256k1's group (SEC 2)."""
_CONTROLLING: Final = re.compile("\x1b[\\[\\]]|[\u200b-\u200f\u2028-\u202e\u2060-\u2064\u2066-\u2069]")
"""What changes how a terminal shows everything else: rare enough to be no chance in bytes that are no text."""
_TEXT_SHARE: Final = 0.9
"""Of printable characters: bytes with that many are read as text by whoever is shown them. Random ones have 0.4."""


def transaction(forms: Forms) -> str | None:
    """A legacy transaction (an RLP list) or a typed one (EIP-2718: a byte to 0x7f and an RLP list), also one with
    further bytes after it; a transaction, a user operation (ERC-4337) or a JSON-RPC call as JSON."""
    for form in forms:
        items = whole_list(form, form.data)
        if items is not None:
            return f"an RLP list of {items} items{form.how}, like a legacy transaction"
        first = form.data[0]
        typed = first < 0x80 and first not in (_AUTHORIZATION, _SIGNED_DATA)
        if typed and whole_list(form, form.data[1:]) is not None:
            name = _TYPED_TRANSACTIONS.get(first, "EIP-2718")
            return f"0x{first:02x} and an RLP list{form.how}, like an {name} transaction"
        if _followed(form.data) or (first in _TYPED_TRANSACTIONS and _followed(form.data[1:], typed=True)):
            return f"an RLP list with bytes after it{form.how}, like a transaction that is not at its end"
        for document in json_objects(form):
            method = document.get("method")
            if isinstance(method, str) and _RPC_METHOD.fullmatch(method):
                return f"a JSON-RPC call {method[:40]}{form.how}"
            named = _lower(document)
            members = sorted(_TRANSACTION_KEYS & named.keys())
            if len(members) >= _FEWEST_KEYS or _is_payment(named):
                return f"a JSON document with {', '.join(members[:4])}{form.how}, like a transaction"
    return None


def _lower(document: Mapping[str, Any]) -> dict[str, Any]:
    """The members by their names in lower case without underscores, as tools of other languages write them."""
    return {name.replace("_", "").lower(): value for name, value in document.items()}


def _is_payment(named: Mapping[str, Any]) -> bool:
    """Whether an address and what is sent are named: all that ``eth_sendTransaction`` needs."""
    party = any(isinstance(named.get(name), str) and _ADDRESS.fullmatch(named[name]) for name in _PARTIES)
    return party and not _PAYLOADS.isdisjoint(named)


def _followed(data: bytes, *, typed: bool = False) -> bool:
    """A transaction's list and something after it, which careless decoders drop."""
    found = rlp_list(data)
    if found is None or not found.trailing:
        return False
    if typed:
        return len(found.items) in range(8, 15)
    return len(found.items) in (6, 9) and len(found.items[3]) in (0, 20) and len(found.items[1]) <= _WORD


def authorization(forms: Forms) -> str | None:
    """An EIP-7702 authorization (0x05 and an RLP list, or its JSON form), which would hand the account to other
    code."""
    for form in forms:
        found = rlp_list(form.data[1:]) if form.data[0] == _AUTHORIZATION else None
        if found is not None and (not form.by_chance or len(found.items) == _FEWEST_KEYS):
            return f"0x05 and an RLP list{form.how}, like an EIP-7702 authorization"
        for document in json_objects(form):
            named = _lower(document)
            if {"chainid", "nonce"} <= named.keys() and {"address", "contractaddress"} & named.keys():
                return f"a JSON document with address, chainId, nonce{form.how}, like an EIP-7702 authorization"
    return None


def prefixed(forms: Forms) -> str | None:
    """Anything that carries EIP-191's 0x19 already: typed data (EIP-712, version 0x01), a validator's, a message."""
    for form in forms:
        if form.data[:2] == b"\x19\x01":
            return f"0x1901{form.how}, like the hash input of EIP-712 typed data"
        if _PERSONAL in form.data:
            return f"the prefix 0x19 'Ethereum Signed Message:'{form.how}, like an EIP-191 message prefixed already"
        if form.data[0] == _SIGNED_DATA:
            return f"0x{form.data[:2].hex()}{form.how}, like EIP-191 signed data"
        if form.data.startswith(_BITCOIN):
            return f"the prefix 0x18 'Bitcoin Signed Message:'{form.how}"
    return None


def typed_data(forms: Forms) -> str | None:
    """A JSON document with the members of EIP-712 typed data, at any depth; or text that holds such a document."""
    for form in forms:
        for document in json_objects(form):
            members = sorted(_TYPED_DATA_KEYS & _lower(document).keys())
            if len(members) >= 2:
                return f"a JSON document with {', '.join(members)}{form.how}, like EIP-712 typed data"
        for word in _TYPED_DATA_WORDS:
            if word in form.data:
                return f"the word {word.decode()}{form.how}, as in EIP-712 typed data"
    return None


def digest(forms: Forms) -> str | None:
    """32 bytes, raw or as text: what they are the hash of cannot be seen. A private key has that size, too."""
    for form in forms:
        if len(form.data) == _WORD and not (form.part and _is_plain(form.data)):
            return f"32 bytes{form.how}, like a digest"
        bare = form.data.strip(PADDING)  # a digest may itself begin or end with what is taken off here
        if len(bare) < _WORD < len(form.data) and not bare.isascii():
            return f"32 bytes with space around them{form.how}, like a digest"
        if _DECIMAL_WORD.fullmatch(form.data):
            return f"a number of 256 bits in decimal{form.how}, like a digest"
    return None


def signature(forms: Forms) -> str | None:
    """A signature on secp256k1: r and s (64 bytes, EIP-2098 too), or r, s and v (65 bytes), raw or as text."""
    for form in forms:
        data = form.data
        if len(data) not in (64, 65) or (len(data) == 65 and data[64] not in (0, 1, 27, 28)):
            continue
        if _is_plain(data):
            continue  # 64 characters of text; their hexadecimal or Base64 meaning is a form of its own
        r, s = int.from_bytes(data[:32], "big"), int.from_bytes(data[32:64], "big") & (1 << 255) - 1
        if 0 < r < _ORDER and s > 0:
            return f"{len(data)} bytes{form.how}, like a signature"
    return None


def _is_plain(data: bytes) -> bool:
    return data.isascii() and data.decode("ascii").isprintable()


def abi(forms: Forms) -> str | None:
    """Contract calls and encoded structs (ABI): 32-byte words of which one starts with 12 zero bytes, as numbers and
    addresses do; with 4 bytes of a function's selector before them or not."""
    for form in forms:
        selector = len(form.data) % _WORD
        words = len(form.data) // _WORD
        if selector not in (0, 4) or words < (1 if selector else 2):
            continue
        starts = range(selector, len(form.data), _WORD)
        if any(not any(form.data[start : start + 12]) for start in starts):
            what = "a selector and " if selector else ""
            return f"{what}{words} words of 32 bytes{form.how}, like ABI-encoded data"
    return None


def hidden_characters(data: bytes) -> str | None:
    """Text with control characters (but LF), bidirectional controls, unusual spaces or invisible characters.

    What a person sees of such text is not what is signed. Bytes that are no UTF-8 are no text as long as they do not
    look like text; even then nothing in them may control how a terminal shows the rest.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return _hidden_in_bytes(data, error)
    if text.isascii() and text.replace("\n", "").isprintable():
        return None
    for position, character in enumerate(text):
        if character not in "\n " and _is_hidden(character):
            name = unicodedata.name(character, "a control character")
            return f"U+{ord(character):04X} ({name}) at character {position}"
    return None


def _hidden_in_bytes(data: bytes, error: UnicodeDecodeError) -> str | None:
    text = data.decode("utf-8", "replace")
    if (found := _CONTROLLING.search(text)) is not None:
        name = unicodedata.name(found[0][0], "a control character")
        return f"U+{ord(found[0][0]):04X} ({name}) among bytes that are no UTF-8"
    shown = sum(1 for character in text if character != "\ufffd" and not _is_hidden(character))
    if shown >= _TEXT_SHARE * len(text):
        return f"byte 0x{data[error.start]:02x} at offset {error.start} in what looks like text and is no UTF-8"
    return None


def _is_hidden(character: str) -> bool:
    if character.isascii():
        return not character.isprintable()
    return unicodedata.category(character) == "Zs" or is_hidden(character)


def sign_in(forms: Forms) -> str | None:
    """Text that asks to sign in without being an EIP-4361 message: a lenient reader may take it for one."""
    for form in forms:
        if _SIGN_IN.search(form.data):
            return f"words of a sign-in message{form.how} in another form"
    return None


def session_key(forms: Forms) -> str | None:
    """A key in PEM that is no session key: in other lines, with text around it, wrapped, or a private one."""
    for form in forms:
        match = _PEM.search(form.data)
        if match is not None:
            return f"a key in PEM{form.how} in another form: {match[0].decode('ascii')!a}"
    return None


def uuid_form(forms: Forms) -> str | None:
    """A UUID in another form than the canonical one: upper case, without hyphens, in braces, as a URN, in full-width
    digits, wrapped."""
    for form in forms:
        if form.part or len(form.data) > _LONGEST_UUID:
            continue  # which account is named within other text, the rule ``account`` asks
        try:
            text = form.data.decode("utf-8")
        except UnicodeDecodeError:
            continue
        for candidate in _readings(text):
            if _UUID.fullmatch(candidate):
                return f"a UUID in another form{form.how}: {text[:60]!a}"
    return None


def _readings(text: str) -> Iterable[str]:
    plain = unicodedata.normalize("NFKC", text)
    yield plain
    yield re.sub("[\u2010-\u2015\u2212_ ]", "-", plain)
