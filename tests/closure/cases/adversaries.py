"""The adversaries: contracts that only look closed. Each must be judged not irreversible; a few are counter-examples.

The manifest is in four parts; each entry has, beside the case, the real calls that show that it acts (``act``).
"""

from __future__ import annotations

from tests.closure.cases import adversaries_loops, adversaries_raw, adversaries_reach, adversaries_state
from tests.closure.cases.act import Act, Adversary
from tests.closure.cases.case import Case

ADVERSARIES: tuple[Adversary, ...] = (
    *adversaries_state.ADVERSARIES,
    *adversaries_reach.ADVERSARIES,
    *adversaries_raw.ADVERSARIES,
    *adversaries_loops.ADVERSARIES,
)
CASES: tuple[Case, ...] = tuple(each.case for each in ADVERSARIES)
ACTS: dict[str, Act] = {each.case.name: each.act for each in ADVERSARIES if each.act is not None}
