"""Whether something may be signed or sent now: people's decisions, the ruleset in force and the restore guard.

``gate`` reads what people have decided, ``restore_guard`` recognises a restored backup, ``permission`` decides before
each signature goes out, ``obstacles`` lists what stands in the way and does nothing.
"""
