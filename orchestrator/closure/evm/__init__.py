"""Exhaustive abstract execution of EVM runtime code: pure, and written to be read by people who trust nothing.

Read in this order: ``facts`` (what goes in), ``analysis`` (what comes out, and the argument), ``words``,
``opcodes``, ``buffer``, ``arithmetic``, ``frame``, ``machine``.
"""
