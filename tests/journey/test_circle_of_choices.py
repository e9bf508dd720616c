"""Labels of a closed set on a base that writes: the same circle, the same probabilities, gates and bundles."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

import burnish
from burnish.deploy.bundle import open_bundle
from burnish.encode.codec import Codec
from burnish.errors import BurnishError
from burnish.evaluate.predict import predict
from burnish.lifecycle import Outcome
from burnish.models.choice_model import ChoiceModel, choices_of
from burnish.records.message import Message
from burnish.records.task import LabelSpec, Task
from burnish.store.workspace import open_workspace
from burnish.tasks.choice import choice_prompt

TASK = """name = "routes"
kind = "classification"
inputs = ["text"]
label = "label"
primary_metric = "accuracy"

[[labels]]
name = "refund"

[[labels]]
name = "refund later"

[[labels]]
name = "delivery"

[data]
train = ["rows.jsonl"]

[[gates]]
metric = "accuracy"
than = "majority"
sure = true
"""
WORDS = {
    "refund": ("money", "back", "charged", "card"),
    "refund later": ("voucher", "credit", "month", "balance"),
    "delivery": ("parcel", "courier", "street", "door"),
}


def write_project(folder: Path, *, kind: str = "classification") -> None:
    choose = random.Random(3)
    with (folder / "rows.jsonl").open("w", encoding="utf-8") as file:
        for number in range(240):
            label = choose.choice(list(WORDS))
            words = choose.choices(WORDS[label], k=3)
            text = f"{words[0]} {number} please {words[1]} my {words[2]}"
            file.write(json.dumps({"text": text, "label": label}) + "\n")
    task = TASK.replace("classification", kind)
    (folder / "task.toml").write_text(task, encoding="utf-8")


def recipe(base: str) -> burnish.Recipe:
    return burnish.Recipe(
        base=base,
        method="full",
        epochs=4,
        max_tokens=96,
        learning_rate=3e-3,
        batch_rows=16,
        dropout=0.0,
    )


@pytest.fixture(scope="module", params=["tiny:llama", "tiny:t5"])
def done(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Outcome]:
    folder = tmp_path_factory.mktemp("choices")
    write_project(folder)
    return folder, burnish.run(folder, recipe=recipe(request.param))


def test_labels_are_learnt_and_proven_against_the_prompted_base(
    done: tuple[Path, Outcome],
) -> None:
    _, outcome = done
    names = [one.name for one in outcome.proof.decision.candidates]
    assert names == ["majority", "tfidf", "base", "tuned"]
    assert outcome.report.measure("accuracy").value >= 0.9
    assert outcome.report.calibration is not None
    assert outcome.report.verdict == "passed"


def test_the_bundle_gives_probabilities_that_sum_to_one(done: tuple[Path, Outcome]) -> None:
    folder, outcome = done
    bundle = open_workspace(folder).bundles / outcome.shadows["tuned"].bundle_id
    opened = open_bundle(bundle)
    assert opened.bundle.engine == "choices" and isinstance(opened.fitted, ChoiceModel)
    rows = [json.loads(line) for line in (folder / "rows.jsonl").open(encoding="utf-8")][:60]
    found = predict(opened.fitted, opened.task, [{"text": row["text"]} for row in rows])
    assert np.allclose([sum(one.probabilities_L) for one in found], 1)
    names = [opened.task.label_names[int(np.argmax(one.probabilities_L))] for one in found]
    assert sum(name == row["label"] for name, row in zip(names, rows, strict=True)) >= 50
    assert opened.fitted.temperature == outcome.proof.temperature


def test_what_is_scored_is_what_was_taught(done: tuple[Path, Outcome]) -> None:
    """The tokens of a label behind any prompt are those the likelihood is taken of, stop token included."""
    folder, outcome = done
    bundle = open_workspace(folder).bundles / outcome.shadows["tuned"].bundle_id
    fitted = open_bundle(bundle).fitted
    assert isinstance(fitted, ChoiceModel)
    for text in ("", "  money", "refund", "\n\nDoor\n", "é\u0301 \U0001f600 <|im_end|>"):
        (asked,) = fitted.encode([text])
        for name, choice in zip(WORDS, fitted.choices, strict=True):
            row = _row(fitted.chat.codec, fitted.task, text, name)
            assert tuple(row[1]) == choice
            if fitted.chat.codec.template is not None:
                assert row[0][: len(asked.ids_T)] == asked.ids_T.tolist()


def _row(codec: Codec, task: Task, text: str, name: str) -> tuple[list[int], list[int]]:
    turns = (*choice_prompt(task, text), Message(role="assistant", content=name))
    row, _ = codec.row(turns)
    return row.ids_T.tolist(), [int(one) for one in row.targets_T if one >= 0]


def test_several_labels_a_row_need_an_encoder(tmp_path: Path) -> None:
    write_project(tmp_path, kind="multilabel")
    text = (tmp_path / "task.toml").read_text().replace('"accuracy"', '"micro_f1"')
    (tmp_path / "task.toml").write_text(text)
    with pytest.raises(BurnishError, match="base-writes"):
        burnish.train(tmp_path, recipe=recipe("tiny:llama"))


def test_labels_that_are_the_same_tokens_are_refused(done: tuple[Path, Outcome]) -> None:
    folder, outcome = done
    bundle = open_workspace(folder).bundles / outcome.shadows["tuned"].bundle_id
    fitted = open_bundle(bundle).fitted
    assert isinstance(fitted, ChoiceModel)
    unknown = (LabelSpec(name="\U0001f600"), LabelSpec(name="\U0001f601"))
    task = fitted.task.model_copy(update={"labels": unknown})
    try:
        found = choices_of(fitted.chat.codec, task)
    except BurnishError as error:
        assert error.code == "labels-same-tokens"
    else:  # a tokenizer of bytes knows every sign
        assert len(set(found)) == 2
