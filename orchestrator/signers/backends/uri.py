"""Where a key is, as a URI: text of a user's or of a file's, hostile until it is parsed here.

    pkcs11:token=LABEL;object=NAME?module-path=/usr/lib/module.so&pin-source=file:/path      (RFC 7512)
    awskms://[HOST[:PORT]]/KEY?region=REGION
    rpc+http://127.0.0.1:PORT/PATH?method=eth_sign|personal_sign[&address=0x…][&authorization-source=file:/path]
    rpc+https://HOST[:PORT]/PATH?method=…

A URI stands in descriptors, in lists and in the journal, so it must hold no secret: ``pin-value`` and user info are
refused, secrets come from files. Errors never repeat a value that may be one. Parsing reads and opens nothing.
Known gap: a secret that is part of an rpc path (``/v3/TOKEN``) looks like any path.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final, Literal, NoReturn
from urllib.parse import unquote_to_bytes

from orchestrator.errors import SettingsError
from orchestrator.models import Address, to_address

MAX_CHARACTERS: Final = 2048

_PERCENT: Final = r"%[0-9A-Fa-f]{2}"
_PATH_VALUE: Final = re.compile(rf"(?:[A-Za-z0-9._~:\[\]@!$'()*+,=&-]|{_PERCENT})*")
_QUERY_VALUE: Final = re.compile(rf"(?:[A-Za-z0-9._~:\[\]@!$'()*+,=/?|-]|{_PERCENT})*")
_KMS_KEY: Final = re.compile(
    r"[0-9A-Fa-f-]{36}|mrk-[0-9a-f]{32}|alias/[A-Za-z0-9/_-]{1,250}"
    r"|arn:aws[a-z-]{0,10}:kms:(?P<region>[a-z0-9-]{4,25}):[0-9]{12}:(?:key/[A-Za-z0-9-]{1,64}|alias/[A-Za-z0-9/_-]{1,250})"
)
_REGION: Final = re.compile(r"[a-z]{2,3}(?:-[a-z]{2,12}){1,3}-[0-9]{1,2}")
_HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\]")
_URL_PATH: Final = re.compile(rf"(?:/(?:[A-Za-z0-9._~!$'()*+,;=:@-]|{_PERCENT})*)*")


@dataclass(frozen=True, slots=True)
class KeyUri:
    """Where a key is. ``text`` is the URI as it was given; make one with ``parse``."""

    text: str

    @property
    def scheme(self) -> str:
        """``pkcs11``, ``awskms``, ``rpc+http`` or ``rpc+https``."""
        return self.text.partition(":")[0]

    @property
    def backend(self) -> str:
        """The back end's name, which is its module's too: ``pkcs11``, ``awskms`` or ``rpc``."""
        return self.scheme.partition("+")[0]

    @property
    def where(self) -> str:
        """How errors name the place, without query."""
        return self.text.partition("?")[0]

    def __str__(self) -> str:
        return self.text

    @staticmethod
    def parse(text: str) -> Pkcs11Uri | AwsKmsUri | RpcUri:
        """Raises SettingsError, code ``key_uri``, which names the part, expected and actual."""
        if len(text) > MAX_CHARACTERS:
            _refuse(f"at most {MAX_CHARACTERS} characters", f"{len(text)}")
        if not text.isascii() or any(not 0x21 <= ord(char) <= 0x7E for char in text):
            _refuse("printable ASCII without spaces (others percent-encoded)", "other characters")
        if "#" in text:
            _refuse("no fragment", "one after #")
        scheme, colon, rest = text.partition(":")
        if colon and scheme == "pkcs11":
            return _pkcs11(text, rest)
        if colon and scheme == "awskms":
            return _awskms(text, rest)
        if colon and scheme in ("rpc+http", "rpc+https"):
            return _rpc(text, rest, scheme.removeprefix("rpc+"))
        actual = ascii(scheme)[:30] if colon else "text without a colon"
        raise _refused("a scheme of pkcs11:, awskms:, rpc+http:, rpc+https:", actual)


@dataclass(frozen=True, slots=True)
class Pkcs11Uri(KeyUri):
    """An object of a PKCS#11 token. ``token`` or ``serial`` is set, or both; ``object`` or ``id`` is, or both."""

    token: str | None
    """CKA label of the token."""
    serial: str | None
    object: str | None
    """CKA_LABEL of the key."""
    id: bytes | None
    """CKA_ID of the key."""
    module_path: Path
    """Absolute path of the module (shared library)."""
    pin_source: Path | None
    """Absolute path of a private file with the PIN; None: it is asked for as a keystore's password is."""


@dataclass(frozen=True, slots=True)
class AwsKmsUri(KeyUri):
    """A key of AWS KMS."""

    key: str
    """Key id, ``alias/NAME`` or ARN, as the service's ``KeyId``."""
    region: str
    endpoint: str | None
    """``http://127.0.0.1:PORT`` or ``https://HOST[:PORT]``; None for AWS's own."""


@dataclass(frozen=True, slots=True)
class RpcUri(KeyUri):
    """A signer that is reached by JSON-RPC."""

    url: str
    """``http`` (loopback only) or ``https``, with path, without query."""
    method: Literal["eth_sign", "personal_sign"]
    address: Address | None = None
    """Which of the signer's accounts; None if it has exactly one."""
    authorization_source: Path | None = field(default=None)
    """Absolute path of a private file with the value of the header ``Authorization``."""


def _pkcs11(text: str, rest: str) -> Pkcs11Uri:
    path, question, query = rest.partition("?")
    given = _pairs(path, ";", _PATH_VALUE, ("token", "serial", "object", "id", "type"))
    asked = _pairs(query, "&", _QUERY_VALUE, ("module-path", "pin-source")) if question else {}
    if given.get("type", b"private") != b"private":
        _refuse("type=private (or no type)", "another type")
    if not given.keys() & {"token", "serial"}:
        _refuse("token=LABEL or serial=NUMBER", "neither")
    if not given.keys() & {"object", "id"}:
        _refuse("object=NAME or id=BYTES", "neither")
    if "module-path" not in asked:
        _refuse("module-path=/…/module.so", "none")
    module = _text("module-path", asked["module-path"])
    return Pkcs11Uri(
        text,
        token=_text("token", given["token"], 32) if "token" in given else None,
        serial=_text("serial", given["serial"], 16) if "serial" in given else None,
        object=_text("object", given["object"], 255) if "object" in given else None,
        id=_bytes("id", given["id"], 255) if "id" in given else None,
        module_path=_absolute("module-path", module),
        pin_source=_file("pin-source", _text("pin-source", asked["pin-source"])) if "pin-source" in asked else None,
    )


def _awskms(text: str, rest: str) -> AwsKmsUri:
    authority, path, query = _hierarchical(rest)
    asked = _pairs(query, "&", _QUERY_VALUE, ("region",))
    key = path.removeprefix("/")
    match = _KMS_KEY.fullmatch(key)
    if match is None:
        _refuse("a key id, alias/NAME or ARN as the path", f"{len(key)} characters that are none")
    region = match["region"]
    if "region" in asked:
        named = _text("region", asked["region"], 40)
        if region is not None and region != named:
            _refuse(f"the ARN's region {region}", ascii(named)[:40])
        region = named
    if region is None:
        _refuse("region=REGION", "none")
    if _REGION.fullmatch(region) is None:
        _refuse("a region such as eu-central-1", ascii(region)[:40])
    endpoint = None
    if authority:
        host, port = _authority(authority)
        endpoint = f"{'http' if _is_loopback(host) else 'https'}://{host}{port}"
    return AwsKmsUri(text, key=key, region=region, endpoint=endpoint)


def _rpc(text: str, rest: str, protocol: str) -> RpcUri:
    authority, path, query = _hierarchical(rest)
    asked = _pairs(query, "&", _QUERY_VALUE, ("method", "address", "authorization-source"))
    if not authority:
        _refuse("a host", "none")
    host, port = _authority(authority)
    if protocol == "http" and not _is_loopback(host):
        _refuse("rpc+https:, or a host of loopback", f"rpc+http: and {host}")
    if _URL_PATH.fullmatch(path) is None:
        _refuse("a path of a URL", "other characters")
    method = _text("method", asked["method"]) if "method" in asked else ""
    if method not in ("eth_sign", "personal_sign"):
        _refuse("method=eth_sign or method=personal_sign", ascii(method)[:40] if method else "none")
    address = None
    if "address" in asked:
        try:
            address = to_address(_text("address", asked["address"], 42))
        except ValueError as error:
            _refuse("an address", str(error))
    source = asked.get("authorization-source")
    return RpcUri(
        text,
        url=f"{protocol}://{host}{port}{path or '/'}",
        method="eth_sign" if method == "eth_sign" else "personal_sign",
        address=address,
        authorization_source=None
        if source is None
        else _file("authorization-source", _text("authorization-source", source)),
    )


def _pairs(text: str, separator: str, value: re.Pattern[str], allowed: tuple[str, ...]) -> dict[str, bytes]:
    """The attributes, percent-decoded. Each at most once; unknown ones are refused, because they may mean something."""
    found: dict[str, bytes] = {}
    for pair in text.split(separator) if text else ():
        name, equals, raw = pair.partition("=")
        if name == "pin-value":
            _refuse("pin-source=file:/path", "pin-value, a secret in a URI")
        if name not in allowed or not equals:
            _refuse(f"only {', '.join(allowed)}", ascii(name)[:40])
        if name in found:
            _refuse(f"{name} once", "it twice")
        if value.fullmatch(raw) is None:
            _refuse(f"{name} percent-encoded (RFC 3986)", "other characters")
        found[name] = unquote_to_bytes(raw)
    return found


def _bytes(name: str, value: bytes, most: int) -> bytes:
    if not 1 <= len(value) <= most:
        _refuse(f"{name} of 1 to {most} bytes", f"{len(value)}")
    return value


def _text(name: str, value: bytes, most: int = MAX_CHARACTERS) -> str:
    try:
        text = _bytes(name, value, most).decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if not text.isprintable():
        _refuse(f"{name} as printable UTF-8 text", "other bytes")
    return text


def _file(name: str, text: str) -> Path:
    if not text.startswith("file:"):
        _refuse(f"{name}=file:/path", "another kind of source")
    path = text.removeprefix("file:")
    return _absolute(name, path[2:] if path.startswith("///") else path)


def _absolute(name: str, text: str) -> Path:
    path = PurePosixPath(text)
    if not text.startswith("/") or text.startswith("//") or ".." in path.parts:
        _refuse(f"{name} as an absolute path without ..", "another path")
    return Path(text)


def _hierarchical(rest: str) -> tuple[str, str, str]:
    if not rest.startswith("//"):
        _refuse("// after the scheme", "other characters")
    hierarchy, _, query = rest[2:].partition("?")
    authority, slash, path = hierarchy.partition("/")
    return authority, slash + path, query


def _authority(text: str) -> tuple[str, str]:
    """Host in lower case, and ``:PORT`` or nothing."""
    if "@" in text:
        _refuse("no user info", "some before the host")
    match = re.fullmatch(r"(\[[^]]*\]|[^:]*)(?::([0-9]{1,5}))?", text)
    host, port = (match[1].lower(), match[2]) if match is not None else ("", None)
    if _HOST.fullmatch(host) is None:
        _refuse("HOST or HOST:PORT", f"{len(text)} characters that are neither")
    if host.startswith("["):
        try:
            ipaddress.IPv6Address(host[1:-1])
        except ValueError:
            _refuse("an IPv6 address in brackets", "another text")
    if port is not None and not 0 < int(port) < 65536:
        _refuse("a port from 1 to 65535", port)
    return host, "" if port is None else f":{int(port)}"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _refuse(expected: str, actual: str) -> NoReturn:
    raise _refused(expected, actual)


def _refused(expected: str, actual: str) -> SettingsError:
    return SettingsError(f"key URI: expected {expected}, got {actual}", code="key_uri")
