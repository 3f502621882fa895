"""What goes into the analysis and what comes out of it. Plain values; no rule is here.

Words and slots are integers of 0 to 2^256-1, addresses integers of 160 bits: nothing is parsed below this line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from orchestrator.closure.evm.words import AnyWord

Result = Literal["inert", "acting", "undecided"]


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """One account at one block, as proven against the block's state root."""

    address: int
    code: bytes
    """Its runtime code; not empty and not beginning with 0xef (``evidence`` keeps those out)."""
    storage: Mapping[int, int] = field(default_factory=dict)
    """Proven slots. One that is missing is asked for in ``Analysis.needs``, unless ``complete``."""
    codes: Mapping[int, bytes] = field(default_factory=dict)
    """Proven code of other accounts, for DELEGATECALL; ``b""`` is proven to have none."""
    complete: bool = False
    """Whether a slot or code that is missing is known to be zero or empty. For tests; a proof says so slot by slot."""
    permanent: bool = True
    """Whether code cannot be removed from an account that has it (EIP-6780): the header has Cancun's fields."""
    zero_caller: bool = False
    """Whether a call may come from the address 0, as it may on all chains but those of a table (``chains``)."""
    amsterdam: bool = False
    """Whether Amsterdam's instructions are defined: the header has that fork's fields."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Where the analysis gives up (``undecided``), so that it always ends."""

    steps: int = 200_000
    """Instructions executed, all paths together, and what comparing paths takes; about a second."""
    states: int = 20_000
    """Branches taken."""
    visits: int = 8
    """Different states that are followed through one place before they are taken together."""


@dataclass(frozen=True, slots=True)
class Needs:
    """Facts that were met on a path and not given: prove them and run again."""

    slots: tuple[int, ...] = ()
    codes: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.slots or self.codes)


@dataclass(frozen=True, slots=True)
class Branch:
    """A decision of a path: at ``pc`` in the code of ``address`` the JUMPI did or did not jump."""

    address: int
    pc: int
    taken: bool
    condition: AnyWord
    """The word that was tested, with the expression that it came from, for the search of a witness."""


@dataclass(frozen=True, slots=True)
class Finding:
    """An instruction that acts, on a path that may succeed."""

    address: int
    """Whose code it is in: the account's own, or a DELEGATECALL target's."""
    pc: int
    opcode: str
    path: tuple[Branch, ...]
    """From the entry to the successful end."""
    slot: int | None = None
    """The slot written, for SSTORE to a known one."""


@dataclass(frozen=True, slots=True)
class Authority:
    """A question whose answer gives others power (ERC-1271 and its like), and may be yes."""

    name: str
    selector: int
    path: tuple[Branch, ...]


@dataclass(frozen=True, slots=True)
class Analysis:
    """``inert``: no call, by anyone, ever, changes the account's storage or makes it act.

    ``acting``: some path may; the findings say where. ``undecided``: the analysis does not know, for ``reason``.
    """

    result: Result
    reason: str
    """``inert``, ``acting``, or why it is undecided: ``missing_fact``, ``step_limit``, ``state_limit``,
    ``unknown_jump``, ``undefined_opcode``, ``recursion``, ``impermanent_target``, ``caller_zero``, ``no_code``,
    ``internal``."""
    detail: str
    findings: tuple[Finding, ...] = ()
    """Distinct acting instructions, in the order found; not all, where there are many."""
    authority: tuple[Authority, ...] = ()
    """Whatever ``result`` is; an ``inert`` account with one is not irreversibly closed."""
    needs: Needs = Needs()
    slots: tuple[int, ...] = ()
    """Every slot that was read: the proof must hold these and no others."""
    targets: tuple[int, ...] = ()
    """Every DELEGATECALL target whose code was continued in, or proven to have none."""
    logs: bool = False
    """Whether a call can succeed that emits a log. Residue."""
    takes_ether: bool = False
    """Whether a call with ether can succeed. Residue."""
    states: int = 0
    steps: int = 0
