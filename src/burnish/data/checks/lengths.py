"""Texts longer than the model reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from burnish.data.evidence import Finding, Scene, Seen
from burnish.data.spill import Column
from burnish.records.dataset import Issue
from burnish.records.task import Task

CODE = "text-too-long"
_TOGETHER = 1000


class Lengths:
    """One finding: how many rows would lose their end, and how much. Silent without a model to count for."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._waiting: list[tuple[int, Mapping[str, str]]] = []
        self._long = Column()
        self._lengths = Column()
        self._tokens = 0

    def see(self, row: Seen) -> None:
        if self._scene.token_lengths is None or self._scene.limit_tokens is None:
            return
        self._waiting.append((row.number, row.inputs))
        if len(self._waiting) >= _TOGETHER:
            self._count()

    def findings(self) -> Iterator[Finding]:
        self._count()
        limit = self._scene.limit_tokens
        if limit is None or not len(self._long):
            return
        numbers, lengths = self._long.all(), self._lengths.all()
        lost = int(lengths.sum()) - limit * len(lengths)
        longest_first = numbers[(-lengths).argsort(kind="stable")].tolist()
        task = self._scene.task
        what, fix = _fate(task)
        yield Finding(
            Issue(
                code=CODE,
                severity="note" if task is not None and task.finds else "warning",
                what=f"{len(numbers)} of {len(self._scene)} rows are longer than the {limit} tokens the model "
                f"reads; {what} ({lost} of {self._tokens} tokens beyond the limit, "
                f"the longest row has {int(lengths.max())})",
                count=len(numbers),
                rows=self._scene.places(longest_first),
                fix=fix,
            ),
            longest_first,
        )

    def _count(self) -> None:
        count, limit = self._scene.token_lengths, self._scene.limit_tokens
        if count is None or limit is None or not self._waiting:
            return
        found = count([inputs for _, inputs in self._waiting])
        for (number, _), length in zip(self._waiting, found, strict=True):
            self._tokens += length
            if length > limit:
                self._long.add(number)
                self._lengths.add(length)
        self._waiting.clear()


def _fate(task: Task | None) -> tuple[str, str]:
    """What becomes of a text that is too long, and what to do about it."""
    if task is not None and task.finds:
        return (
            "they are read in overlapping windows, and nothing is lost",
            "nothing, or raise max_tokens if the model allows it: fewer windows answer faster",
        )
    if task is not None and task.writes and task.truncate is None:
        return (
            "training and serving refuse them",
            "set truncate, raise max_tokens if the model allows it, or shorten the texts",
        )
    if task is not None and task.writes:
        return (
            f'their prompts are cut (truncate = "{task.truncate}")',
            "raise max_tokens if the model allows it, or shorten the texts",
        )
    return "their ends are cut", "raise max_tokens if the model allows it, or shorten the texts"
