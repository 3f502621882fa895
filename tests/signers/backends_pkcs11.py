"""The back end ``pkcs11`` for the shared suite: real tokens of SoftHSM2 in a folder of this process alone.

SoftHSM2 reads its configuration from the environment when it is initialised, once in a process for all, so the tokens
of all tests of a process stand in one folder, each under a label of its own. What other programs do to a token (make
it, import a key, lock its files) is done by other processes here too.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib.util
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

from coincurve import PrivateKey
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from orchestrator import eip191
from orchestrator.models import Address
from orchestrator.passwords import FilePassword, PasswordSource

NAME = "pkcs11"

_MODULES = (
    Path("/usr/lib/softhsm/libsofthsm2.so"),
    Path("/usr/lib64/pkcs11/libsofthsm2.so"),
    Path("/usr/local/lib/softhsm/libsofthsm2.so"),
)

_TOOL = """
import sys
import pkcs11
from pkcs11 import Attribute, KeyType
command, module, token, pin, label = sys.argv[1:6]
session = pkcs11.lib(module).get_token(token_label=token).open(rw=True, user_pin=pin)
if command == "destroy":
    for found in list(session.get_objects({Attribute.LABEL: label})):
        found.destroy()
elif command == "generate":
    curve = session.create_domain_parameters(KeyType.EC, {Attribute.EC_PARAMS: bytes.fromhex(sys.argv[6])}, local=True)
    options = {getattr(Attribute, name): value == "True" for name, value in (o.split("=") for o in sys.argv[8:])}
    curve.generate_keypair(store=True, label=label, id=bytes.fromhex(sys.argv[7]), private_template=options)
elif command == "rename-public":
    for found in list(session.get_objects({Attribute.LABEL: label, Attribute.CLASS: pkcs11.ObjectClass.PUBLIC_KEY})):
        found[Attribute.LABEL] = sys.argv[6]
elif command == "set-pin":
    session.set_pin(pin, label)
elif command == "destroy-public":
    for found in list(session.get_objects({Attribute.LABEL: label, Attribute.CLASS: pkcs11.ObjectClass.PUBLIC_KEY})):
        found.destroy()
session.close()
"""

_HOLD = """
import fcntl, os, pathlib, sys
held = [os.open(path, os.O_RDWR) for path in pathlib.Path(sys.argv[1]).iterdir()]
for descriptor in held:
    fcntl.lockf(descriptor, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def module_path() -> Path | None:
    return next((path for path in _MODULES if path.exists()), None)


def unavailable() -> str | None:
    if importlib.util.find_spec("pkcs11") is None:
        return "python-pkcs11 is not installed (extra hsm)"
    if shutil.which("softhsm2-util") is None or module_path() is None:
        return "SoftHSM2 is not installed (Debian: apt install softhsm2)"
    return None


@functools.cache
def tokens_folder() -> Path:
    """Where all tokens of this process are. SIDE EFFECTS: sets SOFTHSM2_CONF for the rest of the process."""
    folder = Path(tempfile.mkdtemp(prefix="softhsm-"))
    owner = os.getpid()
    atexit.register(lambda: shutil.rmtree(folder, ignore_errors=True) if os.getpid() == owner else None)
    tokens = folder / "tokens"
    tokens.mkdir(mode=0o700)
    (folder / "softhsm2.conf").write_text(
        f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n"
    )
    os.environ["SOFTHSM2_CONF"] = str(folder / "softhsm2.conf")
    return tokens


class SoftToken:
    """A token of SoftHSM2 with a random label, PIN and security officer's PIN."""

    def __init__(self, label: str | None = None) -> None:
        self.label = label or f"test-{secrets.token_hex(6)}"
        self.pin = f"pin{secrets.token_hex(8)}"
        before = set(tokens_folder().iterdir())
        self._util("--init-token", "--free", "--label", self.label, "--so-pin", f"so{secrets.token_hex(8)}")
        (self.folder,) = set(tokens_folder().iterdir()) - before
        self.serial = self.folder.name.replace("-", "")[16:]
        self._away = tokens_folder().parent / f"away-{self.folder.name}"
        self._holder: subprocess.Popen[bytes] | None = None

    def uri(self, name: str, pin_file: Path | None = None, *, key_id: bytes | None = None) -> str:
        by_id = "" if key_id is None else ";id=" + "".join(f"%{byte:02x}" for byte in key_id)
        source = "" if pin_file is None else f"&pin-source=file:{quote(str(pin_file))}"
        return f"pkcs11:token={quote(self.label)};object={quote(name)}{by_id}?module-path={module_path()}{source}"

    def pin_file(self, folder: Path, pin: str | None = None) -> Path:
        path = folder / f"{self.label}.pin"
        path.touch(mode=0o600)
        path.write_text((pin or self.pin) + "\n")
        return path

    def import_key(self, name: str, key: PrivateKey, *, key_id: bytes = b"\x01") -> Address:
        """What other tools' keys are like: made elsewhere, brought in by the token's own tool."""
        pem = ec.derive_private_key(key.to_int(), ec.SECP256K1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path = tokens_folder().parent / f"{secrets.token_hex(4)}.pem"
        path.write_bytes(pem)
        try:
            self._util("--import", str(path), "--token", self.label, "--label", name, "--id", key_id.hex())
        finally:
            path.unlink()
        return eip191.address_of(key.public_key)

    def generate(self, name: str, curve: str, key_id: bytes = b"\x01", **options: bool) -> None:
        """``curve``: its object identifier in DER, hexadecimal. ``options``: attributes of the private key."""
        more = [f"{option}={value}" for option, value in options.items()]
        self._tool("generate", name, curve, key_id.hex(), *more)

    def destroy(self, name: str, *, only_public: bool = False) -> None:
        self._tool("destroy-public" if only_public else "destroy", name)

    def rename_public(self, name: str, other: str) -> None:
        self._tool("rename-public", name, other)

    def set_pin(self, pin: str) -> None:
        self._tool("set-pin", pin)
        self.pin = pin

    def pull(self) -> None:
        """The token's files are gone."""
        self.folder.rename(self._away)

    def hang(self) -> None:
        """Another process takes the locks of the token's files; SoftHSM2 waits for them for ever."""
        self._holder = subprocess.Popen(
            [sys.executable, "-c", _HOLD, str(self.folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"held\n"

    def mend(self) -> None:
        """Ends ``pull`` and ``hang``."""
        if self._holder is not None:
            self._holder.communicate()  # closes its input, at which it ends
            self._holder = None
        if self._away.exists():
            self._away.rename(self.folder)

    def remove(self) -> None:
        self.mend()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _util(self, *arguments: str) -> None:
        subprocess.run(
            ["softhsm2-util", *arguments, "--pin", self.pin], check=True, capture_output=True, timeout=30
        )  # fmt: skip

    def _tool(self, command: str, *arguments: str) -> None:
        subprocess.run(
            [sys.executable, "-c", _TOOL, command, str(module_path()), self.label, self.pin, *arguments],
            check=True, capture_output=True, timeout=30,
        )  # fmt: skip


class Pkcs11UnderTest:
    """A token with the key "alice", imported, so that its address is known from elsewhere."""

    def __init__(self, token: SoftToken, folder: Path) -> None:
        self._token = token
        self._key = PrivateKey()
        self._swapped = False
        self._pin_file = token.pin_file(folder)
        self.uri = token.uri("alice", self._pin_file)
        self.address = token.import_key("alice", self._key)
        self.pin: PasswordSource = FilePassword(self._pin_file)
        self.secrets = (token.pin, self._key.to_hex())
        self.cannot: Mapping[str, str] = {}

    def lose_connection(self) -> None:
        self._token.pull()

    def hang(self) -> None:
        self._token.hang()

    def swap_key(self) -> None:
        self._swapped = True
        self._replace(PrivateKey())

    def restore(self) -> None:
        self._token.mend()
        if self._swapped:
            self._swapped = False
            self._replace(self._key)

    def _replace(self, key: PrivateKey) -> None:
        self._token.destroy("alice")
        self._token.import_key("alice", key)


@contextlib.contextmanager
def under_test(folder: Path) -> Iterator[Pkcs11UnderTest]:
    token = SoftToken()
    try:
        yield Pkcs11UnderTest(token, folder)
    finally:
        token.remove()
