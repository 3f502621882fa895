"""The narrow ports between the runner and the outside, one for each edge: what a step may ask of the platform, of the
chain, of the keys and of the journal.

Each port has one implementation that alone imports its library (``orchestrator.platform``, ``orchestrator.chain``,
``orchestrator.signers``, ``orchestrator.journal``). Values only, no foreign types.
"""
