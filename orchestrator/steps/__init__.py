"""The effects of an account's life, a module each. A step journals its intent, acts, and journals what came of it.

A step returns None when it made progress, or the action that follows instead (``Wait``, ``Halt``, ``End``). It raises
OrchestratorError for trouble; whatever was journaled by then stays true.
"""
