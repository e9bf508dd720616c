"""Rows without a text or a label, and texts that only stand for nothing."""

from __future__ import annotations

from collections.abc import Iterator

from burnish.data.evidence import Finding, Scene, Seen
from burnish.data.spill import Column
from burnish.records.dataset import Issue

CODES = ("empty-text", "empty-label")
# what spreadsheets and exports write where nothing was
PLACEHOLDERS = frozenset({"na", "n/a", "nan", "none", "null", "nil", "-", "--", "?", ".", "#n/a"})
_LONGEST = max(map(len, PLACEHOLDERS))


class Empties:
    """Empty texts, empty labels, and texts such as "N/A" (kept: they may be meant)."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._hollow = Column()

    def see(self, row: Seen) -> None:
        if all(_is_hollow(text) for text in row.inputs.values()):
            self._hollow.add(row.number)

    def findings(self) -> Iterator[Finding]:
        for code, column in zip(CODES, ("text", "label"), strict=True):
            found = self._scene.rejections.get(code)
            if found is not None:
                yield Finding(
                    Issue(
                        code=code,
                        severity="warning",
                        what=f"{found.count} rows have no {column} and are not used",
                        count=found.count,
                        rows=tuple(one.where for one in found.first),
                        fix=f"fill in the {column} or delete the rows",
                    )
                )
        if len(self._hollow):
            numbers = self._hollow.all()
            yield Finding(
                Issue(
                    code="text-placeholder",
                    severity="note",
                    what=f'{len(numbers)} texts say only something like "N/A"; they are used as written',
                    count=len(numbers),
                    rows=self._scene.places(numbers.tolist()),
                    fix="burnish data check --fix text-placeholder drops the rows, if the words stand for a missing text",
                ),
                numbers.tolist(),
                mend="drop",
            )


def _is_hollow(text: str) -> bool:
    word = text.strip()
    return not word or (len(word) <= _LONGEST and word.lower() in PLACEHOLDERS)
