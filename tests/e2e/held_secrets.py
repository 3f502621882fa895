"""Everything that a run must keep to itself, each in the place where an operator has it, and how it may be written."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from coincurve import PrivateKey
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from orchestrator.devnet.contracts import OWNER
from orchestrator.devnet.devnet import Devnet
from orchestrator.passwords import FilePassword, FixedPassword, Secret
from orchestrator.request_signing import key_file
from orchestrator.request_signing.key_folder import RequestKeyFolder
from orchestrator.signers import secret_storage
from orchestrator.signers.keyring import Keyring
from tests.e2e.commands import CommandLine
from tests.signers import backends_pkcs11
from tests.signers.backends_awskms import unavailable as aws_unavailable
from tests.signers.backends_rpc import Proxy, only
from tests.signers.conformance import must_run
from tests.signers.kms_stand_in import KmsStandIn, StoredKey

PASSWORD = "correct-horse-battery-staple-0815"
PERSON_PASSWORD = "alices-own-words-that-nobody-else-knows"
AUTHORIZATION = "Bearer remote-signer-token-of-this-run-4711"
_LIGHT = 2**12
"""scrypt's N: a second for each key that is opened is not what is tried here."""
_OWN_REQUEST_KEY = ("ORCHESTRATOR_SIGNING_KEY_FILE", "ORCHESTRATOR_SIGNING_KEY_ID")


def forms_of(secret: str) -> set[bytes]:
    """The ways in which a text or a key in hexadecimal (32 or 48 bytes) may be written."""
    raw = secret.encode()
    found = {raw, base64.b64encode(raw), raw.hex().encode(), repr(secret).encode(), json.dumps(secret).encode()}
    if re.fullmatch(r"(0x)?([0-9a-fA-F]{64}|[0-9a-fA-F]{96})", secret):
        digits = secret.removeprefix("0x").lower()
        key = bytes.fromhex(digits)
        found |= {digits.encode(), digits.upper().encode(), key, base64.b64encode(key), str(int(digits, 16)).encode()}
    return {form for form in found if len(form) >= 8}


@dataclass(frozen=True)
class Elsewhere:
    """The owner's key in a back end. ``secret_file`` opens it, where a file does; else ``environment`` does."""

    name: str
    uri: str
    secret_file: Path | None = None
    environment: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def spoilt(self) -> Iterator[dict[str, str]]:
        """With a wrong secret, which has the right one in it. Yields what the environment is then."""
        if self.secret_file is None:
            yield {"AWS_SECRET_ACCESS_KEY": self.environment["AWS_SECRET_ACCESS_KEY"] + "-wrong"}
            return
        right = self.secret_file.read_text()
        self.secret_file.write_text(right.strip() + "-wrong\n")
        try:
            yield {}
        finally:
            self.secret_file.write_text(right)


@dataclass(frozen=True)
class Held:
    """The secrets of a run by what they are, and where the command line finds them."""

    secrets: dict[str, str]
    elsewhere: list[Elsewhere]
    person: tuple[str, ...]
    """Options with which alice proves who she is."""

    def shown_in(self, texts: dict[str, bytes]) -> list[tuple[str, str]]:
        """Which secret stands in which of the texts, in whatever form."""
        return [
            (name, where)
            for name, secret in self.secrets.items()
            for form in forms_of(secret)
            for where, text in texts.items()
            if form in text
        ]


def private_file(path: Path, text: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(text + "\n")
    return path


@contextmanager
def held(cli: CommandLine, devnet: Devnet, folder: Path) -> Iterator[Held]:
    """Makes them all. The devnet's password is a common word, so what it encrypts is encrypted anew first."""
    file = private_file(folder / "new-password", PASSWORD)
    keys = Keyring(devnet.keystore, FilePassword(devnet.password_file), work_factor=_LIGHT)
    for name in ("owner", "certificate"):
        keys.rotate(name, FilePassword(file))
    cli.environment["ORCHESTRATOR_KEYSTORE_PASSWORD_FILE"] = str(file)
    of_person = private_file(folder / "alices-password", PERSON_PASSWORD)
    alice = devnet.people["alice"]
    people = Keyring(alice.parent, FilePassword(devnet.password_file), work_factor=_LIGHT)
    people.rotate("alice", FilePassword(of_person))
    credentials = devnet.programme.credentials
    pem = "".join(devnet.signing_key_file.read_text().splitlines()[1:-1])
    with ExitStack() as stack:
        found = [_at_a_remote_signer(stack, devnet, folder)]
        secrets = {"Authorization": AUTHORIZATION.removeprefix("Bearer ")}
        if must_run() or backends_pkcs11.unavailable() is None:
            token, place = _in_an_hsm(stack, folder)
            found.append(place)
            secrets["HSM PIN"] = token.pin
            cli.environment["SOFTHSM2_CONF"] = str(backends_pkcs11.tokens_folder().parent / "softhsm2.conf")
        if must_run() or aws_unavailable() is None:
            place = _in_kms(stack)
            found.append(place)
            secrets |= {name: place.environment[name] for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")}
            cli.environment.update(place.environment)
        yield Held(
            secrets={
                **secrets,
                **_of_managed_request_key(cli, devnet),
                "keystore password": PASSWORD,
                "owner's key": OWNER.private_key,
                "certificate key": _private_key(devnet.keystore / "certificate.json", PASSWORD),
                "alice's password": PERSON_PASSWORD,
                "alice's key": _private_key(alice, PERSON_PASSWORD),
                "API secret": credentials.api_secret,
                "request-signing key": pem[:64],
            },
            elsewhere=found,
            person=("--person-key", str(alice), "--person-password-file", str(of_person)),
        )


def _private_key(file: Path, password: str) -> str:
    return secret_storage.decrypt(secret_storage.decode(file.read_bytes(), "key"), Secret(password), "key").secret.hex()


def _of_managed_request_key(cli: CommandLine, devnet: Devnet) -> dict[str, str]:
    """SIDE EFFECTS: the platform's key is the managed one from here on, and the settings name none of their own."""
    files = RequestKeyFolder(devnet.keystore, FixedPassword(Secret(PASSWORD)), work_factor=_LIGHT)
    files.create("managed")
    cli.json("keys", "request", "upload", "managed")
    for name in _OWN_REQUEST_KEY:
        del cli.environment[name]
    key = key_file.unlock(files.get("managed"), Secret(PASSWORD), "managed")
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return {
        "managed request key": f"{key.private_numbers().private_value:096x}",
        "managed request key's PEM": "".join(pem.splitlines()[1:-1])[:64],
    }


def _at_a_remote_signer(stack: ExitStack, devnet: Devnet, folder: Path) -> Elsewhere:
    """Anvil's own account, for whoever has the header."""
    proxy = stack.enter_context(Proxy(devnet.anvil.url))
    proxy.authorization, proxy.change = AUTHORIZATION, only(1)
    file = private_file(folder / "authorization", AUTHORIZATION)
    return Elsewhere("remote", proxy.uri("personal_sign", authorization_source=f"file:{file}"), file)


def _in_an_hsm(stack: ExitStack, folder: Path) -> tuple[backends_pkcs11.SoftToken, Elsewhere]:
    token = backends_pkcs11.SoftToken()
    stack.callback(token.remove)
    token.import_key("owner", PrivateKey.from_hex(OWNER.private_key.removeprefix("0x")))
    file = token.pin_file(folder)
    return token, Elsewhere("hsm", token.uri("owner", file), file)


def _in_kms(stack: ExitStack) -> Elsewhere:
    """The stand-in, which tells a wrong signature's whole request back, as the service does."""
    kms = stack.enter_context(KmsStandIn())
    private = ec.derive_private_key(int(OWNER.private_key, 16), ec.SECP256K1())
    key = StoredKey("ECC_SECG_P256K1", "SIGN_VERIFY", private)
    kms.keys[key.id] = key
    return Elsewhere("kms", kms.uri(key.id), environment=kms.environment)
