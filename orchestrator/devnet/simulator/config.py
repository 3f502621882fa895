"""What a simulator is started with: addresses, keys, and the choices that the documentation leaves open."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from .families import Family, SmartWalletFamily

__all__ = ["Credentials", "Options", "Programme", "SimulatorConfig"]


@dataclass(frozen=True, slots=True)
class Options:
    """The choices. The defaults are what the platform has published; where that is silent, the reading that a careful
    platform would take. All times are seconds."""

    answer_suspend: int = 200
    """Status of PATCH activate and deactivate: 200 (published) or 202 with the account, 204 without a body."""
    answer_delete: int = 204
    """Status of DELETE of an account: 204 (published); older: 200 or 202 with the account, and the challenge, where one
    is issued."""
    answer_sign: int = 204
    """Status of challenge/sign: 204 (published); older: 200 or 202 with the account or customer."""
    keep_challenges: bool = False
    """Whether GET of a challenge answers the current one, as the older pages have it. Published: it invalidates every
    one before and answers a new one."""
    signer_member: str = "ownerId"
    """What names the signer in a submission: ``ownerId`` (published) or ``chainId`` (the documentation's pages). The
    other one may be there too."""
    verify_owner_signatures: bool = True
    """False: any well-formed signature is taken as its owner's, as in the platform's sandbox; the chain checks it."""
    answer_signing: int = 204
    """Status of PUT /auth/signing: 204 (published), or 200 with an id of the platform's own choice, as its description
    has it."""
    delete_asks_signature: bool = True
    """False: DELETE closes an account on the platform alone and leaves the chain as it was."""
    platform_close_offers_challenge: bool = False
    """Whether an account that the platform closed by itself offers a deletion challenge afterwards."""
    include_expiry: bool = False
    """Whether an answer with a challenge also carries ``expiresAt``."""
    chain_wait: float = 30.0
    """How long a request waits for its transaction. After that it is answered, and the work goes on behind it."""
    confirmations: int = 1
    """Blocks that a transaction needs, its own included, before the platform believes it."""
    poll_interval: float = 0.1
    challenge_lifetime: float = 3600.0
    idempotency_lifetime: float = 3600.0
    token_lifetime: float = 3600.0
    signature_components: tuple[str, ...] = ("@method", "@authority", "@path")
    """What a request's signature must cover, header fields where they are present; and always ``content-digest`` where
    there is a body. The default is what the platform's published request script covers."""
    whole_target_uri: bool = False
    """Whether ``@target-uri`` is the whole URI (RFC 9421). To the platform's verifier it is path and query only."""
    signature_refusal: int = 401
    """The status of a refused signature: 401 with an error, or 400 with the plain text of the published middleware."""
    webhook_first_delay: float = 1.0
    webhook_longest_delay: float = 3600.0
    webhook_give_up: float = 86400.0
    webhook_time_scale: float = 1.0
    """Multiplies the three times above: 0.001 makes 24 hours 86 seconds."""
    webhook_timeout: float = 10.0
    webhook_components: tuple[str, ...] = ("@method", "@authority", "@path", "content-digest", "content-type")
    """What the signature of a delivery covers. ``content-digest`` is sent where it is named here; the published file
    asks for none."""
    domain: str = "api.sandbox.offblocks.xyz"
    """The domain of a customer's EIP-4361 challenge."""


@dataclass(frozen=True, slots=True)
class SimulatorConfig:
    """Where the simulator listens, keeps its state, and finds the chain.

    Without ``rpc_url`` everything that needs no chain works, and a deployment waits.
    """

    database: Path
    rpc_url: str = ""
    family: type[Family] = SmartWalletFamily
    """Of the wallets that the factory deploys."""
    factory: str = ""
    operator_key: str = field(default="", repr=False)
    """Private key of the factory's operator, 0x and 64 hex digits."""
    escrow: str = "0x000000000000000000000000000000000000E5C0"
    tokens: tuple[str, ...] = ()
    """ERC-20 contracts whose balances a closing wallet hands back."""
    chain_id: int = 31337
    host: str = "127.0.0.1"
    port: int = 0
    """0: chosen by the operating system."""
    admin_token: str = field(default="", repr=False)
    """Bearer token of the calls under /simulator; made up at the start when empty."""
    options: Options = field(default_factory=Options)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client needs to talk to the platform."""

    api_key: str
    api_secret: str = field(repr=False)
    signing_key: str = field(repr=False)
    """The private key as PEM (PKCS#8, curve P-384), registered under ``signing_key_id``."""
    signing_key_id: str


@dataclass(frozen=True, slots=True)
class Programme:
    """A ready programme: credentials, and an active customer."""

    url: str
    credentials: Credentials
    customer_id: str
    owner: str
    admin_url: str
    admin_token: str = field(repr=False)
