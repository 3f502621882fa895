"""A whole devnet: Anvil, the contracts, the platform simulator, and a keystore with the customer's key."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator import files
from orchestrator.devnet.anvil import Anvil
from orchestrator.devnet.contracts import DEFAULT_WALLET, OPERATOR, OWNER, Contracts, deploy_contracts, family_of
from orchestrator.devnet.simulator import Options, Programme, SimulatorConfig, SimulatorThread
from orchestrator.models import to_address
from orchestrator.passwords import FixedPassword, NoPassword, Secret
from orchestrator.policy.document import ROLE_FOR, Role
from orchestrator.signers.keyring import Keyring

BLOCK_TIME = 1.0
"""Seconds between blocks: an Anvil that mines only with transactions never finalizes the last one."""
STATES = 128
"""Blocks whose state is kept, as many as geth keeps: a devnet may run for days, and each costs more by the day."""
_PEOPLE = ("alice", "bob")
_PASSWORD = "devnet"  # noqa: S105  (of keys that are public)
_LIGHT_SCRYPT = 2**12
"""Keys of a devnet are public knowledge, so their files are quick to open."""


@dataclass(frozen=True, slots=True)
class Devnet:
    """A running devnet. Made by ``devnet`` (which ends it) or by the pytest fixtures."""

    anvil: Anvil
    simulator: SimulatorThread
    programme: Programme
    contracts: Contracts
    folder: Path
    """0700. Holds the keystore, its password, the PEM of the request-signing key and the simulator's state."""

    @property
    def keystore(self) -> Path:
        return self.folder / "keystore"

    @property
    def password_file(self) -> Path:
        return self.folder / "keystore-password"

    @property
    def signing_key_file(self) -> Path:
        return self.folder / "signing-key.pem"

    @property
    def policy_file(self) -> Path:
        return self.folder / "policy.toml"

    @property
    def people(self) -> dict[str, Path]:
        """The key files of the people whom the devnet's policy knows; their password is the keystore's."""
        return {name: self.folder / "people" / f"{name}.json" for name in _PEOPLE}

    @property
    def environment(self) -> dict[str, str]:
        """``ORCHESTRATOR_*``: all that another command needs, but for a journal's database of its own."""
        credentials = self.programme.credentials
        wallet = self.contracts.wallet
        profile = {} if wallet == DEFAULT_WALLET else {"ORCHESTRATOR_WALLET_PROFILE": wallet}
        return profile | {
            "ORCHESTRATOR_PLATFORM_URL": self.programme.url,
            "ORCHESTRATOR_API_KEY": credentials.api_key,
            "ORCHESTRATOR_API_SECRET": credentials.api_secret,
            "ORCHESTRATOR_SIGNING_KEY_FILE": str(self.signing_key_file),
            "ORCHESTRATOR_SIGNING_KEY_ID": credentials.signing_key_id,
            "ORCHESTRATOR_RPC_URL": self.anvil.url,
            "ORCHESTRATOR_FACTORY": self.contracts.factory,
            "ORCHESTRATOR_TOKENS": self.contracts.token,
            "ORCHESTRATOR_KEYSTORE": str(self.keystore),
            "ORCHESTRATOR_KEYSTORE_PASSWORD_FILE": str(self.password_file),
            "ORCHESTRATOR_CERTIFICATE_KEY": "certificate",
            "ORCHESTRATOR_POLICY": str(self.policy_file),
            "ORCHESTRATOR_CHALLENGE_DOMAINS": self.simulator.simulator.config.options.domain,
            "ORCHESTRATOR_POLL_INTERVAL": "0.5",
            "ORCHESTRATOR_DEVNET_URL": self.programme.admin_url,
            "ORCHESTRATOR_DEVNET_TOKEN": self.programme.admin_token,
        }

    def document(self) -> dict[str, Any]:
        """What ``devnet up --json`` prints."""
        credentials = self.programme.credentials
        return {
            "rpcUrl": self.anvil.url,
            "chainId": f"eip155:{self.anvil.chain_id}",
            "platformUrl": self.programme.url,
            "apiKey": credentials.api_key,
            "apiSecret": credentials.api_secret,
            "signingKey": str(self.signing_key_file),
            "signingKeyId": credentials.signing_key_id,
            "keystore": str(self.keystore),
            "keystorePassword": str(self.password_file),
            "people": {name: str(file) for name, file in self.people.items()},
            "customerId": self.programme.customer_id,
            "owner": self.programme.owner,
            "factory": self.contracts.factory,
            "escrow": self.contracts.escrow,
            "token": self.contracts.token,
            "env": self.environment,
        }


@contextlib.contextmanager
def devnet(
    *,
    anvil: Anvil | None = None,
    contracts: Contracts | None = None,
    wallet: str = DEFAULT_WALLET,
    folder: Path | None = None,
    keys: Path | None = None,
    options: Options | None = None,
    block_time: float = BLOCK_TIME,
) -> Iterator[Devnet]:
    """Starts what is not given, and ends what it started.

    ``anvil``: a running node to use; ``contracts``: those already deployed on it; ``wallet``: without them, the family
    of wallets whose factory is deployed; ``folder``: an empty one to keep the state in (default: a temporary one);
    ``keys``: what ``make_keys`` made, to be copied. Raises SettingsError if Anvil cannot be found or installed, or if
    there is no such family.
    """
    family_of(wallet)  # before anything is started
    with contextlib.ExitStack() as stack:
        if anvil is None:
            anvil = stack.enter_context(Anvil(block_time=block_time, states=STATES))
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="orchestrator-devnet-")))
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        contracts = contracts or deploy_contracts(anvil, wallet)
        config = SimulatorConfig(
            database=folder / "platform.db",
            rpc_url=anvil.url,
            family=contracts.family,
            factory=contracts.factory,
            operator_key=OPERATOR.private_key,
            escrow=contracts.escrow,
            tokens=(contracts.token,),
            chain_id=anvil.chain_id,
            options=options or Options(),
        )
        simulator = stack.enter_context(SimulatorThread(config))
        programme = simulator.bootstrap(to_address(OWNER.address))
        made = Devnet(anvil, simulator, programme, contracts, folder)
        files.create(made.password_file, f"{_PASSWORD}\n".encode())
        files.create(made.signing_key_file, programme.credentials.signing_key.encode())
        if keys is None:
            make_keys(folder)
        else:
            for name in ("keystore", "people"):
                shutil.copytree(keys / name, folder / name)
        people = Keyring(folder / "people", NoPassword())
        files.create(made.policy_file, _policy({name: people.get(name).address for name in _PEOPLE}).encode())
        yield made


def make_keys(folder: Path) -> None:
    """Makes ``keystore`` (the customer's key and one for certificates) and ``people`` in the folder."""
    password = FixedPassword(Secret(_PASSWORD))
    keystore = Keyring(folder / "keystore", password, work_factor=_LIGHT_SCRYPT)
    keystore.import_key("owner", Secret(OWNER.private_key))
    keystore.create("certificate")
    people = Keyring(folder / "people", password, work_factor=_LIGHT_SCRYPT)
    for name in _PEOPLE:
        people.create(name)


def _policy(people: dict[str, str]) -> str:
    """A devnet's policy: any journal and any number of signatures, and no approvals until somebody writes them in."""
    lines = [
        "# The policy of this devnet. Raise a number under [approvals] to see what waits for alice or bob.",
        "version = 1",
        "limits = []",
        "",
        "[keys]",
        'binding = "first_use"',
        'new_journal = "allow"',
        "",
        "[approvals]",
        *(f"{subject} = 0" for subject in ROLE_FOR),
    ]
    for name, address in people.items():
        roles = ", ".join(f'"{role}"' for role in Role)
        lines += ["", f"[people.{name}]", f'address = "{address}"', f"roles = [{roles}]"]
    return "\n".join(lines) + "\n"
