"""Sequence classifiers: a fresh head on a base, a saved one back, and both as a Fitted."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from burnish.encode.pack import pack
from burnish.encode.tokenise import Tokeniser, load_tokeniser, tokenise
from burnish.errors import fail
from burnish.models.allocator import respect_limit
from burnish.models.family import family_of, model_type_of
from burnish.models.learner import Learner, forward, hush, layout_of, pick_device, pick_precision
from burnish.models.room import Room, passes
from burnish.models.shortage import Tightest
from burnish.records.encoding import Encoding, FloatArray, IntArray
from burnish.records.recipe import Recipe

# Tokens of one inference forward pass. Source: LOG.md, 2026-11-22, inference batch size.
INFERENCE_TOKENS = 1024
# The BERT paper's initialisation, which every family here shares.
_FRESH_STD = 0.02
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "chat_template.jinja",
)


@dataclass(frozen=True, slots=True)
class TransformersFitted:
    """A sequence classifier with its tokenizer: the Fitted of the transformers engine.

    `tightest` remembers whether memory made it answer in smaller pieces.
    """

    learner: Learner
    tokeniser: Tokeniser
    tightest: Tightest = field(default_factory=Tightest)

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        """Token ids of each text."""
        return tokenise(self.tokeniser, texts)

    def logits(self, encodings: Sequence[Encoding]) -> FloatArray:
        """Logits (R, L) of each row, computed longest first, rows of like length together.

        Raises: memory-full.
        """
        room = Room(INFERENCE_TOKENS, self.tightest.note)
        return row_logits(self.learner, encodings, room=room, place=lambda row: str(row + 1))

    def size_bytes(self) -> int:
        """Memory of the weights."""
        parameters = self.learner.model.parameters()
        return sum(value.numel() * value.element_size() for value in parameters)


def row_logits(
    learner: Learner, encodings: Sequence[Encoding], *, room: Room, place: Callable[[int], str]
) -> FloatArray:
    """Logits (R, L) of each row, in passes that fit the room; `place` names a row that alone does not.

    Raises: memory-full.
    """
    result = np.zeros((len(encodings), learner.n_labels))
    lengths = [len(encoding) for encoding in encodings]
    ones = np.ones(len(encodings))

    def answer(piece: IntArray) -> FloatArray:
        return forward(learner, pack(encodings, piece, targets_RL=result, weights_R=ones))

    every = np.arange(len(encodings))
    for rows, logits_RL in passes(every, lengths, room=room, compute=answer, place=place):
        result[rows] = logits_RL
    return result


def new_classifier(
    folder: Path, *, label_names: Sequence[str], objective: str, recipe: Recipe
) -> Learner:
    """A base model with a fresh head for these labels; `recipe.seed` decides the head."""
    hush()
    respect_limit()
    torch.manual_seed(recipe.seed)
    family = family_of(model_type_of(folder))
    model = family.load(folder, label_names=label_names, objective=objective, recipe=recipe)
    # a base that was a classifier already brings a head for other labels, when their number is equal
    last = family.last_linear(model)
    with torch.no_grad():
        last.weight.normal_(std=_FRESH_STD)
        last.bias.zero_()
    return _learner(model, folder=folder, precision=recipe.precision, n_labels=len(label_names))


def choose_trainable(learner: Learner, recipe: Recipe) -> None:
    """Make ready for the recipe's method, in place.

    "lora" wraps the encoder's linear layers with adapters, "head" freezes everything but the head.

    Raises: method-not-here.
    """
    family = family_of(learner.model_type)
    if recipe.method not in ("full", "lora", "head"):
        raise fail(
            "method-not-here",
            f'method "{recipe.method}" is for models that write text',
            where="recipe",
            expected="method full, lora or head",
            fix='write method = "lora"',
        )
    if recipe.method == "head":
        heads = tuple(f"{name}." for name in family.head_modules(learner.model))
        for name, parameter in learner.model.named_parameters():
            parameter.requires_grad = name.startswith(heads)
    if recipe.method == "lora":
        from burnish.models.adapters import add_lora

        learner.model = add_lora(learner.model, family=family, recipe=recipe)


def load_classifier(folder: Path, *, precision: str, temperature: float = 1.0) -> Learner:
    """A saved classifier, in evaluation mode, its logits divided by the temperature for good.

    Raises: model-type-unknown.
    """
    hush()
    respect_limit()
    family = family_of(model_type_of(folder))
    model = family.load(folder, label_names=None, objective=None, recipe=None)
    n_labels = int(cast(Any, model).config.num_labels)
    learner = _learner(model, folder=folder, precision=precision, n_labels=n_labels)
    learner.model.eval()
    last = family.last_linear(model)
    with torch.no_grad():
        # before the cast to bf16, so that the bundle's weights (fp32, then cast) are the same bits
        last.weight.div_(temperature)
        last.bias.div_(temperature)
    if learner.precision == "bf16":
        # the products' weights are cast once here instead of at every call, as training does with fp32 masters;
        # what is added up between them, the norms and the head stay fp32
        heads = family.head_modules(model)
        for name, part in model.named_modules():
            if isinstance(part, nn.Linear) and not name.startswith(heads):
                part.to(torch.bfloat16)
    return learner


def load_fitted(folder: Path, *, max_tokens: int, precision: str) -> TransformersFitted:
    """A saved sequence classifier (Hugging Face layout) as a Fitted.

    Raises: the codes of load_classifier and load_tokeniser.
    """
    return load_calibrated(folder, max_tokens=max_tokens, precision=precision, temperature=1.0)


def load_calibrated(
    folder: Path, *, max_tokens: int, precision: str, temperature: float
) -> TransformersFitted:
    """A trained classifier whose plain softmax is calibrated: its last linear layer divided by the temperature.

    Exact, since softmax(W x / T + b / T) = softmax((W x + b) / T): no temperature is left to forget.
    """
    tokeniser = load_tokeniser(folder, max_tokens=max_tokens)
    learner = load_classifier(folder, precision=precision, temperature=temperature)
    return TransformersFitted(learner, tokeniser)


def save_calibrated(folder: Path, target: Path, *, temperature: float) -> None:
    """Write the calibrated classifier into `target` in the Hugging Face layout, weights in fp32."""
    learner = load_classifier(folder, precision="fp32", temperature=temperature)
    cast(Any, learner.model).save_pretrained(target)
    copy_tokenizer(folder, target)


def copy_tokenizer(folder: Path, target: Path) -> None:
    """Copy the tokenizer's files, byte for byte."""
    for name in TOKENIZER_FILES:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, target / name)


def _learner(model: nn.Module, *, folder: Path, precision: str, n_labels: int) -> Learner:
    device = pick_device()
    pad_id = getattr(cast(Any, model).config, "pad_token_id", None)
    chosen = pick_precision(precision, device)
    return Learner(
        model=model.to(device),
        model_type=model_type_of(folder),
        n_labels=n_labels,
        pad_id=pad_id if isinstance(pad_id, int) else 0,
        device=device,
        precision=chosen,
        layout=layout_of(model, device=device, precision=chosen),
    )
