"""What needs no model starts without torch, and quickly."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from quick_circle import environment, write_rows

# Imports that cost a second or more each, and that looking at data never needs.
HEAVY = ("torch", "transformers", "peft", "sklearn", "scipy", "matplotlib")
HELP_CPU_SECONDS = 0.5

_PROBE = """
import sys
from burnish.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit as left:
    code = left.code
heavy = [name for name in %r if name in sys.modules]
print("heavy:", *heavy, file=sys.stderr)
sys.exit(code)
""" % (HEAVY,)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cold")
    write_rows(folder / "rows.csv")
    return folder


def test_commands_that_need_no_model_import_no_torch(project: Path, cache: Path) -> None:
    """In this order: init makes the project the others look at."""
    for command in (
        "--help",
        "init rows.csv",
        "data check",
        "data list",
        "runs list",
        "deployments",
        "run --dry-run",
        "promote --help",
    ):
        done = subprocess.run(
            [sys.executable, "-c", _PROBE, *command.split()],
            cwd=project,
            env=environment(cache),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        assert "heavy:\n" in done.stderr, f"burnish {command} imports {done.stderr}"


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
