"""``orchestrator doctor``: checks everything that an operation will need, and says what to do about each.

Each check stands alone: the others run although one fails. Nothing is changed anywhere, but for
the migration of an existing database, which every command does. No secret is shown.
"""

from orchestrator.doctor.check import Check
from orchestrator.doctor.examine import examine

__all__ = ["Check", "examine"]
