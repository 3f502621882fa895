"""A key in a back end, as a file of the keystore: where it is and which address it has; no key material.

    {"version": 1, "uri": "awskms:///alias/a?region=eu-central-1", "address": "0x…", "x-orchestrator": {…}}

The address was read of the back end when the file was written, and every signature is compared with it: a key that was
swapped there signs nothing that leaves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from orchestrator.errors import SettingsError
from orchestrator.models import Address
from orchestrator.signers import document
from orchestrator.signers.backends.uri import AwsKmsUri, KeyUri, Pkcs11Uri, RpcUri
from orchestrator.signers.document import EXTENSION, Facts, kind_of, short, unreadable

_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Descriptor:
    """One file, checked."""

    address: Address
    uri: Pkcs11Uri | AwsKmsUri | RpcUri
    facts: Facts

    def encode(self) -> bytes:
        """The file's bytes: JSON with a line end."""
        return document.dump(
            {
                "version": _VERSION,
                "uri": self.uri.text,
                "address": self.address,
                EXTENSION: self.facts.encode(),
            }
        )


def from_document(found: dict[str, Any], where: str) -> Descriptor:
    """Raises KeyUnavailable, code ``keystore_unreadable``."""
    if type(found.get("version")) is not int or found["version"] != _VERSION:
        unreadable(where, f"version {_VERSION} (a descriptor)", f"version {short(found.get('version'))}")
    unknown = sorted(found.keys() - {"version", "uri", "address", EXTENSION})
    if unknown:
        unreadable(where, f"only version, uri, address and {EXTENSION}", short(unknown[0]))
    text = found.get("uri")
    if not isinstance(text, str):
        unreadable(where, "uri as text", kind_of(text))
    try:
        uri = KeyUri.parse(text)
    except SettingsError as error:
        unreadable(where, "a key URI", error.message.removeprefix("key URI: "))
    address = document.address(found.get("address"), where)
    if address is None:
        unreadable(where, "an address", "none")
    return Descriptor(address, uri, document.facts(found, address, where))
