"""Managed keys: a folder of Web3 Secret Storage files and of descriptors of keys in back ends (PKCS#11, AWS KMS, a
remote signer), and signatures over EIP-191 personal messages."""

from __future__ import annotations

from orchestrator.eip191 import personal_hash, recover, require
from orchestrator.passwords import FilePassword, FixedPassword, NoPassword, PasswordSource, PromptPassword, Secret
from orchestrator.ports.signers import KeyInfo
from orchestrator.signers.backend_signer import BackendSigner
from orchestrator.signers.keyring import Keyring, Scan
from orchestrator.signers.keystore_signer import KeystoreSigner

__all__ = [
    "BackendSigner",
    "FilePassword",
    "FixedPassword",
    "KeyInfo",
    "Keyring",
    "KeystoreSigner",
    "NoPassword",
    "PasswordSource",
    "PromptPassword",
    "Scan",
    "Secret",
    "personal_hash",
    "recover",
    "require",
]
