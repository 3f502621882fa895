"""The policy's document: strict, with every problem told, and the same after it was written and read again."""

from __future__ import annotations

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import SettingsError
from orchestrator.models import Address, checksum
from orchestrator.policy import (
    Approvals,
    ChallengePolicy,
    Change,
    KeyPolicy,
    Limit,
    Person,
    Policy,
    Role,
    Ruleset,
    approvals_to_adopt,
    parse_policy,
)
from orchestrator.policy.document import remarks, to_toml

ALICE = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"

TWO_OF_ONE = f"""
[people.a]
address = "{ALICE}"
roles = ["approver", "administrator"]
[people.b]
address = "{ALICE}"
roles = []
"""

addresses = st.binary(min_size=20, max_size=20).map(lambda data: checksum(data.hex()))
domains = st.from_regex(r"[a-z][a-z0-9-]{0,20}\.[a-z]{2,5}(:[1-9][0-9]{0,4})?", fullmatch=True)
limits = st.builds(
    Limit, per=st.sampled_from(["key", "all"]), signatures=st.integers(1, 10**9), seconds=st.integers(1, 10**6)
)


@st.composite
def policies(draw):
    opaque = draw(st.integers(0, 1024))
    kinds = draw(st.sets(st.sampled_from(["eip4361", "uuid"]))) | ({"opaque"} if opaque else set())
    names = draw(st.lists(st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True), unique=True, max_size=4))
    keys = draw(st.lists(addresses, min_size=len(names), max_size=len(names), unique=True))
    roles = st.lists(st.sampled_from(list(Role)), unique=True).map(tuple)
    people = {name: Person(address=key, roles=draw(roles)) for name, key in zip(names, keys, strict=True)}

    asker = draw(st.sampled_from(["any", "person"]))

    def needed(role: Role) -> int:
        able = sum(role in person.roles for person in people.values())
        return draw(st.integers(0, max(0, able - 1) if asker == "person" and able == len(people) else able))

    policy_approvals = needed(Role.ADMINISTRATOR)
    session = draw(st.integers(0, 1024)) if policy_approvals else 0
    kinds |= {"session_key"} if session else set()
    return Policy(
        challenge=ChallengePolicy(
            kinds=tuple(kinds),
            opaque_max_bytes=opaque,
            session_key_bytes=session,
            domains=tuple(draw(st.lists(domains, max_size=3))),
            chains=tuple(f"eip155:{number}" for number in draw(st.lists(st.integers(1, 10**9), max_size=3))),
            max_age=draw(st.integers(1, 3600)),
            expiration=draw(st.sampled_from(["optional", "required"])),
            resources=draw(st.sampled_from(["platform", "none"])),
            statements=tuple(draw(st.lists(st.text("aZ09 '-._~:/?#[]@!$&()*+,;=", max_size=20), max_size=3))),
        ),
        keys=KeyPolicy(
            binding=draw(st.sampled_from(["required", "first_use"])),
            new_journal=draw(st.sampled_from(["refuse", "allow"])),
        ),
        limits=tuple(draw(st.lists(limits, max_size=3))),
        approvals=Approvals(
            closure=needed(Role.APPROVER),
            policy=policy_approvals,
            roles=needed(Role.ADMINISTRATOR),
            keys=needed(Role.ADMINISTRATOR),
            finality=needed(Role.ADMINISTRATOR),
            expires=draw(st.integers(60, 10**6)),
            asker=asker,
        ),
        people=people,
    )


@given(policies())
def test_a_policy_that_is_written_and_read_again_is_the_same(policy):
    assert parse_policy(to_toml(policy), "it") == policy


def test_an_empty_file_is_the_default_and_the_default_is_strict():
    policy = parse_policy("", "it")
    assert policy == Policy()
    assert policy.challenge.kinds == ("eip4361", "uuid")
    assert policy.challenge.opaque_max_bytes == 0
    assert (policy.keys.binding, policy.keys.new_journal) == ("required", "refuse")
    assert policy.limits


def test_with_people_in_it_a_document_asks_one_of_them():
    policy = parse_policy(f'[people.alice]\naddress = "{ALICE}"\nroles = ["approver", "administrator"]\n', "it")
    assert set(policy.approvals.model_dump(exclude={"expires", "asker"}).values()) == {1}
    assert policy.approvals.asker == "any", "alice approves what somebody asks for who has no person's key"
    assert policy.people["alice"].address == Address(ALICE)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("version = 2", "version"),
        ("[chalenge]", "chalenge: no such member"),
        ("[challenge]\nmaxAge = 1", "challenge.maxAge: no such member"),
        ('[challenge]\nkinds = ["eip712"]', "challenge.kinds.0"),
        ('[challenge]\nkinds = "uuid"', "challenge.kinds"),
        ('[challenge]\nkinds = ["opaque"]', "go together"),
        ("[challenge]\nopaque_max_bytes = 16", "go together"),
        ('[challenge]\nkinds = ["session_key"]', "session_key_bytes above 0 go together"),
        ("[challenge]\nsession_key_bytes = 66", "session_key_bytes above 0 go together"),
        ('[challenge]\nkinds = ["session_key"]\nsession_key_bytes = 1025', "session_key_bytes"),
        ('[challenge]\nkinds = ["session_key"]\nsession_key_bytes = 66', "approvals.policy must be 1 or more"),
        ('[challenge]\nkinds = ["opaque"]\nopaque_max_bytes = 1025', "opaque_max_bytes"),
        ("[challenge]\nmax_age = 3601", "max_age"),
        ("[challenge]\nmax_age = 0", "max_age"),
        ("[challenge]\nmax_age = true", "max_age"),
        ('[challenge]\nmax_age = "60"', "max_age"),
        ('[challenge]\ndomains = ["API.example"]', "domains"),
        ('[challenge]\ndomains = ["https://api.example"]', "domains"),
        ('[challenge]\ndomains = ["me@api.example"]', "domains"),
        ('[challenge]\ndomains = ["*.example"]', "domains"),
        ('[challenge]\ndomains = [""]', "domains"),
        ('[challenge]\nchains = ["solana:x"]', "chains"),
        ('[challenge]\nchains = ["eip155:0"]', "chains"),
        ('[challenge]\nexpiration = "none"', "expiration"),
        ('[challenge]\nstatements = "I accept"', "challenge.statements"),
        ('[challenge]\nstatements = ["I accept\\nthe terms"]', "statements: 'I accept\\nthe terms' is not a"),
        ('[challenge]\nstatements = ["J\'acc\u00e8pte"]', "statements"),
        ('[keys]\nbinding = "optional"', "keys.binding"),
        ('[[limits]]\nper = "key"\nsignatures = 0\nseconds = 1', "limits.0.signatures"),
        ('[[limits]]\nper = "key"\nseconds = 1', "limits.0.signatures"),
        ("[approvals]\nclosure = 1", "0 people have the role approver"),
        ("[approvals]\nclosure = -1", "approvals.closure"),
        ("approvals = 1", "approvals"),
        ('[approvals]\nasker = "nobody"', "approvals.asker"),
        (
            f'[approvals]\nasker = "person"\n[people.a]\naddress = "{ALICE}"\nroles = ["approver", "administrator"]',
            "approvals.closure: 1 asked for besides the person who asks (approvals.asker), and there are 1 people",
        ),
        (f'[people.Alice]\naddress = "{ALICE}"\nroles = []', "people"),
        (f'[people.alice]\naddress = "{ALICE.lower()[:-1]}"\nroles = []', "people.alice.address"),
        (f'[people.alice]\naddress = "{ALICE[:-1]}D"\nroles = []', "checksum"),
        (f'[people.alice]\naddress = "{ALICE}"\nroles = ["admin"]', "people.alice.roles.0"),
        (
            TWO_OF_ONE,
            "two names are not two people",
        ),
        ("version = ", "is not TOML"),
        ("[a]\n[a]", "is not TOML"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(text, problem):
    with pytest.raises(SettingsError) as caught:
        parse_policy(text, "policy p.toml")
    assert caught.value.code == "policy_invalid"
    assert caught.value.message.startswith("policy p.toml")
    assert problem in caught.value.message
    assert "\n" not in caught.value.message


def test_every_problem_is_told():
    with pytest.raises(SettingsError) as caught:
        parse_policy('[challenge]\nmax_age = 0\nkindz = []\n[keys]\nbinding = "x"', "it")
    for place in ("challenge.max_age", "challenge.kindz", "keys.binding"):
        assert place in caught.value.message


@given(st.text(max_size=300) | st.binary(max_size=300).map(lambda data: data.decode("latin-1")))
def test_any_text_is_a_policy_or_a_settings_error(text):
    code = None
    try:
        parse_policy(text, "it")
    except SettingsError as error:
        code = error.code
    assert code in {None, "policy_invalid"}


def test_remarks_tell_what_is_loose():
    assert not any("opaque" in remark or "keys.binding" in remark for remark in remarks(Policy()))
    loose = Policy(
        challenge=ChallengePolicy(kinds=("opaque",), opaque_max_bytes=64, max_age=3600),
        keys=KeyPolicy(binding="first_use", new_journal="allow"),
        limits=(),
    )
    told = " ".join(remarks(loose))
    for word in ("64 bytes", "max_age", "keys.binding", "keys.new_journal", "no limit", "challenge.chains"):
        assert word in told
    assert any("challenge.statements" in remark for remark in remarks(Policy()))
    named = parse_policy('[challenge]\nstatements = [""]', "it")
    assert not any("challenge.statements" in remark for remark in [*remarks(named), *remarks(loose)])
    assert remarks(parse_policy("[challenge]\nkinds = []", "it"))[0] == (
        "no kind of challenge is allowed: nothing will be signed"
    )


BOB = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"
TWO = f"""
[people.alice]
address = "{ALICE}"
roles = ["approver", "administrator"]
[people.bob]
address = "{BOB}"
roles = ["operator"]
"""


def test_a_person_without_the_role_can_ask_the_only_one_who_has_it():
    policy = parse_policy(f'[approvals]\nasker = "person"\n{TWO}', "it")
    assert (policy.approvals.asker, policy.approvals.closure) == ("person", 1)


def test_remarks_tell_who_could_approve_what_she_asked_for():
    numbers = "closure = 1\npolicy = 0\nroles = 1\nkeys = 1\nfinality = 0"
    (told,) = [remark for remark in remarks(parse_policy(f"[approvals]\n{numbers}\n{TWO}", "it")) if "asker" in remark]
    assert told == "who asks for closure, roles, keys without a person's key may approve it herself (approvals.asker)"
    asking = parse_policy(f'[approvals]\nasker = "person"\n{numbers}\n{TWO}', "it")
    assert not any("asker" in remark for remark in remarks(asking))
    assert not any("asker" in remark for remark in remarks(Policy()))


# --- rulesets --------------------------------------------------------------------------------------------------------

OF_THE_FIRST_POLICIES = {
    "74e3390790a188cb88568b66192b4c6ca87f1591271d7f2dd8f9b1db41239185": (
        '{"confirmations":1,"domains":["platform.example"],"policy":{"approvals":{"closure":0,"expires":86400,'
        '"finality":0,"keys":0,"policy":0,"roles":0},"challenge":{"chains":[],"domains":[],"expiration":"optional",'
        '"kinds":["eip4361","uuid"],"max_age":3300,"opaque_max_bytes":0,"resources":"platform"},"keys":{"binding":'
        '"required","new_journal":"refuse"},"limits":[{"per":"key","seconds":3600,"signatures":100}],"people":{},'
        '"version":1}}'
    ),
    "4d5324799501d69b8dff9bcaef5297bf44e2d936d2c1c85eec54131f33754587": (
        '{"confirmations":2,"domains":[],"policy":{"approvals":{"closure":1,"expires":86400,"finality":1,"keys":1,'
        '"policy":1,"roles":1},"challenge":{"chains":[],"domains":[],"expiration":"optional","kinds":["eip4361",'
        '"uuid"],"max_age":3300,"opaque_max_bytes":0,"resources":"platform"},"keys":{"binding":"required",'
        '"new_journal":"refuse"},"limits":[{"per":"key","seconds":3600,"signatures":100}],"people":{"alice":'
        '{"address":"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed","roles":["approver","administrator"]}},"version":1}}'
    ),
}
"""Rulesets in the journals of those who had a policy before ``approvals.asker``, by their hashes, as they are there."""


@pytest.mark.parametrize("hash_", OF_THE_FIRST_POLICIES)
def test_a_ruleset_keeps_the_hash_and_the_document_that_journals_know(hash_):
    text = OF_THE_FIRST_POLICIES[hash_]
    ruleset = Ruleset.model_validate_json(text)
    assert rfc8785.dumps(ruleset.document).decode() == text
    assert ruleset.hash == hash_
    # From the file that holds today, every default spelt out or none, it is that ruleset still.
    again = ruleset.model_copy(update={"policy": parse_policy(to_toml(ruleset.policy), "it")})
    assert (again.hash, ruleset.changes(again)) == (hash_, frozenset())


def test_whoever_may_ask_is_part_of_the_ruleset():
    loose = Ruleset(policy=parse_policy(TWO, "it"), domains=(), confirmations=1)
    strict = loose.model_copy(update={"policy": parse_policy(f'[approvals]\nasker = "person"\n{TWO}', "it")})
    assert loose.hash != strict.hash
    assert loose.changes(strict) == strict.changes(loose) == {Change.POLICY}
    assert Ruleset.model_validate(strict.document) == strict
    assert Ruleset.model_validate(loose.document) == loose


def test_what_may_be_stated_is_part_of_the_ruleset():
    loose = Ruleset(policy=parse_policy(TWO, "it"), domains=(), confirmations=1)
    text = f'[challenge]\nstatements = ["I accept the terms"]\n{TWO}'
    strict = loose.model_copy(update={"policy": parse_policy(text, "it")})
    assert loose.changes(strict) == strict.changes(loose) == {Change.POLICY}
    assert approvals_to_adopt(loose, strict) == approvals_to_adopt(strict, loose) == 1
    assert Ruleset.model_validate(strict.document) == strict


SESSION_KEYS = '[challenge]\nkinds = ["uuid", "session_key"]\nsession_key_bytes = 66\n'


def test_session_keys_take_a_persons_approval_whatever_came_before():
    allowing = Ruleset(policy=parse_policy(SESSION_KEYS + TWO, "it"), domains=(), confirmations=1)
    nobody_asked = Ruleset(policy=Policy(), domains=(), confirmations=1)
    assert approvals_to_adopt(None, nobody_asked) == 0
    assert approvals_to_adopt(None, allowing) == 1
    assert approvals_to_adopt(nobody_asked, allowing) == 1
    assert approvals_to_adopt(allowing, allowing) == 0
    longer = allowing.model_copy(
        update={"policy": parse_policy(SESSION_KEYS.replace("66", "173") + TWO, "it")},
    )
    assert approvals_to_adopt(allowing, longer) == 1
    assert approvals_to_adopt(allowing, nobody_asked) == 1, "by the policy that is in force"
    assert Ruleset.model_validate(allowing.document) == allowing
    assert any("session keys of 66 bytes" in remark for remark in remarks(allowing.policy))


@given(policies())
def test_a_ruleset_is_read_from_its_document_as_it_was(policy):
    ruleset = Ruleset(policy=policy, domains=(), confirmations=1)
    assert Ruleset.model_validate_json(rfc8785.dumps(ruleset.document)) == ruleset
