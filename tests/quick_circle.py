"""A circle small enough for a test: rows, a recipe and an environment for examples/circle.sh."""

from __future__ import annotations

import csv
import os
import sys
from dataclasses import dataclass
from pathlib import Path

SAID = {
    "refund": ("I want my money back", "please refund order", "return the payment for"),
    "login": ("I cannot log in to", "my password fails on", "locked out of account"),
    "delivery": ("where is my parcel", "the courier lost box", "still waiting for package"),
}
# A tiny model from scratch learns nothing in seconds: its head stays where the probe put it.
QUICK_RECIPE = """\
base = "tiny:bert"
method = "head"
epochs = 1
learning_rate = 1e-6
dropout = 0.0
max_tokens = 32
"""


@dataclass(frozen=True, slots=True)
class Circle:
    """What examples/circle.sh printed, and the project it left."""

    output: str
    project: Path


def environment(cache: Path) -> dict[str, str]:
    """The environment of a command: the checkout's own `burnish`, one thread, no download."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {
        **os.environ,
        "PATH": path,
        "BURNISH_CACHE": str(cache),
        "BURNISH_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }


def write_rows(path: Path) -> None:
    """225 rows of three intents that words tell apart."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["subject", "text", "intent"])
        for number in range(25):
            for intent, phrases in SAID.items():
                for phrase in phrases:
                    rows.writerow([f"question {number % 7}", f"{phrase} {number * 37}", intent])
