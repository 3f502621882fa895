"""The rules that hold for every challenge, in the order in which they are asked.

What is dangerous in any context comes first, then what this challenge must be here. A rule answers None (no objection)
or what it expected and got.

What a bare UUID or opaque bytes cannot say (for which account, for what) no rule can read from them; that they were
fetched for this account and for nothing else, the journal says (``foreign``, ``signed_before``), and the chain's
commitment binds them. Where text does name an account, it is this one (``account``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from orchestrator.challenge import account_mentions, lookalikes
from orchestrator.challenge.decode import Challenge, ChallengeKind, session_key_form
from orchestrator.challenge.expectation import Expectation
from orchestrator.challenge.forms import MAX_FORMS, Form, exhausted

Objection = tuple[str, str]
"""Expected and actual."""
Check = Callable[[Challenge, Sequence[Form], Expectation], Objection | None]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: its name, what it demands in words, and the check."""

    name: str
    demands: str
    check: Check


def _lookalike(name: str, demands: str, detect: Callable[[Sequence[Form]], str | None]) -> Rule:
    def check(_: Challenge, forms: Sequence[Form], __: Expectation) -> Objection | None:
        found = detect(forms)
        return None if found is None else (demands, found)

    return Rule(name, demands, check)


def _misshapen(name: str, demands: str, detect: Callable[[Sequence[Form]], str | None]) -> Rule:
    """For opaque bytes only: what is of a known kind is read strictly as such."""

    def check(challenge: Challenge, forms: Sequence[Form], _: Expectation) -> Objection | None:
        found = detect(forms) if challenge.kind is ChallengeKind.OPAQUE else None
        return None if found is None else (demands, found)

    return Rule(name, demands, check)


def _characters(challenge: Challenge, _: Sequence[Form], __: Expectation) -> Objection | None:
    found = lookalikes.hidden_characters(challenge.decoded)
    return None if found is None else ("text without control, bidirectional or hidden characters", found)


def _kind(challenge: Challenge, _: Sequence[Form], expectation: Expectation) -> Objection | None:
    policy, size = expectation.policy, len(challenge.decoded)
    allowed = set(policy.kinds)
    fits = {
        ChallengeKind.EIP4361: True,
        ChallengeKind.UUID: True,
        ChallengeKind.SESSION_KEY: size == policy.session_key_bytes,
        ChallengeKind.OPAQUE: 1 <= size <= policy.opaque_max_bytes,
    }
    if challenge.kind.value in allowed and fits[challenge.kind]:
        return None
    names = {
        "eip4361": "an EIP-4361 message",
        "uuid": "a canonical lower-case UUID",
        "session_key": f"a session key of {policy.session_key_bytes} bytes",
        "opaque": f"1 to {policy.opaque_max_bytes} opaque bytes",
    }
    expected = " or ".join(name for kind, name in names.items() if kind in allowed) or "(no kind is allowed)"
    actual = {
        ChallengeKind.EIP4361: "an EIP-4361 message",
        ChallengeKind.UUID: "a UUID",
        ChallengeKind.SESSION_KEY: (
            f'a session key ({session_key_form(challenge.decoded)}), which takes kinds with "session_key" and '
            f"session_key_bytes = {size} under [challenge] of the policy, and a person's approval of that policy"
        ),
        ChallengeKind.OPAQUE: f"{size} opaque bytes with keccak256 {challenge.digest}",
    }
    return expected, actual[challenge.kind]


def _fetched(_: Challenge, __: Sequence[Form], expectation: Expectation) -> Objection | None:
    age = expectation.now - expectation.fetched_at
    if age > expectation.max_age:
        return f"a challenge fetched at most {_seconds(expectation.max_age)} ago", f"one fetched {_seconds(age)} ago"
    if -age > expectation.clock_skew:
        return "a challenge fetched in the past", f"one fetched {_seconds(-age)} in the future"
    return None


def _foreign(_: Challenge, __: Sequence[Form], expectation: Expectation) -> Objection | None:
    fetched_for = expectation.history.fetched_for
    if fetched_for == expectation.purpose:
        return None
    return f"a challenge first fetched for {_whose(expectation.purpose)}", f"one fetched for {_whose(fetched_for)}"


def _account(challenge: Challenge, forms: Sequence[Form], expectation: Expectation) -> Objection | None:
    known = sorted(expectation.known_accounts - {expectation.account_id})
    named = {*account_mentions.called_accounts(forms)}
    if challenge.kind is ChallengeKind.OPAQUE:
        named |= {*account_mentions.written(forms)}
    others = [*known, *sorted(named - {expectation.account_id})]
    if not others:
        return None
    what = "the journal's account" if known else "an account" if challenge.kind is not ChallengeKind.OPAQUE else "UUID"
    return f"a challenge that names no account but {expectation.account_id}", f"one that names {what} {others[0]}"


def _signed_before(_: Challenge, __: Sequence[Form], expectation: Expectation) -> Objection | None:
    signed_for = expectation.history.signed_for
    if expectation.intended:
        if signed_for == expectation.purpose:
            return None
        return f"the signature intended for {_whose(expectation.purpose)}", f"one intended for {_whose(signed_for)}"
    return None if signed_for is None else ("a challenge never signed before", f"one signed for {_whose(signed_for)}")


def _chain(_: Challenge, __: Sequence[Form], expectation: Expectation) -> Objection | None:
    allowed, actual = expectation.policy.chains, str(expectation.signer.chain)
    if not allowed or actual in allowed:
        return None
    return f"a wallet on {' or '.join(sorted(allowed))}", f"one on {actual}"


def _binding(_: Challenge, __: Sequence[Form], expectation: Expectation) -> Objection | None:
    wallets = expectation.wallets
    if expectation.signer in wallets or (not wallets and expectation.key_policy.binding == "first_use"):
        return None
    bound = " and ".join(str(wallet) for wallet in wallets[:4]) + (" and others" if len(wallets) > 4 else "")
    return f"a key bound to {expectation.signer}", f"one bound to {bound or 'no wallet'}"


def _too_much(forms: Sequence[Form]) -> str | None:
    return f"{len(forms)} or more, which were not all read" if exhausted(forms) else None


RULES: Final[tuple[Rule, ...]] = (
    _lookalike("transaction", "no transaction", lookalikes.transaction),
    _lookalike("authorization", "no EIP-7702 authorization", lookalikes.authorization),
    _lookalike("eip191", "bytes without an EIP-191 or EIP-712 prefix", lookalikes.prefixed),
    _lookalike("eip712", "no EIP-712 typed data", lookalikes.typed_data),
    _lookalike("digest", "no digest", lookalikes.digest),
    _lookalike("signature", "no signature", lookalikes.signature),
    _lookalike("abi", "no ABI-encoded data", lookalikes.abi),
    Rule("characters", "text without control, bidirectional or hidden characters", _characters),
    _misshapen("eip4361.form", "a sign-in message in EIP-4361's form only", lookalikes.sign_in),
    _misshapen("uuid.form", "a UUID in its canonical lower-case form only", lookalikes.uuid_form),
    _misshapen("session_key.form", "a session key as PEM or as 0x and 64 digits only", lookalikes.session_key),
    _misshapen("opaque.form", f"fewer than {MAX_FORMS} things inside of each other", _too_much),
    Rule("kind", "a kind of challenge that the policy allows", _kind),
    Rule("fetched", "a challenge fetched within the policy's max_age", _fetched),
    Rule("foreign", "a challenge first fetched for this account and operation", _foreign),
    Rule("account", "a challenge that names no other account", _account),
    Rule("signed_before", "a challenge never signed before", _signed_before),
    Rule("chain", "a wallet on a chain that the policy allows", _chain),
    Rule("binding", "a key bound to the customer's wallet", _binding),
)


def _whose(purpose: tuple[str, str] | None) -> str:
    return "no account" if purpose is None else f"{purpose[1]} of account {purpose[0]}"


def _seconds(span: timedelta) -> str:
    return f"{span.total_seconds():.0f} s"
