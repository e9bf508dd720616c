"""The same text with the same label more than once in one split."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from burnish.data.evidence import Finding, Scene, Seen
from burnish.records.dataset import Issue
from burnish.records.example import SPLITS, Split

CODE = "duplicate-rows"


class ExactDuplicates:
    """One finding per split: how many rows repeat an earlier one word for word, label included."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def see(self, row: Seen) -> None:
        """The scene remembers all that is needed."""

    def findings(self) -> Iterator[Finding]:
        scene = self._scene
        extra: dict[Split, list[int]] = {split: [] for split in SPLITS}
        for group in scene.same_inputs():
            together: dict[Split, list[int]] = defaultdict(list)
            for row in group.tolist():
                together[scene.split(row)].append(row)
            for split, rows in together.items():
                if len({scene.label(row) for row in rows}) == 1:
                    extra[split] += rows[1:]
        for split, rows in extra.items():
            if not rows:
                continue
            rows.sort()
            kept = "the first of each is kept" if split == "train" else "kept as published"
            yield Finding(
                Issue(
                    code=CODE,
                    severity="note",
                    what=f"{len(rows)} rows of {split} repeat an earlier row ({kept}), "
                    f"for instance {scene.excerpt(rows[0])}",
                    count=len(rows),
                    rows=scene.places(rows),
                ),
                rows,
            )
