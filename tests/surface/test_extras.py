"""The base install has no torch: what needs it says so in the one shape."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None  # what an environment without it does to `import torch`
from burnish.cli.main import main
main(sys.argv[1:])
"""


def test_training_without_the_extra_names_it(tmp_path: Path, burnish) -> None:
    rows = [f"row {number} about {'cats' if number % 2 else 'dogs'}" for number in range(80)]
    labels = ["cat" if number % 2 else "dog" for number in range(80)]
    lines = [f"{text},{label}" for text, label in zip(rows, labels, strict=True)]
    (tmp_path / "pets.csv").write_text("text,label\n" + "\n".join(lines) + "\n")
    burnish("init", "pets.csv", cwd=tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, "run", "--base", "tiny:bert"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "error: extra-missing" in done.stderr and "burnish[train]" in done.stderr
    assert "Traceback" not in done.stderr
