"""task.toml with mistakes: all of them told at once, each with its line and the nearest name."""

from __future__ import annotations

from pathlib import Path

import pytest

from burnish.errors import BurnishError, Problem
from burnish.tasks.cron import cron_problem
from burnish.tasks.load import check_columns, load_task

GOOD = """\
name = "tickets"
kind = "classification"
inputs = ["text"]
label = "intent"
primary_metric = "macro_f1"

[[labels]]
name = "refund"

[[labels]]
name = "login"
values = ["2"]
"""


def problems_of(tmp_path: Path, text: str) -> list[Problem]:
    path = tmp_path / "task.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BurnishError) as caught:
        load_task(path)
    return list(caught.value.problems)


def told(problems: list[Problem]) -> list[tuple[str, str, str | None]]:
    return [(one.code, one.where, one.nearest) for one in problems]


def test_a_small_task_needs_nothing_more(tmp_path: Path) -> None:
    path = tmp_path / "task.toml"
    path.write_text(GOOD)
    task = load_task(path)
    assert task.label_names == ("refund", "login")
    assert (task.separator, task.group, task.gates, task.data) == (",", None, (), None)


def test_windows_line_ends_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    path = tmp_path / "task.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert load_task(path).name == "tickets"


def test_every_mistake_is_told_at_once_in_the_order_of_its_lines(tmp_path: Path) -> None:
    found = problems_of(
        tmp_path,
        '''\
name = "My Tickets"            # line 1: not a name
kind = "clasification"
inputs = "text"
lable = "intent"               # line 4: misspelt, so "label" is not missing as well
colour = "red"
keep_inputs = "hashed"
guideline = """
many
lines"""
slices = ["channel", 7, "channel"]

[data]
tran = ["tickets.csv"]

[[labels]]
name = "refund"
valuse = ["r"]

[[labels]]
description = "a label without a name"

[[labels]]
name = "refund"
values = [
  "a",
  3,
]

[[gates]]
metric = "macro_f1"
than = "tfid"
at_least = 80
sure = "yes"

[[gates]]
metric = "macro_f1"
''',
    )
    assert told(found) == [
        ("task-bad-value", "task.toml line 1", None),
        ("task-bad-value", "task.toml line 2", "classification"),
        ("task-bad-value", "task.toml line 3", None),
        ("task-unknown-key", "task.toml line 4", "label"),
        ("task-unknown-key", "task.toml line 5", None),
        ("task-bad-value", "task.toml line 6", "hash"),
        ("task-missing-key", "task.toml line 10", None),  # primary_metric: below the last key
        ("task-bad-value", "task.toml line 10", None),
        ("task-bad-value", "task.toml line 10", None),
        ("task-unknown-key", "task.toml line 13", "train"),
        ("task-unknown-key", "task.toml line 17", "values"),
        ("task-missing-key", "task.toml line 19", None),
        ("task-duplicate-label", "task.toml line 23", None),
        ("task-bad-value", "task.toml line 26", None),
        ("task-bad-value", "task.toml line 31", "tfidf"),
        ("task-bad-value", "task.toml line 32", None),
        ("task-bad-value", "task.toml line 33", None),
        ("task-bad-value", "task.toml line 35", None),
    ]
    by_line = {one.where.rpartition(" ")[2]: one for one in found}
    assert by_line["26"].fix == 'write "3"'
    assert by_line["32"].fix == "write at_least = 0.8"
    assert by_line["35"].what == "the gate asks for nothing"
    for problem in found:
        assert problem.what
        assert problem.fix


@pytest.mark.parametrize(
    ("before", "after", "line", "word"),
    [
        ('inputs = ["text"]', 'inputs = ["text", "intent"]', 3, "also an input"),
        ('inputs = ["text"]', 'inputs = ["text", "text"]', 3, "twice"),
        ('inputs = ["text"]', "inputs = []", 3, "inputs"),
        ('"macro_f1"', '"macro_f2"', 5, "macro_f2"),
        ('"macro_f1"', '"ece"', 5, "ece"),
        ('"macro_f1"', '"macro_f1"\ngroup = "intent"', 6, "also the label"),
        ('"macro_f1"', '"macro_f1"\ngroup = "text"', 6, "also an input"),
        ('values = ["2"]', 'values = ["refund"]', 12, "means label"),
        ('name = "login"\nvalues = ["2"]', 'name = ""', 11, "name"),
        ('name = "refund"', "name = 1979-05-27", 8, "1979-05-27"),
    ],
)
def test_rules_between_keys_name_the_line(
    tmp_path: Path, before: str, after: str, line: int, word: str
) -> None:
    (problem,) = problems_of(tmp_path, GOOD.replace(before, after, 1))
    assert problem.where == f"task.toml line {line}"
    assert problem.code.startswith("task-")
    assert word in problem.what


def test_labels_with_one_row_only_are_no_task(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, GOOD[: GOOD.rindex("[[labels]]")])
    assert problem.where == "task.toml line 7"
    assert "at least two labels" in problem.expected


def test_multilabel_names_must_survive_their_separator(tmp_path: Path) -> None:
    text = GOOD.replace('"classification"', '"multilabel"').replace('"refund"', '"a,b"')
    (problem,) = problems_of(tmp_path, text)
    assert problem.where == "task.toml line 8"
    assert "can never be read" in problem.what
    text = GOOD.replace('"classification"', '"multilabel"\nseparator = ""')
    (problem,) = problems_of(tmp_path, text)
    assert problem.where == "task.toml line 3"


def test_inline_tables_and_dotted_keys_have_lines_too(tmp_path: Path) -> None:
    found = problems_of(
        tmp_path,
        """\
name = "t"
kind = "classification"
inputs = ["text"]
label = "y"
primary_metric = "accuracy"
labels = [
  {name = "a"},
  {nmae = "b"},
]
data.trian = ["x.csv"]
""",
    )
    assert told(found) == [
        ("task-unknown-key", "task.toml line 8", "name"),
        ("task-unknown-key", "task.toml line 10", "train"),
    ]


def test_a_gate_may_be_about_any_metric_of_the_kind_and_calibration(tmp_path: Path) -> None:
    path = tmp_path / "task.toml"
    gates = (
        '[[gates]]\nmetric = "ece"\nat_most = 0.1\n[[gates]]\nmetric = "log_loss"\nat_most = 3\n'
    )
    path.write_text(GOOD + gates)
    assert [gate.metric for gate in load_task(path).gates] == ["ece", "log_loss"]
    (problem,) = problems_of(tmp_path, GOOD + '[[gates]]\nmetric = "f1"\nat_least = 0.5\n')
    assert problem.where == "task.toml line 14"
    assert "macro_f1" in problem.expected
    swapped = '[[gates]]\nmetric = "ece"\nat_least = 0.5\nat_most = 0.1\nmargin = -1\n'
    found = problems_of(tmp_path, GOOD + swapped)
    assert [one.where for one in found] == ["task.toml line 15", "task.toml line 17"]
    (problem,) = problems_of(tmp_path, GOOD + '[[gates]]\nmetric = "log_loss"\nat_most = nan\n')
    assert problem.expected == "a finite number"


def test_mistakes_in_monitor_and_retrain_are_told_like_all_others(tmp_path: Path) -> None:
    around = """\
[monitor]
window_row = 500
alpha = 0.5
latency_p95_ms = inf
webhook = "ftp://example.com"

[retrain]
start = "bse"
on_labels = "many"
on_signals = ["input_clasifier", "traffic", "traffic"]
promote = "polcy"
rollback_on = ["latency", "confidence", "errors"]
schedule = "0 3 * *"

"""
    top = 'abstain_below = 1.5\naudit = 2\nredact = ["e-mail", "phone", "phone"]\n\n'
    text = GOOD.replace("\n[[labels]]", f"{top}{around}[[labels]]", 1)
    found = problems_of(tmp_path, text)
    assert told(found) == [
        ("task-bad-value", "task.toml line 6", None),
        ("task-bad-value", "task.toml line 7", None),
        ("task-bad-value", "task.toml line 8", "email"),
        ("task-bad-value", "task.toml line 8", None),  # "phone" twice
        ("task-unknown-key", "task.toml line 11", "window_rows"),
        ("task-bad-value", "task.toml line 12", None),
        ("task-bad-value", "task.toml line 13", None),
        ("task-bad-value", "task.toml line 14", None),
        ("task-bad-value", "task.toml line 17", "base"),
        ("task-bad-value", "task.toml line 18", None),
        ("task-bad-value", "task.toml line 19", "input_classifier"),
        ("task-bad-value", "task.toml line 19", None),
        ("task-bad-value", "task.toml line 20", "policy"),
        ("task-bad-value", "task.toml line 21", None),
        ("task-bad-value", "task.toml line 21", None),  # "errors" without error_fraction
        ("task-bad-value", "task.toml line 22", None),
    ]
    by_line = {one.where.rpartition(" ")[2]: one for one in found}
    assert by_line["6"].expected == "a number above 0 and below 1"
    assert by_line["12"].what == "found alpha = 0.5 in [monitor]"
    assert by_line["12"].expected == "a number above 0 and below 0.5"
    assert by_line["14"].expected == "an address that begins with http:// or https://"
    assert by_line["17"].expected == "one of: base, live"
    assert by_line["18"].expected == "a whole number at least 1"
    assert "error_fraction" in by_line["21"].what
    assert "it has 4 fields" in by_line["22"].what
    cannot = [one for one in found if "cannot take a version back" in one.what]
    assert len(cannot) == 1
    assert "confidence" in cannot[0].what


def test_a_rollback_needs_what_its_signal_speaks_of(tmp_path: Path) -> None:
    section = '[retrain]\nrollback_on = ["audited_accuracy", "latency"]\n'
    bare = GOOD.replace("\n[[labels]]", f"{section}[[labels]]", 1)
    found = problems_of(tmp_path, bare)
    assert [one.fix for one in found] == [
        "write for example audit = 0.01",
        "write for example latency_p95_ms = 200 under [monitor]",
    ]
    path = tmp_path / "task.toml"
    given = f"audit = 0.02\n[monitor]\nlatency_p95_ms = 80\n{section}"
    path.write_text(GOOD.replace("\n[[labels]]", f"{given}[[labels]]", 1))
    assert load_task(path).retrain.rollback_on == ("audited_accuracy", "latency")


@pytest.mark.parametrize(
    "line", ["0 3 * * 1", "*/15 * * * *", "0 0 29 2 *", "5,35 8-18 1-7 1-12 0-6", " 0  3 * *  7 "]
)
def test_schedules_that_fire(line: str) -> None:
    assert cron_problem(line) is None


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("", "0 fields"),
        ("@daily", "1 field"),
        ("* * * * * *", "6 fields"),
        ("60 * * * *", "60"),
        ("0 24 * * *", "24"),
        ("0 0 0 * *", "0 is not"),
        ("0 0 * 13 *", "13"),
        ("0 0 * * 8", "8"),
        ("0 0 * * MON", "MON"),
        ("0 0 * JAN *", "JAN"),
        ("*/0 * * * *", "cannot be read"),
        ("0x1 * * * *", "0x1"),
        ("1,,2 * * * *", "not a valid"),
        ("-1 * * * *", "-1"),
        ("0 3 31 2 *", "never fires"),
        ("0 3 30,31 2 *", "never fires"),
        ("0 3 31 4,6,9,11 1", "never fires"),
    ],
)
def test_schedules_that_cannot_be_read_or_never_fire(line: str, word: str) -> None:
    problem = cron_problem(line)
    assert problem is not None
    assert problem.code == "task-bad-value"
    assert word in problem.what
    assert problem.fix


def test_policies_and_monitoring_make_no_other_task(tmp_path: Path) -> None:
    path = tmp_path / "task.toml"
    path.write_text(GOOD)
    plain = load_task(path)
    around = "audit = 0.1\nkeep_days = 9\nredact = []\n[retrain]\non_labels = 3\n[monitor]\nalpha = 0.1\n"
    path.write_text(GOOD.replace("\n[[labels]]", f"{around}[[labels]]", 1))
    assert load_task(path) != plain
    assert load_task(path).id == plain.id
    path.write_text(GOOD.replace("\n[[labels]]", "abstain_below = 0.5\n[[labels]]", 1))
    assert load_task(path).id != plain.id


@pytest.mark.parametrize(
    ("text", "line"),
    [('name = "t', 1), ('name = "a"\nkind = \nlabel = 3', 2), ("a = 1\na = 2\n", 2), ("x = [[", 1)],
)
def test_broken_toml_names_the_line(tmp_path: Path, text: str, line: int) -> None:
    (problem,) = problems_of(tmp_path, text)
    assert problem.code == "task-bad-toml"
    assert problem.where == f"task.toml line {line}"
    assert "(at" not in problem.what


def test_what_is_no_text_at_all_is_told(tmp_path: Path) -> None:
    path = tmp_path / "task.toml"
    with pytest.raises(BurnishError) as caught:
        load_task(path)
    assert caught.value.code == "task-missing"
    assert "burnish init" in caught.value.problems[0].fix
    path.write_bytes(b'name = "x"\nlabel = "\xff"\n')
    with pytest.raises(BurnishError) as caught:
        load_task(path)
    assert caught.value.problems[0].where == "task.toml line 2"
    path.write_text("x = " + "[" * 5000 + "]" * 5000)
    with pytest.raises(BurnishError) as caught:
        load_task(path)
    assert caught.value.code == "task-bad-toml"
    with pytest.raises(BurnishError) as caught:
        load_task(tmp_path)
    assert caught.value.code == "task-not-readable"
    path.write_bytes(b"x" * 5_000_000)
    with pytest.raises(BurnishError) as caught:
        load_task(path)
    assert caught.value.code == "task-not-readable"


def test_missing_columns_are_all_told_with_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "task.toml"
    path.write_text(
        GOOD.replace('"macro_f1"', '"macro_f1"\ngroup = "customer"\nslices = ["chanel", "x"]')
    )
    task = load_task(path)
    assert check_columns(task, path, ["text", "intent", "customer", "chanel", "x"], file="a") == ()
    found = check_columns(task, path, ["Text", "intents", "channel"], file="tickets.csv")
    assert [(one.code, one.where, one.nearest) for one in found] == [
        ("column-missing", "tickets.csv", "Text"),
        ("column-missing", "tickets.csv", "intents"),
        ("column-missing", "tickets.csv", None),
        ("column-missing", "tickets.csv", "channel"),
        ("column-missing", "tickets.csv", None),
    ]
    assert "(task.toml line 3)" in found[0].what
    assert "(task.toml line 7)" in found[3].what
    # a task that was never a file has no lines
    assert "line" not in check_columns(task, tmp_path / "no.toml", ["text"], file="a")[0].what
