"""A world around the account under test, in a real EVM (revm, in process): senders, attackers, traps.

One attacker contract plays every part. Called by the account under test it sets a trap off (a counter, set by a call
to itself, so that a static call is no obstacle) and then answers as its script said: nothing, a word, an echo, a
revert, all gas eaten, a call back into the account. Called by anybody else it runs the script in its calldata.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyrevm

from .asm import code as asm

SPEC = "PRAGUE"
SUBJECT = 0x5AFE_5AFE_5AFE_5AFE_5AFE_5AFE_5AFE_5AFE_5AFE_0001
ATTACKERS = tuple(0xA77A_C4E2_0000_0000_9E3F_11C8_D00D_7700_0000_0000 + n * 0x1F3 for n in (1, 2))
SENDERS = tuple(0x5E4D_E200_0000_0000_77B1_03AC_0000_0000_0000_0000 + n * 0x2A7 for n in (1, 2, 3))
TRAP_SLOT = 0x7A9
RICH = 10**24
_TRAP_KEY = f"key: {TRAP_SLOT}, had_value: Some("


@functools.cache
def attacker(subject: int) -> bytes:
    """Its code. A script is a row of entries: a header word, kind (1 byte), length (2), nothing (13), value (16 bytes),
    then the data. Kinds: 0 CALL the subject, 1 STATICCALL it, 2 remember the data's word at transient
    key ``value`` (0 mode, 1 answer, 2 length, 16… the data of a call back)."""
    return asm(f"""
        CALLER ADDRESS EQ @trap JUMPI   CALLER {subject} EQ @asked JUMPI
        0
      loop:
        DUP1 CALLDATASIZE GT ISZERO @end JUMPI
        DUP1 CALLDATALOAD SWAP1 32 ADD
        0xffff DUP3 232 SHR AND
        DUP1 DUP3 0 CALLDATACOPY
        DUP1 DUP3 ADD SWAP2 POP
        DUP3 248 SHR DUP1 2 EQ @remember JUMPI
        1 EQ @static JUMPI
        0 0 DUP3 0 DUP7 0xffffffffffffffffffffffffffffffff AND {subject} GAS CALL POP POP SWAP1 POP @loop JUMP
      static:
        0 0 DUP3 0 {subject} GAS STATICCALL POP POP SWAP1 POP @loop JUMP
      remember:
        POP 0 MLOAD DUP4 0xffffffffffffffffffffffffffffffff AND TSTORE POP SWAP1 POP @loop JUMP
      end: STOP
      trap: {TRAP_SLOT} SLOAD 1 ADD {TRAP_SLOT} SSTORE STOP
      asked:
        0 0 0 0 0 ADDRESS 4 GAS DIV CALL POP
        0 TLOAD
        DUP1 1 EQ @word JUMPI      DUP1 2 EQ @reverts JUMPI   DUP1 3 EQ @eats JUMPI
        DUP1 4 EQ @echo JUMPI      DUP1 5 EQ @again JUMPI     DUP1 6 EQ @look JUMPI   DUP1 7 EQ @many JUMPI
        STOP
      word: 1 TLOAD 0 MSTORE 32 0 RETURN
      reverts: 1 TLOAD 0 MSTORE 32 0 REVERT
      eats: INVALID
      echo: CALLDATASIZE 0 0 CALLDATACOPY CALLDATASIZE 0 RETURN
      again:
        16 TLOAD 0 MSTORE 17 TLOAD 32 MSTORE 18 TLOAD 64 MSTORE
        0 0 2 TLOAD 0 0 {subject} 4 GAS DIV CALL 0 MSTORE 32 0 RETURN
      look:
        16 TLOAD 0 MSTORE 17 TLOAD 32 MSTORE 18 TLOAD 64 MSTORE
        0 0 2 TLOAD 0 {subject} 4 GAS DIV STATICCALL POP RETURNDATASIZE 0 0 RETURNDATACOPY RETURNDATASIZE 0 RETURN
      many: 1 TLOAD DUP1 0 MSTORE DUP1 32 MSTORE 1000 MSTORE 2 TLOAD 0xffff AND 0 RETURN
    """)


def entry(kind: int, data: bytes, value: int = 0) -> bytes:
    return bytes([kind]) + len(data).to_bytes(2, "big") + bytes(13) + value.to_bytes(16, "big") + data


@dataclass(frozen=True, slots=True)
class Block:
    timestamp: int = 1_800_000_000
    number: int = 23_000_000
    prevrandao: int = 0x1234
    coinbase: int = 0xC01B_A5E0_0000_0000_0000_0000_0000_0000_0000_0001
    gas_price: int = 0


@dataclass(frozen=True, slots=True)
class RealCall:
    """A transaction. ``to`` is the account under test or an attacker; ``gas`` is the transaction's limit."""

    sender: int
    to: int
    data: bytes
    value: int = 0
    gas: int = 2_000_000
    block: Block = Block()
    balance: int = 0
    """The account's own, before (wei)."""

    def __str__(self) -> str:
        return (
            f"from {self.sender:#042x} to {self.to:#042x} value {self.value} gas {self.gas} "
            f"balance {self.balance} {self.block} data {self.data.hex() or '-'}"
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """What a call did."""

    success: bool
    output: bytes
    gas_used: int
    effects: tuple[str, ...]
    """Each a sentence: what an inert account cannot have done."""
    logged: bool
    """Whether the account under test emitted a log that stayed."""


def hexed(address: int) -> str:
    return f"0x{address:040x}"


class World:
    """One account's code and storage, the code of others, and everybody else, ready to be called."""

    def __init__(
        self,
        code: bytes,
        storage: Mapping[int, int],
        codes: Mapping[int, bytes] | None = None,
        *,
        chain_id: int = 1,
        subject: int = SUBJECT,
    ) -> None:
        self.subject, self.code, self.storage = subject, code, dict(storage)
        self.evm = pyrevm.EVM(env=pyrevm.Env(cfg=pyrevm.CfgEnv(chain_id=chain_id)), spec_id=SPEC, gas_limit=2**62)
        self._name = hexed(subject)
        self.evm.insert_account_info(self._name, pyrevm.AccountInfo(nonce=1, code=code))
        for slot, value in storage.items():
            self.evm.insert_account_storage(self._name, slot, value)
        for address, others in (codes or {}).items():
            if others and address != subject:
                self.evm.insert_account_info(hexed(address), pyrevm.AccountInfo(nonce=1, code=others))
        program = attacker(subject)
        for address in ATTACKERS:
            self.evm.insert_account_info(hexed(address), pyrevm.AccountInfo(nonce=1, balance=RICH, code=program))
        self._rich: set[int] = set()
        self._balance = 0
        self._block: Block | None = None
        self._sent = re.compile(f"BalanceTransfer {{ from: {self._name}, to: \\w+, balance: (\\d+ }})")
        self._change = f"StorageChange {{ address: {self._name}, key: "

    def call(self, call: RealCall) -> Seen:
        """Runs it and takes it back, so that the next call starts from the same state."""
        evm = self.evm
        if call.sender not in self._rich:
            self._rich.add(call.sender)
            evm.set_balance(hexed(call.sender), RICH)
        if call.balance != self._balance:
            evm.set_balance(self._name, call.balance)
            self._balance = call.balance
        if call.block != self._block:
            self._set(call.block)
        start = evm.snapshot()
        try:
            try:
                output = evm.message_call(
                    hexed(call.sender), hexed(call.to), call.data, value=call.value, gas=call.gas,
                    gas_price=call.block.gas_price,
                )  # fmt: skip
            except RuntimeError as failure:
                return Seen(False, b"", _spent(str(failure)), (), False)
            used = evm.result.gas_used
            effects, logged = self._look(evm.journal_str, call)
            return Seen(True, bytes(output), used, effects, logged)
        finally:
            evm.revert(start)

    def _look(self, journal: str, call: RealCall) -> tuple[tuple[str, ...], bool]:
        info = self.evm.basic(self._name)
        effects = []
        if info.nonce != 1:
            effects.append(f"its nonce is {info.nonce}, so that it created a contract or tried to")
        if info.balance < call.balance:
            effects.append(f"its balance fell from {call.balance} to {info.balance} wei")
        entries = journal[journal.rindex("journal: [[") :]
        if f"AccountDestroyed {{ address: {self._name}" in entries:
            effects.append("it was destroyed")
        if any(not part.startswith("0 }") for part in re.findall(self._sent, entries)):
            effects.append("it sent ether")
        if self._change in entries:
            keys = {int(part[: part.index(",")]) for part in entries.split(self._change)[1:]}
            for key in sorted(keys):
                now, before = self.evm.storage(self._name, key), self.storage.get(key, 0)
                if now != before:
                    effects.append(f"its slot {key:#x} changed from {before:#x} to {now:#x}")
        if _TRAP_KEY in entries:
            effects.append("it made a call that kept an effect (a trap went off)")
        logs = journal[journal.index("logs: [") :]
        logged = not logs.startswith("logs: []") and f"Log {{ address: {self._name}" in logs
        return tuple(effects), logged

    def _set(self, block: Block) -> None:
        self._block = block
        self.evm.set_block_env(
            pyrevm.BlockEnv(
                number=block.number,
                coinbase=hexed(block.coinbase),
                timestamp=block.timestamp,
                prevrandao=block.prevrandao.to_bytes(32, "big"),
                basefee=0,
                gas_limit=2**62,
                excess_blob_gas=0,
            )
        )


def with_gas(call: RealCall, gas: int) -> RealCall:
    return replace(call, gas=gas)


def _spent(failure: str) -> int:
    """The gas that revm's sentence about a failed call names; 0 where it names none."""
    _, _, rest = failure.partition("gas_used: ")
    digits = rest.split(",")[0].split(" ")[0].rstrip("}")
    return int(digits) if digits.isdigit() else 0


def value_of(evm_code: bytes, storage: Mapping[int, int], subject: int = SUBJECT) -> int | None:
    """The word that ``evm_code`` returns in a fresh world without calldata; None if it fails. For building programs."""
    evm: Any = pyrevm.EVM(spec_id=SPEC, gas_limit=2**62)
    evm.insert_account_info(hexed(subject), pyrevm.AccountInfo(nonce=1, code=evm_code))
    for slot, value in storage.items():
        evm.insert_account_storage(hexed(subject), slot, value)
    try:
        answer = evm.message_call(hexed(SENDERS[0]), hexed(subject), b"", gas=3_000_000)
    except RuntimeError:
        return None
    return int.from_bytes(answer, "big")
