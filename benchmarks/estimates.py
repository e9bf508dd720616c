"""How good the estimate before training is: real runs, each in a process of its own, estimate beside measure.

    python benchmarks/estimates.py
    python benchmarks/estimates.py banking77-full medical-full --rows 0.5

Each run is `burnish train` on real rows: read, check, split, fetch the base model, estimate, train. The error is the
estimate over the measure, minus one. Processor time is printed beside wall time: on a machine that others use too,
believe that; the wall clock cannot be foretold there. A run takes one to three minutes on two quiet cores.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

FOLDER = Path(os.environ.get("BURNISH_DATA", Path(__file__).parents[2] / "shared" / "data"))


@dataclass(frozen=True)
class Case:
    """A training: files of a data set, how many of their rows, and what the recipe changes."""

    files: tuple[str, ...]
    rows: int
    recipe: dict[str, object] = field(default_factory=dict)


CASES = {
    "banking77-head": Case(("banking77/train.csv",), 8000, {"method": "head", "epochs": 6}),
    "banking77-full": Case(("banking77/train.csv",), 2000, {"epochs": 2}),
    "uci-lora": Case(
        ("uci_sentiment/amazon.csv", "uci_sentiment/imdb.csv", "uci_sentiment/yelp.csv"),
        2000,
        {"method": "lora", "epochs": 2},
    ),
    "medical-full": Case(("medical_abstracts/test.csv",), 500, {"epochs": 1, "batch_rows": 16}),
    "bitext-tiny": Case(("bitext_support/train.csv",), 12000, {"base": "tiny:bert", "epochs": 3}),
}


def main() -> None:
    """One Markdown line for each run, and the largest errors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--rows", type=float, default=1.0, help="this part of each run's rows")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        one(CASES[chosen.one], chosen.rows)
        return
    print(
        "| run | updates | warm-up | estimated | took | wall | processor | memory | peak | error |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    worst = np.zeros(3)
    for name in chosen.cases or CASES:
        command = [sys.executable, __file__, "--one", name, "--rows", str(chosen.rows)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found = json.loads(done.stdout.splitlines()[-1])
        errors = np.array(
            [
                found["expected_seconds"] / found["took_seconds"] - 1,
                found["expected_cpu_seconds"] / found["took_cpu_seconds"] - 1,
                found["memory_bytes"] / found["peak_bytes"] - 1,
            ]
        )
        worst = np.maximum(worst, np.abs(errors))
        print(
            f"| {name} | {found['made_updates']} | {found['warm_up_seconds']:.1f} s | "
            f"{found['expected_seconds']:.1f} s | {found['took_seconds']:.1f} s | {errors[0]:+.1%} | "
            f"{errors[1]:+.1%} | {found['memory_bytes'] / 1e6:.0f} MB | "
            f"{found['peak_bytes'] / 1e6:.0f} MB | {errors[2]:+.1%} |",
            flush=True,
        )
    print(f"largest: wall {worst[0]:.1%}, processor {worst[1]:.1%}, memory {worst[2]:.1%}")


def one(case: Case, part: float) -> None:
    """Train once; the last line printed is the estimate as JSON."""
    from burnish import curate, lifecycle
    from burnish.data.start import start
    from burnish.edge import make_edge
    from burnish.project import open_project, using_rows
    from burnish.records.recipe import Recipe

    recipe = Recipe.model_validate(case.recipe)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        files = [
            _some(FOLDER / file, root, case.rows * part / len(case.files)) for file in case.files
        ]
        start(files, root, name="estimates")
        project = open_project(root)
        edge = make_edge(announce=lambda text: print(text, file=sys.stderr, flush=True))
        with using_rows(project):
            prepared = curate.prepare(project, edge, recipe=recipe)
            base = lifecycle.fetch(project, prepared, recipe, edge)
            run = lifecycle.train(project, prepared, recipe, edge, base=base)
    print(json.dumps(run.model_dump(mode="json")["estimate"]))


def _some(file: Path, root: Path, count: float) -> Path:
    """A file of `count` of the rows, drawn at random."""
    with file.open(encoding="utf-8", newline="") as source:
        head, *rows = csv.reader(source)
    chosen = np.random.default_rng(0).permutation(len(rows))[: round(count)]
    target = root / file.name
    with target.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([head, *(rows[at] for at in sorted(chosen.tolist()))])
    return target


if __name__ == "__main__":
    main()
