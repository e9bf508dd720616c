"""Training that is stopped, interrupted and killed, by the real command, ends in the weights of one left alone."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tiny_training import write_project

SOAK = Path(__file__).parents[1] / "soak" / "kill_training.py"
RECIPE = """
base = "tiny:bert"
epochs = 3
patience = 9
batch_rows = 2
max_tokens = 24
learning_rate = 1e-3
head_start = "random"
precision = "fp32"
"""
COMMAND = ("train", "--save-every", "0")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """One thread, and a cache of this test's own."""
    cache = tmp_path_factory.mktemp("cache")
    return {**os.environ, "OMP_NUM_THREADS": "1", "BURNISH_CACHE": str(cache)}


def run_folder(project: Path) -> Path:
    (folder,) = project.glob(".burnish/runs/*")
    return folder


def lines(project: Path) -> int:
    return sum(file.read_bytes().count(b"\n") for file in project.glob(".burnish/runs/*/steps.jsonl"))


def train(project: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "burnish", *COMMAND],
        cwd=project,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def stopped_by(project: Path, environment: dict[str, str], number: signal.Signals) -> tuple[int, str]:
    """Start training, send the signal after three more updates; the exit code and what was said."""
    before = lines(project)
    process = train(project, environment)
    while lines(project) < before + 3 and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(number)
    said, _ = process.communicate(timeout=300)
    return process.returncode, said


def test_sigterm_then_ctrl_c_then_kill_nine_end_in_the_same_bytes(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    project, alone = tmp_path / "project", tmp_path / "alone"
    project.mkdir()
    write_project(project)
    (project / "recipe.toml").write_text(RECIPE)
    init = [sys.executable, "-m", "burnish", "init", "tickets.csv"]
    subprocess.run(init, cwd=project, env=environment, check=True, capture_output=True)
    shutil.copytree(project, alone)

    code, said = stopped_by(project, environment, signal.SIGTERM)
    assert code == 143, said
    assert "training-interrupted" in said and "run the same command again" in said
    assert json.loads((run_folder(project) / "run.json").read_text())["status"] == "interrupted"
    code, said = stopped_by(project, environment, signal.SIGINT)
    assert code == 130, said
    assert "resuming after step" in said
    code, _ = stopped_by(project, environment, signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert json.loads((run_folder(project) / "run.json").read_text())["status"] == "running"

    last, reference = train(project, environment), train(alone, environment)
    said, whole = (process.communicate(timeout=300)[0] for process in (last, reference))
    assert last.returncode == 0, said
    assert reference.returncode == 0, whole
    assert "resuming after step" in said and "Traceback" not in said
    ours, theirs = run_folder(project), run_folder(alone)
    assert ours.name == theirs.name
    for name in ("model/model.safetensors", "steps.jsonl"):
        assert digest(ours / name) == digest(theirs / name), name


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_six_kills_at_random_moments(environment: dict[str, str]) -> None:
    """The short version of tests/soak/kill_training.py; the long one is run by hand."""
    done = subprocess.run(
        [sys.executable, str(SOAK), "--kills", "6"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 kills" in done.stdout.splitlines()[-1]
