"""The closure certificate: one JSON file that proves a closure offline. Bytes in and out: no file, no network.

``builder`` makes it and has it signed, ``verifier`` checks it offline by ``rerun``, ``rendering`` shows it.
``certifier``, outside of this package, keeps the files.
"""
