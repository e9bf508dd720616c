"""Planted label errors on banking77: how many stand in the first 3% and 6% of rows ranked by out-of-fold probabilities.

    python benchmarks/mislabels.py                  # a head on the frozen base beside TF-IDF and chance
    python benchmarks/mislabels.py --tuned          # and our tuned model: a training for each fold
    python benchmarks/mislabels.py --rows 2000      # a part of the rows

3% of the rows get another label, drawn evenly. Every ranking sees the same rows and folds (near duplicates together) and
is by normalised margin. Intervals are Wilson's at 95% over the planted errors. Errors that the published labels have
themselves stand in the rankings too and count as misses. "precision" and "recall" are of the rows the check would list.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import tempfile
import time
from pathlib import Path

import numpy as np

import burnish
from burnish.data.confident import doubts, margins
from burnish.data.folds import folds_of
from burnish.decide.baselines import tfidf
from burnish.edge import make_edge
from burnish.models.embed import load_embedder
from burnish.models.pretrained import open_pretrained
from burnish.records.task import LabelSpec, Task
from burnish.train.fit import Surroundings
from burnish.train.out_of_fold import Tuning, head_probabilities, tuned_probabilities
from burnish.train.rows import LabelledTexts

FOLDER = Path(os.environ.get("BURNISH_DATA", Path(__file__).parents[2] / "shared" / "data"))
PLANTED_FRACTION = 0.03


def main() -> None:
    """Plant, rank, count, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=None)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--tuned", action="store_true")
    parser.add_argument("--tuned-folds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", dest="fields")
    asked = parser.parse_args()
    random = np.random.default_rng(asked.seed)
    with (FOLDER / "banking77" / "train.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if asked.rows:
        chosen = np.sort(random.choice(len(rows), asked.rows, replace=False))
        rows = [rows[number] for number in chosen]
    texts = [row["text"] for row in rows]
    names = sorted({row["category"] for row in rows})
    right = np.array([names.index(row["category"]) for row in rows])
    wrong = random.choice(len(rows), round(PLANTED_FRACTION * len(rows)), replace=False)
    said = right.copy()
    said[wrong] = (right[wrong] + random.integers(1, len(names), len(wrong))) % len(names)
    targets = np.eye(len(names))[said]
    given = [names[label] for label in said]
    groups = [None] * len(rows)
    folds = folds_of(texts, given, groups=groups, count=asked.folds, seed=asked.seed)
    print(f"{len(rows)} rows, {len(wrong)} planted errors, seed {asked.seed}", flush=True)
    print("| ranking | first 3% | first 6% | listed | of them planted | of planted listed | s |")
    print("|---|---|---|---|---|---|---|")
    ranks = {}

    def show(name: str, probabilities: np.ndarray, started: float) -> None:
        score = margins(probabilities, said)
        ranks[name] = score.argsort(kind="stable").argsort(kind="stable")
        listed = doubts(probabilities, said).rows
        line(name, ranks[name], listed, time.monotonic() - started)

    def line(name: str, rank: np.ndarray, listed: np.ndarray, seconds: float) -> None:
        hits = [int((rank[wrong] < share * len(rows)).sum()) for share in (0.03, 0.06)]
        both = len(np.intersect1d(listed, wrong))
        told = [f"{hit / len(wrong):.3f} ({wilson(hit, len(wrong))})" for hit in hits]
        precision = f"{both / len(listed):.2f}" if len(listed) else "-"
        print(
            f"| {name} | {told[0]} | {told[1]} | {len(listed)} | {precision} | "
            f"{both / len(wrong):.3f} | {seconds:.0f} |",
            flush=True,
        )

    started = time.monotonic()
    guess = np.zeros((len(rows), len(names)))
    for fold in np.unique(folds):
        held = np.flatnonzero(folds == fold)
        others = np.flatnonzero(folds != fold)
        model = tfidf.build(
            [texts[row] for row in others],
            targets[others],
            objective="softmax",
            vectors=None,
            seed=asked.seed,
        )
        logits = model.logits(model.encode([texts[row] for row in held]))
        guess[held] = softmax(logits)
    show("TF-IDF + logistic regression", guess, started)
    edge = make_edge(announce=silent, on_step=silent)
    fields = dict(field.split("=", 1) for field in asked.fields)
    recipe = burnish.Recipe.model_validate({"epochs": 2, **fields, "seed": asked.seed})
    base = open_pretrained(
        recipe.base, cache=edge.cache, texts=lambda: texts, announce=silent, offline=edge.offline
    )
    started = time.monotonic()
    embedder = load_embedder(base.folder, max_tokens=recipe.max_tokens)
    vectors = embedder.vectors(embedder.encode(texts))
    head = head_probabilities(vectors, targets, folds, objective="softmax", announce=silent)
    show("ours: head on the frozen base", head, started)
    average("average rank of head and TF-IDF", ranks, line)
    if asked.tuned:
        few = folds_of(texts, given, groups=groups, count=asked.tuned_folds, seed=asked.seed)
        labelled = LabelledTexts(texts, targets, np.ones(len(rows)), [""] * len(rows))
        task = Task(
            name="banking77",
            kind="classification",
            inputs=("text",),
            label="category",
            labels=tuple(LabelSpec(name=name) for name in names),
            primary_metric="accuracy",
        )
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            around = Surroundings(edge.now, silent, progress, lambda: None, 1e9)
            tuning = Tuning(base, recipe, Path(folder), around)
            tuned = tuned_probabilities(task, labelled, few, objective="softmax", tuning=tuning)
        show(f"ours: tuned, {asked.tuned_folds} folds", tuned, started)
        show("ours: mean of tuned and head probabilities", (tuned + head) / 2, started)
        average("average rank of all three", ranks, line)
    line("random", random.permutation(len(rows)), np.zeros(0, dtype=np.int64), 0.0)


def average(name: str, ranks: dict, line) -> None:
    """The order of the mean rank of the single rankings so far."""
    mean = np.mean([rank for key, rank in ranks.items() if "mean" not in key], axis=0)
    rank = mean.argsort(kind="stable").argsort(kind="stable")
    line(name, rank, np.zeros(0, dtype=np.int64), 0.0)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def wilson(hits: int, of: int) -> str:
    """The 95% interval of a share."""
    share, z = hits / of, 1.96
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of)) / (1 + z * z / of)
    return f"{middle - half:.3f} to {middle + half:.3f}"


def silent(*_: object) -> None:
    """Say nothing."""


def progress(step) -> None:
    """A line an epoch."""
    if step.validation is not None:
        print(f"  epoch {step.epoch}: validation {step.validation:.4f}", flush=True)


if __name__ == "__main__":
    main()
