"""Safe 1.4.1 on a devnet: npm's published code, and what a platform can do with such a wallet. For tests only."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from eth_abi.abi import encode

from orchestrator.devnet.anvil import Anvil
from orchestrator.devnet.simulator.chain import account_bytes, encode_call, keccak
from orchestrator.devnet.simulator.families import Creation, Family, Sent, State
from orchestrator.models import Address, to_address

PACKAGE = "@safe-global/safe-contracts@1.4.1"
SINGLETON, HANDLER, FACTORY = (to_address(f"0x{0x5AFE_0000_0000_0000_0000 + number:040x}") for number in (1, 2, 3))
_CODES = {SINGLETON: "Safe", HANDLER: "CompatibilityFallbackHandler", FACTORY: "SafeProxyFactory"}
_FOLDER = Path(__file__).parent / "closure" / "real"
_SETUP = "setup(address[],uint256,address,bytes,address,address,uint256,address)"
NOBODY = "0x" + "00" * 20


def code_of(name: str) -> bytes:
    """The runtime code of one of the package's contracts."""
    contracts = json.loads((_FOLDER / "contracts.json").read_text())
    (found,) = [each for each in contracts if (each["name"], each["origin"]) == (name, PACKAGE)]
    return bytes.fromhex(found["code"].removeprefix("0x"))


def install(anvil: Anvil) -> Address:
    """Puts Safe's contracts on the chain, at addresses of our own: the proxies' factory. Neither it nor the handler has
    a constructor that matters here; the singleton's only keeps others from using the singleton itself."""
    for address, name in _CODES.items():
        anvil.rpc_sync("anvil_setCode", address, "0x" + code_of(name).hex())
    anvil.rpc_sync("anvil_setStorageAt", SINGLETON, f"0x{4:064x}", f"0x{1:064x}")  # the threshold
    anvil.rpc_sync("anvil_mine", "0x1")
    return FACTORY


class SafeFamily(Family):
    """A Safe of one owner for each account. A Safe has no state: suspending and closing leave the chain as it is."""

    name = "safe"

    @classmethod
    def creations(cls, operator: str) -> Sequence[Creation]:
        raise AssertionError("Safe's contracts are there by `install`")

    def deploy(self, owner: str, account_id: str, challenge: bytes, number: int = 0) -> Sent:
        signature = "createProxyWithNonce(address,bytes,uint256)"
        return Sent.of(self.factory, signature, SINGLETON, _initializer(owner), _nonce(account_id, number))

    async def predict(self, owner: str, account_id: str, number: int = 0) -> str:
        answer = bytes.fromhex((await self.chain.call(self.factory, "proxyCreationCode()"))[2:])
        creation = answer[64 : 64 + int.from_bytes(answer[32:64], "big")] + encode(["address"], [SINGLETON])
        salt = keccak(keccak(_initializer(owner)) + _nonce(account_id, number).to_bytes(32, "big"))
        hashed = keccak(b"\xff" + bytes.fromhex(self.factory[2:]) + salt + keccak(creation))
        return to_address("0x" + hashed[12:].hex())

    def suspend(self, wallet: str) -> None: ...

    def resume(self, wallet: str) -> None: ...

    def close(self, wallet: str, challenge: bytes, signature: bytes, tokens: Sequence[str]) -> None: ...

    async def state(self, wallet: str) -> State:
        return State.ACTIVE


def _initializer(owner: str) -> bytes:
    arguments = ([owner], 1, NOBODY, b"", HANDLER, NOBODY, 0, NOBODY)
    return bytes.fromhex(encode_call(_SETUP, *arguments)[2:])


def _nonce(account_id: str, number: int) -> int:
    return int.from_bytes(keccak(b"safe" + account_bytes(account_id) + bytes([number])), "big")
