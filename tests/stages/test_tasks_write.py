"""write_task then load_task is the same task, whatever people call their labels and columns."""

from __future__ import annotations

import json
import tempfile
import tomllib
from pathlib import Path
from typing import get_args

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.records.decoding import Decoding
from burnish.records.task import (
    CLOSED_KINDS,
    WRITING_KINDS,
    DataFiles,
    Gate,
    LabelSpec,
    Monitor,
    Redaction,
    Retrain,
    Task,
)
from burnish.tasks.kind import KINDS
from burnish.tasks.lines import key_lines
from burnish.tasks.load import load_task
from burnish.tasks.schema import NOTES, task_schema
from burnish.tasks.sense import MAY_ROLL_BACK, RIVALS, SIGNALS, TEXT_RIVALS
from burnish.tasks.write import task_text, write_task

DOCS = Path(__file__).parents[2] / "docs"
SCHEMA = jsonschema.Draft202012Validator(task_schema())

nasty = st.sampled_from(
    ['"', "'", '"""', "'''", 'a"""b"', "\\", "\\n", "a\nb", "\n", "a\r\nb", "\t", "#", "[[x]]",
     "🙂", "ß", "\u2028", "\ufeff", "\x7f", "\x00", "=", "a = 1", "  blank  ", "\\U0001F642", "-1"]
)  # fmt: skip
texts = st.text(max_size=20) | nasty
words = st.text(min_size=1, max_size=12) | nasty
columns = st.lists(words, min_size=6, max_size=6, unique=True)
shares = st.floats(0, 1, allow_nan=False) | st.sampled_from([0, 1, 0.1, 1e-300])
monitors = st.builds(
    Monitor,
    window_rows=st.integers(50, 1_000_000),
    alpha=st.floats(0.001, 0.49),
    latency_p95_ms=st.floats(1, 1e6),
    error_fraction=st.floats(0.001, 0.9),
    webhook=st.sampled_from([None, "https://example.com/hook?a=1#b", "http://localhost:1/\"'"]),
)
retrains = st.builds(
    Retrain,
    start=st.sampled_from(["base", "live"]),
    schedule=st.sampled_from([None, "0 3 * * 1", "*/5 * * * *"]),
    on_signals=st.lists(st.sampled_from(SIGNALS), unique=True, max_size=3).map(tuple),
    on_labels=st.none() | st.integers(1, 1000),
    cooldown_hours=st.floats(0, 1e6),
    budget_minutes=st.none() | st.floats(0.01, 1e6),
    slice_margin=shares,
    promote=st.sampled_from(["person", "policy"]),
    shadow_rows=st.integers(0, 10**6),
    rollback_on=st.lists(st.sampled_from(list(MAY_ROLL_BACK)), unique=True).map(tuple),
)
redactions = st.lists(st.sampled_from(get_args(Redaction)), unique=True)


decodings = st.builds(
    Decoding,
    max_new_tokens=st.integers(1, 8192),
    beams=st.integers(1, 16),
    repetition_penalty=st.floats(0.1, 10),
    stop=st.lists(words, max_size=3).map(tuple),
    seed=st.integers(0, 2**31),
)


@st.composite
def tasks(draw: st.DrawFn) -> Task:
    """Any task that may be written; multilabel names keep clear of the separator."""
    kind = draw(st.sampled_from(list(KINDS)))
    named = draw(st.lists(words, min_size=3, max_size=16, unique=True))
    separator = draw(st.sampled_from([",", "|", ";", "§"]))
    written = st.fixed_dictionaries(
        {},
        optional={
            "instruction": texts,
            "truncate": st.sampled_from(["left", "right", "window"]),
            "test_rows": st.integers(20, 10_000),
            "decoding": decodings,
        },
    )
    if kind == "multilabel":
        named = [f"{place} x" for place in range(len(named))]
    half = max(2, len(named) // 2)
    first, second, label, group, *slices = draw(columns)
    closed = kind in CLOSED_KINDS
    metric = draw(
        st.sampled_from(
            [m for m in KINDS[kind].metrics if KINDS[kind].default_metric[-2:] == m[-2:]]
        )
    )
    gates = st.builds(
        Gate,
        metric=st.just(metric),
        at_least=shares,
        than=st.none() | st.sampled_from(RIVALS if closed else TEXT_RIVALS),
        margin=shares,
        sure=st.booleans(),
    )
    files = [f"{place} {word}" for place, word in enumerate(draw(st.lists(words, max_size=3)))]
    return Task(
        name=draw(st.from_regex(r"\A[a-z0-9][a-z0-9._-]{0,20}\Z")),
        kind=kind,  # type: ignore[arg-type]
        inputs=(first, second)
        if kind == "extractive-qa"
        else tuple(draw(st.sampled_from([[first], [first, second]]))),
        label=label,
        labels=tuple(
            LabelSpec(
                name=name, description=draw(texts), values=tuple(named[half + i : half + i + 1])
            )
            for i, name in enumerate(named[:half] if closed else [])
        ),
        separator=separator if kind == "multilabel" else ",",
        **(draw(written) if kind in WRITING_KINDS else {}),
        group=draw(st.sampled_from([None, group])),
        guideline=draw(texts),
        primary_metric=metric,
        gates=tuple(draw(st.lists(gates, max_size=2))),
        slices=tuple(draw(st.sampled_from([[], slices]))),
        abstain_below=draw(st.none() | st.floats(0.01, 0.99)) if closed else None,
        audit=draw(st.floats(0.001, 1) | st.sampled_from([1, 0.01])),
        keep_inputs=draw(st.sampled_from(["full", "hash"])),
        keep_days=draw(st.integers(1, 10_000)),
        redact=tuple(draw(redactions)),
        monitor=draw(monitors),
        retrain=draw(retrains),
        data=draw(st.sampled_from([None, DataFiles(train=("a.csv", *files), test=("b.csv",))])),
    )


@given(task=tasks())
@settings(max_examples=60, deadline=None)
def test_a_written_task_is_read_back_the_same(task: Task) -> None:
    text = task_text(task)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "task.toml"
        path.write_text(text, encoding="utf-8", newline="")
        assert load_task(path) == task
    SCHEMA.validate(tomllib.loads(text))


def test_the_file_is_written_whole_and_for_its_owner(tmp_path: Path) -> None:
    labels = (LabelSpec(name="a\n\"'"), LabelSpec(name="ü"))
    task = Task(
        name="t",
        kind="sentiment",
        inputs=("x",),
        label="y",
        labels=labels,
        primary_metric="accuracy",
    )
    path = tmp_path / "task.toml"
    path.write_text("something older and longer " * 200)
    write_task(task, path)
    assert load_task(path) == task
    assert list(tmp_path.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o600


@given(task=tasks())
@settings(max_examples=30, deadline=None)
def test_every_key_of_a_written_task_has_its_line(task: Task) -> None:
    text = task_text(task)
    found = key_lines(text)
    rows = text.split("\n")

    def walk(value: object, path: tuple[str | int, ...]) -> None:
        if path:
            assert path in found
        if path and isinstance(path[-1], str) and not isinstance(value, dict):
            row = rows[found[path] - 1]
            assert row.startswith((f"{path[-1]} =", f"[[{path[-1]}]]"))
        items = value.items() if isinstance(value, dict) else []
        if isinstance(value, list):
            items = enumerate(value)
        for key, item in items:
            walk(item, (*path, key))

    walk(tomllib.loads(text), ())


def test_the_file_reads_like_a_form() -> None:
    task = Task(
        name="tickets",
        kind="classification",
        inputs=("subject", "text"),
        label="intent",
        labels=(LabelSpec(name="refund", values=("Refund",)), LabelSpec(name="login")),
        primary_metric="macro_f1",
        gates=(Gate(metric="macro_f1", than="majority", sure=True),),
        data=DataFiles(train=("tickets.csv",)),
    )
    text = task_text(task)
    assert 'inputs = ["subject", "text"]' in text
    assert '[[labels]]\nname = "refund"\ndescription = ""\nvalues = ["Refund"]' in text
    assert 'than = "majority"\nmargin = 0.0\nsure = true' in text
    assert '# group = "customer"' in text
    assert "# at_least = 0.8" in text  # a floor to start from
    assert "# audit = 0.01" in text
    assert "# [retrain]\n# on_labels = 200" in text
    assert '# [monitor]\n# webhook = "https://example.com/hook"' in text
    unasked = ("keep_days", "redact", "window_rows", "schedule", "abstain_below")
    assert not [key for key in unasked if f"{key} =" in text]
    assert max(map(len, text.splitlines())) <= 100


def test_only_what_differs_from_the_defaults_is_written() -> None:
    task = Task(
        name="t", kind="classification", inputs=("x",), label="y", primary_metric="accuracy",
        labels=(LabelSpec(name="a"), LabelSpec(name="b")), redact=(),
        monitor=Monitor(latency_p95_ms=200), retrain=Retrain(promote="policy", shadow_rows=200),
    )  # fmt: skip
    written = tomllib.loads(task_text(task))
    assert written["monitor"] == {"latency_p95_ms": 200}
    assert written["retrain"] == {"promote": "policy"}
    assert written["redact"] == []


def test_the_commented_lines_load_when_they_are_uncommented(tmp_path: Path) -> None:
    labels = (LabelSpec(name="a"), LabelSpec(name="b"))
    task = Task(
        name="t", kind="classification", inputs=("x",), label="y", primary_metric="accuracy",
        labels=labels, data=DataFiles(train=("a.csv",)),
    )  # fmt: skip
    path = tmp_path / "task.toml"
    text = task_text(task)
    keys = ("audit =", "[monitor]", "webhook =", "[retrain]", "on_labels =", "group =")
    for key in keys:
        assert text.count(f"# {key}") == 1
        text = text.replace(f"# {key}", key)
    path.write_text(text)
    read = load_task(path)
    assert (read.audit, read.retrain.on_labels, read.group) == (0.01, 200, "customer")
    assert read.monitor.webhook == "https://example.com/hook"


def test_the_published_schema_is_the_one_in_force() -> None:
    published = json.loads((DOCS / "task.schema.json").read_text(encoding="utf-8"))
    # to publish a change: write json.dumps(task_schema(), indent=2) and a line end to that file
    assert published == json.loads(json.dumps(task_schema()))
    jsonschema.Draft202012Validator.check_schema(published)


@pytest.mark.parametrize(
    "change",
    [
        {"nmae": "x"},
        {"kind": "regression"},
        {"labels": [{"name": "one"}]},
        {"primary_metric": "hamming_loss"},
        {"gates": [{"metric": "accuracy", "than": "nobody"}]},
        {"audit": 1.5},
        {"redact": ["name"]},
        {"monitor": {"webhook": "ftp://x"}},
        {"retrain": {"on_signals": ["mood"]}},
        {"retrain": {"rollback_on": ["confidence"]}},
    ],
)
def test_the_schema_refuses_what_load_refuses(change: dict[str, object]) -> None:
    good: dict[str, object] = {
        "name": "t", "kind": "classification", "inputs": ["x"], "label": "y",
        "primary_metric": "accuracy", "labels": [{"name": "a"}, {"name": "b"}],
    }  # fmt: skip
    SCHEMA.validate(good)
    with pytest.raises(jsonschema.ValidationError):
        SCHEMA.validate({**good, **change})


def test_the_page_explains_every_key_and_its_example_loads(tmp_path: Path) -> None:
    page = (DOCS / "define.md").read_text(encoding="utf-8")
    for key in NOTES:
        assert f"`{key.rpartition('.')[2]}`" in page, key
    for name, kind in KINDS.items():
        assert f"`{name}`" in page
        for metric in kind.metrics:
            assert f"`{metric}`" in page
    examples = [part.split("```")[0] for part in page.split("```toml\n")[1:]]
    assert examples
    shown: set[str] = set()
    for example in examples[:2]:  # a task with labels, and one whose answers are texts
        (tmp_path / "task.toml").write_text(example)
        assert load_task(tmp_path / "task.toml").gates
        shown |= set(tomllib.loads(example))
    assert shown == set(Task.model_fields)
