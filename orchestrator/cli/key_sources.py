"""Where ``orchestrator keys`` has keys from and what it makes of its options; imported when a command runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.cli.output import settings

if TYPE_CHECKING:
    from orchestrator.models import Address, ChainAccount
    from orchestrator.ports.signers import KeyInfo
    from orchestrator.signers import Keyring, PasswordSource


def rotated(keyring: Keyring, name: str, new: PasswordSource) -> KeyInfo:
    """Rotates a key. If it already has this password, because a kill came before the event, it is returned as it is."""
    from orchestrator.errors import KeyUnavailable, OrchestratorError
    from orchestrator.signers import Keyring

    try:
        return keyring.rotate(name, new)
    except KeyUnavailable as error:
        if error.code != "wrong_password":
            raise
        try:
            signer: Any = Keyring(keyring.path, new).signer(name)
            signer.unlock()
        except OrchestratorError:
            raise error from None
        return keyring.get(name)


def address_at(uri: str) -> Address:
    """The address of a key in a back end, asked there."""
    from orchestrator.connect import password_source
    from orchestrator.signers.backend_signer import open_backend
    from orchestrator.signers.backends.backend import DEFAULT_TIMEOUT
    from orchestrator.signers.backends.uri import KeyUri

    opened = open_backend(KeyUri.parse(uri), pin=password_source(settings()), timeout=DEFAULT_TIMEOUT)
    try:
        return opened.address()
    finally:
        opened.close()


def wallets_of(wallets: list[str] | None, chains: list[str] | None, address: Address) -> tuple[ChainAccount, ...]:
    from orchestrator.models import ChainAccount, ChainId

    named = [ChainAccount.parse(text) for text in wallets or ()]
    own = [ChainAccount(ChainId.parse(text), address) for text in chains or ()]
    return tuple(dict.fromkeys((*named, *own)))
