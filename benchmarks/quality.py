"""Quality on real data: tuned against TF-IDF + logistic regression on the same test rows, several seeds.

    python benchmarks/quality.py banking77 --seeds 3
    python benchmarks/quality.py uci_sentiment bitext_support medical_abstracts youtube_spam

Each run is the product's own circle with its defaults. Accuracy is the mean over seeds; its interval is a
bootstrap over test rows of that mean, so seeds and rows both count; the difference is paired by row.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np

import burnish
from burnish import lifecycle
from burnish.data.start import start
from burnish.edge import make_edge
from burnish.project import open_project
from burnish.records.run import Step

FOLDER = Path(os.environ.get("BURNISH_DATA", Path(__file__).parents[2] / "shared" / "data"))
RESAMPLES = 4000
SETS = {
    "banking77": {"train": ["train.csv"], "test": "test.csv"},
    "uci_sentiment": {"train": ["amazon.csv", "imdb.csv", "yelp.csv"]},
    "bitext_support": {"train": ["train.csv"]},
    "medical_abstracts": {"train": ["test.csv"]},
    "youtube_spam": {"train": ["comments.csv"]},
}


def main() -> None:
    """Run the sets named on the command line and print one line of Markdown for each seed and set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="+", choices=SETS)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", dest="fields")
    chosen = parser.parse_args()
    fields = dict(field.split("=", 1) for field in chosen.fields)
    for name in chosen.sets:
        report(name, range(chosen.first_seed, chosen.first_seed + chosen.seeds), fields)


def report(name: str, seeds: range, fields: dict[str, str]) -> None:
    """Run one set for each seed and print what was measured."""
    source = FOLDER / name
    settings = SETS[name]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        test = settings.get("test")
        start(
            [source / file for file in settings["train"]],
            root,
            test=source / test if test else None,
            name=name,
        )
        tuned, tfidf = [], []
        for seed in seeds:
            started = time.monotonic()
            recipe = burnish.Recipe.model_validate({**fields, "seed": seed})
            edge = make_edge(announce=_silent, on_step=_validations)
            outcome = lifecycle.circle(open_project(root), recipe, edge)
            seconds = time.monotonic() - started
            tried = outcome.proof.tried
            tuned.append(tried["tuned"].scored.right_R)
            tfidf.append(tried["tfidf"].scored.right_R)
            others = ", ".join(
                f"{key} {one.scored.right_R.mean():.4f}" for key, one in tried.items()
            )
            print(
                f"{name} seed {seed}: circle {seconds:.0f} s, training "
                f"{outcome.run.train_seconds:.0f} s, best epoch step {outcome.run.best_step} of "
                f"{outcome.run.steps}; {others}; macro_f1 "
                f"{outcome.report.measure('macro_f1').value:.4f}; {outcome.proof.decision.sentence}",
                flush=True,
            )
            for issue in outcome.prepared.dataset.issues:
                print(f"  {issue.severity}: {issue.code}: {issue.what}", flush=True)
        ours, theirs = np.mean(tuned, axis=0), np.mean(tfidf, axis=0)
        print(
            f"| {name} | {len(tuned)} | {len(ours)} | {_interval(ours)} | {_interval(theirs)} | "
            f"{_interval(ours - theirs)} |",
            flush=True,
        )


def _silent(text: str) -> None:
    del text


def _validations(step: Step) -> None:
    if step.validation is not None:
        print(f"  epoch {step.epoch}: validation {step.validation:.4f}", flush=True)


def _interval(values_R: np.ndarray) -> str:
    random = np.random.default_rng(0)
    drawn = random.integers(0, len(values_R), (RESAMPLES, len(values_R)))
    low, high = np.quantile(values_R[drawn].mean(1), [0.025, 0.975])
    return f"{values_R.mean():.4f} ({low:.4f} to {high:.4f})"


if __name__ == "__main__":
    main()
