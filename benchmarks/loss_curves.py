"""Loss curves of whole trainings: packed rows against plain transformers, unpacked, fp32, eager attention.

    python benchmarks/loss_curves.py --rows 1500 --epochs 3 --seeds 3
    python benchmarks/loss_curves.py --rows 500 --epochs 1 --seeds 1 --dropout 0

uci_sentiment, the default base. The reference is a loop of its own: stock forward pass on padded rows with a
mask, cross-entropy, plain AdamW. Both sides of a seed start from the same weights and see the same rows in the
same order; with dropout the masks differ. Printed: the mean training loss of each part of the run with its spread
over seeds, the validation accuracy after each epoch, and the gap between the sides in units of the noise that two
samples of so many seeds have. Without dropout the gap of the same seed, update by update, is rounding.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from train_speed import rows_of

from burnish.edge import cache_folder
from burnish.encode.pack import epoch_updates, pack
from burnish.encode.tokenise import load_tokeniser, tokenise
from burnish.models.classifier import TransformersFitted, new_classifier
from burnish.models.family import family_of
from burnish.models.learner import logits_of
from burnish.models.source import fetch_base
from burnish.records.encoding import Encoding
from burnish.records.recipe import Recipe
from burnish.train.loop import LoopState, TrainRows, steps
from burnish.train.optimizer import make_optimizer
from burnish.train.schedule import learning_rate

PARTS = 6
VALIDATION = 400


@dataclass(frozen=True)
class Curve:
    """The loss of every update, and the validation accuracy after every epoch."""

    losses: list[float]
    accuracies: list[float]


@dataclass(frozen=True)
class Split:
    """Rows to learn or to judge by."""

    encodings: list[Encoding]
    labels: np.ndarray


def main() -> None:
    """Print a line for each run and the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1500)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--dropout", type=float, default=0.1)
    chosen = parser.parse_args()
    texts, labels = rows_of("uci_sentiment")
    order = np.random.default_rng(0).permutation(len(texts))
    curves: dict[str, list[Curve]] = {"packed": [], "reference": []}
    for seed in range(1, chosen.seeds + 1):
        recipe = Recipe(
            seed=seed, epochs=chosen.epochs, dropout=chosen.dropout, precision="fp32",
            head_start="random", patience=chosen.epochs,
        )  # fmt: skip
        base = fetch_base(recipe.base, cache=cache_folder(), announce=print).folder
        tokeniser = load_tokeniser(base, max_tokens=recipe.max_tokens)
        train, held = (
            Split(tokenise(tokeniser, [texts[at] for at in part]), np.array(labels)[part])
            for part in (order[VALIDATION:][: chosen.rows], order[:VALIDATION])
        )
        learner = new_classifier(base, label_names=("0", "1"), objective="softmax", recipe=recipe)
        stock = copy.deepcopy(learner.model)
        stock.set_attn_implementation("eager")  # type: ignore[operator]
        fitted = TransformersFitted(learner, tokeniser)
        for side, run in (
            ("packed", packed(fitted, train, held, recipe)),
            ("reference", reference(stock, train, held, recipe)),
        ):
            curves[side].append(collected(run))
            found = curves[side][-1]
            print(f"seed {seed} {side}: accuracy by epoch {found.accuracies}", flush=True)
    report(curves)


def packed(
    fitted: TransformersFitted, train: Split, held: Split, recipe: Recipe
) -> Iterator[tuple[float, float | None]]:
    """The product's own loop."""
    learner = fitted.learner
    targets_RL, ones_R = np.eye(2)[train.labels], np.ones(len(train.labels))
    lengths = np.array([len(row) for row in train.encodings])
    heads = family_of(learner.model_type).head_modules(learner.model)
    stream = steps(
        learner.model,
        TrainRows(lengths, targets_RL, ones_R, [""] * len(lengths)),
        recipe,
        objective="softmax",
        logits=lambda piece: logits_of(
            learner, pack(train.encodings, piece, targets_RL=targets_RL, weights_R=ones_R)
        ),
        judge=lambda: float((fitted.logits(held.encodings).argmax(1) == held.labels).mean()),
        state=LoopState(make_optimizer(learner.model, recipe, head_modules=heads)),
    )
    for step in stream:
        yield step.loss, step.validation


def reference(
    model: Any, train: Split, held: Split, recipe: Recipe
) -> Iterator[tuple[float, float | None]]:
    """Plain transformers: padded rows, a mask, eager attention, torch's AdamW."""
    decays = [one for one in model.parameters() if one.ndim > 1]
    others = [one for one in model.parameters() if one.ndim == 1]
    groups = [
        {"params": decays, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=False, foreach=False)
    lengths = [len(row) for row in train.encodings]
    step, of = 0, recipe.epochs * -(-len(lengths) // recipe.batch_rows)
    for epoch in range(recipe.epochs):
        updates = epoch_updates(
            lengths, batch_rows=recipe.batch_rows, seed=recipe.seed, epoch=epoch
        )
        for place, rows in enumerate(updates):
            step += 1
            model.train()
            torch.manual_seed(hash((recipe.seed, step)) % 2**31)
            logits = stock_logits(model, [train.encodings[row] for row in rows])
            loss = cross_entropy(logits, torch.from_numpy(train.labels[rows]))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(recipe, step=step, of=of)
            optimizer.step()
            accuracy = None
            if place == len(updates) - 1:
                accuracy = stock_accuracy(model, held)
            yield float(loss.detach()), accuracy


def stock_logits(model: Any, encodings: list[Encoding]) -> torch.Tensor:
    """The stock forward pass on padded rows."""
    longest = max(len(row) for row in encodings)
    ids = torch.zeros(len(encodings), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for place, row in enumerate(encodings):
        ids[place, : len(row)] = torch.from_numpy(row.ids_T.astype(np.int64))
        mask[place, : len(row)] = 1
    return model(input_ids=ids, attention_mask=mask).logits


def stock_accuracy(model: Any, held: Split) -> float:
    """Accuracy on the held rows, 32 at a time."""
    model.eval()
    with torch.no_grad():
        found = [
            stock_logits(model, held.encodings[at : at + 32]).argmax(1)
            for at in range(0, len(held.labels), 32)
        ]
    return float((torch.cat(found).numpy() == held.labels).mean())


def collected(run: Iterator[tuple[float, float | None]]) -> Curve:
    """A run to its end."""
    losses, accuracies = [], []
    for loss, accuracy in run:
        losses.append(loss)
        if accuracy is not None:
            accuracies.append(round(accuracy, 4))
    return Curve(losses, accuracies)


def report(curves: dict[str, list[Curve]]) -> None:
    """The table, and the largest gap."""
    ours, theirs = (
        np.array([[part.mean() for part in np.array_split(one.losses, PARTS)] for one in side])
        for side in (curves["packed"], curves["reference"])
    )
    print("| part of the run | packed | reference | gap / noise |")
    print("|---|---|---|---|")
    count = len(ours)
    spread = np.sqrt((ours.var(0, ddof=1) + theirs.var(0, ddof=1)) / count) if count > 1 else None
    for part in range(PARTS):
        gap = ours[:, part].mean() - theirs[:, part].mean()
        noise = "-" if spread is None else f"{gap / spread[part]:+.2f}"
        cells = [
            f"{side[:, part].mean():.4f} ({side[:, part].min():.4f} to {side[:, part].max():.4f})"
            for side in (ours, theirs)
        ]
        print(f"| {part + 1} of {PARTS} | {cells[0]} | {cells[1]} | {noise} |")
    last = [np.mean([one.accuracies[-1] for one in side]) for side in curves.values()]
    print(f"last accuracy: packed {last[0]:.4f}, reference {last[1]:.4f}")
    worst = max(
        float(np.abs(np.subtract(one.losses, two.losses)).max())
        for one, two in zip(curves["packed"], curves["reference"], strict=True)
    )
    print(f"largest gap of an update's loss, same seed: {worst:.2g}")


if __name__ == "__main__":
    main()
