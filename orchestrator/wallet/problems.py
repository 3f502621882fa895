"""What is wrong with a wallet profile, with the key that it is about."""

from __future__ import annotations


class Wrong(Exception):
    """``path``: the keys down to the one that is wrong, with numbers for the tables of an array."""

    def __init__(self, path: tuple[str | int, ...], sentence: str) -> None:
        super().__init__(sentence)
        self.path = path
