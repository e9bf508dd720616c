"""burnish data export and what init says of files from other tools, with the real command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import burnish as api
from burnish.data.examples import read_examples
from burnish.errors import BurnishError
from burnish.records.recipe import Recipe
from quick_circle import SAID, write_rows

RECIPE = Recipe(base="tiny:bert")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """A project with one dataset version."""
    root = tmp_path_factory.mktemp("export")
    write_rows(root / "rows.csv")
    api.init(root / "rows.csv", project=root)
    api.make_dataset(root, recipe=RECIPE)
    return root


@pytest.mark.parametrize("format", ["label-studio", "prodigy", "argilla", "parquet"])
def test_an_export_starts_a_project_of_its_own(project: Path, tmp_path: Path, format: str) -> None:
    """Out and in again through the front door: init proposes the same task, the rows are the same."""
    ending = {"prodigy": "jsonl", "parquet": "parquet"}.get(format, "json")
    done = api.export(tmp_path / f"rows.{ending}", project, format=format)
    assert sum(done.rows.values()) == 225
    task = api.init(done.path, project=tmp_path)
    assert set(task.inputs) == {"subject", "text"} or task.inputs == ("text",)
    assert (task.label, set(task.label_names)) == ("intent", set(SAID))
    dataset = api.make_dataset(tmp_path, recipe=RECIPE)
    assert (dataset.rows_in, dataset.rows_used) == (225, 225)
    shapes = {"label-studio": "label-studio", "prodigy": "prodigy", "argilla": "argilla"}
    assert [file.shape for file in dataset.files] == [shapes.get(format)]


def test_the_command_exports_splits_and_says_so(project: Path, tmp_path: Path, burnish) -> None:
    target = tmp_path / "test.csv"
    arguments = ("data", "export", "--latest", "--to", str(target), "--split", "test")
    done = burnish(*arguments, cwd=project)
    rows = target.read_text(encoding="utf-8").splitlines()
    assert done.stdout == f"wrote {target} (csv): {len(rows) - 1} test\n"
    assert "split" not in rows[0]  # only one split: nothing to tell apart
    again = burnish(*arguments, cwd=project, code=1)
    assert "error: export-exists" in again.stderr
    told = burnish(*arguments, "--force", "--json", cwd=project)
    assert json.loads(told.stdout)["rows"] == {"test": len(rows) - 1}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--latest"], "--to FILE"),
        (["--to", "x.csv"], "one of DATASET and --latest"),
        (["--latest", "--to", "x.csv", "--split", "tset"], 'nearest: "test"'),
    ],
)
def test_a_command_that_says_too_little_is_told_what(
    project: Path, burnish, arguments: list[str], said: str
) -> None:
    assert said in burnish("data", "export", *arguments, cwd=project, code=2).stderr


def test_the_files_that_the_task_reads_are_never_replaced(project: Path) -> None:
    before = (project / "rows.csv").read_bytes()
    with pytest.raises(BurnishError) as caught:
        api.export(project / "rows.csv", project, force=True)
    assert caught.value.code == "export-exists"
    assert (project / "rows.csv").read_bytes() == before


def test_without_a_dataset_there_is_nothing_to_export(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.csv")
    api.init(tmp_path / "rows.csv", project=tmp_path)
    with pytest.raises(BurnishError) as caught:
        api.export(tmp_path / "x.csv", tmp_path)
    assert caught.value.code == "dataset-missing"


def test_init_and_check_say_the_shape_and_several_labels_are_lists(tmp_path: Path, burnish) -> None:
    """Annotators who chose several labels: a multilabel task, and the two who disagree are a conflict."""

    def task(text: str, *said: list[str]) -> dict[str, object]:
        results = [
            {"from_name": "topics", "to_name": "text", "type": "choices", "value": {"choices": one}}
            for one in said
        ]
        return {"data": {"text": text}, "annotations": [{"result": [one]} for one in results]}

    labels = (["money"], ["money", "post"], ["post"], ["post", "web"])
    tasks = [task(f"please help me with my order number {n}", labels[n % 4]) for n in range(40)]
    tasks.append(task("the two of us see this one otherwise", ["money"], ["web"]))
    (tmp_path / "tasks.json").write_text(json.dumps(tasks))
    said = burnish("init", "tasks.json", cwd=tmp_path).stdout
    assert "shape     Label Studio tasks" in said
    assert 'multilabel: "topics" holds lists of 3 values' in said
    checked = burnish("data", "check", cwd=tmp_path).stdout
    assert "tasks.json: Label Studio tasks" in checked
    assert "label-conflict" in checked
    # all tasks stand on one line: the 41st of them, and what the second annotator said of it
    assert "tasks.json:1#41, tasks.json:1#41#annotations[1]" in checked
    refused = burnish(
        "init", "tasks.json", "--shape", "label-sudio", "--force", cwd=tmp_path, code=2
    )
    assert 'nearest: "label-studio"' in refused.stderr
    burnish("init", "tasks.json", "--shape", "label-studio", "--force", cwd=tmp_path)
    assert 'shape = "label-studio"' in (tmp_path / "task.toml").read_text()


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("xquad_en/xquad.en.json", "extractive-qa"),
        ("xquad_en/validation.jsonl", "extractive-qa"),
        ("nq_open/dev.jsonl", "qa"),
        ("medquad/qa.jsonl", "qa"),
        ("mts_dialog/train.csv", "summarization"),
        ("scitldr/dev.jsonl", "summarization"),
        ("legal_summ/all_v1.jsonl", "summarization"),
        ("sgd_chat/train.jsonl", "chat"),
        ("self_instruct/seed_tasks.jsonl", "chat"),
    ],
)
def test_files_made_for_a_kind_become_a_task_of_it(
    real_data: Path, tmp_path: Path, file: str, kind: str
) -> None:
    task = api.init(real_data / file, project=tmp_path)
    assert task.kind == kind
    # what was written is a task that reads its rows
    read = read_examples(task, tmp_path)
    assert sum(map(len, read.examples.values())) > 0.9 * read.rows_in > 100


def test_real_chats_with_intents_are_multilabel(real_data: Path, tmp_path: Path) -> None:
    task = api.init(real_data / "sgd_chat" / "train.jsonl", project=tmp_path, kind="multilabel")
    assert (task.kind, task.inputs, task.label) == ("multilabel", ("messages",), "intents")
    assert len(task.labels) == 36


def test_a_kind_that_is_asked_for_is_given(real_data: Path, tmp_path: Path) -> None:
    task = api.init(real_data / "medquad" / "qa.jsonl", project=tmp_path, kind="classification")
    assert (task.inputs, task.label) == (("question",), "qtype")
