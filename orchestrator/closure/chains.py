"""What the rules of single chains are where no block's header shows it, each with its source. Pure.

A chain that is missing in a table is one of which nothing was found: nothing is assumed of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from orchestrator.models import ChainId

EIP_6780_SINCE: Final[Mapping[int, int]] = {
    137: 54_876_000,  # Polygon PoS, hard fork Napoli (PIP-33): EIP-6780 without Cancun's header fields
    80002: 5_423_600,  # Polygon Amoy, Napoli
}
"""Chains whose rules have EIP-6780 though their headers lack Cancun's fields: chain id to first block."""

_ETHEREUM: Final = (
    "senders are recovered from signatures, and system calls come from 0xff…fe (ethereum/execution-specs, "
    "process_system_transaction)"
)
_GNOSIS: Final = (
    "senders are recovered from signatures, and system calls come from 0xff…fe (gnosischain/specs, "
    "execution/withdrawals.md and posdao-post-merge.md)"
)
NO_CALL_FROM_ZERO: Final[Mapping[int, str]] = {
    1: _ETHEREUM,
    11155111: _ETHEREUM,  # Sepolia
    17000: _ETHEREUM,  # Holesky
    560048: _ETHEREUM,  # Hoodi
    100: _GNOSIS,
    10200: _GNOSIS,  # Chiado
    31337: "senders are recovered from signatures, unless somebody impersonates on this development chain (Anvil)",
}
"""Chains on which CALLER is never 0x0 in a call that persists: chain id to why. ORIGIN may be 0 on every chain.

Not here, and why a chain is not here unless its rules were read:
Celo debits and credits fee currencies from 0x0 (celo-org/op-geth, ``CallWithABI`` and contracts/fee_currencies.go).
OP Stack chains upgrade their predeployed proxies by deposits from 0x0 (ethereum-optimism/specs,
protocol/ecotone/derivation.md, "L1Block Proxy Update").
Fantom and Sonic call their node driver from 0x0 (Fantom-foundation/opera-sfc, NodeDriver.sol, ``onlyNode``).
Polygon PoS runs state syncs, which anybody's message through a bridge's tunnel reaches, with an ORIGIN of 0x0
(maticnetwork/bor, consensus/bor/statefull/processor.go: an empty ``TxContext``).
"""


def callers(chain: ChainId) -> str:
    """What a verdict on this chain assumes of calls from the address 0; a sentence without its end."""
    why = NO_CALL_FROM_ZERO.get(chain.number)
    if why is not None:
        return f"no call on {chain} comes from the address 0: {why}"
    return (
        f"nothing is assumed of them on {chain}. System transactions of some rollups come from the address 0, and "
        "nothing that this tool knows rules them out here, so such calls were followed as all others were"
    )


LOW_PRECOMPILES: Final = frozenset(NO_CALL_FROM_ZERO)
"""Chains all of whose precompiles have addresses of 16 bits: Ethereum's (ethereum/execution-specs,
vm/precompiled_contracts/mapping.py), which Gnosis Chain and Anvil have too. Elsewhere an account whose code is a stub
(``evm.machine.STUBS``) may be one: ArbOS has 0xa4b05, Avalanche's subnets 0x0200…, Fantom and Sonic 0xd100ec…,
Moonbeam 0xffffffff…."""

_NO_EVM: Final[Mapping[int, str]] = {324: "zkSync Era", 300: "zkSync Sepolia"}
"""Chains that run EraVM's code, and the EVM's by an interpreter at most (docs.zksync.io, zksync-protocol/era-vm)."""


def no_evm(chain: ChainId) -> str | None:
    """Why nothing can be proven of a chain's contracts, in words; None unless it is known to run another machine."""
    name = _NO_EVM.get(chain.number)
    if name is None:
        return None
    return f"{name} ({chain}) does not run EVM bytecode, so nothing can be proven about its contracts"
