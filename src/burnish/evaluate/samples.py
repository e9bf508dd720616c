"""Rows to look at: the worst, the best, the middle and some at random, texts side by side, differences marked.

Shape legend: R rows.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher

import numpy as np

from burnish.errors import fail
from burnish.evaluate.metric import metric_of, terms_of
from burnish.evaluate.script import SPACELESS_RANGES, words
from burnish.evaluate.worst import excerpt
from burnish.evaluate.written import Written
from burnish.records.encoding import FloatArray, IntArray
from burnish.records.sample import Picked, Piece, Sample, SampleText

EACH = 3
# a report holds excerpts, not whole documents; and differences of texts longer than this are no longer read
PROMPT_CHARACTERS = 1200
TEXT_CHARACTERS = 2400
# White space belongs to the word before it, so that runs of words stay in one piece; where a script has no spaces, each
# character stands alone.
_TOKEN = re.compile(rf"[{SPACELESS_RANGES}]\s*|[^\s{SPACELESS_RANGES}]+\s*|\s+")


def choose_samples(
    metric: str,
    models: Mapping[str, Written],
    *,
    where: Sequence[str],
    seed: int,
    each: int = EACH,
) -> tuple[Sample, ...]:
    """Up to `each` rows of every sort, chosen by what the *last* model wrote: worst, median, best, then random ones.

    `models` are named in the order they stand side by side ("base", "tuned"), all on the same rows; `where` are the
    rows' places. No row is shown twice; equal scores keep the order of the rows.

    Raises: metric-unknown, evaluate-no-likelihood, compare-other-rows, evaluate-empty (no model).
    """
    if not models:
        raise fail(
            "evaluate-empty",
            "no model's texts were given",
            expected="at least one model",
            fix="predict the split first",
        )
    *_, judged = models.values()
    for name, written in models.items():
        if written.references != judged.references:
            raise fail(
                "compare-other-rows",
                f'"{name}" wrote about other rows',
                expected="the same labelled rows in the same order",
                fix="predict the same split with both models, then compare",
            )
    scores = {name: row_scores(metric, written) for name, written in models.items()}
    *_, judged_R = scores.values()
    rising_R = np.argsort(
        judged_R if metric_of(metric).higher_is_better else -judged_R, kind="stable"
    )
    rows = len(rising_R)
    middle_R = np.argsort(np.abs(np.arange(rows) - (rows - 1) / 2), kind="stable")
    orders: tuple[tuple[Picked, IntArray], ...] = (
        ("worst", rising_R),
        ("median", rising_R[middle_R]),
        ("best", rising_R[::-1]),
        ("random", np.random.default_rng(seed).permutation(rows)),
    )
    taken: set[int] = set()
    samples: list[Sample] = []
    for picked, order_R in orders:
        fresh = [row for row in map(int, order_R) if row not in taken][:each]
        taken.update(fresh)
        samples += [_sample(row, picked, models, scores, where=where[row]) for row in fresh]
    return tuple(samples)


def row_scores(metric: str, written: Written) -> FloatArray:
    """The metric on each row alone: shape (R,). Of a corpus metric that is the row's own BLEU or chrF.

    Raises: metric-unknown, evaluate-no-likelihood.
    """
    terms_RS = terms_of(metric, written)
    return np.asarray(metric_of(metric).value(terms_RS, np.ones(len(terms_RS))), dtype=np.float64)


def differences(text: str, reference: str) -> tuple[Piece, ...]:
    """The text word by word beside the reference: in both, only in the text (extra), only in the reference (missing).

    Example:
        >>> [(piece.mark, piece.text) for piece in differences("the big cat sat", "the cat sat down")]
        [('same', 'the '), ('extra', 'big '), ('same', 'cat sat'), ('missing', 'down')]
    """
    said, true = _TOKEN.findall(text), _TOKEN.findall(reference)
    # words are compared without the white space behind them
    matcher = SequenceMatcher(
        None, [*map(str.strip, said)], [*map(str.strip, true)], autojunk=False
    )
    pieces = []
    for change, start, end, true_start, true_end in matcher.get_opcodes():
        ours, theirs = "".join(said[start:end]), "".join(true[true_start:true_end])
        if change == "equal":
            pieces.append(Piece(text=ours))
            continue
        pieces += [Piece(text=ours, mark="extra")] * bool(ours)
        pieces += [Piece(text=theirs, mark="missing")] * bool(theirs)
    return tuple(pieces)


def _sample(
    row: int,
    picked: Picked,
    models: Mapping[str, Written],
    scores: Mapping[str, FloatArray],
    *,
    where: str,
) -> Sample:
    *_, judged = models.values()
    references = judged.references[row]
    nearest = _nearest(judged.texts[row], references)
    return Sample(
        where=where,
        picked=picked,
        prompt=excerpt(judged.prompts[row], characters=PROMPT_CHARACTERS),
        reference=excerpt(nearest, characters=TEXT_CHARACTERS),
        references=len(references),
        texts=tuple(
            SampleText(
                model=name,
                pieces=differences(
                    excerpt(written.texts[row], characters=TEXT_CHARACTERS),
                    excerpt(nearest, characters=TEXT_CHARACTERS),
                ),
                score=float(scores[name][row]),
                finished=bool(written.finished_R[row]),
            )
            for name, written in models.items()
        ),
    )


def _nearest(text: str, references: Sequence[str]) -> str:
    """The reference that shares most words with the text; the first of equals."""
    said = Counter(words(text.casefold()))

    def shared(reference: str) -> float:
        true = Counter(words(reference.casefold()))
        return 2 * (said & true).total() / max(1, said.total() + true.total())

    return max(references, key=shared, default="")
