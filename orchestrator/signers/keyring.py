"""The keyring: a folder of key files, one key each, and the signers made from them.

    KEYSTORE/            0700
      alice.json         0600  Web3 Secret Storage v3, or a descriptor of a key in a back end
      .signing/          0700  the keystore's id, and the log of what was signed
      .lock              taken by whoever writes

Names, addresses and wallets are read without a password. A key is decrypted when it first signs, once in a process; a
back end is opened then, too. Writing is safe against a kill at any moment and against a second writer.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from coincurve import PrivateKey

from orchestrator import eip191, files
from orchestrator.errors import KeyUnavailable, SettingsError
from orchestrator.models import Address, ChainAccount, ChainId
from orchestrator.passwords import PasswordSource, Secret
from orchestrator.ports.signers import KeyInfo
from orchestrator.signers import document, key_files, secret_storage
from orchestrator.signers.backend_signer import BackendSigner, open_backend
from orchestrator.signers.backends import backend
from orchestrator.signers.backends.uri import AwsKmsUri, KeyUri, Pkcs11Uri, RpcUri
from orchestrator.signers.descriptor import Descriptor
from orchestrator.signers.document import Facts
from orchestrator.signers.folder import Entry, KeyFolder, exists
from orchestrator.signers.keystore_signer import KeystoreSigner, read_key_file
from orchestrator.signers.signing_log import keystore_id

ManagedSigner = KeystoreSigner | BackendSigner


@dataclass(frozen=True, slots=True)
class Scan:
    """All keys of a folder by name, and an error for each file that could not be read."""

    keys: tuple[KeyInfo, ...]
    unreadable: tuple[KeyUnavailable, ...]


class Keyring:
    """A folder of keys (``ports.signers.Keyring``). One for a process: what it has opened is kept in it.

    ``passwords``: of the key files. ``pins``: of PKCS#11 tokens whose URI names no file (default: as ``passwords``).
    ``work_factor``: scrypt's N for files that it writes (lower it only for tests and devnets). ``timeout``: seconds
    of one call of a back end.
    """

    def __init__(
        self,
        path: Path,
        passwords: PasswordSource,
        *,
        pins: PasswordSource | None = None,
        work_factor: int = secret_storage.DEFAULT_WORK_FACTOR,
        timeout: float = backend.DEFAULT_TIMEOUT,
    ) -> None:
        self.path = path
        self._passwords = passwords
        self._pins = pins or passwords
        self._work_factor = secret_storage.check_work_factor(work_factor)
        self._timeout = timeout
        self._folder = KeyFolder(path)
        self._signers: dict[tuple[str, Address, str | None], ManagedSigner] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Keyring({str(self.path)!r})"

    # --- reading ---------------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The folder's UUID. SIDE EFFECTS: the first call makes it. Raises KeyUnavailable."""
        return keystore_id(self.path)

    def scan(self) -> Scan:
        """Every ``*.json`` of the folder, by name; a missing folder has none. No password is asked for.

        Raises KeyUnavailable if the folder itself cannot be used.
        """
        entries, unreadable = self._folder.scan()
        return Scan(tuple(entry.info for entry in entries), tuple(unreadable))

    def list(self) -> tuple[KeyInfo, ...]:
        """All keys by name. Raises KeyUnavailable for the first file that cannot be read, naming it."""
        scan = self.scan()
        if scan.unreadable:
            raise scan.unreadable[0]
        return scan.keys

    def get(self, name: str) -> KeyInfo:
        """The key with this name. Raises KeyUnavailable (``key_not_found``, ``keystore_…``), SettingsError."""
        return self._folder.read(name).info

    def key_for(self, address: Address) -> KeyInfo:
        """The key with this address, an enabled one if there are several. Needs no password.

        Raises KeyUnavailable: ``key_not_found``, ``keystore_unreadable``, ``keystore_permissions``.
        """
        return self._folder.find(address).info

    def signer_for(self, address: Address) -> ManagedSigner:
        """The enabled key with this address; the same object each time, so that it is opened once.

        Raises KeyUnavailable: ``key_not_found``, ``key_disabled``, ``keystore_unreadable``, ``keystore_permissions``.
        """
        return self._signer(self._folder.find(address))

    def signer(self, name: str) -> ManagedSigner:
        """The enabled key with this name. Raises as ``get`` and ``signer_for``."""
        return self._signer(self._folder.read(name))

    def weakness(self, name: str) -> str | None:
        """Why this key could leave its back end, where that reports it; None for a file, which opens to
        whoever has its password. Blocks. Raises as ``signer`` and as the back end's ``address``."""
        signer = self.signer(name)
        return signer.weakness() if isinstance(signer, BackendSigner) else None

    def close(self) -> None:
        """Ends the connections of all back ends; a use after it opens them again."""
        with self._lock:
            signers = tuple(self._signers.values())
        for signer in signers:
            if isinstance(signer, BackendSigner):
                signer.close()

    # --- writing ---------------------------------------------------------------------------------------------------

    def create(self, name: str, *, uri: str | None = None, chains: Sequence[ChainId] = ()) -> KeyInfo:
        """Makes a key: from the operating system's random numbers, or (``uri``) in a back end, which keeps it.

        ``chains``: it is bound to its own address on each of them. If a key was made in a back end and a kill came
        before its file was written, ``attach`` takes it over. Raises as ``import_key`` and ``backend.Backend.create``.
        """
        if uri is None:
            key = PrivateKey((secrets.randbelow(eip191.ORDER - 1) + 1).to_bytes(32, "big"))
            return self._write(name, key, _wallets_on(chains, eip191.address_of(key.public_key)))
        self._require_free(name)
        parsed = KeyUri.parse(uri)
        opened = self._open(parsed)
        try:
            address = opened.create()
        finally:
            opened.close()
        return self._add(name, Descriptor(address, parsed, document.new_facts(name, _wallets_on(chains, address))))

    def attach(self, name: str, uri: str, wallets: Sequence[ChainAccount] = ()) -> KeyInfo:
        """Takes a key of a back end into use: reads its address there, and writes where it is.

        Raises SettingsError (``key_uri``, ``key_name``, ``key_exists``, ``key_binding``) and KeyUnavailable.
        """
        self._require_free(name)
        address = self.address_at(uri)
        document.require_own(name, wallets, address)
        return self._add(name, Descriptor(address, KeyUri.parse(uri), document.new_facts(name, wallets)))

    def address_at(self, uri: str) -> Address:
        """The address of a key in a back end, read there. Raises SettingsError ``key_uri``, and KeyUnavailable."""
        opened = self._open(KeyUri.parse(uri))
        try:
            return opened.address()
        finally:
            opened.close()

    def import_key(self, name: str, private_key: Secret, wallets: Sequence[ChainAccount] = ()) -> KeyInfo:
        """Writes a private key, given as 64 hexadecimal digits (0x allowed), encrypted under the keystore's password.

        Raises SettingsError (``key_name``, ``key_exists``, ``key_binding``, ``private_key_malformed``) or
        KeyUnavailable.
        """
        return self._write(name, key_files.parse_private_key(private_key, name), wallets)

    def bind(self, name: str, wallet: ChainAccount) -> KeyInfo:
        """Lets the key sign for one more wallet (its own address on one more chain). A second time changes nothing.

        Raises as ``get``; SettingsError ``key_binding`` if the address is another.
        """
        document.require_own(name, (wallet,), self.get(name).address)

        def add(facts: Facts) -> Facts:
            if wallet in facts.wallets:
                return facts
            if len(facts.wallets) >= document.MAX_WALLETS:
                raise SettingsError(
                    f"key {name!r}: expected at most {document.MAX_WALLETS} wallets, got one more", code="key_binding"
                )
            return replace(facts, wallets=(*facts.wallets, wallet))

        return self._change(name, add)

    def rotate(self, name: str, new: PasswordSource) -> KeyInfo:
        """Encrypts a key anew, under another password (address and key stay). A kill leaves the old file or the new;
        a file that the new password opens already stays as it is.

        Give every key the same password before the setting is changed: a keystore is opened with one.
        Raises as ``KeystoreSigner.unlock``; ``key_busy`` if another process rotates it at the same time; SettingsError
        ``key_elsewhere`` for a key of a back end.
        """
        entry = self._folder.read(name)
        if isinstance(entry.content, Descriptor):
            raise SettingsError(
                f"key {name!r}: expected a key in the keystore's own files, got one of {entry.info.backend}: "
                "its PIN or its credentials are changed there",
                code="key_elsewhere",
            )
        before, where = entry.content, f"key file {entry.path}"
        try:
            key = secret_storage.decrypt(before, self._passwords.password(f"key {name}"), where)
        except KeyUnavailable as error:
            if error.code != "wrong_password" or not _opens(before, new, name, where):
                raise
            return entry.info
        password = new.password(f"key {name} (new)", confirm=True)
        fresh = secret_storage.encrypt(key, password, work_factor=self._work_factor, facts=before.facts)
        with files.folder_lock(self.path):  # not while a person types or scrypt runs
            file, where = read_key_file(entry.path)
            if file.crypto != before.crypto:
                raise KeyUnavailable(f"{where} was changed by another process meanwhile; run it again", code="key_busy")
            facts = replace(file.facts, name=name, created_at=file.facts.created_at or document.now())
            files.replace(entry.path, replace(fresh, id=file.id or fresh.id, facts=facts).encode())
        return self.get(name)

    def disable(self, name: str) -> KeyInfo:
        """Takes a key out of use; it stays on disk. Needs no password. Raises as ``get``."""
        return self._change(name, lambda facts: replace(facts, disabled=True))

    def enable(self, name: str) -> KeyInfo:
        """Puts a disabled key back into use. Needs no password. Raises as ``get``."""
        return self._change(name, lambda facts: replace(facts, disabled=False))

    # --- inside ----------------------------------------------------------------------------------------------------

    def _signer(self, entry: Entry) -> ManagedSigner:
        info = entry.info
        if info.disabled:
            raise KeyUnavailable(
                f"key {info.name!r} with address {info.address} is disabled: "
                f"type orchestrator keys enable {info.name} if it may sign again",
                code="key_disabled",
            )
        with self._lock:
            known = (info.name, info.address, info.uri)
            signer = self._signers.get(known)
            if signer is None:
                signer = self._signers[known] = self._make_signer(entry)
            return signer

    def _make_signer(self, entry: Entry) -> ManagedSigner:
        if not isinstance(entry.content, Descriptor):
            return KeystoreSigner(entry.info, entry.path, self._passwords)
        uri = entry.content.uri
        return BackendSigner(entry.info, uri.where, lambda: self._open(uri))

    def _open(self, uri: Pkcs11Uri | AwsKmsUri | RpcUri) -> backend.DigestBackend | backend.MessageBackend:
        return open_backend(uri, pin=self._pins, timeout=self._timeout)

    def _write(self, name: str, key: PrivateKey, wallets: Sequence[ChainAccount]) -> KeyInfo:
        self._require_free(name)
        document.require_own(name, wallets, eip191.address_of(key.public_key))
        files.make_private_folder(self.path, "keystore folder")
        password = self._passwords.password(f"key {name} (new)", confirm=True)
        return self._add(
            name,
            secret_storage.encrypt(
                key, password, work_factor=self._work_factor, facts=document.new_facts(name, wallets)
            ),
        )

    def _add(self, name: str, file: secret_storage.KeyFile | Descriptor) -> KeyInfo:
        files.make_private_folder(self.path, "keystore folder")
        keystore_id(self.path)
        with files.folder_lock(self.path):
            for other in self.scan().keys:
                if other.address == file.address:
                    raise SettingsError(
                        f"the key with address {file.address} is in {self._folder.where()} already, as {other.name!r}",
                        code="key_exists",
                    )
            try:
                files.create(self._folder.path_of(name), file.encode())
            except FileExistsError:
                raise self._taken(name) from None
        return self.get(name)

    def _change(self, name: str, change: Callable[[Facts], Facts]) -> KeyInfo:
        self.get(name)
        with files.folder_lock(self.path):
            entry = self._folder.read(name)
            facts = change(entry.content.facts)
            if facts != entry.content.facts:
                files.replace(entry.path, replace(entry.content, facts=replace(facts, name=name)).encode())
        return self.get(name)

    def _require_free(self, name: str) -> None:
        if exists(self._folder.path_of(name)):
            raise self._taken(name)

    def _taken(self, name: str) -> SettingsError:
        return SettingsError(f"a key {name!r} is in {self._folder.where()} already", code="key_exists")


def _wallets_on(chains: Sequence[ChainId], address: Address) -> tuple[ChainAccount, ...]:
    return tuple(ChainAccount(chain, address) for chain in chains)


def _opens(file: secret_storage.KeyFile, passwords: PasswordSource, name: str, where: str) -> bool:
    try:
        secret_storage.decrypt(file, passwords.password(f"key {name}"), where)
    except KeyUnavailable:
        return False
    return True
