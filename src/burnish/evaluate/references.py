"""References as sacrebleu takes them."""

from __future__ import annotations

from burnish.evaluate.written import Written


def streams(written: Written) -> list[list[str | None]]:
    """The first reference of every row, then the second of every row, ...; None where a row has no more.

    A row without any has the reference "".

    Example:
        >>> from burnish.evaluate.written import written_from
        >>> streams(written_from(["x", "y", "z"], [["a", "b"], ["c"], []]))
        [['a', 'c', ''], ['b', None, None]]
    """
    rows = [row or ("",) for row in written.references]
    most = max(len(row) for row in rows)
    return [[row[n] if n < len(row) else None for row in rows] for n in range(most)]


def references_each(written: Written) -> int:
    """How many references every row has, -1 where that differs: what a signature calls "var"."""
    found = {max(1, len(row)) for row in written.references}
    return found.pop() if len(found) == 1 else -1
