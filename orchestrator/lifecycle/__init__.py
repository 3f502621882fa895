"""The life of an account, pure: facts (``events``), their sum (``fold``), what comes next (``stages``, ``decide``);
people's decisions on it (``oversight_events``, their sum in ``oversight_state``, whose word it is in
``person_signatures``); both in the journal's order (``recorded``).

Nothing here reads a clock, a file or the network. A step of the runner turns what is decided into effects and facts.
"""
