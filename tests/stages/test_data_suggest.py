"""Spellings are proposed for one label or asked about, never guessed; task.toml keeps what people wrote in it."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.data.meant import Spellings, meant
from burnish.errors import BurnishError
from burnish.records.task import LabelSpec, Normalise, Task
from burnish.tasks.amend import amend_task, amended_text
from burnish.tasks.load import load_task, parse_task
from burnish.tasks.write import task_text
from support_task import make_task

SAMPLES = settings(max_examples=80, deadline=None, derandomize=True)
NAMES = ("refund", "card_arrival", "café", "active", "L1", "1", "A-", "increase", "country")


def task_of(*labels: LabelSpec | str, **changes: object) -> Task:
    specs = [LabelSpec(name=one) if isinstance(one, str) else one for one in labels]
    return make_task(labels=tuple(specs), **changes)


def found(spelling: str, *, rows: int = 1, each: int = 100) -> str | None:
    """The label that a spelling is proposed for, beside labels of 100 rows each."""
    told = meant(task_of(*NAMES), dict.fromkeys(NAMES, each) | {spelling: rows})
    assert len(told.meant) + len([q for q in told.questions if q.rows]) == 1
    return told.meant[0].label if told.meant else None


@pytest.mark.parametrize(
    ("spelling", "label"),
    [
        ("Refund", "refund"), (" refund\t", "refund"), ("re\u200bfund", "refund"), ('"refund"', "refund"),
        ("Card Arrival", "card_arrival"), ("card-arrival", "card_arrival"), ("cardArrival", "card_arrival"),
        ("cafe", "café"), ("cafÃ©", "café"), ("caf&eacute;", "café"), ("cafe\u0301", "café"), ("ｒｅｆｕｎｄ", "refund"),
        ("refunds", "refund"), ("countries", "country"), ("card_arrivals", "card_arrival"),
        ("refnud", "refund"), ("reefund", "refund"), ("card_arival", "card_arrival"), ("1.0", "1"), ("erfund", "refund"),
    ],
)  # fmt: skip
def test_one_label_spelt_otherwise(spelling: str, label: str) -> None:
    assert found(spelling) == label


@pytest.mark.parametrize(
    "spelling",
    ["cancel", "inactive", "decrease", "L2", "l", "-1", "A", "A+", "10", "1.5", "01", "cat", "caf", "card_departure",
     "send_arrival", "_", "-", "\ud800"],
)  # fmt: skip
def test_another_label_is_not_guessed_to_be_one(spelling: str) -> None:
    assert found(spelling) is None


def test_a_frequent_near_spelling_is_a_question() -> None:
    assert found("refunds", rows=10) == "refund"
    assert found("refunds", rows=11) is None
    assert found("refnud", rows=11) is None
    # case says nothing about meaning, however frequent
    assert found("REFUND", rows=5000) == "refund"


def test_two_labels_that_come_into_question_are_asked_about() -> None:
    task = task_of("Refund", "refund", LabelSpec(name="other", values=("misc",)))
    told = meant(task, {"Refund": 10, "refund": 10, "REFUND": 4, "Misc": 2})
    assert [(one.spelling, one.label) for one in told.meant] == [("Misc", "other")]
    assert [(one.spellings, one.rows, one.labels) for one in told.questions] == [
        (("REFUND",), 4, ("Refund", "refund")),
        (("Refund", "refund"), 0, ("Refund", "refund")),
    ]


def test_strangers_that_are_alike_are_one_question() -> None:
    told = meant(task_of("a", "b"), {"Cancel it": 5, "cancel_it": 2, "other": 3})
    assert [(one.spellings, one.rows) for one in told.questions] == [
        (("Cancel it", "cancel_it"), 7),
        (("other",), 3),
    ]


labels = st.lists(
    st.text(st.sampled_from("abAB_ -é1.\u200b"), min_size=1, max_size=6) | st.text(min_size=1, max_size=8),
    min_size=2, max_size=6, unique=True,
)  # fmt: skip


@SAMPLES
@given(
    names=labels,
    seen=st.dictionaries(st.text(max_size=8) | st.sampled_from("aAbB"), st.integers(1, 99)),
)
def test_every_unknown_spelling_is_told_once_and_no_declared_one_is_merged(
    names: list[str], seen: dict[str, int]
) -> None:  # fmt: skip
    task = task_of(*names)
    told: Spellings = meant(task, seen)
    merged = [one.spelling for one in told.meant]
    asked = [spelling for one in told.questions if one.rows for spelling in one.spellings]
    assert sorted([*merged, *asked]) == sorted(set(seen) - set(names))
    assert {one.label for one in told.meant} <= set(names)
    assert told == meant(task, dict(reversed(seen.items())))


@SAMPLES
@given(
    names=labels,
    more=labels,
    rules=st.sampled_from([Normalise(), Normalise(html=True, unicode="NFC")]),
)
def test_a_written_task_takes_what_is_wanted_and_nothing_else(
    names: list[str], more: list[str], rules: Normalise
) -> None:  # fmt: skip
    specs = [LabelSpec(name=name, description="d\n'''") for name in names]
    task = task_of(*specs)
    new = tuple(value for value in more if value not in names)
    specs[-1] = specs[-1].model_copy(update={"values": new})
    wanted = task_of(*specs, normalise=rules)
    text = task_text(task)
    amended = amended_text(text, wanted)
    assert parse_task(amended, name="task.toml") == wanted
    assert amended_text(amended, wanted) == amended
    kept = iter(amended.split("\n"))
    assert all(
        line in kept for line in text.rstrip("\n").split("\n")
    )  # in order, with lines between


HEAD = 'name = "t"  # mine\nkind = "classification"\ninputs = ["text"]\nlabel = "y"\nprimary_metric = "accuracy"\n'


@pytest.mark.parametrize(
    "rest",
    [
        '# a\n[[labels]]\n  name = "a" # first\n# b\n[[labels]]\n  name = "b"\n',
        'labels = [{name = "a"}, {name = "b", values = ["c"]}] # both\n',
        '[[labels]]\nname = "a"\nvalues = [\n  "z", # last\n]\n[[labels]]\nname = "b"\n[normalise] # rules\nhtml = false # no\n\n# end\n',
        'normalise = {html = false}\n[[labels]]\nvalues = []\nname = "a"\n[[labels]]\nname = "b"',
        'normalise.control = true # c\n[[labels]]\nname = """\na"""\n[[labels]]\nname = "b"\n',
    ],
)
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_file_of_any_form_keeps_its_comments(
    tmp_path: Path, rest: str, ends: str, mark: str
) -> None:
    path = tmp_path / "task.toml"
    whole = mark + (HEAD + rest).replace("\n", ends)
    path.write_bytes(whole.encode())
    task = load_task(path)
    first = task.labels[0].model_copy(update={"values": (*task.labels[0].values, "A ", "á")})
    rules = task.normalise.model_copy(update={"html": True, "whitespace": True})
    wanted = task.model_copy(update={"labels": (first, *task.labels[1:]), "normalise": rules})
    try:
        amend_task(path, wanted)
    except BurnishError as error:
        assert error.code == "task-not-amended" and '"""' in rest
        assert path.read_bytes().decode() == whole
        return
    assert load_task(path) == wanted
    after = path.read_bytes().decode()
    assert after.startswith(mark + 'name = "t"  # mine')
    assert after.count("\r") == (after.count("\n") if ends == "\r\n" else 0)
    for comment in [part.split("\n")[0] for part in rest.split("#")[1:]]:
        assert f"#{comment}" in after
    before = path.read_bytes()
    amend_task(path, wanted)
    assert path.read_bytes() == before


def test_a_file_that_changed_meanwhile_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "task.toml"
    path.write_text(HEAD + '[[labels]]\nname = "a"\n[[labels]]\nname = "b"\n')
    wanted = load_task(path).model_copy(update={"normalise": Normalise(html=True)})
    changed = path.read_text().replace('"b"', '"c"')
    path.write_text(changed)
    with pytest.raises(BurnishError) as caught:
        amend_task(path, wanted)
    assert caught.value.code == "task-not-amended"
    assert path.read_text() == changed


def test_suggest_where_reading_stops_then_write_then_check(tmp_path: Path, burnish) -> None:
    rows = [f"text {n},{'refund' if n % 2 else 'card'}" for n in range(60)]
    rows += [f"Fish &amp; chips {n},Refund" for n in range(20)] + ["x,cancel", "y,refnud"]
    (tmp_path / "t.csv").write_text("text,y\n" + "\n".join(rows) + "\n")
    text = (
        HEAD + '[data]\ntrain = ["t.csv"]\n[[labels]]\nname = "refund"\n[[labels]]\nname = "card"\n'
    )
    (tmp_path / "task.toml").write_text(text)
    stopped = burnish("data", "check", cwd=tmp_path, code=1).stdout
    assert "label-unknown" in stopped and "burnish data check --suggest" in stopped
    shown = burnish("data", "check", "--suggest", cwd=tmp_path).stdout
    pasted = tomllib.loads(shown)  # all of it is TOML
    assert pasted["labels"] == [{"name": "refund", "values": ["Refund", "refnud"]}]
    assert pasted["normalise"] == {"html": True}
    assert '# "Refund": 20 rows, differs in case' in shown and '# "cancel" (1 row)' in shown
    assert (tmp_path / "task.toml").read_text() == text
    told = json.loads(burnish("data", "check", "--suggest", "--json", cwd=tmp_path).stdout)
    assert (told["normalise"], told["written"]) == ({"html": 20}, False)
    burnish("data", "check", "--suggest", "--write", cwd=tmp_path)
    assert load_task(tmp_path / "task.toml").labels[0].values == ("Refund", "refnud")
    checked = burnish("data", "check", cwd=tmp_path, code=1).stdout
    assert "82 rows in: 81 readable" in checked and "html changed 20 rows" in checked
    again = burnish("data", "check", "--suggest", "--write", cwd=tmp_path).stdout
    assert "# nothing to add" in again
    assert "--suggest" in burnish("data", "check", "--write", cwd=tmp_path, code=2).stderr


def test_several_labels_in_a_cell_are_looked_at_one_by_one(tmp_path: Path, burnish) -> None:
    (tmp_path / "t.csv").write_text("text,y\n" + "a,Bug; ui\nb,bug;UI \nc,bug;ui\n" * 9)
    head = HEAD.replace("classification", "multilabel").replace("accuracy", "micro_f1")
    (tmp_path / "task.toml").write_text(
        head
        + 'separator = ";"\n[data]\ntrain = ["t.csv"]\n[[labels]]\nname = "bug"\n[[labels]]\nname = "ui"\n'
    )
    burnish("data", "check", "--suggest", "--write", cwd=tmp_path)
    labels = load_task(tmp_path / "task.toml").labels
    assert [one.values for one in labels] == [("Bug",), ("UI",)]
