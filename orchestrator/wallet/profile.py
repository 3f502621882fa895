"""Wallet profiles: files that say what is known of a family of wallets, and how.

    format = 1
    name = "my-wallet"
    title = "One sentence for people"

    [code]                               the wallet's own, or that of the implementation behind it
    kind = "direct"                      or "erc1167", "erc1967", "beacon", "slot" (with slot = N)
    [[code.accepts]]
    artifact = "MyWallet.json"           or hash = "0x…"

    [account]                            which wallet is the account's
    by = "platform"                      or "event", "registry"; with [account.event], [account.registry], …

    [[owner]]
    call = "owner() returns (address)"   or immutable, slot, list

    [state]                              left out: the chain cannot tell it
    call = "state() returns (uint8)"     and event, slot; where there are several, they must agree
    active = 1
    closed = 3

    [[closed]]                           what closing leaves in storage
    slot = 0
    value = 3
    meaning = "state Closed"

``document.py`` has all members. A profile is valid or it is not: what is misspelt must not be a check that is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any, Final

import rfc8785
from eth_hash.auto import keccak
from pydantic import ValidationError

from orchestrator.artifacts import NAMES, Artifact, load
from orchestrator.errors import SettingsError
from orchestrator.foreign import MalformedToml, read_toml
from orchestrator.wallet import artifact_files
from orchestrator.wallet.assembly import Wrong, assemble
from orchestrator.wallet.document import Document
from orchestrator.wallet.reading import Profile
from orchestrator.wallet.toml_lines import line_of

__all__ = ["BUILT_IN", "Profile", "load_profile", "parse_profile"]

BUILT_IN: Final = (
    "smart-wallet",
    "smart-wallet-clone",
    "smart-wallet-proxy",
    "offblocks",
    "safe",
    "safe-1-3",
    "modular",
)
"""Profiles that the package ships."""
MAX_BYTES: Final = 256 * 1024
"""The largest profile that is read."""
_MOST_PROBLEMS: Final = 10
_SAID: Final = {
    "extra_forbidden": "there is no such key",
    "missing": "is missing",
    "tuple_type": "expected an array",
}
ReadArtifact = Callable[[str], Artifact]
"""The artifact of a name, as a profile has it. Raises ValueError."""


def load_profile(name_or_path: str, *, earlier: bool = False) -> Profile:
    """A built-in profile by its name, or the file at a path that ends with ``.toml``, with the artifacts beside it.

    ``earlier``: a file may have a built-in profile's name, as one of an earlier release has. Raises SettingsError:
    ``profile_unreadable``, or ``profile_invalid`` with file, line and key.
    """
    if name_or_path in BUILT_IN:
        file = resources.files(__package__ or "").joinpath("profiles", f"{name_or_path}.toml")
        return parse_profile(file.read_text(encoding="utf-8"), f"profile {name_or_path}", _shipped)
    if not name_or_path.endswith(".toml"):
        raise SettingsError(
            f"there is no wallet profile {name_or_path[:80]!a}; there are {', '.join(BUILT_IN)}, and files whose name "
            "ends with .toml",
            code="profile_unreadable",
        )
    path = Path(name_or_path)
    try:
        text = _read(path, MAX_BYTES).decode("utf-8")
    except ValueError as error:
        what = "is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)
        raise SettingsError(f"wallet profile {path} {what}", code="profile_unreadable") from None
    profile = parse_profile(text, str(path), lambda name: _beside(path.parent, name))
    if profile.name in BUILT_IN and profile.sha256 != load_profile(profile.name).sha256:
        # Journals know the default one by its name alone. That of an earlier release is read, to verify certificates.
        said = _sentence(text, str(path), ("name",), f"{profile.name} is a built-in profile's name: choose another")
        if not earlier:
            raise SettingsError(said, code="profile_invalid")
    return profile


def parse_profile(text: str, where: str, artifact: ReadArtifact) -> Profile:
    """The profile of a document. ``where`` names it in errors. Raises SettingsError (``profile_invalid``)."""
    read: dict[str, Artifact] = {}

    def once(name: str) -> Artifact:
        if name not in read:
            read[name] = artifact(name)
        return read[name]

    try:
        document = Document.model_validate(read_toml(text))
        return assemble(document, once, _sha256)
    except MalformedToml as error:
        problems = [f"{where} {error}"]
    except ValidationError as error:
        found = error.errors(include_url=False)[:_MOST_PROBLEMS]
        wrong = [each["loc"] for each in found]  # a list with a wrong member in it is also one that is too short
        problems = [
            _problem(text, where, each)
            for each in found
            if not any(other[: len(each["loc"])] == each["loc"] != other for other in wrong)
        ]
    except Wrong as error:
        problems = [_sentence(text, where, error.path, str(error))]
    raise SettingsError("; ".join(problems), code="profile_invalid")


def _problem(text: str, where: str, problem: Any) -> str:
    path = tuple(part for part in problem["loc"] if isinstance(part, int) or str(part).isidentifier())
    said = problem["msg"].removeprefix("Value error, ")
    if problem["type"] in _SAID:
        said = _SAID[problem["type"]]
    elif path[-1:] == ("hash",):
        said = "expected the keccak256 of the code, 0x and 64 hex digits in lower case; no profile accepts any code"
    elif path[-1:] == ("accepts",):
        said = "expected at least one contract that is accepted; no profile accepts any code"
    return _sentence(text, where, path, said)


def _sentence(text: str, where: str, path: tuple[str | int, ...], said: str) -> str:
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
    return f"{where}, line {line_of(text, path)}, {key or 'the document'}: {said}"


# --- artifacts --------------------------------------------------------------------------------------------------------


def _shipped(name: str) -> Artifact:
    if name in NAMES:
        return load(name)
    raise ValueError(f"there is no artifact {name[:80]!a}: one of this package has the name {', '.join(NAMES)}")


def _beside(folder: Path, name: str) -> Artifact:
    """An artifact's file in the profile's folder or below it, ``FILE.json`` or ``FILE.json:CONTRACT``."""
    file, found, contract = name.partition(".json")
    if not found:
        return _shipped(name)
    relative = Path(file + ".json")
    if relative.is_absolute() or ".." in relative.parts or (contract and not contract.startswith(":")):
        raise ValueError(f"{name[:200]!a} is not beside the profile: expected FILE.json or FILE.json:CONTRACT")
    try:
        data = _read(folder / relative, artifact_files.MAX_BYTES)
    except ValueError as error:
        raise ValueError(f"artifact {relative} {error}") from None
    return artifact_files.read_artifact(data, contract[1:], f"artifact {relative}")


def _read(path: Path, most: int) -> bytes:
    """Raises ValueError with the rest of a sentence about the file."""
    try:
        if path.exists() and not path.is_file():
            raise ValueError("is no regular file")
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    if len(data) > most:
        raise ValueError(f"has more than {most} bytes")
    return data


# --- its hash ---------------------------------------------------------------------------------------------------------


def _sha256(document: Document, artifact: ReadArtifact) -> str:
    """Of the document as data (RFC 8785), without what only repeats a default, and with each artifact as what counts of
    it: so comments, spelling and the files' names and other content do not change it.

    Of a runtime code: keccak256 with zeros for what is masked, and what is masked. Of a creation code: keccak256.
    """
    from hashlib import sha256

    return sha256(
        rfc8785.dumps(_plain(document.model_dump(by_alias=True, exclude_defaults=True), artifact))
    ).hexdigest()


def _plain(value: Any, artifact: ReadArtifact) -> Any:
    if isinstance(value, dict):
        found = {name: _plain(member, artifact) for name, member in value.items()}
        if "artifact" in value:
            contract = artifact(value["artifact"])
            found.setdefault("name", contract.name or value["artifact"])
            found["artifact"] = {
                "runtime": "0x" + keccak(contract.deployed_bytecode).hex(),
                "immutables": {name: [*map(list, places)] for name, places in contract.immutable_references.items()},
                "libraries": [*map(list, contract.link_references)],
            }
        if value.get("init_code", "erc1167") != "erc1167":
            found["init_code"] = "0x" + keccak(artifact(value["init_code"]).bytecode).hex()
        return found
    if isinstance(value, list | tuple):
        return [_plain(member, artifact) for member in value]
    return hex(value) if isinstance(value, int) and not isinstance(value, bool) else value
