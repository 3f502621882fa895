"""The search for a call that shows that a contract can still act. Pure, and nothing rests on it.

``propose`` turns the conditions along a path around (``inversion``) and chooses the inputs of a call (``call``).
"""
