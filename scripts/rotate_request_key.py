"""Changes the key that signs requests to the platform for a new one, while
everything runs, and checks that the new one is taken.

Where changes of keys take approval it asks for it and waits (75): run it again
once it is given. A rotation that was killed is completed by the next run.
With --older-than DAYS a younger key is left as it is.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from _common import DONE, FAILED, Refused, answer, command, parser, positive, script


def current(document: Any) -> dict[str, Any] | None:
    """The key in use, as ``orchestrator keys request list`` has it."""
    keys = document["requestKeys"] if document and "requestKeys" in document else []
    return next((key for key in keys if key["state"] == "current"), None)


def unfinished(document: Any) -> bool:
    keys = document["requestKeys"] if document and "requestKeys" in document else []
    return any(key["state"] in ("uploading", "revoking") for key in keys)


def main() -> int:
    cli = parser(__doc__, "scripts/rotate_request_key.py --older-than 90")
    cli.add_argument("--older-than", metavar="DAYS", type=positive, help="leave a key that is younger")
    options = cli.parse_args()
    code, listed = command(options, "keys", "request", "list")
    if code:
        raise Refused(f"{listed['error']['code']}: {listed['error']['message']}" if listed else "no list of keys", code)
    key = current(listed)
    if key is None and not unfinished(listed):
        raise Refused("no request-signing key is in use that can be rotated: orchestrator keys request create, upload")
    changed = datetime.fromisoformat(key["changedAt"]) if key else None
    if options.older_than and changed and not unfinished(listed):
        age = datetime.now(UTC) - changed
        if age < timedelta(days=options.older_than):
            answer(
                options, {"rotated": False, "key": key}, [f"{key and key['name']}: {age.days} days old, left as it is"]
            )
            return DONE
    if options.dry_run:
        answer(options, {"rotated": False, "key": key}, [f"would rotate {key['name'] if key else 'an unfinished key'}"])
        return DONE
    code, rotated = command(options, "keys", "request", "rotate")
    if code:
        why = rotated.get("error", {}).get("message") or rotated.get("waitingFor") if rotated else "it printed nothing"
        answer(options, {"rotated": False, "key": key, "answer": rotated}, [f"not rotated: {why}"])
        return code
    checks = (command(options, "doctor")[1] or {}).get("checks", [])
    wrong = [one for one in checks if one["name"] in ("request_key", "request_signing") and not one["ok"]]
    _, listed = command(options, "keys", "request", "list")
    key = current(listed)
    lines = [f"in use: {key['name']}, id {key['keyId']}" if key else "no key is in use"]
    answer(options, {"rotated": True, "key": key, "troubles": wrong}, lines + [one["detail"] for one in wrong])
    return FAILED if wrong or key is None else DONE


if __name__ == "__main__":
    script(main)
