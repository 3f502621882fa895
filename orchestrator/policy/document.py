"""The policy's document: TOML, strict, with a safe default for everything that it leaves out.

    version = 1

    [challenge]                          what may be signed
    kinds = ["eip4361", "uuid"]          and "session_key", of session_key_bytes; "opaque", up to opaque_max_bytes
    session_key_bytes = 0                exactly: 66 for 32 bytes in hexadecimal, 173 for a secp256k1 key in PEM
    opaque_max_bytes = 0
    domains = []                         none: ORCHESTRATOR_CHALLENGE_DOMAINS, else the platform's own host
    chains = []                          CAIP-2; none: whatever chain the customer's wallet is on
    max_age = 3300                       seconds between fetching and signing
    expiration = "optional"              or "required": whether a message must name its own end
    resources = "platform"               or "none": which resources a message may name
    statements = []                      what a message may state, whole texts; "" is no statement; none: whatever

    [keys]
    binding = "required"                 or "first_use": a key without a wallet is bound to the first it signs for
    new_journal = "refuse"               or "allow": whether keys that one journal has used may serve another

    [[limits]]
    per = "key"                          or "all"
    signatures = 100
    seconds = 3600

    [approvals]                          how many people besides the one who asks
    closure = 1
    policy = 1
    roles = 1
    keys = 1
    finality = 1
    expires = 86400                      seconds
    asker = "any"                        or "person": who asks and is not proven to be one of the people needs one more

    [people.alice]
    address = "0x…"                      the key that she signs approvals with
    roles = ["approver", "administrator", "operator"]

Unknown members are refused: a rule that is misspelt must not be a rule that is missing.
"""

from __future__ import annotations

import json
import re
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from orchestrator.errors import SettingsError
from orchestrator.foreign import MalformedToml, read_toml
from orchestrator.models import Address, to_address

MAX_BYTES: Final = 256 * 1024
"""The largest policy file that is read."""
_MOST_PROBLEMS: Final = 10
_PERSON: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_CHAIN: Final = re.compile(r"eip155:[1-9][0-9]{0,31}")
_STATEMENT: Final = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:/?#\[\]@ ]*")
_DOMAIN: Final = re.compile(r"[a-z0-9.-]{1,253}(:[0-9]{1,5})?|\[[0-9a-f:]{2,39}\](:[0-9]{1,5})?")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _address(value: Any) -> Any:
    return to_address(value) if isinstance(value, str) else value


class Role(StrEnum):
    """What a person may approve."""

    APPROVER = "approver"
    """Closures."""
    ADMINISTRATOR = "administrator"
    """Changes of policy, roles, keys and finality settings."""
    OPERATOR = "operator"
    """The end of an emergency stop, also of the one that a restored backup leaves when it has lost decisions."""


Kind = Literal["eip4361", "uuid", "session_key", "opaque"]
Kinds = Annotated[tuple[Kind, ...], BeforeValidator(_tuple)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_tuple)]


class ChallengePolicy(_Part):
    """What a challenge must be."""

    kinds: Kinds = ("eip4361", "uuid")
    session_key_bytes: int = Field(default=0, ge=0, le=1024)
    """Of a session key's text, exactly: it also says in which form one may come."""
    opaque_max_bytes: int = Field(default=0, ge=0, le=1024)
    domains: Texts = ()
    """Authorities, lower case: ``api.offblocks.xyz``, ``127.0.0.1:8080``. Compared whole; no wildcards."""
    chains: Texts = ()
    """CAIP-2."""
    max_age: int = Field(default=3300, ge=1, le=3600)
    """Seconds. The platform's challenges live 3,600."""
    expiration: Literal["optional", "required"] = "optional"
    resources: Literal["platform", "none"] = "platform"
    statements: Texts = ()
    """Of EIP-4361 messages, compared whole, no wildcards: a statement is shown to whoever verifies the signature, and
    under the platform's domain it may say anything. The empty text stands for a message without one."""

    @model_validator(mode="after")
    def _consistent(self) -> ChallengePolicy:
        listed = (
            ("domains", self.domains, _DOMAIN),
            ("chains", self.chains, _CHAIN),
            ("statements", self.statements, _STATEMENT),
        )
        for name, texts, pattern in listed:
            wrong = [text for text in texts if pattern.fullmatch(text) is None]
            if wrong:
                raise ValueError(f"{name}: {ascii(wrong[0])[:80]} is not {_SHAPES[name]}")
        for kind, size in (("opaque", "opaque_max_bytes"), ("session_key", "session_key_bytes")):
            if (kind in self.kinds) != (getattr(self, size) > 0):
                raise ValueError(f"kinds with {kind} and {size} above 0 go together, and neither without the other")
        return self


_SHAPES = {
    "domains": "a host in lower case, with its port if it has one",
    "chains": "a CAIP-2 chain such as eip155:1",
    "statements": "a statement of EIP-4361: one line of the characters of a URI and spaces",
}


class KeyPolicy(_Part):
    """Which keys may sign."""

    binding: Literal["required", "first_use"] = "required"
    new_journal: Literal["refuse", "allow"] = "refuse"


class Limit(_Part):
    """At most so many signatures in so many seconds, of each key or of all together."""

    per: Literal["key", "all"]
    signatures: int = Field(ge=1)
    seconds: int = Field(ge=1, le=31 * 86_400)


Asker = Literal["any", "person"]


class Approvals(_Part):
    """How many people besides the one who asks; ``expires`` in seconds from the request."""

    closure: int = Field(ge=0, le=5)
    policy: int = Field(ge=0, le=5)
    roles: int = Field(ge=0, le=5)
    keys: int = Field(ge=0, le=5)
    finality: int = Field(ge=0, le=5)
    expires: int = Field(default=86_400, ge=60, le=31 * 86_400)
    asker: Asker = "any"
    """``person``: what is asked for by nobody who is proven to be one of the people takes one approval more, so that
    another person has approved it than whoever asked."""


class Person(_Part):
    """Somebody who approves, known by the key that she signs approvals with."""

    address: Annotated[Address, BeforeValidator(_address)]
    roles: Annotated[tuple[Annotated[Role, BeforeValidator(Role)], ...], BeforeValidator(_tuple)]


class Policy(_Part):
    """The whole document. ``Policy()`` is what holds without one: no people are known, so none can be asked."""

    version: Literal[1] = 1
    challenge: ChallengePolicy = ChallengePolicy()
    keys: KeyPolicy = KeyPolicy()
    limits: Annotated[tuple[Limit, ...], BeforeValidator(_tuple)] = (Limit(per="key", signatures=100, seconds=3600),)
    approvals: Approvals = Approvals(closure=0, policy=0, roles=0, keys=0, finality=0)
    people: dict[str, Person] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _asks_where_somebody_is(cls, data: Any) -> Any:
        """With people in it, a document that says nothing of an approval asks one person for it."""
        if not isinstance(data, dict) or not isinstance(data.get("approvals", {}), dict):
            return data
        least = 1 if data.get("people") else 0
        names = ("closure", "policy", "roles", "keys", "finality")
        return {**data, "approvals": {**dict.fromkeys(names, least), **data.get("approvals", {})}}

    @model_validator(mode="after")
    def _can_be_kept(self) -> Policy:
        addresses: dict[Address, str] = {}
        for name, person in self.people.items():
            if _PERSON.fullmatch(name) is None:
                raise ValueError(f"people: {ascii(name)[:80]} is not 1 to 32 of a-z 0-9 _ - with a letter first")
            other = addresses.setdefault(person.address, name)
            if other != name:
                raise ValueError(f"people: {other} and {name} have one address: two names are not two people")
        if "session_key" in self.challenge.kinds and self.approvals.policy == 0:
            raise ValueError(
                "challenge.kinds: session_key takes a person's approval of the policy: approvals.policy must be 1 or "
                "more, and [people] name who may approve"
            )
        for subject, role in ROLE_FOR.items():
            needed = getattr(self.approvals, subject)
            able = sum(role in person.roles for person in self.people.values())
            if needed > able:
                raise ValueError(f"approvals.{subject}: {needed} asked for, and {able} people have the role {role}")
            if needed > 0 and self.approvals.asker == "person" and able == needed == len(self.people):
                raise ValueError(
                    f"approvals.{subject}: {needed} asked for besides the person who asks (approvals.asker), and there "
                    f"are {able} people"
                )
        return self


ROLE_FOR: Final = {
    "closure": Role.APPROVER,
    "policy": Role.ADMINISTRATOR,
    "roles": Role.ADMINISTRATOR,
    "keys": Role.ADMINISTRATOR,
    "finality": Role.ADMINISTRATOR,
}
"""Who may approve what."""


def parse_policy(text: str, where: str) -> Policy:
    """Reads a policy document. ``where`` names it in errors. Raises SettingsError, code ``policy_invalid``."""
    try:
        return Policy.model_validate(read_toml(text))
    except MalformedToml as error:
        raise SettingsError(f"{where} {error}", code="policy_invalid") from error
    except ValidationError as error:
        raise SettingsError(f"{where}: {_problems(error)}", code="policy_invalid") from error


def _problems(error: ValidationError) -> str:
    """Every problem, with its place in the document, in one line."""
    found = []
    for problem in error.errors(include_url=False, include_input=False)[:_MOST_PROBLEMS]:
        place = ".".join(str(part) for part in problem["loc"]) or "the document"
        unknown = problem["type"] == "extra_forbidden"
        found.append(f"{place}: {'no such member' if unknown else problem['msg'].removeprefix('Value error, ')}")
    return "; ".join(found)


# --- for whoever writes or reviews one --------------------------------------------------------------------------------


def remarks(policy: Policy) -> list[str]:
    """What the policy allows beyond the strictest reading: a sentence for each thing that a careful reviewer would ask
    about. A remark refuses nothing."""
    challenge, keys, approvals = policy.challenge, policy.keys, policy.approvals
    number = {name: getattr(approvals, name) for name in ("closure", "policy", "roles", "keys", "finality")}
    asked = [name for name, people in number.items() if people == 0]
    alone = [name for name, people in number.items() if people == 1 and approvals.asker == "any"]
    found = {
        f"opaque challenges of up to {challenge.opaque_max_bytes} bytes are signed: nobody can tell what they say": (
            "opaque" in challenge.kinds
        ),
        f"session keys of {challenge.session_key_bytes} bytes are signed: what their holder may then do, only the "
        "platform knows; 32 bytes may be the hash of anything": "session_key" in challenge.kinds,
        "no kind of challenge is allowed: nothing will be signed": not challenge.kinds,
        "domains of the settings hold, because challenge.domains names none": not challenge.domains,
        "any chain is allowed, because challenge.chains names none": not challenge.chains,
        "a message may state anything, because challenge.statements names nothing": (
            "eip4361" in challenge.kinds and not challenge.statements
        ),
        f"max_age {challenge.max_age} s leaves less than 60 s of the hour that a challenge lives": (
            challenge.max_age > 3540
        ),
        "a key without a wallet is bound to the first one that it signs for (keys.binding)": keys.binding
        == "first_use",
        "keys that another journal has used are accepted (keys.new_journal)": keys.new_journal == "allow",
        "no limit on the number of signatures": not policy.limits,
        f"nobody is asked about {', '.join(asked)} (approvals)": bool(asked),
        f"who asks for {', '.join(alone)} without a person's key may approve it herself (approvals.asker)": bool(alone),
        "no people are known: whoever runs a command is taken for the system's user": not policy.people,
    }
    return [sentence for sentence, applies in found.items() if applies]


def to_toml(policy: Policy) -> str:
    """The document as TOML, with every default spelt out and a line feed at its end: reading it again gives the same
    policy."""
    whole = policy.model_dump(mode="json")
    lines = [f"version = {_value(whole['version'])}"]
    for section in ("challenge", "keys"):
        lines += ["", f"[{section}]", *_members(whole[section])]
    if not whole["limits"]:
        lines.insert(1, "limits = []")
    for limit in whole["limits"]:
        lines += ["", "[[limits]]", *_members(limit)]
    lines += ["", "[approvals]", *_members(whole["approvals"])]
    for name, person in whole["people"].items():
        lines += ["", f"[people.{name}]", *_members(person)]
    return "\n".join(lines) + "\n"


def _members(table: dict[str, Any]) -> list[str]:
    return [f"{name} = {_value(value)}" for name, value in table.items()]


def _value(value: Any) -> str:
    """JSON's strings, whole numbers and arrays of them are TOML's too; the document's texts are ASCII."""
    return json.dumps(value)
