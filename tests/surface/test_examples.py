"""The narration of the circle runs, and says what it should at every stage."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import burnish
from burnish.deploy.deployments import deployments
from burnish.retrain.book import retrainings
from burnish.store.ledger import open_ledger
from quick_circle import Circle
from source_tree import ROOT


def test_the_circle_goes_round(circle: Circle) -> None:
    said = re.sub(r"\x1b\[[0-9;]*m", "", circle.output)
    stages = re.findall(r"^== (.*)$", said, flags=re.MULTILINE)
    assert len(stages) >= 10
    assert "225 rows in: 225 readable, 0 rejected" in said
    for candidate in ("majority", "TF-IDF", "centroid", "nearest neighbours", "fine-tuned"):
        assert candidate in said
    assert "verdict  passed" in said
    assert re.search(r"^tickets-\d is live \(", said, flags=re.MULTILINE)
    assert re.search(r"^tickets-\d is live in place of tickets-\d", said, flags=re.MULTILINE)
    assert re.search(r"^tickets-\d is live again in place of tickets-\d", said, flags=re.MULTILINE)


def test_the_server_answered_with_label_version_and_id(circle: Circle) -> None:
    (line,) = [line for line in circle.output.splitlines() if line.startswith('{"model"')]
    reply = json.loads(line)
    (prediction,) = reply["predictions"]
    assert reply["version"].startswith("tickets-")
    assert set(prediction["probabilities"]) == {"refund", "login", "delivery"}
    assert prediction["id"]


def test_a_live_baseline_is_retrained_as_what_it_is(circle: Circle) -> None:
    with open_ledger(circle.project / ".burnish" / "ledger.db") as ledger:
        (ended,) = [one for one in retrainings(ledger, "tickets") if one.outcome == "shadow"]
        engines = {one.version: one.engine for one in deployments(ledger, "tickets")}
    assert ended.live_version is not None and ended.version is not None
    assert engines[ended.version] == engines[ended.live_version] == "tfidf"
    assert ended.run_id is None and all(gate.passed for gate in ended.gates)


def test_predict_wrote_a_line_for_every_row(circle: Circle) -> None:
    lines = (circle.project / "answers.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("row,label,confidence,version")
    assert len(lines) == 4


def test_examples_are_sound_shell() -> None:
    for script in sorted((ROOT / "examples").glob("*.sh")):
        text = script.read_text(encoding="utf-8")
        assert text.startswith("#!/usr/bin/env bash\n")
        assert "\nset -euo pipefail\n" in text
        subprocess.run(["bash", "-n", str(script)], check=True)


@pytest.mark.parametrize(
    ("sample", "kind", "inputs"),
    [
        ("service_chat", "chat", ("messages",)),
        ("consultations", "summarization", ("dialogue",)),
        ("clauses", "summarization", ("document",)),
        ("questions", "qa", ("question",)),
        ("lookup", "extractive-qa", ("question", "context")),
    ],
)
def test_written_samples_are_what_they_are_said_to_be(
    tmp_path: Path, sample: str, kind: str, inputs: tuple[str, ...]
) -> None:
    rows = tmp_path / f"{sample}.jsonl"
    shutil.copyfile(ROOT / "examples/texts" / rows.name, rows)
    assert f"| `{rows.name}` | {kind} |" in (ROOT / "examples/texts/README.md").read_text()
    task = burnish.init(rows, project=tmp_path)
    assert (task.kind, task.inputs) == (kind, inputs)
    dataset = burnish.make_dataset(tmp_path)
    assert (dataset.rows_in, dataset.rows_used, dataset.rejected) == (24, 24, {})
    assert {one.code for one in burnish.check(tmp_path)} == {"few-rows"}
