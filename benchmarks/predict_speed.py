"""Offline prediction against the Hugging Face pipeline on the same rows, pair by pair.

    python benchmarks/predict_speed.py --rows 400 --pairs 3

The same weights and the same maximum length for all. "pipeline 1" answers row by row (its default), "pipeline
32" with batch_size=32; Burnish reads the same texts through `predict_file`, CSV writing included. Ratios are
rows per second of Burnish over the peer's, medians over pairs; labels must agree on every row.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import statistics
import tempfile
import time
from pathlib import Path

from transformers import pipeline

from burnish.data.rows import Row
from burnish.deploy.batch import predict_file
from burnish.edge import cache_folder
from burnish.models.classifier import copy_tokenizer, load_fitted, new_classifier
from burnish.models.learner import pick_device, pick_precision
from burnish.models.source import fetch_base
from burnish.records.recipe import Recipe
from burnish.records.task import LabelSpec, Task

FOLDER = Path(os.environ.get("BURNISH_DATA", Path(__file__).parents[2] / "shared" / "data"))
MAX_TOKENS = 400
LABELS = ("1", "2", "3", "4", "5")


def main() -> None:
    """Print one line a pair and the medians of the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--pairs", type=int, default=3)
    chosen = parser.parse_args()
    texts = mixed_texts(chosen.rows)
    recipe = Recipe(max_tokens=MAX_TOKENS)
    base = fetch_base(recipe.base, cache=cache_folder(), announce=print)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        learner = new_classifier(
            base.folder, label_names=LABELS, objective="softmax", recipe=recipe
        )
        learner.model.save_pretrained(folder)
        copy_tokenizer(base.folder, folder)
        precision = pick_precision("auto", pick_device())
        print(f"{len(texts)} rows, precision {precision}, at most {MAX_TOKENS} tokens")
        task = Task(
            name="speed",
            kind="classification",
            inputs=("text",),
            label="label",
            labels=tuple(LabelSpec(name=label) for label in LABELS),
            primary_metric="accuracy",
        )
        fitted = load_fitted(folder, max_tokens=MAX_TOKENS, precision=precision)
        peer = pipeline("text-classification", model=str(folder), tokenizer=str(folder))
        limits = {"truncation": True, "max_length": MAX_TOKENS}

        def ours() -> list[str]:
            out = io.StringIO()
            rows = (Row(where=f"r:{i}", fields={"text": text}) for i, text in enumerate(texts))
            predict_file(fitted, task, rows, out, version="speed-1")
            return [row["label"] for row in csv.DictReader(io.StringIO(out.getvalue()))]

        def one_by_one() -> list[str]:
            return [peer(text, **limits)[0]["label"] for text in texts]

        def in_batches() -> list[str]:
            return [answer["label"] for answer in peer(texts, batch_size=32, **limits)]

        ours()
        ratios: dict[str, list[float]] = {"pipeline 1": [], "pipeline 32": []}
        for pair in range(chosen.pairs):
            for title, peer_run in (("pipeline 1", one_by_one), ("pipeline 32", in_batches)):
                burnish_seconds, burnish_labels = timed(ours)
                peer_seconds, peer_labels = timed(peer_run)
                same = sum(a == b for a, b in zip(burnish_labels, peer_labels, strict=True))
                ratios[title].append(peer_seconds / burnish_seconds)
                print(
                    f"pair {pair + 1} {title}: burnish {len(texts) / burnish_seconds:.1f} rows/s, "
                    f"peer {len(texts) / peer_seconds:.1f} rows/s, ratio "
                    f"{ratios[title][-1]:.2f}, labels equal {same} of {len(texts)}",
                    flush=True,
                )
        for title, found in ratios.items():
            print(f"| burnish / {title} | {statistics.median(found):.2f} |")


def timed(work: object) -> tuple[float, list[str]]:
    """Seconds and answers of one run."""
    started = time.perf_counter()
    answers = work()  # type: ignore[operator]
    return time.perf_counter() - started, answers


def mixed_texts(count: int) -> list[str]:
    """Short questions, comments and long abstracts in turn, as published."""
    columns = {
        "banking77/test.csv": "text",
        "youtube_spam/comments.csv": "CONTENT",
        "medical_abstracts/test.csv": "medical_abstract",
    }
    found = []
    for name, column in columns.items():
        with (FOLDER / name).open(encoding="utf-8", newline="") as file:
            rows = [row[column] for row in csv.DictReader(file)]
        found.append(rows[:: max(1, len(rows) // count)])
    return [text for group in zip(*found, strict=False) for text in group][:count]


if __name__ == "__main__":
    main()
