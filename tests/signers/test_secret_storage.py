"""Key files: the published vectors open, planted parameters are refused before they are computed."""

from __future__ import annotations

import copy
import json
import time
from pathlib import Path

import eth_account  # noqa: F401  (on top: importing it changes the recursion limit, which Hypothesis objects to)
import pytest
from coincurve import PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.eip191 import address_of
from orchestrator.errors import KeyUnavailable
from orchestrator.passwords import Secret
from orchestrator.signers import secret_storage
from orchestrator.signers.document import Facts

FOLDER = Path(__file__).parent / "vectors"
VECTORS = json.loads((FOLDER / "web3_secret_storage.json").read_text("utf-8"))["vectors"]
OTHER_TOOLS = json.loads((FOLDER / "other_tools.json").read_text("utf-8"))["vectors"]


def encoded(document) -> bytes:
    return json.dumps(document).encode()


def vector_file(kdf: str) -> dict:
    return copy.deepcopy(next(vector["file"] for vector in VECTORS if vector["name"] == kdf))


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_published_vectors_open(vector):
    file = secret_storage.decode(encoded(vector["file"]), "vector")
    key = secret_storage.decrypt(file, Secret(vector["password"]), "vector")
    assert key.secret.hex() == vector["privateKey"]
    with_address = vector["file"] | {"address": vector["address"].lower()[2:]}
    assert secret_storage.decode(encoded(with_address), "vector").address == vector["address"]


@pytest.mark.parametrize("vector", OTHER_TOOLS, ids=lambda vector: vector["name"])
def test_files_of_other_tools_open_with_and_without_an_address(vector):
    file = secret_storage.decode(encoded(vector["file"]), "vector")
    assert file.address in (None, vector["address"])
    key = secret_storage.decrypt(file, Secret(vector["password"]), "vector")
    assert (key.secret.hex(), address_of(key.public_key)) == (vector["privateKey"], vector["address"])
    with pytest.raises(KeyUnavailable) as caught:
        secret_storage.decrypt(file, Secret(vector["password"].replace("ä", "a")), "vector")
    assert caught.value.code == "wrong_password"


def test_a_wrong_password_and_an_altered_file_have_codes():
    file = secret_storage.decode(encoded(vector_file("pbkdf2")), "vector")
    with pytest.raises(KeyUnavailable, match="password is wrong") as caught:
        secret_storage.decrypt(file, Secret("otherpassword"), "vector")
    assert caught.value.code == "wrong_password"
    assert caught.value.__context__ is None


def test_the_address_in_the_file_is_compared_with_the_key():
    document = vector_file("pbkdf2") | {"address": "27b1fdb04752bbc536007a920d24acb045561c26"}
    with pytest.raises(KeyUnavailable, match=r"0x27b1.*got the key of 0x008A") as caught:
        secret_storage.decrypt(secret_storage.decode(encoded(document), "vector"), Secret("testpassword"), "vector")
    assert caught.value.code == "keystore_unreadable"


def planted(plain: bytes, password: bytes = b"secret") -> bytes:
    """A pbkdf2 file whose encrypted content is ``plain``, whatever that is."""
    from eth_keyfile.keyfile import _pbkdf2_hash, encrypt_aes_ctr
    from eth_utils import keccak

    document = vector_file("pbkdf2")
    params = document["crypto"]["kdfparams"] | {"c": 10_000}
    derived = _pbkdf2_hash(password, "sha256", bytes.fromhex(params["salt"]), params["c"], 32)
    ciphertext = encrypt_aes_ctr(plain, derived[:16], int(document["crypto"]["cipherparams"]["iv"], 16))
    document["crypto"] |= {
        "kdfparams": params,
        "ciphertext": ciphertext.hex(),
        "mac": keccak(derived[16:] + ciphertext).hex(),
    }
    return encoded(document)


@pytest.mark.parametrize("number", [0, secret_storage.ORDER, 2**256 - 1])
def test_an_encrypted_number_that_is_no_key_is_refused(number):
    with pytest.raises(KeyUnavailable, match="private key of secp256k1"):
        secret_storage.decrypt(
            secret_storage.decode(planted(number.to_bytes(32, "big")), "planted"), Secret("secret"), "planted"
        )


@pytest.mark.parametrize("size", [24, 30, 31])
def test_a_key_whose_leading_zeros_were_left_out_opens(size):
    plain = bytes(range(1, size + 1))
    key = secret_storage.decrypt(secret_storage.decode(planted(plain), "planted"), Secret("secret"), "planted")
    assert key.secret == bytes(32 - size) + plain


@pytest.mark.parametrize("size", [0, 1, 23, 33, 64])
def test_a_key_of_another_size_is_refused(size):
    with pytest.raises(KeyUnavailable, match="ciphertext of 24 to 32 bytes") as caught:
        secret_storage.decode(planted(b"\x01" * size), "planted")
    assert caught.value.code == "keystore_unreadable"


@pytest.mark.parametrize(
    ("kdf", "params", "text"),
    [
        ("scrypt", {"n": 2**30}, "at most 536870912 bytes"),
        ("scrypt", {"n": 2**300}, "a number of 301 bits"),
        ("scrypt", {"n": 2}, "4096 or more"),
        ("scrypt", {"n": 2**18 + 1}, "a power of two"),
        ("scrypt", {"n": -(2**18)}, "positive integer"),
        ("scrypt", {"n": 262144.0}, "positive integer"),
        ("scrypt", {"n": True}, "positive integer"),
        ("scrypt", {"n": None}, "positive integer"),
        ("scrypt", {"r": 2**20}, "at most"),
        ("scrypt", {"p": 2**20}, "n times r times p"),
        ("scrypt", {"dklen": 16}, "dklen 32"),
        ("scrypt", {"dklen": 2**31}, "dklen 32"),
        ("scrypt", {"salt": ""}, "16 to 64 bytes"),
        ("scrypt", {"salt": "00" * 65}, "16 to 64 bytes"),
        ("scrypt", {"salt": "zz" * 16}, "hexadecimal"),
        ("pbkdf2", {"c": 1}, "10000 to"),
        ("pbkdf2", {"c": 2**40}, "10000 to"),
        ("pbkdf2", {"prf": "hmac-md5"}, "hmac-sha256"),
    ],
)
def test_planted_parameters_are_refused_before_they_run(kdf, params, text):
    document = vector_file(kdf)
    document["crypto"]["kdfparams"] |= params
    started = time.process_time()
    with pytest.raises(KeyUnavailable, match=text) as caught:
        secret_storage.decode(encoded(document), "key file planted.json")
    assert time.process_time() - started < 0.1
    assert caught.value.code == "keystore_unreadable"
    assert caught.value.message.startswith("key file planted.json: expected ")
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "a JSON document"),
        (b"\xff\xfe", "UTF-8"),
        (b"[]", "a JSON object"),
        (b"[" * 15_000, "a JSON document"),
        (b'{"version": 3, "version": 3}', "twice"),
        (b'{"version": 4}', "version 3"),
        (b'{"version": true}', "version 3"),
        (b'{"version": 3}', "an object crypto"),
        (b'{"version": 3, "crypto": {}}', "aes-128-ctr"),
        (b'{"version": 3, "crypto": {"cipher": "aes-128-ctr"}}', "cipherparams"),
        (
            b'{"version": 3, "crypto": {"cipher": "aes-128-ctr", "cipherparams": {}, "kdfparams": {}}}',
            "scrypt or pbkdf2",
        ),
        (b'{"version": 3, "crypto": {}, "x-orchestrator": []}', "x-orchestrator"),
        (b'{"version": 3, "crypto": {}, "x-orchestrator": {"disabled": "no"}}', "true or false"),
    ],
)
def test_malformed_documents_are_named(data, text):
    with pytest.raises(KeyUnavailable, match=text) as caught:
        secret_storage.decode(data, "key file a.json")
    assert caught.value.code == "keystore_unreadable"


def test_every_truncation_of_a_file_is_refused():
    data = encoded(vector_file("scrypt"))
    for length in range(len(data)):
        with pytest.raises(KeyUnavailable):
            secret_storage.decode(data[:length], "key file a.json")


@given(
    number=st.integers(1, secret_storage.ORDER - 1),
    password=st.text(min_size=1, max_size=40).filter(lambda text: text.isprintable()),
    name=st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True),
)
@settings(deadline=None, max_examples=15)
def test_what_is_encrypted_and_encoded_decodes_and_decrypts(number, password, name):
    key = PrivateKey(number.to_bytes(32, "big"))
    facts = Facts(name=name, created_at="2026-01-01T00:00:00Z")
    file = secret_storage.encrypt(key, Secret(password), work_factor=2**12, facts=facts)
    data = file.encode()
    assert key.secret.hex() not in data.decode()
    again = secret_storage.decode(data, "key file")
    assert again == file
    assert secret_storage.decrypt(again, Secret(password), "key file").secret == key.secret


@pytest.mark.parametrize("work_factor", [0, 1, 2**11, 2**12 + 1, 2**20, -4096])
def test_work_factors_out_of_range_are_refused(work_factor):
    with pytest.raises(ValueError, match="power of two"):
        secret_storage.check_work_factor(work_factor)
