"""The rule of the platform's own verifier library, in this suite's words. It shares nothing with the package.

The library is given a server's request. So ``@target-uri`` is what the request line has, path and query, and not the
whole URI of RFC 9421; ``created`` may not be ahead of the server's clock by a second, and ``expires`` not behind it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

_INPUT = re.compile(r"(?P<label>[a-z*][a-z0-9_.*-]*)=(?P<parameters>\((?P<components>[^()]*)\)(?:;[^,]*)?)")


@dataclass(frozen=True)
class ServerRequest:
    """What a server has of a request: the line, the header fields, the body."""

    method: str
    target: str
    fields: Sequence[tuple[str, str]]
    body: bytes = b""

    def field(self, name: str) -> str | None:
        values = [value.strip() for given, value in self.fields if given.lower() == name]
        return ", ".join(values) if values else None


def base_of(request: ServerRequest, components: Sequence[str], parameters: str) -> str:
    """The signature base. Raises ValueError for a component that the request does not have."""
    path, mark, query = request.target.partition("?")
    derived = {
        "@method": request.method,
        "@authority": (request.field("host") or "").lower(),
        "@path": path,
        "@query": f"?{query}",
        "@target-uri": path + mark + query,
        "@request-target": path + mark + query,
    }
    lines = []
    for name in components:
        value = derived.get(name) if name.startswith("@") else request.field(name)
        if value is None:
            raise ValueError(f"{name} is covered and not there")
        lines.append(f'"{name}": {value}')
    return "\n".join([*lines, f'"@signature-params": {parameters}'])


def refusal(
    request: ServerRequest,
    *,
    key: ec.EllipticCurvePublicKey,
    key_id: str,
    now: float,
    required: Sequence[str] = ("@method", "@authority", "@path"),
) -> str | None:
    """Why the platform's verifier refuses the request's signature; None: it holds."""
    given, signatures = request.field("signature-input"), request.field("signature")
    found = _INPUT.fullmatch(given or "")
    if found is None or signatures is None:
        return "no signature"
    signature = re.fullmatch(re.escape(found["label"]) + r"=:([A-Za-z0-9+/=]+):", signatures)
    if signature is None:
        return "no signature of this label"
    values = dict(re.findall(r';([a-z]+)=("[^"]*"|[0-9]+)', found["parameters"]))
    if values.get("alg") != '"ecdsa-p384-sha384"' or values.get("keyid") != f'"{key_id}"':
        return "another algorithm or key"
    if int(values.get("created", "0")) > int(now) or int(values.get("expires", now)) < int(now):
        return "out of time"
    components = found["components"].replace('"', "").split()
    wanted = [*required, "content-digest"] if request.body else required
    if missing := [name for name in wanted if name not in components]:
        return f"not covered: {', '.join(missing)}"
    if request.body and not _digest_holds(request):
        return "the digest is of another body"
    try:
        base = base_of(request, components, found["parameters"]).encode()
    except ValueError as error:
        return str(error)
    raw = base64.b64decode(signature[1])
    der = encode_dss_signature(int.from_bytes(raw[:48], "big"), int.from_bytes(raw[48:], "big"))
    try:
        key.verify(der, base, ec.ECDSA(hashes.SHA384()))
    except InvalidSignature:
        return "the signature does not hold"
    return None


def _digest_holds(request: ServerRequest) -> bool:
    algorithm, _, value = (request.field("content-digest") or "").partition("=")
    if algorithm not in ("sha-256", "sha-512"):
        return False
    return value == f":{base64.b64encode(hashlib.new(algorithm.replace('-', ''), request.body).digest()).decode()}:"
