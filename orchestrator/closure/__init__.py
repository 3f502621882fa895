"""The proof that a contract is disabled for ever. Pure: values in and out; the argument is in README.md beside this.

``proof`` (what a block's hash proves), ``evm`` (abstract execution), ``witness`` (a call that shows the opposite),
``judge`` (the verdict), ``certificate`` (all of it in one file).
"""
