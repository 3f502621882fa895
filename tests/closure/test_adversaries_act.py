"""That the adversaries are none in name only: after closing, real calls in a real EVM (revm) make each of them act.

For each built case, in one configuration of each compiler (in all of them in the full profile): the accounts as the
fixture has them, the calls of the manifest one after the other (each a transaction of its own), and then what they are
said to do is looked up in the state.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any

import pyrevm
import pytest
from eth_abi.abi import encode
from eth_abi.grammar import parse
from eth_hash.auto import keccak

from orchestrator.closure.evm.opcodes import NAMES
from tests.closure.cases import assembler
from tests.closure.cases.act import Act, Call
from tests.closure.cases.adversaries import ACTS, ADVERSARIES, CASES
from tests.closure.cases.case import Built, Case, Encoded, account, load

if TYPE_CHECKING:
    from orchestrator.devnet.anvil import Anvil

ETHER = 10**18
KINDS = ("storage", "ether", "created", "code", "answer", "touched")
BUILT = [
    pytest.param(case.name, configuration, id=f"{case.name}-{configuration}")
    for case in CASES
    for configuration in case.tried
    if case.name in ACTS and ACTS[case.name].on == "revm"
]
ON_ANVIL = [name for name, act in ACTS.items() if act.on == "anvil"]


class World:
    """The state of a built case, and the calls made in it. Whoever sends has ether."""

    def __init__(self, built: Built, chain_id: int) -> None:
        self.built = built
        self.evm = pyrevm.EVM(spec_id="OSAKA", env=pyrevm.Env(cfg=pyrevm.CfgEnv(chain_id=chain_id)))
        for address, each in built.accounts.items():
            self.evm.insert_account_info(hexed(address), pyrevm.AccountInfo(nonce=each.nonce or 1, code=each.code))
            self.evm.set_balance(hexed(address), each.balance)
            for slot, value in each.storage.items():
                self.evm.insert_account_storage(hexed(address), slot, value)

    def address(self, label: str) -> int:
        if label == "account":
            return self.built.address
        if label.startswith("0x"):
            return int(label, 16)
        return self.built.labels.get(label, account(label))

    def storage(self, address: int) -> dict[int, int]:
        """All slots that the journal or the fixture knows."""
        slots = set(self.built.accounts[address].storage) if address in self.built.accounts else set()
        slots |= touched_slots(self.evm.journal_str, address)
        return {slot: value for slot in slots if (value := self.evm.storage(hexed(address), slot))}

    def send(self, call: Call) -> bytes:
        """The answer. Raises ``RuntimeError`` where the call fails."""
        sender, to = self.address(call.sender), self.address(call.to)
        self.evm.set_balance(hexed(sender), max(self.evm.get_balance(hexed(sender)), 1000 * ETHER))
        self.evm.reset_transient_storage()
        self.evm.set_block_env(
            pyrevm.BlockEnv(
                number=call.number,
                timestamp=call.timestamp,
                prevrandao=call.prevrandao.to_bytes(32),
                coinbase=hexed(self.address(call.coinbase)),
                excess_blob_gas=call.excess_blob_gas,
                gas_limit=100_000_000,
            )
        )
        return bytes(
            self.evm.message_call(
                hexed(sender), hexed(to), self.calldata(call), call.value, call.gas, call.gas_price or None
            )
        )

    def calldata(self, call: Call) -> bytes:
        """As ABI-encoded by the manifest's signature and arguments, labels put in."""
        if not call.signature:
            return call.data + call.append
        return self.encoded(call.signature, call.args) + call.append

    def encoded(self, signature: str, args: tuple[Any, ...]) -> bytes:
        _, _, types = signature.partition("(")
        selector = keccak(signature.encode())[:4]
        if types == ")":
            return selector
        kinds = parse(f"({types}").components
        values = [self.value(kind, each) for kind, each in zip(kinds, args, strict=True)]
        return selector + encode([kind.to_type_str() for kind in kinds], values)

    def value(self, kind: Any, each: Any) -> Any:
        if kind.is_array:
            return [self.value(kind.item_type, item) for item in each]
        if hasattr(kind, "components"):
            return tuple(self.value(part, item) for part, item in zip(kind.components, each, strict=True))
        if isinstance(each, Encoded):
            return self.encoded(each.signature, each.args)
        return hexed(self.address(each)) if isinstance(each, str) and kind.base == "address" else each


def touched_slots(journal: str, address: int) -> set[int]:
    """The journal's text is the only place where pyrevm shows which slots there are."""
    found = re.search(rf"{hexed(address)}: Account {{ info: .*?storage: {{(.*?)}}, status: ", journal)
    return {int(slot, 0) for slot in re.findall(r"(\w+): StorageSlot", found[1])} if found else set()


def hexed(address: int) -> str:
    return f"0x{address:040x}"


def acts(world: World, act: Act) -> bool:
    """Makes the calls; whether what ``act.shows`` names is then so."""
    subject = hexed(world.built.address)
    kind, _, label = act.shows.partition(" ")
    looked_at = world.address(label) if kind == "touched" else world.built.address
    storage, balance = world.storage(looked_at), world.evm.get_balance(subject)
    nonce, code = world.evm.basic(subject).nonce, world.evm.basic(subject).code_hash
    answer = b""
    for call in act.calls:
        answer = world.send(call)
    after = world.evm.basic(subject)
    match kind:
        case "storage" | "touched":
            return world.storage(looked_at) != storage
        case "ether":
            return world.evm.get_balance(subject) < balance
        case "created":
            return after.nonce > nonce
        case "code":
            return after.code_hash != code
        case "answer":
            return len(answer) >= 4 and int.from_bytes(answer[:32].ljust(32, b"\0")) & act.mask == act.answer
    raise AssertionError(f"{act.shows!r} is none of {', '.join(KINDS)}")


@pytest.mark.parametrize(("name", "configuration"), BUILT)
def test_it_acts_after_closing(name: str, configuration: str) -> None:
    act = ACTS[name]
    world = World(load(configuration)[name], act.calls[0].chain_id)

    assert acts(world, act), f"{name} does not do what the manifest says: {act.shows}"


@pytest.mark.parametrize("name", ON_ANVIL)
def test_it_acts_on_anvil(name: str, anvil: Anvil) -> None:
    case = next(each for each in CASES if each.name == name)
    built = load(case.configurations[-1])[name]
    world = World(built, chain_id=1)  # for what the labels mean
    (call,) = ACTS[name].calls
    snapshot = anvil.rpc_sync("evm_snapshot")
    try:
        for address, each in built.accounts.items():
            anvil.rpc_sync("anvil_setCode", hexed(address), "0x" + each.code.hex())
            for slot, value in each.storage.items():
                anvil.rpc_sync("anvil_setStorageAt", hexed(address), f"0x{slot:064x}", f"0x{value:064x}")
        sender = hexed(world.address(call.sender))
        anvil.rpc_sync("anvil_setBalance", sender, hex(1000 * ETHER))
        anvil.rpc_sync("anvil_impersonateAccount", sender)
        if call.base_fee:
            anvil.rpc_sync("anvil_setNextBlockBaseFeePerGas", hex(call.base_fee))
        transaction = {"from": sender, "to": hexed(built.address), "gas": hex(call.gas)}
        transaction["data"] = "0x" + world.calldata(call).hex()
        if call.gas_price:
            transaction["gasPrice"] = hex(call.gas_price)
        receipt = anvil.receipt_sync(anvil.rpc_sync("eth_sendTransaction", transaction))
        assert int(receipt["status"], 16) == 1
        after = {
            slot: int(anvil.rpc_sync("eth_getStorageAt", hexed(built.address), f"0x{slot:064x}", "latest"), 16)
            for slot in built.subject.storage
        }
    finally:
        anvil.rpc_sync("evm_revert", snapshot)

    assert after != built.subject.storage


def test_what_shows_nothing_is_a_counter_example_or_waits_for_another_fork() -> None:
    silent = [each.case for each in ADVERSARIES if each.act is None]

    assert [case.name for case in silent if case.analysis == "acting" or case.authority is not None] == []
    assert {case.verdict for case in silent} <= {"irreversible", "inconclusive"}


def test_the_calls_show_nothing_in_a_counter_example() -> None:
    """That the harness can say no: the acting call of one contract, made to another that is guarded."""
    act = ACTS["adversary_innocent_name"]
    world = World(load("solc-0.8.37-ir")["adversary_unpause_left"], chain_id=1)

    with pytest.raises(RuntimeError, match="Revert"):
        acts(world, act)


COUNTER_EXAMPLES = [case for case in CASES if case.verdict == "irreversible"]


@pytest.mark.parametrize("case", COUNTER_EXAMPLES, ids=lambda case: case.name)
def test_no_call_of_the_manifest_makes_a_counter_example_act(case: Case) -> None:
    built = load(case.configurations[-1])[case.name]
    for act in ACTS.values():
        for call in act.calls:
            world = World(built, call.chain_id)
            before = world.storage(built.address), world.evm.basic(hexed(built.address)).nonce
            if call.to == "account":
                with contextlib.suppress(RuntimeError):
                    world.send(call)
            assert (world.storage(built.address), world.evm.basic(hexed(built.address)).nonce) == before, call


def test_the_assembler_gives_instructions_the_names_that_the_engine_gives_them() -> None:
    assert {name: code for code, name in NAMES.items() if not name.startswith("PUSH")} == assembler.NAMES
    assert assembler.assemble("start: 0 0x2a -1 PUSH3:1 @start JUMP #fe") == bytes.fromhex(
        f"5b5f602a7f{'ff' * 32}62000001610000" + "56fe"
    )
