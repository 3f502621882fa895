"""The request-signing key, on a devnet of its own: the platform forgets the one that the settings have."""

from __future__ import annotations

from orchestrator.request_signing.key_folder import RequestKeyFolder


def test_the_request_signing_key_is_rotated_when_it_is_old_enough(scripts, monkeypatch):
    monkeypatch.setitem(RequestKeyFolder.__init__.__kwdefaults__, "work_factor", 2**12)
    for word in ("create", "upload"):
        scripts.json("keys", "request", word, "request")
    for name in ("ORCHESTRATOR_SIGNING_KEY_FILE", "ORCHESTRATOR_SIGNING_KEY_ID"):
        del scripts.environment[name]
    young = scripts.script("rotate_request_key.py", "--older-than", "90", "--json").document
    assert young["rotated"] is False
    done = scripts.script("rotate_request_key.py", "--json")
    assert done.code == 0, done.stdout + done.stderr
    assert done.document["rotated"] is True
    assert done.document["key"]["keyId"] != young["key"]["keyId"]
