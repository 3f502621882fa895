"""Managed keys: a folder of Web3 Secret Storage files and of descriptors of keys in back ends (PKCS#11, AWS KMS, a
remote signer), and signatures over EIP-191 personal messages."""
