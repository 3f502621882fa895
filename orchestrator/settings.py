"""The settings: environment ``ORCHESTRATOR_*``, then a TOML file. Secrets also as ``…_FILE``, a path.

Every choice that the platform's documentation leaves open is a setting here, with a safe default, in the table
``[platform]`` of the file.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn
from urllib.parse import urlsplit

import platformdirs
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from orchestrator import files, process
from orchestrator.errors import KeyUnavailable, SettingsError
from orchestrator.foreign import MalformedToml, read_toml
from orchestrator.models import Address, to_address
from orchestrator.wallet.reading import DEFAULT_PROFILE

PREFIX = "ORCHESTRATOR_"
_MAX_BYTES = 256 * 1024
"""The largest settings file that is read."""


def state_directory() -> Path:
    """Where this user's state is kept."""
    return platformdirs.user_state_path("offblocks-orchestrator")


def _words(value: Any) -> Any:
    """A list from TOML, or words separated by commas from the environment."""
    return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value


def _urls(value: Any) -> Any:
    """A list from TOML as text."""
    given = isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)
    return "\n".join(value) if given else value


def split_urls(text: str) -> tuple[str, ...]:
    """Nodes' URLs separated by commas or white space. A comma within a URL stays.

    Raises SettingsError where something else stands between them: glued to a URL, it would pass for a part of it.
    """
    urls = tuple(part for part in re.split(r"[\s,]+(?=https?://)", text.strip(" \t\r\n,")) if part)
    if any(re.search(r"\s|,[^/?#]*://", url) for url in urls):
        raise SettingsError(
            "the node's URLs (ORCHESTRATOR_RPC_URL or --rpc-url): expected each to begin with http:// or https://",
            code="settings_invalid",
        )
    return urls


def _address(value: Any) -> Any:
    return to_address(value) if isinstance(value, str) else value


AddressSetting = Annotated[Address, BeforeValidator(_address)]
Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
Addresses = Annotated[tuple[AddressSetting, ...], BeforeValidator(_words)]


class Settings(BaseModel):
    """All settings. A command asks for those that it needs with ``need``; the others may stay unset."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    platform_url: str | None = None
    """The platform's base URL with ``/v1``."""
    api_key: str | None = None
    api_secret: SecretStr | None = None
    signing_key: SecretStr | None = None
    """The request-signing key: PEM text, EC P-384."""
    signing_key_id: str | None = None
    rpc_url: Annotated[SecretStr | None, BeforeValidator(_urls)] = None
    """The node's JSON-RPC URL, or several in the order of preference (``rpc_urls``). Kept as a secret, because hosted
    nodes carry their key in it."""
    rpc_batch: int = Field(default=100, ge=1, le=1000)
    """Calls in one request to a node, to begin with: fewer where it takes fewer."""
    factory: AddressSetting | None = None
    """The factory that deploys the platform's wallets."""
    factory_block: int = Field(default=0, ge=0)
    """The block of the factory's deployment: no event is older."""
    wallet_profile: str = DEFAULT_PROFILE
    """What is known of the factory's wallets: the name of a built-in profile, or the path of a file."""
    database_url: str = Field(default_factory=lambda: f"sqlite:///{state_directory() / 'journal.db'}", repr=False)
    """Kept out of the repr, because a server's has a password in it."""
    keystore: Path = Field(default_factory=lambda: state_directory() / "keystore")
    keystore_password: SecretStr | None = None
    keystore_password_file: Path | None = None
    """Read when a key is unlocked, and refused if others can read it. With neither, a terminal is asked."""
    certificates: Path = Field(default_factory=lambda: state_directory() / "certificates")
    """Where ``close`` writes certificates that were not given a file."""
    certificate_key: str | None = None
    """The name of the key that signs certificates."""
    policy: Path | None = None
    """The signing policy (TOML). Without one the built-in default holds, which knows no people."""
    person_key: Path | None = None
    """The key file of the person who runs the process: what she approves or asks for is signed with it."""
    person_password_file: Path | None = None
    confirmations: int = Field(default=1, ge=1)
    """Blocks, the block itself counted."""
    tokens: Addresses = ()
    """ERC-20 tokens that preflight reads besides those that it finds by their Transfer logs."""
    challenge_domains: Words = ()
    """Domains that an EIP-4361 challenge may name. Default: the host of ``platform_url``, and no other."""

    request_timeout: float = Field(default=30, gt=0)
    """Seconds for one request to the platform or the node."""
    poll_interval: float = Field(default=2, gt=0)
    """Seconds between two polls of what an account waits for: the safety net below webhooks and new blocks."""
    patience: float = Field(default=86_400, gt=0)
    """Seconds that one stage may be waited for before an operator is asked."""
    clock_tolerance: float = Field(default=60, gt=0, le=600)
    """Seconds that the local clock may differ from the platform's."""

    allow_plain_http: bool = False
    """Whether the platform may be asked without TLS on another host than this one."""
    covered_components: Words = (
        "@method",
        "@authority",
        "@path",
        "@query",
        "authorization",
        "content-digest",
        "content-type",
        "idempotency-key",
    )
    """Components that a request signature covers, where they are present (RFC 9421)."""
    signature_label: str = "sig"
    digest_algorithm: Literal["sha-256", "sha-512"] = "sha-512"
    account_type: str = "card_account"
    signer_fields: Literal["both", "ownerId", "chainId"] = "both"
    """Under which name a submitted signature carries its signer."""

    webhook_token: SecretStr | None = None
    """The unguessable last part of the webhooks' path."""
    public_url: str | None = None
    """The service's address as the platform calls it, without ``/webhooks/…``."""

    def model_post_init(self, _context: Any) -> None:
        """SIDE EFFECTS: a process whose settings hold a secret leaves no core dump from then on (``process``)."""
        if any(isinstance(value, SecretStr) for value in self.__dict__.values()):
            process.forbid_core_dumps()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("settings cannot be pickled: their secrets would lie open in what comes of it")

    @property
    def rpc_urls(self) -> tuple[str, ...]:
        """The nodes' URLs, in the order of preference."""
        return () if self.rpc_url is None else split_urls(self.rpc_url.get_secret_value())

    def need(self, *names: str) -> None:
        """Raises SettingsError naming every one of these settings that is unset, and how to set it."""
        missing = [name for name in names if getattr(self, name) in (None, "")]
        if missing:
            listed = ", ".join(PREFIX + name.upper() for name in missing)
            raise SettingsError(f"missing setting: {listed} (environment or --config FILE)", code="settings_missing")


MOVED = frozenset({"covered_components", "signature_label", "digest_algorithm", "account_type"})
"""Of ``PLATFORM_TABLE``, what is in this release also read where it stood in the one before: in the environment, and
in the file outside of the table."""
PLATFORM_TABLE = MOVED | {"signer_fields"}
"""Settings that stand in the table ``[platform]`` of the file."""
_IN_TABLE_ONLY = PLATFORM_TABLE - MOVED
_MOST = 64 * 1024
"""Bytes of a secret's file."""
SECRETS = frozenset(name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation))
"""Settings that are never shown."""
FROM_FILES = SECRETS - {"keystore_password"} | {"database_url"}
"""Settings that may also be given as ``…_FILE``; ``keystore_password_file`` is a setting of its own, read later."""


GONE = frozenset(
    {
        "pagination",
        "list_field",
        "page_parameter",
        "page_size_parameter",
        "first_page",
        "page_size",
        "cursor_parameter",
        "cursor_field",
        "signing_key_field",
        "signing_key_id_field",
        "webhook_verification_key",
        "webhook_verification_key_id",
    }
)
"""Settings of an earlier release, about what the platform has published since: lists have no pages, key uploads have
fixed fields, and the webhooks' key and its id are asked for. Ignored with a note, unless they ask for pages: half a
list is never taken for the whole."""
OTHER_VARIABLES = frozenset({"DEBUG", "DEVNET_URL", "DEVNET_TOKEN", "PUBLISHED_API", "TEST_PROFILE"})
"""Names that are used behind the prefix and are no settings."""
_LIKENESS = 0.75
"""From which a name is taken for another one misspelt (difflib's ratio)."""


@dataclass(frozen=True, slots=True)
class UnknownVariable:
    """A variable with the prefix that sets nothing; ``meant``: the one that it is a misspelling of, if it is one."""

    name: str
    meant: str | None

    def __str__(self) -> str:
        setting = self.name.removeprefix(PREFIX).lower()
        if setting in GONE:
            return f"{self.name} is no longer a setting, and ignored"
        if setting in _IN_TABLE_ONLY:
            return f"{self.name} is ignored: write {setting} into {_TABLE}"
        hint = "" if self.meant is None else f"; is {self.meant} meant?"
        return f"{self.name} is no setting of this program, and is ignored{hint}"


def unknown_variables(environment: Mapping[str, str]) -> list[UnknownVariable]:
    """Not errors: other programs may use the prefix. But a misspelt setting keeps its default, and nobody sees it."""
    known = {name.upper() for name in Settings.model_fields.keys() - _IN_TABLE_ONLY} | OTHER_VARIABLES
    known |= {f"{name.upper()}_FILE" for name in FROM_FILES}
    found = []
    for variable in sorted(environment):
        name = variable.removeprefix(PREFIX).upper()
        if variable.startswith(PREFIX) and name not in known and environment[variable] != "":
            no_slip = name.lower() in GONE | _IN_TABLE_ONLY
            near = [] if no_slip else get_close_matches(name, sorted(known), n=1, cutoff=_LIKENESS)
            found.append(UnknownVariable(variable, PREFIX + near[0] if near else None))
    return found


def moved_variables(environment: Mapping[str, str]) -> list[str]:
    """A note for each variable that is read for the last time."""
    given = sorted(name for name in MOVED if environment.get(PREFIX + name.upper()))
    return [f"{PREFIX}{name.upper()} {_moved(name)}" for name in given]


def _moved(name: str) -> str:
    return f"goes with the next release: write {name} into {_TABLE}"


_TABLE = "the table [platform] of the file that --config names"


def load_settings(
    environment: Mapping[str, str] | None = None,
    config: Path | str | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Settings:
    """Settings from overrides (the command line), the environment, then the TOML file, in that order.

    ``environment``: None is the process' own; then a warning names each of ``unknown_variables`` and
    ``moved_variables``. Raises SettingsError that names the setting, never with a secret's value.
    """
    if environment is None:
        environment = os.environ
        for note in (*unknown_variables(environment), *moved_variables(environment)):
            warnings.warn(str(note), stacklevel=2)
    values: dict[str, Any] = {}
    if config is not None:
        values |= _from_toml(Path(config))
    values |= _from_environment(environment)
    _require_no_pages({name: environment.get(PREFIX + name.upper(), "") for name in GONE})
    values |= {name: value for name, value in (overrides or {}).items() if value is not None}
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        shown = f"[platform] {name}" if first["loc"][0] in _IN_TABLE_ONLY else PREFIX + name.upper()
        raise SettingsError(
            f"setting {shown}: {first['msg'].removeprefix('Value error, ')}", code="settings_invalid"
        ) from None  # the cause may show a secret


def _require_no_pages(given: Mapping[str, Any]) -> None:
    """Raises SettingsError where settings that are gone ask for what is no longer done."""
    if given.get("pagination", "none") not in ("", "none") or given.get("list_field", "") != "":
        raise SettingsError(
            "settings ORCHESTRATOR_PAGINATION and ORCHESTRATOR_LIST_FIELD are gone: the platform's lists are plain "
            "arrays without pages, and are read as such; unset them",
            code="settings_invalid",
        )


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    known = set(Settings.model_fields) - _IN_TABLE_ONLY
    values: dict[str, Any] = {}
    for variable, text in environment.items():
        name = variable.removeprefix(PREFIX).lower()
        if not variable.startswith(PREFIX) or text == "":
            continue
        if name in known:
            values[name] = text
        elif name.removesuffix("_file") in FROM_FILES and name.endswith("_file"):
            values.setdefault(name.removesuffix("_file"), _read_secret(variable, Path(text)))
    for name in FROM_FILES:
        direct = environment.get(PREFIX + name.upper())
        if direct:
            values[name] = direct
    return values


def _from_toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            status, text = os.fstat(file.fileno()), file.read(_MAX_BYTES + 1)
        if len(text) > _MAX_BYTES:
            raise SettingsError(f"--config {path}: expected at most {_MAX_BYTES} bytes", code="settings_invalid")
        data = read_toml(text.decode("utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot read --config {path}: {error.strerror}", code="settings_invalid") from error
    except MalformedToml as error:
        raise SettingsError(f"--config {path} {error}", code="settings_invalid") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"--config {path} is not UTF-8 text", code="settings_invalid") from error
    _put_platform_table(data, path)
    if any(_is_secret(name, value) for name, value in data.items()):
        try:
            files.require_private(path, "--config", status, "600", handed_over=True)
        except KeyUnavailable as error:
            raise SettingsError(f"{error.message}; a secret is in it", code=error.code) from None
    for name in FROM_FILES:
        given = data.pop(f"{name}_file", None)
        if given is not None and name not in data:
            data[name] = _read_secret(f"{name}_file", path.parent / str(given))
    gone = {name: data.pop(name) for name in sorted(GONE & set(data))}
    _require_no_pages(gone)
    if gone:
        warnings.warn(f"--config {path}: {', '.join(gone)}: no longer a setting, and ignored", stacklevel=2)
    unknown = sorted(set(data) - set(Settings.model_fields))
    if unknown:
        raise SettingsError(f"--config {path}: unknown setting {', '.join(unknown)}", code="settings_invalid")
    return data


def _put_platform_table(data: dict[str, Any], path: Path) -> None:
    """Puts the settings of the table ``[platform]`` beside the others. SIDE EFFECTS: warns of those outside of it."""
    table = data.pop("platform", {})
    if not isinstance(table, dict):
        raise SettingsError(f"--config {path}: platform is expected to be a table", code="settings_invalid")
    if unknown := sorted(set(table) - PLATFORM_TABLE):
        listed = ", ".join(f"[platform] {name}" for name in unknown)
        raise SettingsError(f"--config {path}: unknown setting {listed}", code="settings_invalid")
    if outside := sorted(_IN_TABLE_ONLY & set(data)):
        listed = ", ".join(f"{name} outside of the table [platform]" for name in outside)
        raise SettingsError(f"--config {path}: unknown setting {listed}", code="settings_invalid")
    for name in sorted(MOVED & set(data)):
        warnings.warn(f"--config {path}: {name} outside of its table {_moved(name)}", stacklevel=4)
    data.update(table)


def _is_secret(name: str, value: Any) -> bool:
    """Whether a value in the file of settings is one: of URLs, those that hold a password, or a hosted node's key."""
    if name not in {"rpc_url", "database_url"}:
        return name in SECRETS
    if isinstance(value, list):
        return any(_is_secret(name, one) for one in value)
    try:
        url = urlsplit(str(value))
    except ValueError:
        return True
    return bool(url.password or url.query or (name == "rpc_url" and url.path.strip("/")))


def _read_secret(name: str, path: Path) -> str:
    try:
        data = files.read_private(path, "file", max_bytes=_MOST, follow_symlinks=True, code="settings_invalid")
    except KeyUnavailable as error:
        raise SettingsError(f"{name}: {error.message}", code=error.code) from None
    try:
        return data.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        pass  # raised below: that error carries the bytes
    raise SettingsError(f"{name}: {path} is not UTF-8 text", code="settings_invalid")
