"""What is told of written texts beside their metrics: scripts, degenerate models, samples, exact offsets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.errors import BurnishError
from burnish.evaluate.degenerate import degenerate, distinct_answers
from burnish.evaluate.gate import gate
from burnish.evaluate.metric import measure, point
from burnish.evaluate.samples import choose_samples, differences, row_scores
from burnish.evaluate.script import metric_in_place_of, script_of, words
from burnish.evaluate.slices import slices
from burnish.evaluate.spans import SaidSpan, offset_exactness, offsets_exact
from burnish.evaluate.written import Written, written_from
from burnish.records.example import Example, Source
from burnish.records.report import Comparison, Report
from burnish.records.task import Gate, LabelSpec, Task

LONG = "a long question about the opening hours of our small office"
ROWS = 40
PLACES = [f"test.csv:{row + 2}" for row in range(ROWS)]


def world(texts: list[str], **told: object) -> Written:
    references = [[f"answer number {row} is quite another one"] for row in range(len(texts))]
    return written_from(
        texts, references, prompts=[f"{LONG} {row}" for row in range(len(texts))], **told
    )


def good() -> list[str]:
    return [f"answer number {row} is mostly another" for row in range(ROWS)]


def faults(written: Written) -> list[str]:
    return [one.fault for one in degenerate(written, where=PLACES)]


def test_a_model_that_answers_is_not_named() -> None:
    assert faults(world(good())) == []
    # one row in forty is for the list of worst rows
    assert faults(world(["", *good()[1:]])) == []


@pytest.mark.parametrize("share", [0.3, 1.0])
@pytest.mark.parametrize(
    ("fault", "text", "finished"),
    [
        ("same-text", "I do not know.", True),
        ("copies-prompt", None, True),
        ("never-stops", "and so on", False),
        ("empty", "  ", True),
        ("repeats", "that is that is that is that is that is that is that is", True),
    ],
)
def test_degenerate_models_are_named(
    fault: str, text: str | None, finished: bool, share: float
) -> None:
    bad = int(ROWS * share)
    texts = good()
    for row in range(bad):
        texts[row] = f"{LONG} {row}" if text is None else f"{text} {row}" if not finished else text
    written = world(texts, finished=[row >= bad or finished for row in range(ROWS)])
    (found,) = [one for one in degenerate(written, where=PLACES) if one.fault == fault]
    assert (found.rows, found.n, found.references, found.where) == (bad, ROWS, 0, "test.csv:2")
    assert f"{bad} of 40 (test.csv:2)" in found.sentence
    assert "{" not in found.sentence and "None" not in found.sentence
    if fault == "empty":
        assert faults(written) == ["empty"]


def test_what_right_answers_do_is_no_fault() -> None:
    """A support desk with two replies, answers that are pieces of the question, rows without an answer."""
    two = [f"reply {row % 2} of the desk" for row in range(ROWS)]
    assert faults(written_from(two, [[text] for text in two])) == []
    piece = " ".join(LONG.split()[:9])
    assert faults(written_from([piece] * ROWS, [[piece]] * ROWS, prompts=[LONG] * ROWS)) == []
    assert faults(written_from([""] * ROWS, [[]] * ROWS)) == []
    assert distinct_answers(written_from(["a", "b ", "b"], [["x"]] * 3)) == 2


def test_scripts_and_what_can_read_them() -> None:
    assert script_of([]) == script_of(["123 !?"]) == "Latin"
    assert script_of(["ｆｕｌｌ ｗｉｄｔｈ"]) == "Latin"
    assert script_of(["한국어입니다"]) == "Hangul"
    assert script_of(["यह हिन्दी है"]) == "Devanagari"
    assert script_of(["中文"]) == "Han"
    assert metric_in_place_of("rouge1", script="Hangul")[0] == "chrf"
    assert metric_in_place_of("f1", script="Hangul") == ("", "")
    assert metric_in_place_of("chrf", script="Han") == ("", "")
    assert "Han" in metric_in_place_of("rougeL", script="Han")[1]
    assert words("यह हिन्दी है।") == ["यह", "हिन्दी", "है"]
    assert words("naïve cafe\u0301 a_b") == ["naïve", "cafe\u0301", "a", "b"]


def test_identical_japanese_is_why_chrf_stands_in() -> None:
    written = written_from(["東京は首都です。"], [["東京は首都です。"]])
    assert point("rougeL", written) == 0.0
    assert point("chrf", written) == pytest.approx(1.0)
    assert point("bleu", written) == pytest.approx(1.0)
    assert metric_in_place_of("rougeL", script=written.script)[0] == "chrf"


texts = st.lists(
    st.sampled_from(["cat ", "the ", "sat", " ", "\n", "東京", "<b>", "&amp;"]), max_size=15
).map("".join)


@given(texts | st.text(max_size=40), texts | st.text(max_size=40))
@settings(max_examples=150, deadline=None)
def test_pieces_put_together_are_the_text(text: str, reference: str) -> None:
    pieces = differences(text, reference)
    assert "".join(piece.text for piece in pieces if piece.mark != "missing") == text
    there = "".join(piece.text for piece in pieces if piece.mark != "extra")
    assert there.split() == reference.split() or "".join(there.split()) == "".join(
        reference.split()
    )
    assert all(piece.text for piece in pieces)
    if text == reference and text:
        assert [piece.mark for piece in pieces] == ["same"]


def test_samples_are_the_ends_the_middle_and_some_at_random() -> None:
    random = np.random.default_rng(2)
    references = [
        [f"one two three four five six row{row}", "something else"] for row in range(ROWS)
    ]
    tuned = [" ".join(refs[0].split()[: int(random.integers(1, 8))]) for refs in references]
    base = ["one"] * ROWS
    models = {
        "base": written_from(base, references, prompts=["<ask>"] * ROWS),
        "tuned": written_from(
            tuned, references, prompts=["<ask>"] * ROWS, finished=[True] * 39 + [False]
        ),
    }
    found = choose_samples("rougeL", models, where=PLACES, seed=3, each=4)
    assert [one.picked for one in found] == ["worst"] * 4 + ["median"] * 4 + ["best"] * 4 + [
        "random"
    ] * 4
    assert len({one.where for one in found}) == 16
    scores = row_scores("rougeL", models["tuned"])
    by_place = dict(zip(PLACES, scores, strict=True))
    kept = {
        name: [by_place[one.where] for one in found if one.picked == name]
        for name in ("worst", "median", "best")
    }
    assert max(kept["worst"]) <= min(kept["median"]) and max(kept["median"]) <= min(kept["best"])
    assert kept["worst"] == sorted(scores)[:4] and sorted(kept["best"]) == sorted(scores)[-4:]
    for one in found:
        row = PLACES.index(one.where)
        assert [text.model for text in one.texts] == ["base", "tuned"]
        assert one.texts[1].score == pytest.approx(scores[row])
        assert one.texts[1].finished == (row != 39)
        assert (one.prompt, one.reference, one.references) == ("<ask>", references[row][0], 2)
    assert choose_samples("rougeL", models, where=PLACES, seed=3, each=4) == found
    # of a loss the greatest is the worst; few rows are all shown once
    few = written_from(["x", "y"], [["x"], []], nats=[9.0, 1.0], supervised=[1, 1])
    assert [(one.where, one.picked) for one in choose_samples("loss", {"m": few}, where=["a", "b"], seed=1)] == [
        ("a", "worst"), ("b", "worst"),
    ]  # fmt: skip
    other = written_from(["x"], [["y"]])
    with pytest.raises(BurnishError, match="compare-other-rows"):
        choose_samples("f1", {"base": other, "tuned": few}, where=["a", "b"], seed=1)


def test_offsets_must_cut_out_what_is_said() -> None:
    contexts = ["in Paris, now", "in Rome", "nothing", "in 🎉 Oslo"]
    said = [SaidSpan(3, 8, "Paris"), SaidSpan(2, 7, "Rome"), None, SaidSpan(5, 9, "Oslo")]
    assert offsets_exact(contexts, said).tolist() == [True, False, True, True]
    assert offsets_exact(["abc"], [SaidSpan(-3, 3, "abc")]).tolist() == [False]
    found = offset_exactness(contexts, said, [["paris"], ["Rome"], [], ["Bergen"]])
    assert (found.value, found.n) == (0.5, 2) and found.low < 0.5 < found.high
    none = offset_exactness(["a"], [None], [["a"]])
    assert (none.n, none.low, none.high) == (0, None, None)
    with pytest.raises(BurnishError, match="evaluate-shape"):
        offsets_exact(["a"], [])


def test_lists_of_different_lengths_are_refused() -> None:
    with pytest.raises(BurnishError, match="evaluate-empty"):
        written_from([], [])
    for told in (
        {"prompts": ["a", "b"]},
        {"finished": []},
        {"nats": [1.0]},
        {"nats": [1.0, 2.0], "supervised": [1]},
    ):
        with pytest.raises(BurnishError, match="evaluate-shape"):
            written_from(["x"], [["y"]], **told)
    with pytest.raises(BurnishError, match="evaluate-not-a-number"):
        written_from(["x"], [["y"]], nats=[float("nan")], supervised=[1])


def test_groups_are_drawn_whole() -> None:
    texts = [f"answer {row // 10}" for row in range(ROWS)]
    references = [[f"answer {row // 10 if row < 20 else 'x'}"] for row in range(ROWS)]
    alone = measure("exact_match", written_from(texts, references), seed=1)
    together = measure(
        "exact_match", written_from(texts, references, groups_R=np.arange(ROWS) // 10), seed=1
    )
    assert together.value == alone.value == 0.5
    assert together.high - together.low > 1.5 * (alone.high - alone.low)


def test_slices_of_texts() -> None:
    examples = [
        Example(
            row_id=str(row), input_id=str(row), inputs={"q": "x"}, label=None, source=Source(where=PLACES[row]),
            columns={"topic": "bad" if row < 12 else "good"},
        )
        for row in range(ROWS)
    ]  # fmt: skip
    texts = [
        "no" if row < 12 else f"answer number {row} is quite another one" for row in range(ROWS)
    ]
    found = {
        one.value: one
        for one in slices("rougeL", world(texts), examples, columns=["topic"], seed=1)
    }
    assert (found["bad"].measure.value, found["bad"].flagged) == (0.0, True)
    assert (found["good"].measure.value, found["good"].flagged) == (1.0, False)


def test_a_length_ratio_is_held_within_bounds_only() -> None:
    task = Task(
        name="t", kind="classification", inputs=("q",), label="a",
        labels=(LabelSpec(name="a"), LabelSpec(name="b")), primary_metric="accuracy",
        gates=(Gate(metric="length_ratio", at_least=0.8, at_most=1.2), Gate(metric="length_ratio", than="lead")),
    )  # fmt: skip
    one, other = world(good()), world(["x"] * ROWS)
    measured = measure("length_ratio", one, seed=1)
    made = Report.model_construct(
        model="tuned", measures=(measured,), calibration=None,
        comparisons=(Comparison(ours="tuned", theirs="lead", metric="length_ratio", difference=0.1, low=0.0, high=0.2,
                                p_value=0.1, n=ROWS, method="paired bootstrap"),),
    )  # fmt: skip
    judged = gate(task, made)
    assert [result.passed for result in judged.gates] == [True, False]
    assert "best at 1" in judged.gates[1].found
    assert point("length_ratio", other) < 0.1
