"""What people decide: approvals by a second person, emergency stops and their end, changes of managed keys.

What is decided is pure (``lifecycle.oversight_state``, ``policy``); here it meets the journal. A person decides by a
signature of her own key over a text that names the exact content and the journal; it is verified again whenever it is
counted.
"""

from __future__ import annotations
