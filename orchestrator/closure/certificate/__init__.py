"""The closure certificate: one JSON file that proves a closure offline. Pure: bytes in and out, no file is written.

``builder`` makes it, ``verifier`` checks it (both by ``rerun``), ``rendering`` shows it.
"""
