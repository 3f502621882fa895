"""The page of wallet profiles, compared with the profiles that there are."""

import json
import re
from typing import get_args

from orchestrator import schemas
from orchestrator.artifacts import load
from orchestrator.runbook import RUNBOOK
from orchestrator.wallet.findings import NOT_CHECKED, Unchecked
from orchestrator.wallet.profile import BUILT_IN, load_profile, parse_profile
from tests.docs.markdown import codes, table, text

PAGE = "docs/wallets.md"
LOCATED = {
    "event": "the factory's event has the account's id",
    "registry": "the registry says it",
    "platform": "the platform names the address",
}


def test_the_table_of_built_in_profiles_is_what_they_check():
    profiles = [load_profile(name) for name in BUILT_IN]
    expected = [(one.name, LOCATED[one.located_by], [*one.unchecked]) for one in profiles]
    assert [(codes(row[0])[0], row[1], codes(row[2])) for row in table("wallets")] == expected


def test_what_is_not_checked_has_a_meaning():
    assert {codes(row[0])[0]: row[1] for row in table("unchecked")} == NOT_CHECKED
    assert NOT_CHECKED.keys() == {*get_args(Unchecked)}


def test_every_member_is_described():
    schema = json.loads(schemas.text("wallet-profile"))
    described = text(PAGE).split("## All members")[1].split("## What happens")[0]
    words = set(re.findall(r"[a-z0-9_]+", " ".join(codes(described))))
    parts = [schema, *schema["$defs"].values()]
    members = {name for part in parts for name in part.get("properties", {})}
    assert members - words == set()


def test_the_example_is_a_profile_that_checks_what_it_says():
    (example,) = re.findall(r"<!-- profile: example -->\n```toml\n(.*?)```", text(PAGE), re.DOTALL)
    profile = parse_profile(example, "my-wallet.toml", lambda _: load("SmartWallet"))
    assert profile.tie is None
    assert {*profile.unchecked} == {"create2", "challenge", "closed_slots"}


def test_every_disagreement_that_is_named_has_its_row_in_the_runbook():
    rows = text(PAGE).split("do not agree\n")[1]
    named = {code for line in rows.splitlines() if line.startswith("| ") for code in codes(line.split("|")[2])}
    assert named <= RUNBOOK.keys()
    assert len(named) > 9
