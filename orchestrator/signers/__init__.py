"""Managed keys: Web3 Secret Storage files in a folder, and signatures over EIP-191 personal messages."""

from __future__ import annotations

from orchestrator.eip191 import personal_hash, recover
from orchestrator.signers.keystore import KeyInfo, Keystore, KeystoreSigner
from orchestrator.signers.passwords import FilePassword, FixedPassword, NoPassword, PasswordSource, PromptPassword
from orchestrator.signers.secret import Secret

__all__ = [
    "FilePassword",
    "FixedPassword",
    "KeyInfo",
    "Keystore",
    "KeystoreSigner",
    "NoPassword",
    "PasswordSource",
    "PromptPassword",
    "Secret",
    "personal_hash",
    "recover",
]
