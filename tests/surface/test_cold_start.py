"""What needs no model starts without torch, and quickly."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from quick_circle import environment, write_rows

# Imports that cost a second or more each, and that looking at data never needs.
HEAVY = (
    "torch",
    "transformers",
    "peft",
    "sklearn",
    "scipy",
    "matplotlib",
    "nltk",
    "rouge_score",
    "sacrebleu",
)
HELP_CPU_SECONDS = 0.5

# One process runs the commands in turn, as each would start; what it imported is what they import together.
_PROBE = f"""
import sys
from burnish.cli.main import main
for line in sys.argv[1:]:
    try:
        main(line.split())
    except SystemExit as left:
        if left.code:
            sys.exit(line)
print("heavy:", *set({HEAVY}).intersection(sys.modules), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cold")
    write_rows(folder / "rows.csv")
    return folder


def test_commands_that_need_no_model_import_no_torch(project: Path, cache: Path) -> None:
    """In this order: init makes the project the others look at."""
    done = subprocess.run(
        [
            sys.executable, "-c", _PROBE, "--help", "init rows.csv", "data check", "data list",
            "runs list", "deployments", "doctor", "run --dry-run", "train --help",
        ],
        cwd=project,
        env=environment(cache),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.endswith("heavy:\n"), done.stderr


def test_importing_the_package_imports_nothing_heavy() -> None:
    told = subprocess.run(
        [sys.executable, "-c", "import burnish, sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert not {*HEAVY, "numpy", "pydantic", "sqlalchemy", "typer"} & set(told)


def test_help_takes_half_a_second_of_cpu_at_most() -> None:
    """The best of three: other work on the machine slows a process down, it never speeds one up."""
    taken = []
    for _ in range(3):
        child = os.posix_spawn(
            sys.executable,
            [sys.executable, "-m", "burnish", "--help"],
            os.environ,
            file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)],
        )
        _, status, usage = os.wait4(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        taken.append(usage.ru_utime + usage.ru_stime)
    assert min(taken) <= HELP_CPU_SECONDS, taken
