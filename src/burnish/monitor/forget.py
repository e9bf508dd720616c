"""Forget rows in judged windows: what the window said stays, the words of the rows it showed do not."""

from __future__ import annotations

from collections.abc import Collection

from burnish.data.erased import Erased
from burnish.data.tombstones import MARK
from burnish.records.signal import ChangedRow, Share, Watched


def forget_in_window(watched: Watched, *, erased: Erased, predictions: Collection[str]) -> Watched:
    """The window with every text of those predictions, and every word only they had, marked; no number changes."""
    change = watched.change

    def row(one: ChangedRow) -> ChangedRow:
        text = MARK if one.prediction_id in predictions else erased.text(one.text)
        return one.model_copy(update={"text": text if one.text else ""})

    def share(one: Share) -> Share:
        return one.model_copy(update={"name": erased.word(one.name)})

    return watched.model_copy(
        update={
            "change": change.model_copy(
                update={
                    "words_more": tuple(map(share, change.words_more)),
                    "words_less": tuple(map(share, change.words_less)),
                    "topics": tuple(map(share, change.topics)),
                    "rows": tuple(map(row, change.rows)),
                }
            ),
        }
    )
