"""What a policy allows beyond the strictest reading: for whoever writes or reviews one. A remark refuses nothing."""

from __future__ import annotations

from orchestrator.policy.document import Policy


def remarks(policy: Policy) -> list[str]:
    """A sentence for each thing that a careful reviewer would ask about."""
    challenge, keys, approvals = policy.challenge, policy.keys, policy.approvals
    number = {name: getattr(approvals, name) for name in ("closure", "policy", "roles", "keys", "finality")}
    asked = [name for name, people in number.items() if people == 0]
    alone = [name for name, people in number.items() if people == 1 and approvals.asker == "any"]
    found = {
        f"opaque challenges of up to {challenge.opaque_max_bytes} bytes are signed: nobody can tell what they say": (
            "opaque" in challenge.kinds
        ),
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
