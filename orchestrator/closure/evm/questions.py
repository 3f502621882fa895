"""The questions whose answer gives others power over what an account holds elsewhere, and what a yes to each is. Pure.

A new one is a row of ``QUESTIONS``: the analysis asks it, the search for a witness too, and tests compare its selector
with its signature. What belongs here: a function of which somebody else's contract takes a returned value for the
account's consent. Functions whose return value nobody reads, and hooks of receivers (ERC-721, 777, 1155), do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from orchestrator.closure.evm.buffer import Data
from orchestrator.closure.evm.words import ONES

_FIRST_FOUR: Final = ((1 << 32) - 1) << 224
_AGGREGATOR: Final = (1 << 160) - 1
_USER_OPERATION_6: Final = (
    "(address,uint256,bytes,bytes,uint256,uint256,uint256,uint256,uint256,bytes,bytes),bytes32,uint256"
)
_USER_OPERATION_7: Final = "(address,uint256,bytes,bytes,bytes32,uint256,bytes32,bytes,bytes),bytes32,uint256"


@dataclass(frozen=True, slots=True)
class Question:
    """A function whose answer has authority. ``answer`` and ``mask``: the bits of the word that say yes."""

    name: str
    signature: str
    selector: int
    answer: int
    source: str
    mask: int = ONES
    size: int = 32
    """Bytes that an answer must have at least to be taken for one."""
    offset: int = 0
    """Bytes before the word that counts."""
    refusal: int | None = None
    """The only value of the masked bits that is surely a no, where more than ``answer`` may be a yes."""
    window: bool = False
    """Whether the word also says when it holds, as ERC-4337 has it: see ``_may_open``."""

    def says_yes(self, answer: bytes) -> bool:
        """Whether these returned bytes are a yes, be it for a time that never comes (``may_open``)."""
        return len(answer) >= self.size and (self._word(answer) ^ self.answer) & self.mask == 0

    def may_open(self, answer: bytes, timestamp: int, number: int) -> bool:
        """Whether a yes holds at a block of this time (seconds) and number, or at a later one."""
        return not self.window or _may_open(self._word(answer), ONES, timestamp, number)

    def _word(self, answer: bytes) -> int:
        return int.from_bytes(answer[self.offset : self.offset + 32].ljust(32, b"\0"), "big")

    def may_say_yes(self, returned: Data) -> bool:
        """Whether the returned bytes are, or may be, a yes."""
        if isinstance(returned.size, int) and returned.size < self.size:
            return False
        word = returned.word(self.offset)
        value, known = (word, ONES) if isinstance(word, int) else (word.value, word.known)
        if self.window and not _may_open(value, known):
            return False
        known &= self.mask
        if self.refusal is not None:
            return not (known == self.mask and value & self.mask == self.refusal)
        return (value ^ self.answer) & known == 0


_WINDOW: Final = (1 << 48) - 1
_BLOCKS: Final = 1 << 47
"""The bit of both bounds by which EntryPoint 0.9 takes them for block numbers."""
NEVER: Final = 1 << 46
"""No block's time (seconds) and no block's number is ever that high: two million years, or as many blocks as one chain
makes in as long at one a second."""


def _may_open(value: int, known: int, timestamp: int = 0, number: int = 0) -> bool:
    """Whether the window of ERC-4337's validation data may be open at a block of this time or number, or later.

    Above the authorizer's 160 bits stand ``validUntil`` (48 bits, 0 for no end) and ``validAfter`` (48 bits), in
    seconds, both inclusive; EntryPoint 0.9 takes them for block numbers where both have their highest bit. Who asks is
    not known, so either reading counts (eth-infinitism/account-abstraction: ``_parseValidationData`` in
    core/Helpers.sol, ``_getValidationData`` in core/EntryPoint.sol). Of ``value`` only the bits in ``known`` are: the
    earliest beginning and the latest end count.
    """
    least, most = value & known, value | (ONES ^ known)
    after, last_after = least >> 208, most >> 208
    endless = (least >> 160) & _WINDOW == 0
    until = _WINDOW if endless else (most >> 160) & _WINDOW
    if after < NEVER and max(after, timestamp) <= until:
        return True
    first, last = after & ~_BLOCKS, until & ~_BLOCKS
    return bool(last_after & until & _BLOCKS) and first < NEVER and max(first, number) <= last


QUESTIONS: Final = (
    Question(
        "isValidSignature(bytes32,bytes)",
        "isValidSignature(bytes32,bytes)",
        0x1626BA7E,
        0x1626BA7E << 224,
        "ERC-1271",
        _FIRST_FOUR,
        4,
    ),
    Question(
        "isValidSignature(bytes32,bytes), 0x's magic value",
        "isValidSignature(bytes32,bytes)",
        0x1626BA7E,
        0xB0671381 << 224,  # keccak256("isValidWalletSignature(bytes32,address,bytes)")
        "0x protocol 3: contracts/exchange/contracts/src/MixinSignatureValidator.sol, LEGACY_WALLET_MAGIC_VALUE",
        _FIRST_FOUR,
        4,
    ),
    Question(
        "isValidSignature(bytes,bytes)",
        "isValidSignature(bytes,bytes)",
        0x20C13B0B,
        0x20C13B0B << 224,
        "ERC-1271's draft, as Safe 1.0 to 1.4 ask it",
        _FIRST_FOUR,
        4,
    ),
    Question(
        "validateUserOp, EntryPoint 0.6",
        f"validateUserOp({_USER_OPERATION_6})",
        0x3A871CDD,
        0,
        "ERC-4337: 0 in the low 160 bits is success, 1 failure, all else names an aggregator that decides",
        _AGGREGATOR,
        refusal=1,
        window=True,
    ),
    Question(
        "validateUserOp, EntryPoint 0.7 and 0.8",
        f"validateUserOp({_USER_OPERATION_7})",
        0x19822F7C,
        0,
        "ERC-4337",
        _AGGREGATOR,
        refusal=1,
        window=True,
    ),
    Question(
        "validatePaymasterUserOp, EntryPoint 0.6",
        f"validatePaymasterUserOp({_USER_OPERATION_6})",
        0xF465C77E,
        0,
        "ERC-4337: (bytes context, uint256 validationData); a yes spends the paymaster's deposit; no aggregator",
        _AGGREGATOR,
        64,
        32,
        window=True,
    ),
    Question(
        "validatePaymasterUserOp, EntryPoint 0.7 and 0.8",
        f"validatePaymasterUserOp({_USER_OPERATION_7})",
        0x52B7512C,
        0,
        "ERC-4337",
        _AGGREGATOR,
        64,
        32,
        window=True,
    ),
    Question(
        "onFlashLoan(address,address,uint256,uint256,bytes)",
        "onFlashLoan(address,address,uint256,uint256,bytes)",
        0x23E30C8B,
        0x439148F0BBC682CA079E46D6E2C2F0C1E3B820F1A291B069D8882ABF8CF18DD9,
        "ERC-3156: keccak256 of ERC3156FlashBorrower.onFlashLoan; the lender may then take amount and fee",
    ),
    Question(
        "executeOperation, Aave 2 and 3",
        "executeOperation(address[],uint256[],uint256[],address,bytes)",
        0x920F5C84,
        1,
        "aave/protocol-v2 LendingPool.sol, aave/aave-v3-core FlashLoanLogic.sol: true, then the pool takes the premium",
    ),
    Question(
        "executeOperation, Aave 3, one asset",
        "executeOperation(address,uint256,uint256,address,bytes)",
        0x1B11D0FF,
        1,
        "aave/aave-v3-core FlashLoanLogic.sol, executeFlashLoanSimple",
    ),
    Question(
        "ratifyOrder, Seaport",
        "ratifyOrder((uint8,address,uint256,uint256)[],(uint8,address,uint256,uint256,address)[],bytes,bytes32[],uint256)",
        0xF4DD92CE,
        0xF4DD92CE << 224,
        "ProjectOpenSea/seaport ContractOffererInterface.sol: a contract that offers, by its approvals",
        _FIRST_FOUR,
    ),
)
