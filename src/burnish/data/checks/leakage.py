"""Texts and groups that stand in more than one given split: a test on them measures memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations

from burnish.data.evidence import Finding, Scene, Seen
from burnish.data.spill import Buckets
from burnish.records.dataset import Issue
from burnish.records.example import SPLITS, Split
from burnish.records.record import content_id


class Leakage:
    """One finding per pair of given splits and kind of overlap; the rows counted are the earlier split's."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._groups = Buckets()

    def see(self, row: Seen) -> None:
        if row.group is not None:
            self._groups.add(int(content_id(row.group), 16), row.number)

    def findings(self) -> Iterator[Finding]:
        scene = self._scene
        asked = _overlaps(scene, scene.same_inputs())
        grouped = _overlaps(scene, self._groups.groups())
        for early, late in combinations(SPLITS, 2):
            same = asked[early, late]
            if same:
                yield _finding(
                    scene,
                    "leakage",
                    f"{len(same)} rows of {early} ask word for word what {late} asks, "
                    f"for instance {scene.excerpt(same[0])}; they are kept out of {early}",
                    same,
                    fix=f"nothing to do: {late} stays as published",
                )
            told = set(same)
            others = [row for row in grouped[early, late] if row not in told]
            if others:
                yield _finding(
                    scene,
                    "group-leakage",
                    f"{len(others)} rows of {early} belong to groups that {late} has too; "
                    f"they are kept out of {early}",
                    others,
                    fix="remove group from task.toml if rows of one group may stand in both",
                )


def _overlaps(scene: Scene, groups: Iterator) -> dict[tuple[Split, Split], list[int]]:
    """For each pair of splits the rows of the earlier one that are together with rows of the later one."""
    found: dict[tuple[Split, Split], list[int]] = defaultdict(list)
    for group in groups:
        together: dict[Split, list[int]] = defaultdict(list)
        for row in group.tolist():
            together[scene.split(row)].append(row)
        for early, late in combinations(SPLITS, 2):
            if together[early] and together[late]:
                found[early, late] += together[early]
    for rows in found.values():
        rows.sort()
    return found


def _finding(scene: Scene, code: str, what: str, rows: list[int], *, fix: str) -> Finding:
    issue = Issue(
        code=code,
        severity="warning",
        what=what,
        count=len(rows),
        rows=scene.places(rows),
        fix=fix,
    )
    return Finding(issue, rows)
