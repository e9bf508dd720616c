"""Policies at work: a schedule that retrains, promotes and rolls back by itself; a bad retraining that goes nowhere."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from burnish.deploy.deployments import history, live
from burnish.retrain.book import retrainings
from live_project import Project, first_version, sentences
from quick_circle import SAID

POLICIES = """
[monitor]
window_rows = 100

[retrain]
on_labels = 100
cooldown_hours = 0
promote = "policy"
shadow_rows = 0
rollback_on = ["audited_accuracy"]
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    folder = tmp_path_factory.mktemp("live")
    first_version(folder, cache)
    return folder


@pytest.fixture
def project(template: Path, tmp_path: Path, cache: Path) -> Project:
    folder = tmp_path / "project"
    shutil.copytree(template, folder)
    return Project(folder, cache)


def test_labels_start_a_retraining_that_is_promoted_and_taken_back_when_audits_say_so(
    project: Project,
) -> None:
    first = json.loads(project.run("deployments", "--json").stdout)
    assert "retraining" not in project.run("schedule", "--once").stderr
    project.add_policies(POLICIES)
    project.answered(sentences(40, start=10**6), say=lambda intent: intent, audit=False)
    turn = project.run("schedule", "--once")
    assert "policy: 360 new labels, 100 asked" in turn.stderr, turn.stderr
    with project.ledger() as ledger:
        (made,) = retrainings(ledger, project.task)
        answering = live(ledger, project.task)
    assert made.outcome == "shadow" and made.because.startswith("policy: 360 new labels")
    assert answering is not None and answering.version == made.version
    assert answering.by == "policy" and made.id in answering.because
    # nothing is due twice
    again = project.run("schedule", "--once")
    assert "promoted" not in again.stdout and "retraining:" not in again.stderr

    names = list(SAID)
    project.answered(
        sentences(12, start=2 * 10**6),
        say=lambda intent: names[(names.index(intent) + 1) % len(names)],
        audit=True,
    )
    task = (project.folder / "task.toml").read_text()
    (project.folder / "task.toml").write_text(task.replace("on_labels = 100\n", ""))
    turn = project.run("schedule", "--once")
    assert "rolled back" in turn.stdout and "audited_accuracy says act" in turn.stdout, turn.stdout
    with project.ledger() as ledger:
        events = history(ledger, project.task)
        answering = live(ledger, project.task)
    wanted = next(one["version"] for one in first if one["stage"] == "live")
    assert answering is not None and answering.version == wanted
    assert events[-1].by == "policy" and events[-1].replaces == made.version
    # the act belongs to the version that is gone: it takes nothing else back
    assert "rolled back" not in project.run("schedule", "--once").stdout


def test_a_retraining_on_shuffled_labels_is_refused_and_never_answers(project: Project) -> None:
    chance = random.Random(7)
    names = list(SAID)
    project.add_policies(POLICIES)
    rows = sentences(90, start=3 * 10**6)
    project.answered(
        rows, say=lambda intent: chance.choice([n for n in names if n != intent]), audit=False
    )
    done = project.run("retrain", "--json", code=3)
    found = json.loads(done.stdout)
    assert found["outcome"] == "refused" and found["version"] is None, found
    assert any(not gate["passed"] for gate in found["gates"])
    with project.ledger() as ledger:
        assert all(one.report_id != found["report_id"] for one in history(ledger, project.task))
    turn = project.run("schedule", "--once")
    assert "promoted" not in turn.stdout
    told = json.loads(project.run("retrain", "--list", "--json").stdout)
    assert [one["outcome"] for one in told][:1] == ["refused"]


def test_two_schedulers_and_nothing_new_are_told(project: Project) -> None:
    project.run("retrain", code=1)
    told = json.loads(project.run("retrain", "--list", "--json").stdout)
    assert [one["outcome"] for one in told] == ["nothing-new"]
    first = subprocess.Popen(
        [sys.executable, "-m", "burnish", "schedule"],
        cwd=project.folder, env=project.environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert first.stdout is not None and "policies of " in first.stdout.readline()
        second = project.run("schedule", "--once", code=1)
        assert "busy" in second.stderr
    finally:
        first.terminate()
        assert first.wait(20) == 143


def test_a_retraining_may_start_from_the_live_model_and_says_so(project: Project) -> None:
    project.add_policies('\n[retrain]\nstart = "live"\n')
    project.answered(sentences(4, start=4 * 10**6), say=lambda intent: intent, audit=False)
    done = project.run("retrain", "--json")
    found = json.loads(done.stdout)
    assert f"train from live:{found['live_version']}" in done.stderr
    assert found["start"] == "live" and found["outcome"] == "shadow"
