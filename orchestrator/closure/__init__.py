"""The proof that a contract is disabled for ever. No network, no file; README.md beside this has the argument.

``proof`` (what a block's hash proves), ``evm`` (abstract execution), ``witness`` (a call that shows the opposite),
``judge`` (the verdict), ``certificate`` (all of it in one file).
"""
