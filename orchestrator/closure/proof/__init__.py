"""What follows from one block's hash: header, account, storage and code, by Merkle proofs. Pure.

Read in this order: ``spelling``, ``header``, ``merkle``, ``state`` (``eth_getProof``), ``evidence`` (all that a verdict
rests on).
"""
