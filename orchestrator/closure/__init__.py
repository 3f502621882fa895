"""The proof that a contract is disabled: Merkle proofs, analysis, verdict, certificate. Pure: values in and out."""
