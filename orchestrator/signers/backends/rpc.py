"""Keys of a remote signer, reached by JSON-RPC over HTTP: ``eth_sign`` or ``personal_sign``, and ``eth_accounts``.

The remote side hashes as EIP-191 says; both methods give the same 65 bytes and differ in the order of their parameters.
One that hashes otherwise gives a signature that recovers to another address, and that never leaves.
Sources: execution-apis (``eth_sign``, ``eth_accounts``), geth's and MetaMask's documentation (``personal_sign``).

Whatever answers is hostile until parsed: a size limit, a depth limit, no redirects, no proxy from the environment. The
header ``Authorization`` is read from its file for each request, so that it can be changed, and is taken out of whatever
the other side says. A message may be signed twice, so a request that died with a kept-alive connection is sent once
more, within the same time.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import re
import ssl
import time
import weakref
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from orchestrator.eip191 import ORDER
from orchestrator.errors import Disposition, KeyUnavailable, OrchestratorError
from orchestrator.foreign import MalformedJson, read_json
from orchestrator.models import Address, to_address
from orchestrator.passwords import FilePassword
from orchestrator.signers.backends import backend
from orchestrator.signers.backends.rpc_http import BROKEN_TLS, MAX_ANSWER_BYTES, Connections, Exchange, TooLarge
from orchestrator.signers.backends.uri import KeyUri, RpcUri

if TYPE_CHECKING:
    from orchestrator.passwords import PasswordSource

_SIGNATURE: Final = re.compile(r"0[xX]([0-9a-fA-F]{130})")
_HEADER: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,4094}[\x21-\x7e])?")

_REFUSED: Final = {-32600, -32601, -32602, 4001, 4100, 4200}
"""Not for repeating as it is: invalid request, unknown method, invalid parameters (JSON-RPC 2.0), and EIP-1193's
rejected, unauthorized, unsupported."""
_OVERLOAD: Final = {-32005, 429}
"""EIP-1474's "limit exceeded"; and HTTP's, which some gateways copy."""
_UNAVAILABLE: Final = -32002
"""EIP-1474's "resource unavailable"."""


def open_backend(uri: KeyUri, *, pin: PasswordSource, timeout: float = backend.DEFAULT_TIMEOUT) -> RemoteSigner:  # noqa: ARG001
    """``pin`` is not asked: the URI names a file for the header ``Authorization``."""
    if not isinstance(uri, RpcUri):
        raise AssertionError(f"expected an rpc URI, got {uri.scheme}")
    return RemoteSigner(uri, timeout)


class RemoteSigner:
    """One account of a remote signer."""

    name: Final = "rpc"

    def __init__(self, uri: RpcUri, timeout: float) -> None:
        self._uri = uri
        self._timeout = timeout
        self._where = f"rpc signer at {_endpoint(uri.url)}"
        self._address = uri.address
        self._connections = self._connected()
        self._ids = itertools.count(1)

    def __repr__(self) -> str:
        return f"RemoteSigner({self._uri.text!r})"

    def address(self) -> Address:
        """``eth_accounts``: the one that the URI names, or the only one. Raises KeyUnavailable."""
        found = self._call("eth_accounts", [], time.monotonic() + self._timeout)
        if not isinstance(found, list):
            raise backend.malformed(self._where, "eth_accounts as a list", _kind(found))
        accounts = []
        for entry in found:
            try:
                accounts.append(to_address(entry if isinstance(entry, str) else ""))
            except ValueError:
                entry = None  # noqa: PLW2901 - raised below, so that the parser's error is not carried along
            if entry is None:
                raise backend.malformed(self._where, "eth_accounts as a list of addresses", "another member")
        if self._uri.address is not None:
            if self._uri.address not in accounts:
                raise backend.not_found(
                    self._where,
                    f"expected {self._uri.address} in eth_accounts, got {len(accounts)} others",
                    fix="Check the address in the URI, and that the remote signer has that account.",
                )
            return self._uri.address
        if len(accounts) != 1:
            instead = "; name one in the URI with address=0x…" if accounts else ""
            several = "Name one of the remote signer's accounts in the URI, as address=0x…"
            raise backend.not_found(
                self._where,
                f"expected exactly one account in eth_accounts, got {len(accounts)}{instead}",
                fix=several if accounts else "Give the remote signer an account, or unlock the one that it has.",
            )
        self._address = accounts[0]
        return accounts[0]

    def create(self) -> Address:
        """Raises SettingsError ``key_create_unsupported``."""
        raise backend.create_unsupported(self._where, "make it with the remote signer's own tool and attach it here")

    def sign_message(self, message: bytes) -> bytes:
        """65 bytes r, s, v (27 or 28, low s), brought into that form from what the other side gives.

        An account that the URI does not name is asked for once. Raises KeyUnavailable.
        """
        deadline = time.monotonic() + self._timeout
        address = self._address or self.address()
        text = "0x" + message.hex()
        parameters = [address, text] if self._uri.method == "eth_sign" else [text, address]
        return _signature(self._call(self._uri.method, parameters, deadline), self._where)

    def close(self) -> None:
        self._connections.close()

    # --- below: JSON-RPC ----------------------------------------------------------------------------------------

    def _call(self, method: str, parameters: list[str], deadline: float) -> Any:
        """One raw result."""
        number = next(self._ids)
        secret = self._authorization()
        headers = {"Content-Type": "application/json", "Accept": "application/json", "Accept-Encoding": "identity"}
        if secret is not None:
            headers["Authorization"] = secret
        request = {"jsonrpc": "2.0", "id": number, "method": method, "params": parameters}
        if self._connections.pid != os.getpid():  # after a fork, connections (and locks) are the parent's
            self._connections = self._connected()
        exchange = Exchange(self._connections, json.dumps(request).encode(), headers)
        outcome = self._exchange(exchange, max(0.0, deadline - time.monotonic()))
        if isinstance(outcome, OrchestratorError):
            raise outcome
        status, body = outcome
        return self._result(self._document(status, body), method, number, secret)

    def _connected(self) -> Connections:
        connections = Connections(self._uri.url, self._timeout)
        weakref.finalize(self, connections.close)  # whoever forgets to close leaves no sockets behind
        return connections

    def _exchange(self, exchange: Exchange, seconds: float) -> tuple[int, bytes] | OrchestratorError:
        """Status and body, or our error: returned, so that none of a library's is carried along with it."""
        try:
            return self._connections.bounded.run(exchange.run, seconds)
        except TimeoutError:
            exchange.abort()
            return backend.unreachable(self._where, f"no answer within {self._timeout:g} s")
        except BROKEN_TLS as error:
            return backend.unreachable(self._where, f"the connection broke off ({type(error).__name__})")
        except ssl.SSLError as error:
            reason = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else error.reason
            return backend.malformed(self._where, "TLS with a certificate that can be verified", str(reason))
        except TooLarge:
            return backend.malformed(self._where, f"an answer of at most {MAX_ANSWER_BYTES} bytes", "more")
        except OSError as error:
            reason = error.strerror or type(error).__name__
            return backend.unreachable(self._where, f"no connection, or it broke off ({reason})")
        except http.client.IncompleteRead:
            return backend.unreachable(self._where, "the answer broke off")
        except (http.client.HTTPException, ValueError) as error:
            return backend.malformed(self._where, "an answer of HTTP/1.1", type(error).__name__)

    def _document(self, status: int, body: bytes) -> dict[str, Any]:
        if status in (401, 403, 407):
            raise backend.denied(
                self._where,
                f"HTTP {status}: is the file of authorization-source right?",
                fix="Check the file that authorization-source names in the URI, and its rights at the remote signer.",
            )
        if status == 429:
            raise backend.throttled(self._where, f"HTTP {status}")
        if status == 408 or status >= 500:
            raise backend.unreachable(self._where, f"expected HTTP 200, got {status}")
        if 300 <= status < 400:
            raise backend.malformed(self._where, "HTTP 200", f"HTTP {status}, a redirect, which is not followed")
        if status != 200:
            raise backend.malformed(self._where, "HTTP 200", f"HTTP {status}: is the path in the URI right?")
        document: Any = None
        with contextlib.suppress(MalformedJson):  # whose errors would carry the answer's text along
            document = read_json(body, max_bytes=MAX_ANSWER_BYTES)
        if not isinstance(document, dict) or document.get("jsonrpc") != "2.0":
            raise backend.malformed(self._where, "an answer of JSON-RPC 2.0", _kind(document))
        return document

    def _result(self, document: dict[str, Any], method: str, number: int, secret: str | None) -> Any:
        error, result = document.get("error"), document.get("result")
        given = document.get("id")
        # An error about a request that could not be read has no id (JSON-RPC 2.0, section 5).
        if not (type(given) is int and given == number) and not (given is None and error is not None):
            raise backend.malformed(self._where, f"an answer with id {number}", "another id")
        if error is not None:
            raise self._refusal(error, method, secret)
        if result is None:
            raise backend.malformed(self._where, f"a result of {method}", "none")
        return result

    def _refusal(self, error: Any, method: str, secret: str | None) -> KeyUnavailable:
        code = error.get("code") if isinstance(error, dict) else None
        message = error.get("message") if isinstance(error, dict) else None
        if type(code) is not int or abs(code) >= 2**31:
            return backend.malformed(self._where, f"an error of {method} with a number as code", _kind(code))
        detail = f"{method}: {code}: {_hide(message, secret) if isinstance(message, str) else 'no reason given'}"
        if code in _OVERLOAD:
            return backend.throttled(self._where, detail)
        if code == _UNAVAILABLE:
            return backend.unreachable(self._where, detail)
        return backend.denied(
            self._where,
            detail,
            fix="Look whether the remote signer has the account unlocked and serves the URI's method.",
            disposition=Disposition.STOP if code in _REFUSED else Disposition.OPERATOR,
        )

    def _authorization(self) -> str | None:
        if self._uri.authorization_source is None:
            return None
        value = FilePassword(self._uri.authorization_source).password("the remote signer").reveal()
        if _HEADER.fullmatch(value) is None:
            raise KeyUnavailable(
                f"authorization file {self._uri.authorization_source}: expected one line of printable ASCII, the "
                'header\'s value such as "Bearer …", got other characters',
                code="password_unreadable",
            )
        return value


def _signature(result: Any, where: str) -> bytes:
    match = _SIGNATURE.fullmatch(result) if isinstance(result, str) else None
    if match is None:
        length = f"{len(result)} characters" if isinstance(result, str) else _kind(result)
        raise backend.malformed(where, "a signature of 65 bytes as 0x and 130 hex digits", length)
    raw = bytes.fromhex(match[1])
    r, s, v = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:64], "big"), raw[64]
    if v not in (0, 1, 27, 28):
        raise backend.malformed(where, "a signature with v 0, 1, 27 or 28", f"v {v}")
    if not (0 < r < ORDER and 0 < s < ORDER):
        raise backend.malformed(where, "r and s from 1 to the order of secp256k1", "numbers outside")
    recovery_id = v % 27
    if s > ORDER // 2:  # EIP-2: the same signature in its other form, whose point is mirrored
        s, recovery_id = ORDER - s, 1 - recovery_id
    return r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes((27 + recovery_id,))


def _hide(text: str, secret: str | None) -> str:
    """The other side's words, without the header that it was sent (an echo of the request in an error)."""
    if secret is not None:
        for part in sorted({secret, *secret.split()}, key=len, reverse=True):
            text = text.replace(part, "(hidden)") if len(part) > 3 else text
    return text


def _kind(value: Any) -> str:
    return "nothing that can be read" if value is None else f"a {type(value).__name__}"


def _endpoint(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
