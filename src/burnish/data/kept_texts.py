"""Texts kept on disk in the order they came, read again by number: what a search must look at twice."""

from __future__ import annotations

import mmap
import tempfile

from burnish.data.spill import Column

_ROOM_BYTES = 1 << 20


class KeptTexts:
    """A list of texts that takes 8 bytes of memory a text while it is read, and their characters on disk.

    Example:
        >>> texts = KeptTexts()
        >>> for text in ("Where is it?", "", "naïve"):
        ...     texts.add(text)
        >>> len(texts), texts[0], texts[2]
        (3, 'Where is it?', 'naïve')
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as this
        self._fresh = bytearray()
        self._written = 0
        self._ends = Column()
        self._bounds: list[int] | None = None
        self._map: mmap.mmap | bytes = b""

    def __len__(self) -> int:
        return len(self._ends)

    def add(self, text: str) -> None:
        """Keep one more."""
        self._fresh += text.encode("utf-8", "surrogatepass")
        self._ends.add(self._written + len(self._fresh))
        self._bounds = None
        if len(self._fresh) > _ROOM_BYTES:
            self._flush()

    def __getitem__(self, number: int) -> str:
        if self._bounds is None:
            self._flush()
            self._bounds = [0, *self._ends.all().tolist()]
            if self._written:
                self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        found = self._map[self._bounds[number] : self._bounds[number + 1]]
        return found.decode("utf-8", "surrogatepass")

    def _flush(self) -> None:
        self._file.seek(0, 2)
        self._file.write(self._fresh)
        self._file.flush()
        self._written += len(self._fresh)
        self._fresh.clear()
