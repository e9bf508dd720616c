"""The circle once, quickly: examples/circle.sh on small rows; several tests look at what it left."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from quick_circle import QUICK_RECIPE, Circle, environment, write_rows
from source_tree import ROOT


@pytest.fixture(scope="session")
def circle(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Circle:
    """examples/circle.sh from the first command to the last."""
    folder = tmp_path_factory.mktemp("circle")
    write_rows(folder / "rows.csv")
    (folder / "quick.toml").write_text(QUICK_RECIPE, encoding="utf-8")
    project = folder / "project"
    project.mkdir()
    done = subprocess.run(
        ["bash", str(ROOT / "examples" / "circle.sh"), str(folder / "rows.csv")],
        env={
            **environment(cache),
            "RECIPE": str(folder / "quick.toml"),
            "PROJECT": str(project),
        },
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return Circle(done.stdout, project)
