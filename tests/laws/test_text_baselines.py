"""The laws of every baseline that writes text: it comes back byte for byte, it answers anything, alone as together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from burnish.decide.array_files import ARRAYS, SETTINGS
from burnish.decide.asked import Asked
from burnish.decide.sentences import sentence_spans, sentences
from burnish.decide.term_weights import terms, weigh_terms
from burnish.decide.text_baseline import TEXT_BASELINES, FittedTextBaseline, text_baselines
from burnish.decide.text_baselines import lead, retrieval, sentence
from burnish.errors import BurnishError
from burnish.evaluate.metric import point
from burnish.evaluate.spans import offsets_exact
from burnish.evaluate.written import written_from

TOPICS = ["cards", "loans", "refunds", "transfers", "passwords"]
CONTEXT = "All {0} start on Monday. The fee for {0} is {1} euros. Ask Dr. Lee about {0}, e.g. by mail. 終わり。"
ROWS = [
    (
        Asked(f"What is the fee for {topic}?", CONTEXT.format(topic, 3 + place)),
        [f"{3 + place} euros", f"{3 + place}"] if place % 4 else [],
    )
    for place, topic in enumerate(TOPICS * 3)
]
ODD = [
    Asked(""), Asked("?", "?"), Asked("fee", ""), Asked("Ünïcode 🎉", "🎉 🎉. Ünïcode!"), Asked("x" * 3000, "y" * 3000),
    Asked("料金は？", "料金は三ユーロです。終わり。"), Asked("the fee\n\nfor\x00loans", "loans. fee. loans fee\n"),
]  # fmt: skip
ANYTHING = [*(asked for asked, _ in ROWS), *ODD]
anything = st.text(max_size=60) | st.lists(
    st.sampled_from(["a fee", "Dr.", "e.g.", ".", "?!", "。", "\n", " ", "Lee", "3.5", "…", "”"]), max_size=15
).map("".join)  # fmt: skip


def built(name: str, *, rows=ROWS, metric: str = "f1", seed: int = 1) -> FittedTextBaseline:
    return TEXT_BASELINES[name].build(
        [asked for asked, _ in rows], [refs for _, refs in rows], metric=metric, seed=seed
    )


@pytest.mark.parametrize("name", TEXT_BASELINES)
def test_saved_and_loaded_it_answers_the_same_and_saves_the_same_bytes(
    name: str, tmp_path: Path
) -> None:
    fitted = built(name)
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    fitted.save(first)
    again = TEXT_BASELINES[name].load(first)
    assert again.answers(ANYTHING) == fitted.answers(ANYTHING)
    assert again.said() == fitted.said()
    assert again.size_bytes() == fitted.size_bytes() > 0
    again.save(second)
    for file in (ARRAYS, SETTINGS):
        assert (first / file).read_bytes() == (second / file).read_bytes()


@pytest.mark.parametrize("name", TEXT_BASELINES)
def test_rows_answer_in_order_and_alone_as_together(name: str) -> None:
    fitted = built(name)
    together = fitted.answers(ANYTHING)
    assert len(together) == len(ANYTHING)
    assert all(isinstance(text, str) for text in together)
    assert together == tuple(fitted.answers([one])[0] for one in ANYTHING)
    assert fitted.answers([]) == ()


@pytest.mark.parametrize("name", TEXT_BASELINES)
@pytest.mark.parametrize(
    "row", [(Asked("only", "only one."), ["one"]), (Asked(""), []), (Asked("?"), [""])]
)
def test_one_row_is_enough(name: str, row: tuple[Asked, list[str]]) -> None:
    assert len(built(name, rows=[row]).answers(ANYTHING)) == len(ANYTHING)


@pytest.mark.parametrize("name", TEXT_BASELINES)
def test_the_order_of_train_rows_does_not_matter(name: str) -> None:
    """But for rows that are equally near, of which the first is taken: here every question is asked once."""
    rows = [
        (Asked(f"{asked.text} {place}a", asked.context), refs)
        for place, (asked, refs) in enumerate(ROWS)
    ]
    asked = [one for one, _ in rows]
    assert built(name, rows=rows[::-1]).answers(asked) == built(name, rows=rows).answers(asked)


@pytest.mark.parametrize("name", TEXT_BASELINES)
def test_nothing_to_build_from_is_refused(name: str) -> None:
    with pytest.raises(BurnishError, match="evaluate-empty"):
        built(name, rows=[])
    with pytest.raises(BurnishError, match="evaluate-shape"):
        TEXT_BASELINES[name].build([Asked("a"), Asked("b")], [["c"]], metric="f1", seed=1)


@pytest.mark.parametrize("name", TEXT_BASELINES)
def test_a_broken_folder_is_refused(name: str, tmp_path: Path) -> None:
    built(name).save(tmp_path)
    (tmp_path / ARRAYS).write_bytes(b"nothing")
    with pytest.raises(BurnishError, match="model-unreadable"):
        TEXT_BASELINES[name].load(tmp_path)


def test_every_kind_of_texts_has_a_baseline() -> None:
    for kind in ("extractive-qa", "qa", "summarization", "chat"):
        assert text_baselines(kind)


@given(anything)
@settings(max_examples=200, deadline=None)
def test_sentences_hold_everything_but_white_space_in_order(text: str) -> None:
    spans = sentence_spans(text)
    ends = [0, *(end for _, end in spans)]
    for before, (start, end) in zip(ends, spans, strict=False):
        assert before <= start < end
        assert text[before:start].isspace() or before == start
        assert text[start:end] == text[start:end].strip()
    assert not text[ends[-1] :].strip()


def test_where_sentences_end() -> None:
    told = 'Mr. J. Smith paid 3.50 euros (see Fig. 2). "Why?" he asked. It was e.g. late... And? Then v. 2 came'
    assert sentences(told) == (
        "Mr. J. Smith paid 3.50 euros (see Fig. 2).", '"Why?"', "he asked.", "It was e.g. late...", "And?",
        "Then v. 2 came",
    )  # fmt: skip
    assert sentences("Doctor: Hi\nPatient: Hello. Bad\n\n") == (
        "Doctor: Hi",
        "Patient: Hello.",
        "Bad",
    )
    assert sentences("吾輩は猫である。「名前は？」まだ無い！") == (
        "吾輩は猫である。",
        "「名前は？」",
        "まだ無い！",
    )
    assert sentences("यह एक है। यह दो है।") == ("यह एक है।", "यह दो है।")


def test_lead_chooses_what_is_best_on_train() -> None:
    texts = [f"Word{n} is here. Second{n} comes. Third{n} ends. Fourth{n} too." for n in range(30)]
    references = [[f"Word{n} is here. Second{n} comes."] for n in range(30)]
    fitted = lead.build([Asked(text) for text in texts], references, metric="rougeL", seed=1)
    assert fitted.count == 2 and fitted.said() == "the first 2 sentences"
    scores = [
        point(
            "rougeL", written_from(lead.Lead(count).answers([Asked(t) for t in texts]), references)
        )
        for count in range(1, 5)
    ]
    assert int(np.argmax(scores)) + 1 == fitted.count
    # a metric that ROUGE's letters or a missing model keep from being measured is replaced by one that can
    for metric in ("loss", "perplexity", "length_ratio"):
        assert (
            lead.build([Asked(text) for text in texts], references, metric=metric, seed=1).count
            == 2
        )
    japanese = [Asked(f"猫{'あいうえお'[n]}です。次の文{n}。終わり{n}。") for n in range(5)]
    firsts = [[lead.first_sentences(one.text, count=1)] for one in japanese]
    assert lead.build(japanese, firsts, metric="rougeL", seed=1).count == 1


def test_a_question_from_train_gets_its_own_answer() -> None:
    rows = [(Asked(f"how do I {verb} the {thing}"), [f"{verb}-{thing}"]) for verb in ("open", "close", "sell")
            for thing in ("box", "door", "account")]  # fmt: skip
    fitted = built("retrieval", rows=rows)
    assert fitted.answers([asked for asked, _ in rows]) == tuple(refs[0] for _, refs in rows)
    assert retrieval.Retrieval.nearest(fitted, [Asked("SELL  the door!!"), Asked("zzz")]) == (7, -1)
    again = built(
        "retrieval",
        rows=[(Asked("a b"), ["rare"]), (Asked("c d"), ["often"]), (Asked("e f"), ["often"])],
    )
    assert again.answers([Asked("zzz")]) == ("often",)


def test_term_weights_are_scikit_learns() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    said = [asked.text + " " + asked.context for asked in ANYTHING] + [
        "card not card",
        "東京 tower tower",
    ]
    ours = weigh_terms(said)
    theirs = TfidfVectorizer(analyzer=terms, sublinear_tf=True).fit(said)
    assert list(theirs.get_feature_names_out()) == ours.ordered()
    rows = theirs.transform([*said, "never seen"]).toarray()
    for text, row in zip([*said, "never seen"], rows, strict=True):
        ids, weights = ours.vector(text)
        full = np.zeros(len(row))
        full[ids] = weights
        assert_allclose(full, row, atol=1e-12)


def test_sentences_are_cut_out_of_the_context_exactly() -> None:
    fitted = built("sentence")
    spans = fitted.spans(ANYTHING)
    assert offsets_exact([one.context for one in ANYTHING], spans).all()
    assert fitted.answers(ANYTHING) == tuple("" if span is None else span.text for span in spans)
    asked = Asked("What does the fee for loans come to?", CONTEXT.format("loans", 4))
    found = sentence.Sentence(fitted.weights, 0.0).answers([asked])
    assert found == ("The fee for loans is 4 euros.",)


def test_silence_is_learnt_from_rows_without_an_answer() -> None:
    answered = [
        (Asked(f"what is the fee for {t}", CONTEXT.format(t, 3)), [f"The fee for {t} is 3 euros."])
        for t in TOPICS
    ]
    silent = [
        (Asked(f"why do whales sing in {t} oceans", CONTEXT.format(t, 3)), []) for t in TOPICS
    ]
    fitted = built("sentence", rows=[*answered, *silent])
    assert fitted.least > 0 and "no answer below" in fitted.said()
    assert fitted.answers([asked for asked, _ in silent]) == ("",) * 5
    assert fitted.answers([asked for asked, _ in answered]) == tuple(
        refs[0] for _, refs in answered
    )
    assert built("sentence", rows=answered).least == 0
