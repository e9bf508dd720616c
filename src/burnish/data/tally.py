"""Rows that show one fault, counted, with the first of them as the instance that is told."""

from __future__ import annotations

from burnish.data.evidence import Finding, Scene
from burnish.data.spill import Column
from burnish.records.dataset import Issue, Severity


class Tally:
    """The numbers of rows with one fault, and what the first of them showed. Rows come in order, each once.

    Example:
        >>> loud = Tally()
        >>> for number in (3, 3, 8):
        ...     loud.add(number, "!!!")
        >>> len(loud), loud.first, loud.rows.all().tolist()
        (2, '!!!', [3, 8])
    """

    def __init__(self) -> None:
        self.rows = Column()
        self.first = ""
        self._last = -1

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, number: int, instance: str = "") -> None:
        if number == self._last:
            return
        if self._last < 0:
            self.first = instance
        self._last = number
        self.rows.add(number)

    def finding(
        self,
        scene: Scene,
        code: str,
        severity: Severity,
        what: str,
        *,
        fix: str = "",
        mend: str | None = None,
    ) -> Finding:
        """The finding about these rows."""
        return finding(
            scene, code, severity, what, rows=self.rows.all().tolist(), fix=fix, mend=mend
        )


def finding(
    scene: Scene,
    code: str,
    severity: Severity,
    what: str,
    *,
    rows: list[int],
    fix: str = "",
    mend: str | None = None,
) -> Finding:
    """A finding about rows by number, with the places of the first."""
    issue = Issue(
        code=code,
        severity=severity,
        what=what,
        count=len(rows),
        rows=scene.places(rows),
        fix=fix,
    )
    return Finding(issue, rows, mend=mend if rows else None)
