"""The same text with different labels: nobody can learn both, and no measure can reward both."""

from __future__ import annotations

from collections.abc import Iterator

from burnish.data.evidence import Finding, Scene, Seen
from burnish.records.dataset import Issue

CODE = "label-conflict"


class Conflicts:
    """One finding: how many texts are answered in more than one way, in how many rows."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._open = scene.task is not None and not scene.task.is_closed

    def see(self, row: Seen) -> None:
        """The scene remembers all that is needed."""

    def findings(self) -> Iterator[Finding]:
        scene = self._scene
        groups = 0
        numbers: list[int] = []
        first: list[int] = []
        for group in scene.same_inputs():
            rows = group.tolist()
            said = {scene.label(row) for row in rows}
            if self._open:  # several texts may be right, but not an answer and none
                said = {bool(one) for one in said}
            if len(said) > 1:
                groups += 1
                numbers += rows
                first = min(first or rows, rows)
        if not numbers:
            return
        numbers.sort()
        said = dict.fromkeys("+".join(scene.label(row) or ()) or "no label" for row in first)
        what = (
            f"{groups} texts carry different labels ({len(numbers)} rows), "
            f"for instance {scene.excerpt(first[0])}: {', '.join(said)}"
        )
        kept = sum(scene.split(number) != "train" for number in numbers)
        if kept:
            what += (
                f"; {kept} of them stand in given test or validation files and stay as published"
            )
        yield Finding(
            Issue(
                code=CODE,
                severity="warning",
                what=what,
                count=len(numbers),
                rows=scene.places(numbers),
                fix="decide which label is right and correct the file; until then these rows train nothing",
            ),
            numbers,
        )
