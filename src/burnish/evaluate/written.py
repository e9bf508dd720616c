"""What every metric of written texts sees: one model's texts beside the references of the same rows.

Shape legend: R rows, S terms of a row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from burnish.errors import fail
from burnish.evaluate.scored import BoolArray, renumbered
from burnish.evaluate.script import script_of
from burnish.records.encoding import FloatArray, IntArray

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """One model's texts beside the truth, with what decoding and the likelihood of the references told.

    `references` of a row are all right answers; none at all means that the right answer is to give none.
    `prompts` are the inputs as the model read them. `script` is that of the references ("Latin").

    Shapes: finished_R bool, False where the limit of new tokens ended the text; new_tokens_R int64 or None.
    Units: nats_R is minus the log probability of each row's first reference, summed over its supervised_R
    tokens; both None when nobody asked the model for it. groups_R as in `Scored`.
    """

    texts: tuple[str, ...]
    references: tuple[tuple[str, ...], ...]
    prompts: tuple[str, ...]
    finished_R: BoolArray
    script: str
    new_tokens_R: IntArray | None = None
    nats_R: FloatArray | None = None
    supervised_R: IntArray | None = None
    groups_R: IntArray | None = None
    # terms once computed: a comparison with each of several models asks for ours again
    known: dict[str, FloatArray] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def answerable_R(self) -> BoolArray:
        """Rows that have an answer."""
        return np.array([bool(references) for references in self.references], dtype=np.bool_)

    def remembered(self, name: str, count: Callable[[Written], FloatArray]) -> FloatArray:
        """The terms of that name, shape (R, S), counted once."""
        if name not in self.known:
            self.known[name] = count(self)
        return self.known[name]

    def part(self, rows_N: IntArray) -> Written:
        """The rows at these places; groups are numbered anew, the script is that of all rows."""
        return Written(
            texts=_at(self.texts, rows_N),
            references=_at(self.references, rows_N),
            prompts=_at(self.prompts, rows_N),
            finished_R=self.finished_R[rows_N],
            script=self.script,
            new_tokens_R=None if self.new_tokens_R is None else self.new_tokens_R[rows_N],
            nats_R=None if self.nats_R is None else self.nats_R[rows_N],
            supervised_R=None if self.supervised_R is None else self.supervised_R[rows_N],
            groups_R=renumbered(self.groups_R, rows_N),
            known={name: terms_RS[rows_N] for name, terms_RS in self.known.items()},
        )


def written_from(
    texts: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    prompts: Sequence[str] | None = None,
    finished: Sequence[bool] | None = None,
    new_tokens: Sequence[int] | None = None,
    nats: Sequence[float] | None = None,
    supervised: Sequence[int] | None = None,
    groups_R: IntArray | None = None,
) -> Written:
    """Set texts beside the references of their rows; who says nothing about stopping has stopped.

    Raises: evaluate-empty (no rows), evaluate-shape (one list is longer than another),
    evaluate-not-a-number (a likelihood that is none, rows by number).

    Example:
        >>> written = written_from(["Paris", "I do not know"], [["Paris", "paris"], []])
        >>> len(written), written.answerable_R.tolist(), written.script
        (2, [True, False], 'Latin')
    """
    rows = len(texts)
    if not rows:
        raise fail(
            "evaluate-empty",
            "there is no row to measure on",
            expected="at least one labelled row in the split",
            fix="add labelled rows, or give a test file under [data] in task.toml",
        )
    given = {
        "references": references, "prompts": prompts, "finished": finished, "new_tokens": new_tokens,
        "nats": nats, "supervised": supervised, "groups": groups_R,
    }  # fmt: skip
    for name, values in given.items():
        if values is not None and len(values) != rows:
            raise fail(
                "evaluate-shape",
                f"{rows} texts came with {name} for {len(values)} rows",
                expected="one of each for every row",
                fix="predict these rows again with the model trained for this task",
            )
    if (nats is None) != (supervised is None):
        raise fail(
            "evaluate-shape",
            "a likelihood came without its number of tokens, or the number without the likelihood",
            expected="nats and supervised tokens for every row, or neither",
            fix="predict these rows again with the model trained for this task",
        )
    nats_R = None if nats is None else np.asarray(nats, dtype=np.float64)
    if nats_R is not None and np.isnan(nats_R).any():
        broken = np.flatnonzero(np.isnan(nats_R))
        raise fail(
            "evaluate-not-a-number",
            f"the likelihood of the reference is not a number for {len(broken)} rows",
            where=", ".join(f"row {row}" for row in broken[:5]),
            expected="a finite number for every row",
            fix="the weights are damaged or diverged: train again with a lower learning_rate",
        )
    return Written(
        texts=tuple(texts),
        references=tuple(tuple(row) for row in references),
        prompts=("",) * rows if prompts is None else tuple(prompts),
        finished_R=np.ones(rows, np.bool_) if finished is None else np.asarray(finished, np.bool_),
        script=script_of(text for row in references for text in row),
        new_tokens_R=None if new_tokens is None else np.asarray(new_tokens, np.int64),
        nats_R=nats_R,
        supervised_R=None if supervised is None else np.asarray(supervised, np.int64),
        groups_R=groups_R,
    )


def _at(values: Sequence[T], rows_N: IntArray) -> tuple[T, ...]:
    return tuple(values[row] for row in map(int, rows_N))
