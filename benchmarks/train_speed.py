"""Training speed: our packed step against our padded rectangles and the Hugging Face Trainer, pair by pair.

    python benchmarks/train_speed.py banking77 uci_sentiment --updates 12 --pairs 3
    python benchmarks/train_speed.py banking77 --threads 1 --dropout 0

The same base model, batch of 32 rows, precision (fp32), dropout and longest row for all; in each pair every side
trains one epoch on the same rows, drawn at random, in turn. A token is a real one: padding counts for nobody.
"Trainer" has the best settings we found (rows grouped by length, fused AdamW, no logging or saving); "Trainer,
defaults" takes rows at random. CPU seconds are printed beside wall seconds: on a machine that others use too,
believe those.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from burnish.edge import cache_folder
from burnish.encode.pack import pack
from burnish.encode.tokenise import load_tokeniser, tokenise
from burnish.models.classifier import new_classifier
from burnish.models.family import family_of
from burnish.models.learner import PADDED_BODY, Layout, logits_of
from burnish.models.source import fetch_base
from burnish.records.recipe import Recipe
from burnish.train.loop import LoopState, TrainRows, steps
from burnish.train.optimizer import make_optimizer

FOLDER = Path(os.environ.get("BURNISH_DATA", Path(__file__).parents[2] / "shared" / "data"))
SETS = {
    "banking77": (("train.csv",), "text", "category"),
    "uci_sentiment": (("amazon.csv", "imdb.csv", "yelp.csv"), "sentence", "score"),
    "medical_abstracts": (("test.csv",), "medical_abstract", "condition_label"),
}


@dataclass(frozen=True)
class Speed:
    """Real tokens over the seconds they took."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Rows:
    """The rows of one pair."""

    texts: list[str]
    labels: list[int]
    classes: int


def main() -> None:
    """Print one line for each side of each pair, and the medians of the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="+", choices=SETS)
    parser.add_argument("--updates", type=int, default=12)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    for name in chosen.sets:
        compare(name, chosen)


def compare(name: str, chosen: argparse.Namespace) -> None:
    """One data set."""
    texts, labels = rows_of(name)
    recipe = Recipe(dropout=chosen.dropout, precision="fp32", epochs=1)
    base = fetch_base(recipe.base, cache=cache_folder(), announce=print).folder
    sides: dict[str, Callable[[Rows], Speed]] = {
        "packed": lambda rows: ours(rows, recipe, base, padded=False),
        "rectangles": lambda rows: ours(rows, recipe, base, padded=True),
        "Trainer": lambda rows: trainer(rows, recipe, base, grouped=True),
        "Trainer, defaults": lambda rows: trainer(rows, recipe, base, grouped=False),
    }
    print(f"{name}: {chosen.updates} updates, {chosen.threads} threads, dropout {chosen.dropout}")
    found: dict[str, list[Speed]] = {side: [] for side in sides}
    for pair in range(chosen.pairs):
        drawn = np.random.default_rng(pair).permutation(len(texts))
        drawn = drawn[: chosen.updates * recipe.batch_rows].tolist()
        rows = Rows([texts[at] for at in drawn], [labels[at] for at in drawn], max(labels) + 1)
        for side, run in sides.items():
            found[side].append(run(rows))
            speed = found[side][-1]
            print(
                f"  pair {pair + 1} {side}: {speed.wall:.0f} tokens/s, {speed.cpu:.0f} a CPU second",
                flush=True,
            )
    for side in list(sides)[1:]:
        pairs = list(zip(found["packed"], found[side], strict=True))
        wall = statistics.median(a.wall / b.wall for a, b in pairs)
        cpu = statistics.median(a.cpu / b.cpu for a, b in pairs)
        print(f"| {name} | packed / {side} | {wall:.2f} | {cpu:.2f} |", flush=True)


def ours(rows: Rows, recipe: Recipe, base: Path, *, padded: bool) -> Speed:
    """Our own loop, its layout as chosen or forced to rectangles."""
    names = [str(label) for label in range(rows.classes)]
    learner = new_classifier(base, label_names=names, objective="softmax", recipe=recipe)
    if padded:
        learner.layout = Layout(PADDED_BODY, "measured here")
        learner.model.set_attn_implementation(PADDED_BODY)  # type: ignore[operator]
    encodings = tokenise(load_tokeniser(base, max_tokens=recipe.max_tokens), rows.texts)
    targets_RL = np.eye(len(names))[rows.labels]
    ones_R = np.ones(len(rows.texts))
    lengths = np.array([len(row) for row in encodings])
    heads = family_of(learner.model_type).head_modules(learner.model)
    stream = steps(
        learner.model,
        TrainRows(lengths, targets_RL, ones_R, rows.texts),
        recipe,
        objective="softmax",
        logits=lambda piece: logits_of(
            learner, pack(encodings, piece, targets_RL=targets_RL, weights_R=ones_R)
        ),
        judge=lambda: 0.0,
        state=LoopState(make_optimizer(learner.model, recipe, head_modules=heads)),
    )
    torch.use_deterministic_algorithms(True)
    try:
        wall, cpu = time.perf_counter(), time.process_time()
        tokens = sum(step.tokens for step in stream)
        return Speed(tokens / (time.perf_counter() - wall), tokens / (time.process_time() - cpu))
    finally:
        torch.use_deterministic_algorithms(False)


class _Clock(TrainerCallback):
    """Starts when the model and its rows are ready."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        self.wall, self.cpu = time.perf_counter(), time.process_time()


def trainer(rows: Rows, recipe: Recipe, base: Path, *, grouped: bool) -> Speed:
    """Hugging Face's Trainer over the same rows."""
    model = AutoModelForSequenceClassification.from_pretrained(
        base,
        num_labels=rows.classes,
        hidden_dropout_prob=recipe.dropout,
        attention_probs_dropout_prob=recipe.attention_dropout,
    )
    tokenizer = AutoTokenizer.from_pretrained(base)
    ids = tokenizer(rows.texts, truncation=True, max_length=recipe.max_tokens)["input_ids"]
    examples = [
        {"input_ids": one, "labels": label, "length": len(one)}
        for one, label in zip(ids, rows.labels, strict=True)
    ]
    seen: list[int] = []
    collate = DataCollatorWithPadding(tokenizer)

    def counted(batch: list[dict[str, Any]]) -> Any:
        seen.append(sum(row["length"] for row in batch))
        kept = [{key: row[key] for key in ("input_ids", "labels")} for row in batch]
        for row in kept:
            row["attention_mask"] = [1] * len(row["input_ids"])
        return collate(kept)

    clock = _Clock()
    with tempfile.TemporaryDirectory() as folder:
        work = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=folder,
                num_train_epochs=1,
                per_device_train_batch_size=recipe.batch_rows,
                learning_rate=recipe.learning_rate,
                optim="adamw_torch_fused",
                train_sampling_strategy="group_by_length" if grouped else "random",
                logging_strategy="no",
                save_strategy="no",
                report_to=[],
                disable_tqdm=True,
                use_cpu=True,
                remove_unused_columns=False,
            ),
            train_dataset=examples,  # type: ignore[arg-type]
            data_collator=counted,
            callbacks=[clock],
        )
        work.train()
    wall, cpu = time.perf_counter() - clock.wall, time.process_time() - clock.cpu
    return Speed(sum(seen) / wall, sum(seen) / cpu)


def rows_of(name: str) -> tuple[list[str], list[int]]:
    """Texts and label numbers of a published set."""
    files, text, label = SETS[name]
    found: list[tuple[str, str]] = []
    for file in files:
        with (FOLDER / name / file).open(encoding="utf-8", newline="") as lines:
            found += [(row[text], row[label]) for row in csv.DictReader(lines)]
    numbers = {one: number for number, one in enumerate(sorted({label for _, label in found}))}
    return [one for one, _ in found], [numbers[label] for _, label in found]


if __name__ == "__main__":
    main()
