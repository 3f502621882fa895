"""The whole core against a model of platform, chain and keys."""

from tests.lab import lab, migrated  # noqa: F401
