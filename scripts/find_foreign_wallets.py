"""Finds accounts whose wallet has code that no profile accepts.

Each wallet that the platform names, of all accounts or of one customer, is
held against the profile in force, at the newest block of the settings' node;
one that it does not accept is held against the built-in profiles, too. What
fits another profile than the one in force is named. Reads only.

Exit codes of its own: 0 every wallet fits, 1 one does not, 3 one could not be
read.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from _common import (
    DONE,
    FAILED,
    OPERATOR,
    Refused,
    Shown,
    answer,
    command,
    parser,
    positive,
    script,
    settings,
    with_orchestrator,
)

from orchestrator import AccountReport

_CODE = ("code", "proxy_code")
Ask = Callable[..., tuple[int, Any]]


@dataclass(frozen=True, slots=True)
class Wallet:
    """``result``: fits, other (another profile accepts it), foreign or unknown."""

    account: str
    address: str
    result: str
    detail: str

    @property
    def line(self) -> str:
        return f"{self.result:<8}{self.account}  {self.address}  {self.detail}".rstrip()


def accepts(ask: Ask, profile: str, address: str) -> tuple[bool | None, str]:
    """Whether the profile accepts the code there, and what was found; None: it could not be told."""
    _, found = ask("wallets", "check", profile, "--address", address)
    if found is None or "error" in found:
        return None, found["error"]["message"] if found else "the command printed nothing"
    rows = [row for row in found["wallet"]["rows"] if row["check"] in _CODE]
    said = "; ".join(f"{row['source']}: {row['detail'] or row['value'] or 'nothing'}" for row in rows)
    results = {row["result"] for row in rows}
    return (False if "fails" in results else True if results == {"holds"} else None), said


def look(ask: Ask, mine: str, others: Sequence[str], account: AccountReport) -> Wallet:
    """One account's wallet. Reads only."""
    address = (account.address or "").rpartition(":")[2]
    found = partial(Wallet, account.account_id, address)
    fits, detail = accepts(ask, mine, address)
    if fits is not False:
        return found("fits", "") if fits else found("unknown", detail)
    for other in others:
        if accepts(ask, other, address)[0]:
            return found("other", f"{other} accepts it, {mine} is in force")
    return found("foreign", detail)


def main() -> int:
    cli = parser(__doc__, "scripts/find_foreign_wallets.py --json > wallets.json")
    cli.add_argument("--customer", metavar="ID", help="of this customer only")
    cli.add_argument("--at-once", metavar="N", type=positive, default=2, help="wallets at the same time; default 2")
    options: argparse.Namespace = cli.parse_args()
    given = settings(options)
    listed = with_orchestrator(given, lambda o: o.accounts(options.customer), create=None)
    deployed = [one for one in listed if one.address is not None]
    ask = partial(command, options)
    if options.dry_run:
        answer(options, {"wouldCheck": [one.account_id for one in deployed]}, [f"would check {len(deployed)} wallets"])
        return DONE
    code, profiles = ask("wallets", "list")
    if code or profiles is None:
        raise Refused(profiles["error"]["message"] if profiles else "orchestrator wallets list printed nothing", code)
    others = [one["name"] for one in profiles["profiles"] if one["builtIn"] and not one["inForce"]]
    found: list[Wallet] = []
    with Shown(len(deployed), "wallets") as shown, ThreadPoolExecutor(options.at_once) as pool:
        for wallet in pool.map(partial(look, ask, given.wallet_profile, others), deployed):
            found.append(wallet)
            shown.change(wallet.line, ended=True, trouble=wallet.result != "fits")
    counts = Counter(one.result for one in found)
    summary = ", ".join(f"{number} {result}" for result, number in sorted(counts.items())) or "no wallets"
    worth = [one.line for one in found if one.result != "fits"]
    answer(options, {"wallets": [asdict(one) for one in found]}, [*worth, summary])
    if counts["foreign"] or counts["other"]:
        return FAILED
    return OPERATOR if counts["unknown"] else DONE


if __name__ == "__main__":
    script(main)
