"""What people decide: approvals by a second person, emergency stops and their end, changes of managed keys.

What is decided is pure (``lifecycle.oversight_state``, ``policy``); here it meets the journal. What a person says is a
signature of the person's own key over a text that names the exact matter and the journal; it is proven again whenever
it is counted.
"""

from __future__ import annotations
