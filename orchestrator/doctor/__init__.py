"""``orchestrator doctor``: checks everything that an operation will need, and says what to do about each.

Each check stands alone: one that fails does not keep the others from being made. Nothing is changed anywhere, but for
the migration of an existing database, which every command does. No secret is shown.
"""

from orchestrator.doctor.check import Check
from orchestrator.doctor.examine import examine

__all__ = ["Check", "examine"]
