"""What `burnish init` makes of real files, and of the awkward ones."""

from __future__ import annotations

import csv
import random
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.data.examples import read_examples
from burnish.data.start import start
from burnish.errors import BurnishError
from burnish.records.task import DataFiles, Task
from burnish.tasks.kind import KINDS
from burnish.tasks.load import load_task
from burnish.tasks.propose import Proposal, no_proposal, propose, task_name
from burnish.tasks.sense import sense_problems
from burnish.tasks.write import task_text, write_task
from support_task import unlike

Rows = Sequence[Mapping[str, str]]
SAMPLE = Path(__file__).parents[2] / "examples" / "support_tickets" / "tickets.csv"


def read(path: Path) -> tuple[list[str], Rows]:
    csv.field_size_limit(10_000_000)
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    return list(rows[0]), rows


def proposals(path: Path, *, kind: str | None = None) -> tuple[Proposal, ...]:
    columns, rows = read(path)
    return propose(
        columns, rows, name=path.parent.name, files=DataFiles(train=(path.name,)), kind=kind
    )


def table(
    rows: Sequence[Mapping[str, str]], *, kind: str | None = None, name: str = "t"
) -> tuple[Proposal, ...]:
    return propose(list(rows[0]), rows, name=name, files=DataFiles(train=("t.csv",)), kind=kind)


def sentences(count: int, *, seed: int = 1) -> list[str]:
    """Texts that do not repeat."""
    choose = random.Random(seed)
    words = ["please", "order", "parcel", "login", "again", "never", "box", "tea", "late", "why"]
    return [f"{n} " + " ".join(choose.choices(words, k=8)) for n in range(count)]


@pytest.mark.parametrize(
    ("file", "kind", "inputs", "label", "labels", "metric", "slices"),
    [
        ("banking77/train.csv", "classification", ["text"], "category", 77, "macro_f1", []),
        ("uci_sentiment/amazon.csv", "sentiment", ["sentence"], "score", 2, "accuracy", []),
        ("uci_sentiment/imdb.csv", "sentiment", ["sentence"], "score", 2, "accuracy", []),
        ("uci_sentiment/yelp.csv", "sentiment", ["sentence"], "score", 2, "accuracy", []),
        ("medical_abstracts/test.csv", "classification", ["medical_abstract"], "condition_label", 5,
         "macro_f1", []),
        ("bitext_support/train.csv", "classification", ["instruction"], "intent", 27, "macro_f1",
         ["entity_type", "category"]),
        ("youtube_spam/comments.csv", "classification", ["CONTENT"], "CLASS", 2, "accuracy",
         ["VIDEO"]),
        ("identity_templates/bias_madlibs.csv", "classification", ["Text"], "Label", 2, "accuracy",
         ["Template", "Identity"]),
        ("mts_dialog/train.csv", "classification", ["dialogue"], "section_header", 20, "macro_f1", []),
        ("mts_dialog/validation.csv", "classification", ["dialogue"], "section_header", 20,
         "macro_f1", []),
    ],
)  # fmt: skip
def test_real_files_are_read_as_what_they_are(
    real_data: Path,
    tmp_path: Path,
    file: str,
    kind: str,
    inputs: list[str],
    label: str,
    labels: int,
    metric: str,
    slices: list[str],
) -> None:
    found = [one for one in proposals(real_data / file) if one.task.is_closed]
    best = found[0]
    task = best.task
    assert (task.kind, list(task.inputs), task.label) == (kind, inputs, label)
    assert len(task.labels) == labels
    assert (task.primary_metric, list(task.slices), task.group) == (metric, slices, None)
    assert [gate.than for gate in task.gates] == ["majority"]
    assert best.because.endswith(".")
    assert label in best.because
    assert best.score > max([other.score for other in found[1:]], default=0) + 0.05
    write_task(task, tmp_path / "task.toml")
    assert load_task(tmp_path / "task.toml") == task
    # every row's label is read, but for the slips that were told and the blanks
    _, rows = read(real_data / file)
    unread = {row[label] for row in rows if not _reads(task, row[label])}
    assert all(any(f'"{cell}"' in note for note in best.notes) for cell in unread if cell.strip())


@pytest.mark.parametrize(
    ("file", "kind", "inputs", "label", "metric", "group"),
    [
        ("xquad_en/validation.jsonl", "extractive-qa", ["question", "context"], "answers", "f1", "title"),
        ("xquad_en/xquad.en.json", "extractive-qa", ["question", "context"], "answers", "f1", "title"),
        ("nq_open/dev.jsonl", "qa", ["question"], "answer", "f1", None),
        ("medquad/qa.jsonl", "qa", ["question"], "answer", "f1", None),
        ("mts_dialog/train.csv", "summarization", ["dialogue"], "section_text", "rougeL", None),
        ("scitldr/train.jsonl", "summarization", ["source"], "target", "rougeL", None),
        ("legal_summ/all_v1.jsonl", "summarization", ["original_text"], "reference_summary", "rougeL", None),
        ("sgd_chat/train.jsonl", "chat", ["messages"], "messages", "chrf", None),
        ("self_instruct/seed_tasks.jsonl", "chat", ["instruction", "input"], "output", "chrf", None),
    ],
)  # fmt: skip
def test_real_texts_are_read_as_what_is_to_be_written(
    real_data: Path,
    tmp_path: Path,
    file: str,
    kind: str,
    inputs: list[str],
    label: str,
    metric: str,
    group: str | None,
) -> None:
    start([real_data / file], tmp_path, name="t")
    task = load_task(tmp_path / "task.toml")
    assert (task.kind, list(task.inputs), task.label) == (kind, inputs, label)
    assert (task.primary_metric, task.group) == (metric, group)
    assert not task.labels
    assert [gate.than for gate in task.gates] == (["base"] if task.writes else ["sentence"])
    rows = read_examples(task, tmp_path)
    assert rows.examples["train"] and not rows.rejections


def test_replies_of_a_support_desk_are_chat_when_asked_for(real_data: Path, tmp_path: Path) -> None:
    start([real_data / "bitext_support/train.csv"], tmp_path, name="t", kind="chat")
    task = load_task(tmp_path / "task.toml")
    assert (task.kind, task.inputs, task.label) == ("chat", ("instruction",), "response")


def _reads(task: Task, cell: str) -> bool:
    return any(cell == one.name or cell in one.values for one in task.labels)


def test_zero_and_one_of_a_score_become_negative_and_positive(real_data: Path) -> None:
    sentiment, classes = proposals(real_data / "uci_sentiment/yelp.csv")
    assert [(one.name, one.values) for one in sentiment.task.labels] == [
        ("negative", ("0",)),
        ("positive", ("1",)),
    ]
    assert all(one.description for one in sentiment.task.labels)
    assert classes.task.kind == "classification"
    assert classes.task.label_names == ("0", "1")


def test_numbers_without_a_meaning_stay_numbers(real_data: Path) -> None:
    best = proposals(real_data / "medical_abstracts/test.csv")[0]
    assert best.task.label_names == ("1", "2", "3", "4", "5")
    assert {(one.description, one.values) for one in best.task.labels} == {("", ())}
    (forced,) = proposals(real_data / "medical_abstracts/test.csv", kind="sentiment")
    assert forced.task.kind == "sentiment"
    assert "guess" in forced.notes[0]


def test_a_list_of_labels_is_no_task(real_data: Path) -> None:
    columns, rows = read(real_data / "medical_abstracts/labels.csv")
    assert propose(columns, rows, name="x", files=DataFiles(train=("x.csv",))) == ()
    problem = no_proposal(columns, rows)
    assert problem.code == "no-task-found"
    assert '"condition_name" has 5 different values in 5 rows' in problem.what


def test_the_sample_is_read_whole_with_its_planted_spellings() -> None:
    best = proposals(SAMPLE)[0]
    task = best.task
    assert (task.kind, task.inputs, task.label) == ("classification", ("subject", "text"), "intent")
    assert (task.group, task.slices) == ("customer", ("channel",))
    assert len(task.labels) == 8
    values = {one.name: one.values for one in task.labels}
    assert values["refund"] == ("Refund ",)
    assert values["login_problem"] == ("Login_Problem",)
    told = " ".join(best.notes)
    for slip in ("refnud", "billing_questoin", "change_adress", "product_defct"):
        assert f'"{slip}"' in told
        assert not _reads(task, slip)
    others = {proposal.task.label for proposal in proposals(SAMPLE)[1:]}
    assert not others & {"date", "ticket_id", "customer", "text"}


def test_several_labels_in_a_cell_are_multilabel() -> None:
    choose = random.Random(3)
    rows = [
        {
            "text": text,
            "tags": "; ".join(choose.sample(["bug", "billing", "login", "idea"], k=n % 3 + 1)),
        }
        for n, text in enumerate(sentences(60))
    ]
    best, combined = table(rows)
    assert (best.task.kind, best.task.separator) == ("multilabel", ";")
    assert best.task.label_names == ("billing", "bug", "idea", "login")
    assert best.task.primary_metric == "micro_f1"
    assert combined.task.kind == "classification"


def test_a_separator_inside_one_label_is_no_list() -> None:
    cells = ["Sales, EMEA", "Sales, EMEA", "Support", "Legal/Finance"]
    rows = [{"text": text, "team": cells[n % 4]} for n, text in enumerate(sentences(40))]
    found = table(rows)
    assert [(one.task.kind, one.task.label_names) for one in found] == [
        ("classification", ("Legal/Finance", "Sales, EMEA", "Support"))
    ]
    (forced,) = table(rows, kind="multilabel")
    assert forced.task.separator == ";"
    assert forced.task.label_names == ("Legal/Finance", "Sales, EMEA", "Support")


def test_names_beside_the_numbers_are_taken() -> None:
    names = ["billing", "login", "other"]
    rows = [
        {"text": text, "label": str(n % 3), "label_text": names[n % 3]}
        for n, text in enumerate(sentences(90))
    ]
    best = table(rows)[0]
    assert best.task.label == "label"
    assert [(one.name, one.values) for one in best.task.labels] == [
        ("billing", ("0",)), ("login", ("1",)), ("other", ("2",)),
    ]  # fmt: skip
    assert best.task.slices == ()  # the names only say the label again
    rows = [{"text": text, "is_spam": str(n % 2)} for n, text in enumerate(sentences(20))]
    assert table(rows)[0].task.label_names == ("not_spam", "spam")


def test_a_column_that_gives_the_answer_away_is_no_input() -> None:
    answers = {"a": "We are sorry to hear that, here is your money back.", "b": "Press reset."}
    rows = [
        {
            "request": text,
            "intent": "ab"[n % 2],
            "response": answers["ab"[n % 2]],
            "reply": text * 3,
        }
        for n, text in enumerate(sentences(40))
    ]
    best = table(rows)[0]
    assert best.task.inputs == ("request",)
    assert best.task.slices == ()


def test_two_texts_judged_together_are_both_inputs() -> None:
    rows = [
        {"premise": first, "hypothesis": second, "label": ["yes", "no", "maybe"][n % 3]}
        for n, (first, second) in enumerate(zip(sentences(30), sentences(30, seed=2), strict=True))
    ]
    assert table(rows)[0].task.inputs == ("premise", "hypothesis")


def test_words_of_a_scale_stand_in_order_worst_first() -> None:
    words = ["pos", "neg", "neu"]
    rows = [{"t": text, "y": words[n % 3]} for n, text in enumerate(sentences(30))]
    best = table(rows)[0]
    assert best.task.kind == "sentiment"
    assert [(one.name, one.values) for one in best.task.labels] == [
        ("negative", ("neg",)), ("neutral", ("neu",)), ("positive", ("pos",)),
    ]  # fmt: skip
    rows = [{"t": text, "stars": str(n % 10 + 1)} for n, text in enumerate(sentences(60))]
    best = table(rows)[0]
    assert best.task.kind == "sentiment"
    assert best.task.label_names == tuple(str(n) for n in range(1, 11))


def test_rare_labels_that_only_look_alike_are_kept() -> None:
    cells = {
        "GENHX": 60,
        "GYNHX": 2,
        "BIKL": 60,
        "BIL": 2,
        "L1": 60,
        "L2": 2,
        "cats": 40,
        "cars": 2,
    }
    values = [cell for cell, count in cells.items() for _ in range(count)]
    rows = [{"t": text, "y": y} for text, y in zip(sentences(len(values)), values, strict=True)]
    best = table(rows)[0]
    assert set(best.task.label_names) == set(cells)
    assert best.notes == ()


def test_many_codes_are_labels_where_the_name_says_so() -> None:
    """Codes of diagnoses look like identifiers; those of customers are."""
    rows = [
        {"label": f"E{n % 60:02}.9", "customer": f"C{n % 70:03}", "text": f"{unlike(str(n))} note"}
        for n in range(600)
    ]
    (first, *_) = table(rows)
    assert first.task.label == "label" and len(first.task.labels) == 60


def test_ten_rows_are_enough_to_see_the_columns() -> None:
    rows = [{"text": text, "y": ["ham", "spam"][n % 2]} for n, text in enumerate(sentences(10))]
    assert table(rows)[0].task.label_names == ("ham", "spam")


@pytest.mark.parametrize(
    ("rows", "word"),
    [
        ([{"text": text, "label": "spam"} for text in sentences(12)], 'another label than "spam"'),
        ([{"id": str(n), "y": "ab"[n % 2]} for n in range(12)], "labelled rows"),
        ([{"text": text, "day": f"2024-01-{n + 1:02}"} for n, text in enumerate(sentences(12))],
         "labelled rows"),
        ([{"text": "", "label": ""}], "labelled rows"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_task_is_told_column_by_column(rows: Rows, word: str) -> None:
    assert table(rows) == ()
    problem = no_proposal(list(rows[0]), rows)
    assert word in problem.fix
    for column in rows[0]:
        assert f'"{column}"' in problem.what


def test_no_rows_and_no_columns_are_no_task() -> None:
    for columns in ([], ["text", "label"]):
        assert propose(columns, [], name="t", files=DataFiles(train=("t.csv",))) == ()
        assert no_proposal(columns, []).code == "no-task-found"


def test_an_unknown_kind_is_told_with_the_nearest() -> None:
    with pytest.raises(BurnishError) as caught:
        table([{"a": "b"}], kind="multilable")
    assert caught.value.problems[0].nearest == "multilabel"


def test_any_file_name_makes_a_task_name() -> None:
    names = ["Support Tickets", "_x_", "日本", "A" * 80, "a..", "2024.csv", ""]
    made = [task_name(name) for name in names]
    assert made[:3] == ["support-tickets", "x", "task"]
    for name in made:
        Task(
            name=name, kind="sentiment", inputs=("a",), label="b", primary_metric="accuracy",
            labels=({"name": "x"}, {"name": "y"}),  # type: ignore[arg-type]
        )  # fmt: skip


cells = st.text(min_size=1, max_size=6) | st.sampled_from(
    [
        "",
        " ",
        "spam",
        "Spam ",
        "a,b",
        "b",
        "a",
        "1",
        "0",
        "a, b; c",
        "\n",
        "pos",
        "neg",
        "2024-01-01",
    ]
)


@st.composite
def grids(draw: st.DrawFn) -> list[dict[str, str]]:
    """Rows whose columns draw from a few odd values each, so that most can be read as labels."""
    columns = draw(st.sampled_from([["label"], ["label", "customer"], ["score", "tags", "y"]]))
    few = {name: draw(st.lists(cells, min_size=2, max_size=5)) for name in columns}
    return [
        {"text": f"{n} and more words {n}"}
        | {name: draw(st.sampled_from(few[name])) for name in columns}
        for n in range(draw(st.integers(1, 24)))
    ]


@given(grids(), st.sampled_from([None, *KINDS]))
@settings(max_examples=100, deadline=None)
def test_whatever_is_proposed_is_a_task_that_loads(rows: Rows, kind: str | None) -> None:
    found = table(rows, kind=kind)
    assert found == table(rows, kind=kind)
    for proposal in found:
        assert 0 <= proposal.score <= 1
        assert kind in (None, proposal.task.kind)
        raw = proposal.task.model_dump(mode="json", exclude_none=True)
        assert list(sense_problems(raw)) == []
        assert tomllib.loads(task_text(proposal.task))["label"] == proposal.task.label
