"""The proof that a contract is disabled: Merkle proofs, the expected code, the certificate. Pure: values in and out."""
