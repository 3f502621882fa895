"""Whether something may be signed or sent now: people's decisions, the ruleset in force and the restore guard.

``gate`` reads what people have decided, ``permission`` asks before each signature goes out, ``obstacles`` lists what
stands in the way without doing anything, ``asking`` writes a request for an approval.
"""
