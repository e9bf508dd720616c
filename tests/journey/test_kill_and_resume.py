"""Training that is stopped, interrupted and killed ends in the weights of one left alone."""

from __future__ import annotations

import json
import os
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
    return sum(
        file.read_bytes().count(b"\n") for file in project.glob(".burnish/runs/*/steps.jsonl")
    )


def train(project: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "burnish", *COMMAND],
        cwd=project,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def stopped_by(
    project: Path, environment: dict[str, str], number: signal.Signals
) -> tuple[int, str]:
    """Start training, send the signal after three more updates; the exit code and what was said."""
    before = lines(project)
    process = train(project, environment)
    while lines(project) < before + 3 and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(number)
    said, _ = process.communicate(timeout=300)
    return process.returncode, said


def test_sigterm_then_ctrl_c_leave_checkpoints_that_the_same_command_takes(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    write_project(tmp_path)
    (tmp_path / "recipe.toml").write_text(RECIPE)
    init = [sys.executable, "-m", "burnish", "init", "tickets.csv"]
    subprocess.run(init, cwd=tmp_path, env=environment, check=True, capture_output=True)
    code, said = stopped_by(tmp_path, environment, signal.SIGTERM)
    assert code == 143, said
    assert "training-interrupted" in said and "run the same command again" in said
    assert json.loads((run_folder(tmp_path) / "run.json").read_text())["status"] == "interrupted"
    stood = lines(tmp_path)
    code, said = stopped_by(tmp_path, environment, signal.SIGINT)
    assert code == 130, said
    assert f"resuming after step {stood}" in said and "Traceback" not in said
    assert lines(tmp_path) >= stood + 3


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


def test_storms_of_signals(environment: dict[str, str]) -> None:
    """The short version of tests/soak/signal_storms.py; the long one is run by hand."""
    done = subprocess.run(
        [sys.executable, str(SOAK.with_name("signal_storms.py")), "--storms", "4"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 storms, 1 runs, 1 byte-identical" in done.stdout
