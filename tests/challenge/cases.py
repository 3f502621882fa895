"""Vectors: challenges with what is expected of the policy, read from the JSON files in ``vectors``.

A file has one ``expectation``, and cases that name what they change of it in ``given``. A case's bytes are ``text``
(UTF-8), ``lines`` (text, joined by LF) or ``hex``.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from orchestrator.challenge import Challenge, ChallengeHistory, Expectation, SigningOperation
from orchestrator.models import AccountId, ChainAccount
from orchestrator.policy import ChallengePolicy, KeyPolicy

VECTORS = Path(__file__).parent / "vectors"


@dataclass(frozen=True)
class Case:
    name: str
    why: str
    rule: str
    data: bytes
    expectation: Expectation

    @property
    def challenge(self) -> Challenge:
        return challenge(self.data)


def challenge(data: bytes | str) -> Challenge:
    data = data.encode() if isinstance(data, str) else data
    return Challenge.parse(base64.b64encode(data).decode())


def cases(name: str) -> list[Case]:
    file = json.loads((VECTORS / f"{name}.json").read_text())
    base = file["expectation"]
    return [
        Case(case["name"], case["why"], case["rule"], _data(case), expected({**base, **case.get("given", {})}))
        for case in file["cases"]
    ]


def _data(case: dict[str, Any]) -> bytes:
    if "hex" in case:
        return bytes.fromhex(case["hex"])
    return (case["text"] if "text" in case else "\n".join(case["lines"])).encode()


def expected(written: dict[str, Any]) -> Expectation:
    """An expectation from its JSON form."""

    def purpose(told: list[str] | None) -> tuple[str, str] | None:
        return None if told is None else (told[0], told[1])

    return Expectation(
        account_id=AccountId(written["accountId"]),
        operation=SigningOperation(written["operation"]),
        signer=ChainAccount.parse(written["signer"]),
        wallets=tuple(ChainAccount.parse(wallet) for wallet in written["wallets"]),
        policy=ChallengePolicy.model_validate(written["rules"]),
        key_policy=KeyPolicy(binding=written["binding"]),
        allowed_domains=frozenset(written["domains"]),
        now=datetime.fromisoformat(written["now"]),
        fetched_at=datetime.fromisoformat(written["fetchedAt"]),
        clock_skew=timedelta(seconds=written["clockSkew"]),
        history=ChallengeHistory(purpose(written["fetchedFor"]), purpose(written["signedFor"])),
        known_accounts=frozenset(written["knownAccounts"]),
        intended=written["resuming"],
    )
