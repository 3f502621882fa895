"""Carries out the steps of a contract case in revm (pyrevm): each transaction in a fresh EVM with the state so far."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tests.closure.cases.case import (
    NUMBER,
    TIMESTAMP,
    Account,
    Case,
    Deploy,
    Encoded,
    Send,
    SetBalance,
    SetCode,
    SetStorage,
    Signed,
    SignedHash,
    Step,
    account,
    private_key,
)
from tests.closure.cases.compilers import BuildError, Compiled

ETHER = 10**18
GAS = 30_000_000
PADDING = 33
"""revm pads the code that it runs with so many zero bytes, and pyrevm shows them."""
CREATOR_LABEL = "creator"
# calldata: salt, then init code. CALLDATACOPY, CREATE2(value, 0, size - 32, salt), returns the address.
CREATOR_CODE = bytes.fromhex("6020360380602060003760003590600034f560005260206000f3")


class World:
    """The state between transactions, and the steps that change it."""

    def __init__(self, each: Case, compiled: Mapping[str, dict[str, Compiled]]) -> None:
        self.case, self.compiled = each, compiled
        self.accounts: dict[int, Account] = {}
        self.labels: dict[str, int] = {}

    def address(self, label: str) -> int:
        """A label's address; a name that no step has made is an externally owned account, with ether."""
        if re.fullmatch(r"0x[0-9a-fA-F]{40}", label):
            return int(label, 16)
        if label not in self.labels:
            self.labels[label] = account(label)
            self.accounts[account(label)] = Account(b"", balance=1000 * ETHER)
        return self.labels[label]

    def do(self, step: Step) -> None:
        match step:
            case Deploy():
                self.deploy(step)
            case Send():
                self.send(step)
            case SetCode(label, code, balance, address):
                self.labels[label] = made_up(label) if address is None else address
                self.accounts[self.labels[label]] = Account(code, {}, balance, 1)
            case SetStorage(label, slots):
                values = {
                    slot: self.address(value) if isinstance(value, str) else value for slot, value in slots.items()
                }
                self.change(label, storage={**self.accounts[self.address(label)].storage, **values})
            case SetBalance(label, wei):
                self.change(label, balance=wei)

    def change(self, label: str, **fields: Any) -> None:
        address = self.address(label)
        self.accounts[address] = replace(self.accounts.get(address, Account(b"")), **fields)

    def deploy(self, step: Deploy) -> None:
        source = step.source or self.case.source
        name = step.contract or self.case.contract
        contracts = self.compiled[source]
        if name not in contracts:
            raise BuildError(f"{source} has no contract {name!r}, it has {', '.join(sorted(contracts))}")
        contract = contracts[name]
        code = contract.code + self.encode(contract.types, step.args)
        sender = self.address(step.sender)
        if step.salt is None:
            made = int(self.transact(sender, None, code, step.value), 0)
        else:
            if CREATOR_LABEL not in self.labels:
                self.do(SetCode(CREATOR_LABEL, CREATOR_CODE))
            answer = self.transact(sender, self.labels[CREATOR_LABEL], step.salt.to_bytes(32) + code, step.value)
            made = int.from_bytes(answer)
            if not made:
                raise BuildError(f"{step.label}: CREATE2 failed")
        self.labels[step.label] = made

    def send(self, step: Send) -> None:
        data = self.call(step.signature, step.args) if step.signature else step.data
        to, sender = self.address(step.to), self.address(step.sender)
        try:
            answer = self.transact(sender, to, data, step.value, step.timestamp)
        except BuildError:
            if not step.fails:
                raise
        else:
            if step.fails:
                raise BuildError(f"{step.signature or step.data.hex()} to {step.to} should fail, and did not")
            if step.answer:
                self.labels[step.answer] = int.from_bytes(answer[:32]) % 2**160

    def transact(self, sender: int, to: int | None, data: bytes, value: int, timestamp: int = TIMESTAMP) -> Any:
        """The output, or the address made. Raises ``BuildError`` where it fails; the state is then as it was."""
        import pyrevm

        evm = pyrevm.EVM(spec_id="PRAGUE", env=pyrevm.Env(cfg=pyrevm.CfgEnv(chain_id=1)))
        evm.set_block_env(pyrevm.BlockEnv(number=NUMBER, timestamp=timestamp, prevrandao=bytes(32)))
        for address, each in self.accounts.items():
            code = None if each.code[:1] in (b"", b"\xef") else each.code
            evm.insert_account_info(checksum(address), pyrevm.AccountInfo(nonce=each.nonce, code=code))
            evm.set_balance(checksum(address), each.balance)
            for slot, content in each.storage.items():
                evm.insert_account_storage(checksum(address), slot, content)
        answer: Any
        try:
            if to is None:
                answer = evm.deploy(checksum(sender), data, value, GAS)
            else:
                answer = evm.message_call(checksum(sender), checksum(to), data, value, GAS)
        except RuntimeError as error:
            what = "the deployment" if to is None else f"the call of {data[:4].hex() or 'nothing'}"
            raise BuildError(f"{what} failed: {error}") from None
        self.read_back(evm)
        return answer

    def read_back(self, evm: Any) -> None:
        """The journal's text is the only place where pyrevm shows which slots there are."""
        touched = re.finditer(
            r"(0x[0-9a-f]{40}): Account \{ info: .*?storage: \{(.*?)\}, status: AccountStatus\((.*?)\) \}",
            evm.journal_str,
        )
        for match in touched:
            address, slots, status = int(match[1], 16), match[2], match[3]
            if "SelfDestructed" in status:
                self.accounts.pop(address, None)
                continue
            before = self.accounts.get(address, Account(b""))
            storage = dict(before.storage)
            for slot in re.findall(r"(\w+): StorageSlot", slots):
                storage[int(slot, 0)] = evm.storage(match[1], int(slot, 0))
            info = evm.basic(match[1])
            code = (
                before.code if before.code[:1] == b"\xef" else unpadded(evm.get_code(match[1]), bytes(info.code_hash))
            )
            self.accounts[address] = Account(code, storage, evm.get_balance(match[1]), info.nonce)

    # ------------------------------------------------------------------------------------------------------- encoding

    def call(self, signature: str, args: tuple[Any, ...]) -> bytes:
        name, _, types = signature.partition("(")
        return keccak(f"{name}({types}".encode())[:4] + self.encode(f"({types}", args)

    def encode(self, types: str, args: tuple[Any, ...]) -> bytes:
        from eth_abi.abi import encode
        from eth_abi.grammar import parse

        if types == "()":
            if args:
                raise BuildError(f"{len(args)} arguments where none is taken")
            return b""
        components = parse(types).components
        if len(components) != len(args):
            raise BuildError(f"{len(args)} arguments for {types}")
        values = [self.value(kind, each) for kind, each in zip(components, args, strict=True)]
        return encode([kind.to_type_str() for kind in components], values)

    def value(self, kind: Any, each: Any) -> Any:
        if kind.is_array:
            return [self.value(kind.item_type, item) for item in each]
        if hasattr(kind, "components"):
            return tuple(self.value(part, item) for part, item in zip(kind.components, each, strict=True))
        match each:
            case Encoded(signature, args):
                return self.call(signature, args)
            case Signed(message, signer):
                prefix = f"\x19Ethereum Signed Message:\n{len(message)}".encode()
                return sign(keccak(prefix + message), signer)
            case SignedHash(digest, signer):
                return sign(digest, signer)
            case str() if kind.base == "address":
                return checksum(self.address(each))
            case int() if kind.base == "address":
                return checksum(each)
        return each


def keccak(data: bytes) -> bytes:
    from eth_hash.auto import keccak as hash_

    return bytes(hash_(data))


def sign(digest: bytes, signer: str) -> bytes:
    from coincurve import PrivateKey

    signature = PrivateKey(private_key(signer)).sign_recoverable(digest, hasher=None)
    return signature[:64] + bytes([signature[64] + 27])


def checksum(address: int) -> str:
    return f"0x{address:040x}"


def made_up(label: str) -> int:
    return int.from_bytes(hashlib.sha256(f"address of a contract case: {label}".encode()).digest()[12:])


def unpadded(code: bytes | None, code_hash: bytes) -> bytes:
    for candidate in (b"", code or b"", (code or b"")[:-PADDING]):
        if keccak(candidate) == code_hash:
            return candidate
    raise BuildError(f"pyrevm shows code that does not have its hash {code_hash.hex()}")
