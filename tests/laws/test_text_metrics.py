"""The laws of the metrics of written texts: every row of METRICS that reads them, against the libraries themselves."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from burnish.errors import BurnishError
from burnish.evaluate.compare import compare, compare_accuracy
from burnish.evaluate.intervals import bootstrap
from burnish.evaluate.metric import METRICS, measurable, measure, metric_names, point, terms_of
from burnish.evaluate.metrics import bleu, chrf, rouge
from burnish.evaluate.scored import scored_from
from burnish.evaluate.written import Written, written_from

NAMES = sorted(name for name, metric in METRICS.items() if metric.reads is Written)
# What judges the text against the references, rather than how it is written or how likely they are.
BY_REFERENCE = ("exact_match", "f1", "rouge1", "rouge2", "rougeL", "bleu", "chrf")
# Of these, each row takes the reference it does best on, and the value is the mean of the rows.
BEST_OF = ("exact_match", "f1", "rouge1", "rouge2", "rougeL")
FEW = 60

# Few different words, so that texts share some; other scripts, marks and articles, so that none is left out.
WORDS = [
    "the",
    "a",
    "an",
    "cat",
    "cats",
    "running",
    "run",
    "Paris,",
    "2024",
    "(x)",
    "it's",
    "naïve",
    "東京",
    "—",
    "ß",
]
LETTERS = st.characters(codec="latin-1", exclude_categories=("Cc",))
texts = st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join) | st.text(LETTERS, max_size=30)
rows = st.tuples(texts, st.lists(texts, max_size=3), texts, st.booleans(), st.integers(1, 9))


@st.composite
def worlds(draw: st.DrawFn) -> Written:
    """Rows with several references, one or none, and everything else that can be told of them."""
    drawn = draw(st.lists(rows, min_size=1, max_size=8))
    return written_from(
        [row[0] for row in drawn],
        [row[1] for row in drawn],
        # half of the prompts hold the text, so that some are copied
        prompts=[f"{row[2]} {row[0]} x" if row[3] else row[2] for row in drawn],
        finished=[row[3] for row in drawn],
        nats=[1.5 * row[4] for row in drawn],
        supervised=[row[4] + 1 for row in drawn],
    )


def again(written: Written, **changed: object) -> Written:
    fields = {
        "texts": written.texts, "references": written.references, "prompts": written.prompts,
        "finished": written.finished_R, "nats": written.nats_R, "supervised": written.supervised_R,
        "groups_R": written.groups_R,
    }  # fmt: skip
    given_fields = {**fields, **changed}
    return written_from(given_fields.pop("texts"), given_fields.pop("references"), **given_fields)


def streams(references: Sequence[Sequence[str]]) -> list[list[str | None]]:
    most = max(1, *map(len, references))
    kept = [list(row) or [""] for row in references]
    return [[row[n] if n < len(row) else None for row in kept] for n in range(most)]


def squad(text: str) -> list[str]:
    """SQuAD's normalisation, one mark at a time."""
    marks = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
    plain = "".join(letter for letter in text.lower() if letter not in marks)
    return re.sub(r"\b(a|an|the)\b", " ", plain).split()


def squad_f1(text: str, reference: str) -> float:
    said, true = squad(text), squad(reference)
    if not said or not true:
        return float(said == true)
    common = sum((Counter(said) & Counter(true)).values())
    precision, recall = common / len(said), common / len(true)
    return 2 * precision * recall / (precision + recall) if common else 0.0


def squad_answers(references: Sequence[str]) -> Sequence[str]:
    return [one for one in references if squad(one)] or [""]


def mean_of(row: Callable[[str, Sequence[str]], float]) -> Callable[[Written], float]:
    return lambda written: float(
        np.mean(
            [row(text, refs) for text, refs in zip(written.texts, written.references, strict=True)]
        )
    )


def rouge_of(name: str) -> Callable[[Written], float]:
    scorer = RougeScorer([name], use_stemmer=True)

    def row(text: str, references: Sequence[str]) -> float:
        if not references:
            return float(not text.strip())
        return scorer.score_multi(references, text)[name].fmeasure

    return mean_of(row)


def tokenizer(written: Written) -> str:
    return "char" if written.script == "Han" else "13a"


def told(text: str) -> list[str]:
    """Words; the two characters of WORDS that are words of their own are set apart by hand."""
    spaced = re.sub(r"([東京])", r" \1 ", text)
    return "".join(mark if mark.isalnum() else " " for mark in spaced).split()


def repeated(text: str) -> float:
    runs = [tuple(told(text)[start : start + 4]) for start in range(len(told(text)) - 3)]
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


def copied(text: str, prompt: str) -> bool:
    said, asked = told(text.casefold()), told(prompt.casefold())
    starts = range(len(asked) - len(said) + 1)
    inside = any(asked[start : start + len(said)] == said for start in starts)
    return bool(said) and (said == asked or (len(said) >= 8 and inside))


def nearest(text: str, references: Sequence[str]) -> int:
    return min(sorted(map(len, references)), key=lambda n: abs(n - len(text)), default=0)


def length_ratio(written: Written) -> float:
    said = sum(map(len, written.texts))
    true = sum(map(nearest, written.texts, written.references))
    return said / max(true, 1) if said + true else 1.0


def empty_rate(written: Written) -> float:
    there = [not t.strip() for t, r in zip(written.texts, written.references, strict=True) if r]
    return float(np.mean(there)) if there else 0.0


def loss(written: Written) -> float:
    return float(written.nats_R.sum() / written.supervised_R.sum())


ORACLES: dict[str, Callable[[Written], float]] = {
    "exact_match": mean_of(lambda t, refs: float(any(squad(t) == squad(r) for r in squad_answers(refs)))),
    "f1": mean_of(lambda t, refs: max(squad_f1(t, r) for r in squad_answers(refs))),
    "rouge1": rouge_of("rouge1"),
    "rouge2": rouge_of("rouge2"),
    "rougeL": rouge_of("rougeL"),
    "bleu": lambda w: sacrebleu.corpus_bleu(
        list(w.texts), streams(w.references), tokenize=tokenizer(w), force=True
    ).score / 100,
    "chrf": lambda w: sacrebleu.corpus_chrf(list(w.texts), streams(w.references)).score / 100,
    "loss": loss,
    "perplexity": lambda w: math.exp(loss(w)),
    "length_ratio": length_ratio,
    "empty_rate": empty_rate,
    "runaway_rate": lambda w: 1 - float(np.mean(w.finished_R)),
    "repetition": lambda w: float(np.mean([repeated(text) for text in w.texts])),
    "copied_rate": lambda w: float(np.mean([*map(copied, w.texts, w.prompts)])),
}  # fmt: skip


def test_every_metric_has_an_oracle() -> None:
    assert set(ORACLES) == set(NAMES)


@given(worlds())
@settings(max_examples=150, deadline=None)
def test_equals_the_oracle(written: Written) -> None:
    for name in NAMES:
        assert point(name, written) == pytest.approx(ORACLES[name](written), abs=1e-9), name


@given(worlds(), st.integers(0, 9))
@settings(max_examples=25, deadline=None)
def test_interval_contains_the_point_and_stays_on_the_scale(written: Written, seed: int) -> None:
    for name in NAMES:
        metric = METRICS[name]
        found = measure(name, written, seed=seed, resamples=FEW)
        assert found.n == len(written)
        if found.low is None or found.high is None:
            assert metric.unit != "fraction"
            continue
        assert found.low <= found.value <= found.high, name
        if metric.unit == "fraction":
            assert -1e-12 <= found.low and found.high <= 1 + 1e-12, name


@given(st.lists(st.tuples(texts, st.lists(texts, max_size=2)), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_the_reference_itself_is_the_best_answer(drawn: list[tuple[str, list[str]]]) -> None:
    # five words of letters that every metric can read stand before whatever is drawn
    known = [(f"one two three four five {text}", more) for text, more in drawn]
    written = written_from(
        [text for text, _ in known],
        [[*more, text] for text, more in known],
        nats=[0.0] * len(known),
        supervised=[3] * len(known),
    )
    for name in [*BY_REFERENCE, "loss", "perplexity", "length_ratio", "empty_rate", "runaway_rate"]:
        assert point(name, written) == pytest.approx(METRICS[name].best, abs=1e-9), name


@given(worlds(), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_the_order_of_rows_does_not_matter(written: Written, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(written))
    moved = written.part(order)
    for name in NAMES:
        assert point(name, moved) == pytest.approx(point(name, written), abs=1e-12), name


@given(worlds(), texts)
@settings(max_examples=60, deadline=None)
def test_one_more_reference_never_hurts_a_row(written: Written, one: str) -> None:
    answerable = np.flatnonzero(written.answerable_R)
    if not len(answerable):
        return
    before = written.part(answerable)
    after = again(before, references=[(*row, one) for row in before.references])
    for name in BEST_OF:
        # SQuAD drops references of which nothing is left, so that one more may be the first that counts
        kept = [row for row, refs in enumerate(before.references) if any(map(squad, refs))]
        rows_N = np.array(
            kept if name in ("exact_match", "f1") else range(len(before)), dtype=np.int64
        )
        gained = terms_of(name, after)[rows_N, 0] - terms_of(name, before)[rows_N, 0]
        assert (gained >= -1e-12).all(), name


@given(worlds())
@settings(max_examples=30, deadline=None)
def test_the_order_of_references_does_not_matter(written: Written) -> None:
    turned = again(written, references=[row[::-1] for row in written.references])
    for name in (*BEST_OF, "bleu", "length_ratio"):
        assert point(name, turned) == pytest.approx(point(name, written), abs=1e-12), name


def corpus(rows: int, *, seed: int) -> Written:
    """Texts that share much, a little or nothing with their references."""
    random = np.random.default_rng(seed)
    vocabulary = [f"word{number}" for number in range(12)]
    references = [" ".join(random.choice(vocabulary, random.integers(4, 15))) for _ in range(rows)]
    said = [
        " ".join(
            word if random.random() < 0.7 else random.choice(vocabulary) for word in one.split()
        )
        for one in references
    ]
    return written_from(
        said,
        [[one] if place % 9 else [one, said[place]] for place, one in enumerate(references)],
        prompts=[text if random.random() < 0.3 else "else" for text in said],
        finished=random.random(rows) < 0.8,
        nats=random.gamma(3.0, size=rows),
        supervised=random.integers(1, 20, rows),
    )


@pytest.mark.parametrize("name", NAMES)
def test_resampling_by_counts_is_resampling_rows(name: str) -> None:
    written = corpus(40, seed=3)
    found = bootstrap(terms_of(name, written), METRICS[name].value, seed=5, resamples=20)
    drawn = np.random.default_rng(5).integers(0, 40, size=(20, 40))
    by_hand = []
    for rows_N in drawn:
        part = written.part(rows_N)
        part.known.clear()
        by_hand.append(point(name, part))
    np.testing.assert_allclose(found.values_BK[:, 0], by_hand, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_a_model_equals_itself_and_differences_turn_round(name: str) -> None:
    one = corpus(50, seed=4)
    other = again(
        one,
        texts=["word1 word2", *one.texts[1:][::-1]],
        finished=one.finished_R[::-1],
        nats=one.nats_R[::-1],
    )
    same = compare(name, one, one, ours="a", theirs="b", seed=1, resamples=FEW)
    assert (same.difference, same.low, same.high, same.p_value) == (0, 0, 0, 1)
    there = compare(name, one, other, ours="a", theirs="b", seed=1, resamples=FEW)
    back = compare(name, other, one, ours="b", theirs="a", seed=1, resamples=FEW)
    assert there.difference == pytest.approx(-back.difference)
    assert there.difference == pytest.approx(point(name, one) - point(name, other))
    assert there.p_value == pytest.approx(back.p_value)


@pytest.mark.parametrize("name", ["f1", "rougeL", "chrf", "bleu"])
def test_the_interval_covers_the_value_of_many_rows(name: str) -> None:
    """Nominally 95% of intervals on 60 of 3,000 rows hold the value on all; 90% is within chance of 60 tries."""
    everything = corpus(3000, seed=6)
    truth = point(name, everything)
    random = np.random.default_rng(7)
    held = 0
    for seed in range(60):
        found = measure(
            name, everything.part(random.integers(0, 3000, 60)), seed=seed, resamples=400
        )
        held += found.low <= truth <= found.high
    assert held >= 51, f"{held} of 60"


def test_rows_entirely_right_are_compared_by_exact_match() -> None:
    references = [["Paris"], ["the cat"], [], ["7"]]
    ours = written_from(["paris", "cat", "", "7."], references)
    theirs = written_from(["paris", "dog", "cat", "8"], references)
    found = compare_accuracy(ours, theirs, ours="a", theirs="b", seed=1)
    assert (found.metric, found.difference, found.method) == ("exact_match", 0.75, "exact McNemar")
    assert found.p_value == pytest.approx(0.25)


def test_other_references_are_other_rows() -> None:
    with pytest.raises(BurnishError, match="compare-other-rows"):
        compare(
            "f1",
            written_from(["x"], [["a"]]),
            written_from(["x"], [["b"]]),
            ours="a",
            theirs="b",
            seed=1,
        )


def test_what_was_not_told_is_not_measured() -> None:
    plain = written_from(["x"], [["x"]])
    assert [name for name in NAMES if not measurable(name, plain)] == ["loss", "perplexity"]
    with pytest.raises(BurnishError, match="evaluate-no-likelihood"):
        point("perplexity", plain)
    labels = scored_from(np.eye(2), np.eye(2), objective="softmax")
    assert not measurable("f1", labels) and not measurable("accuracy", plain)
    with pytest.raises(BurnishError, match="metric-unknown"):
        point("accuracy", plain)
    with pytest.raises(BurnishError, match="metric-unknown"):
        point("rougeL", labels)


def test_tokens_not_rows_carry_the_perplexity() -> None:
    written = written_from(
        ["", ""], [["x"], ["y"]], nats=[math.log(2) * 9, 0.0], supervised=[9, 91]
    )
    assert point("perplexity", written) == pytest.approx(2 ** (9 / 100))


@pytest.mark.parametrize(
    ("text", "references", "exact", "f1"),
    [
        ("", [], 1.0, 1.0),
        ("the", [], 1.0, 1.0),
        ("Paris", [], 0.0, 0.0),
        ("", ["Paris"], 0.0, 0.0),
        ("the U.S.A.", ["usa", "America"], 1.0, 1.0),
        ("in Paris", ["Paris"], 0.0, 2 / 3),
        ("Paris Paris", ["Paris"], 0.0, 2 / 3),
        ("theatre", ["atre"], 0.0, 0.0),
        ("7", ["the", "7"], 1.0, 1.0),
    ],
)
def test_answers_are_scored_as_squad_scores_them(
    text: str, references: list[str], exact: float, f1: float
) -> None:
    written = written_from([text], [references])
    assert (point("exact_match", written), point("f1", written)) == (exact, pytest.approx(f1))


def test_signatures_are_the_librarys_own() -> None:
    said, references = ["the cat sat here"], [["the cat sat", "a cat"]]
    written = written_from(said, references)
    metric = sacrebleu.BLEU()
    metric.corpus_score(said, streams(references))
    assert bleu.signature(written) == str(metric.get_signature())
    other = sacrebleu.CHRF()
    other.corpus_score(said, streams(references))
    assert chrf.signature(written) == str(other.get_signature())
    several = written_from(["x", "y"], [["x"], ["y", "z"]])
    assert "nrefs:var" in bleu.signature(several)
    assert "tok:char" in bleu.signature(written_from(["東京"], [["東京です"]]))
    assert rouge.signature().startswith("rouge-score:0.1.2|")


@given(
    st.lists(st.sampled_from("abcd"), max_size=70), st.lists(st.sampled_from("abcd"), max_size=70)
)
@settings(max_examples=100, deadline=None)
def test_the_longest_common_subsequence_is_the_tables(first: list[str], second: list[str]) -> None:
    table = np.zeros((len(first) + 1, len(second) + 1), dtype=int)
    for i, one in enumerate(first, start=1):
        for j, other in enumerate(second, start=1):
            table[i, j] = (
                table[i - 1, j - 1] + 1 if one == other else max(table[i - 1, j], table[i, j - 1])
            )
    assert rouge.longest_common(first, second) == table[-1, -1]


def test_kinds_of_texts_have_metrics() -> None:
    for kind in ("extractive-qa", "qa", "summarization", "chat"):
        assert set(metric_names(kind)) <= set(NAMES) and len(metric_names(kind)) >= 3
