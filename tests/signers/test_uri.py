"""Key URIs: what each means, and what is refused without being repeated."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import SettingsError
from orchestrator.signers.backends.uri import AwsKmsUri, KeyUri, Pkcs11Uri, RpcUri

MODULE = "module-path=/usr/lib/softhsm/libsofthsm2.so"
KEY_ID = "12345678-1234-1234-1234-123456789012"
ARN = f"arn:aws:kms:eu-central-1:123456789012:key/{KEY_ID}"
ADDRESS = "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23"


def test_a_pkcs11_uri_is_percent_decoded():
    text = f"pkcs11:token=My%20Token;object=k%c3%a4y;id=%01%FF;type=private?{MODULE}&pin-source=file:/etc/pin%20file"
    uri = KeyUri.parse(text)
    assert uri == Pkcs11Uri(
        text,
        token="My Token",
        serial=None,
        object="käy",
        id=b"\x01\xff",
        module_path=Path("/usr/lib/softhsm/libsofthsm2.so"),
        pin_source=Path("/etc/pin file"),
    )
    assert (uri.scheme, uri.backend, str(uri)) == ("pkcs11", "pkcs11", text)
    assert uri.where == text.partition("?")[0]


def test_what_may_be_left_out_is_none():
    uri = KeyUri.parse(f"pkcs11:serial=abc;object=a?{MODULE}")
    assert isinstance(uri, Pkcs11Uri)
    assert (uri.token, uri.serial, uri.id, uri.pin_source) == (None, "abc", None, None)
    assert KeyUri.parse(f"pkcs11:token=t;object=a?pin-source=file:///p&{MODULE}").pin_source == Path("/p")
    assert KeyUri.parse("rpc+https://a.example?method=eth_sign").url == "https://a.example/"


@pytest.mark.parametrize(
    ("text", "key", "region", "endpoint"),
    [
        (f"awskms:///{KEY_ID}?region=eu-central-1", KEY_ID, "eu-central-1", None),
        ("awskms:///alias/customers/a?region=us-gov-west-1", "alias/customers/a", "us-gov-west-1", None),
        (f"awskms:///{ARN}", ARN, "eu-central-1", None),
        (f"awskms:///{ARN}?region=eu-central-1", ARN, "eu-central-1", None),
        ("awskms://127.0.0.1:4566/alias/a?region=eu-west-1", "alias/a", "eu-west-1", "http://127.0.0.1:4566"),
        ("awskms://localhost:4566/alias/a?region=eu-west-1", "alias/a", "eu-west-1", "http://localhost:4566"),
        ("awskms://[::1]:4566/alias/a?region=eu-west-1", "alias/a", "eu-west-1", "http://[::1]:4566"),
        ("awskms://KMS.example/alias/a?region=eu-west-1", "alias/a", "eu-west-1", "https://kms.example"),
        ("awskms://10.0.0.1:80/alias/a?region=eu-west-1", "alias/a", "eu-west-1", "https://10.0.0.1:80"),
    ],
)
def test_a_kms_uri_reaches_loopback_alone_in_the_clear(text, key, region, endpoint):
    assert KeyUri.parse(text) == AwsKmsUri(text, key=key, region=region, endpoint=endpoint)


def test_an_rpc_uri_names_method_account_and_header():
    text = f"rpc+http://127.0.0.1:8545/a/b?method=personal_sign&address={ADDRESS}&authorization-source=file:/run/token"
    uri = KeyUri.parse(text)
    assert uri == RpcUri(text, "http://127.0.0.1:8545/a/b", "personal_sign", ADDRESS, Path("/run/token"))
    assert (uri.scheme, uri.backend) == ("rpc+http", "rpc")
    assert uri.where == "rpc+http://127.0.0.1:8545/a/b"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "a scheme"),
        ("keystore", "without a colon"),
        ("file:/a", "a scheme of pkcs11"),
        ("PKCS11:token=a;object=b?" + MODULE, "a scheme of pkcs11"),
        ("rpc:http://127.0.0.1", "a scheme of pkcs11"),
        ("pkcs11:token=a;object=b?" + MODULE + "#x", "no fragment"),
        ("pkcs11:token=a b;object=b?" + MODULE, "printable ASCII"),
        ("pkcs11:token=a;object=b\n?" + MODULE, "printable ASCII"),
        ("pkcs11:token=ä;object=b?" + MODULE, "printable ASCII"),
        ("pkcs11:" + "a" * 3000, "at most 2048"),
        ("pkcs11:object=b?" + MODULE, "token=LABEL or serial"),
        ("pkcs11:token=a?" + MODULE, "object=NAME or id"),
        ("pkcs11:token=;object=b?" + MODULE, "token of 1 to 32 bytes"),
        ("pkcs11:token=" + "a" * 33 + ";object=b?" + MODULE, "token of 1 to 32 bytes"),
        ("pkcs11:token=a;token=a;object=b?" + MODULE, "token once"),
        ("pkcs11:token=a;object=b;x-vendor=1?" + MODULE, "only token, serial"),
        ("pkcs11:token=a;object=b;?" + MODULE, "only token, serial"),
        ("pkcs11:token=a;object=b;type=cert?" + MODULE, "type=private"),
        ("pkcs11:token=a;object=b%2?" + MODULE, "percent-encoded"),
        ("pkcs11:token=a;object=b%zz?" + MODULE, "percent-encoded"),
        ("pkcs11:token=a;object=b%ff?" + MODULE, "printable UTF-8"),
        ("pkcs11:token=a;object=b%00?" + MODULE, "printable UTF-8"),
        ("pkcs11:token=a;object=b%e2%80%ae?" + MODULE, "printable UTF-8"),
        ("pkcs11:token=a;object=b", "module-path=/"),
        ("pkcs11:token=a;object=b?module-path=lib.so", "absolute path"),
        ("pkcs11:token=a;object=b?module-path=/a/../b.so", "absolute path"),
        ("pkcs11:token=a;object=b?module-name=softhsm", "only module-path"),
        ("pkcs11:token=a;object=b?" + MODULE + "&pin-source=/etc/pin", "pin-source=file:"),
        ("pkcs11:token=a;object=b?" + MODULE + "&pin-source=|/bin/pin", "pin-source=file:"),
        ("pkcs11:token=a;object=b?" + MODULE + "&pin-source=file:pin", "absolute path"),
        ("pkcs11:token=a;object=b?" + MODULE + "&pin-source=file://host/pin", "absolute path"),
        ("awskms:alias/a?region=eu-west-1", "// after the scheme"),
        ("awskms:///?region=eu-west-1", "a key id"),
        ("awskms:///alias/?region=eu-west-1", "a key id"),
        ("awskms:///alias/a%41?region=eu-west-1", "a key id"),
        ("awskms:///alias/a", "region=REGION"),
        ("awskms:///alias/a?region=", "region of 1 to"),
        ("awskms:///alias/a?region=EU", "a region such as"),
        ("awskms:///alias/a?region=eu-west-1.evil.example", "a region such as"),
        (f"awskms:///{ARN}?region=us-east-1", "the ARN's region"),
        ("awskms://user@127.0.0.1/alias/a?region=eu-west-1", "no user info"),
        ("awskms://127.0.0.1:0/alias/a?region=eu-west-1", "a port from 1"),
        ("awskms://127.0.0.1:65536/alias/a?region=eu-west-1", "a port from 1"),
        ("awskms://127.0.0.1:/alias/a?region=eu-west-1", "HOST or HOST:PORT"),
        ("awskms://[::g]/alias/a?region=eu-west-1", "HOST or HOST:PORT"),
        ("awskms://[1.2]/alias/a?region=eu-west-1", "an IPv6 address"),
        ("awskms://-a/alias/a?region=eu-west-1", "HOST or HOST:PORT"),
        ("awskms:///alias/a?region=eu-west-1&profile=x", "only region"),
        ("rpc+http:///?method=eth_sign", "a host"),
        ("rpc+http://signer.example?method=eth_sign", "or a host of loopback"),
        ("rpc+http://127.0.0.1.evil.example?method=eth_sign", "or a host of loopback"),
        ("rpc+http://0.0.0.0?method=eth_sign", "or a host of loopback"),
        ("rpc+http://127.0.0.1:8545", "method=eth_sign or"),
        ("rpc+http://127.0.0.1:8545?method=eth_sendTransaction", "method=eth_sign or"),
        ("rpc+http://127.0.0.1:8545?method=eth_sign&method=eth_sign", "method once"),
        ("rpc+http://127.0.0.1:8545?method=eth_sign&address=0x12", "an address"),
        ("rpc+http://127.0.0.1:8545?method=eth_sign&address=0x2C7536E3605D9C16a7a3D7b1898e529396a65c23", "checksum"),
        ("rpc+http://127.0.0.1:8545?method=eth_sign&authorization=x", "only method"),
        ('rpc+http://127.0.0.1:8545/a"b?method=eth_sign', "a path of a URL"),
        ("rpc+https://a.example/%?method=eth_sign", "a path of a URL"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(text, expected):
    with pytest.raises(SettingsError, match="key URI: expected ") as caught:
        KeyUri.parse(text)
    assert caught.value.code == "key_uri"
    assert expected in caught.value.message
    assert len(caught.value.message) < 250


@pytest.mark.parametrize(
    "text",
    [
        f"pkcs11:token=a;object=b?{MODULE}&pin-value=hidden",
        f"pkcs11:token=a;object=b;pin-value=hidden?{MODULE}",
        "rpc+https://user:hidden@a.example/?method=eth_sign",
        "rpc+https://a.example/?method=eth_sign&authorization-source=hidden",
        "awskms://key:hidden@a.example/alias/a?region=eu-west-1",
        f"pkcs11:token=a;object=b?{MODULE}&pin-source=data:hidden",
    ],
)
def test_a_secret_in_a_uri_is_refused_and_not_repeated(text):
    with pytest.raises(SettingsError) as caught:
        KeyUri.parse(text)
    assert caught.value.code == "key_uri"
    assert "hidden" not in caught.value.message


@given(
    st.sampled_from(["pkcs11:", "awskms://", "rpc+http://", "rpc+https://127.0.0.1", ""]),
    st.text(alphabet=st.sampled_from("abz019:/?&=;%@[].-_ \x00äé#") | st.characters(max_codepoint=127), max_size=60),
)
def test_any_text_is_parsed_or_refused(scheme, rest):
    try:
        uri = KeyUri.parse(scheme + rest)
    except SettingsError as error:
        code = error.code
    else:
        code = "key_uri"
        assert uri.text == scheme + rest
        assert KeyUri.parse(uri.text) == uri
    assert code == "key_uri"


@given(token=st.text(min_size=1, max_size=8).filter(str.isprintable), identifier=st.binary(min_size=1, max_size=20))
def test_every_printable_label_and_every_id_can_be_written(token, identifier):
    encoded = "".join(f"%{byte:02X}" for byte in token.encode())
    uri = KeyUri.parse(f"pkcs11:token={encoded};id={''.join(f'%{byte:02x}' for byte in identifier)}?{MODULE}")
    assert isinstance(uri, Pkcs11Uri)
    assert (uri.token, uri.id) == (token, identifier)
