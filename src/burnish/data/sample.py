"""A random sample of rows in bounded memory, the same for the same files."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class Sample(Generic[T]):
    """What is worth keeping of at most `most` rows, chosen by the hash of their inputs.

    Every row is kept until there are too many; then those whose hash is in the upper half go, and later ones in
    that half are not wanted. Rows that ask the same stay or go together.

    Example:
        >>> some = Sample(2)
        >>> for number, key in enumerate(("01", "ff", "02")):
        ...     if some.wants(key):
        ...         some.add(key, number, key)
        >>> some.kept()
        [(0, '01')]
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._below = "g"  # above every hexadecimal digit
        self._rows: list[tuple[str, int, T]] = []

    def wants(self, key: str) -> bool:
        """Whether a row of this hash (hexadecimal) is in the sample."""
        return key < self._below

    def add(self, key: str, number: int, what: T) -> None:
        """Keep a wanted row."""
        self._rows.append((key, number, what))
        if len(self._rows) > self._most:
            keys = sorted(one for one, _, _ in self._rows)
            self._below = keys[self._most // 2]
            kept = [row for row in self._rows if row[0] < self._below]
            # rows that all ask the same cannot be told apart by their hash: the first of them stay
            self._rows = kept or self._rows[: self._most // 2]

    def kept(self) -> list[tuple[int, T]]:
        """The rows' numbers with what was kept of them, in order."""
        return [(number, what) for _, number, what in self._rows]
