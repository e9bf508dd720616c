"""Numbers by the row, kept on disk: what checks must remember about every row of files of any size.

Memory stays bounded by `ROOM` entries and one partition; the rest lies in an unnamed temporary file.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import IO

import numpy as np

from burnish.records.encoding import IntArray

ROOM = 1 << 18
PARTITIONS = 64


class Column:
    """One 64-bit number a row, in the rows' order.

    Example:
        >>> lines = Column()
        >>> for line in (2, 3, 7):
        ...     lines.add(line)
        >>> len(lines), lines[2], lines.all().tolist()
        (3, 7, [2, 3, 7])
    """

    def __init__(self) -> None:
        self._fresh: list[int] = []
        self._file: IO[bytes] | None = None
        self._kept = 0

    def __len__(self) -> int:
        return self._kept + len(self._fresh)

    def add(self, number: int) -> None:
        self._fresh.append(number)
        if len(self._fresh) >= ROOM:
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as this
            self._file.seek(0, 2)
            self._file.write(np.asarray(self._fresh, dtype=np.int64).tobytes())
            self._kept += len(self._fresh)
            self._fresh.clear()

    def __getitem__(self, row: int) -> int:
        if not 0 <= row < len(self):
            raise IndexError(row)
        if row >= self._kept or self._file is None:
            return self._fresh[row - self._kept]
        self._file.seek(row * 8)
        return int(np.frombuffer(self._file.read(8), dtype=np.int64)[0])

    def all(self) -> IntArray:
        """Every number at once."""
        kept = b""
        if self._file is not None:
            self._file.seek(0)
            kept = self._file.read()
        return np.concatenate(
            [np.frombuffer(kept, dtype=np.int64), np.asarray(self._fresh, dtype=np.int64)]
        )


class Buckets:
    """Rows by key: `groups` gives the row numbers of every key that stands more than once.

    Keys are 64-bit and unsigned; two different things share one by chance once in about 10^5 files of ten million rows.

    Example:
        >>> rows = Buckets()
        >>> for number, key in enumerate((5, 9, 5, 2**64 - 1, 9)):
        ...     rows.add(key, number)
        >>> [group.tolist() for group in rows.groups()]
        [[0, 2], [1, 4]]
    """

    def __init__(self) -> None:
        self._fresh: list[tuple[int, int]] = []
        self._files: list[IO[bytes]] = []

    def add(self, key: int, number: int) -> None:
        self._fresh.append((key, number))
        if len(self._fresh) >= ROOM:
            self._flush()

    def groups(self) -> Iterator[IntArray]:
        """Ascending row numbers of each key with two rows or more, in no particular order of keys."""
        if self._files and self._fresh:
            self._flush()
        if not self._files:
            yield from _groups(np.array(self._fresh, dtype=np.uint64).reshape(-1, 2))
            return
        for file in self._files:
            file.seek(0)
            yield from _groups(np.frombuffer(file.read(), dtype=np.uint64).reshape(-1, 2))

    def _flush(self) -> None:
        if not self._files:
            self._files = [tempfile.TemporaryFile() for _ in range(PARTITIONS)]  # noqa: SIM115 - as above
        entries = np.array(self._fresh, dtype=np.uint64)
        parts = entries[:, 0] % np.uint64(PARTITIONS)
        order = np.argsort(parts, kind="stable")
        ends = np.searchsorted(parts[order], np.arange(PARTITIONS + 1, dtype=np.uint64))
        for part, file in enumerate(self._files):
            chosen = order[ends[part] : ends[part + 1]]
            if len(chosen):
                file.seek(0, 2)
                file.write(entries[chosen].tobytes())
        self._fresh.clear()


def _groups(entries: np.ndarray) -> Iterator[IntArray]:
    if not len(entries):
        return
    order = np.argsort(entries[:, 0], kind="stable")
    keys = entries[order, 0]
    numbers = entries[order, 1].astype(np.int64)
    starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
    ends = np.r_[starts[1:], len(keys)]
    several = ends - starts > 1
    found = [numbers[s:e] for s, e in zip(starts[several], ends[several], strict=True)]
    # by first row: what people read follows the file
    yield from sorted(found, key=lambda group: int(group[0]))
