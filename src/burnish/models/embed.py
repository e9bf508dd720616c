"""Sentence embeddings of a base model without training: mean-pooled, unit length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoModel

from burnish.encode.pack import pack
from burnish.encode.tokenise import Tokeniser, load_tokeniser, tokenise
from burnish.errors import fail
from burnish.models.allocator import respect_limit
from burnish.models.family import model_type_of
from burnish.models.hostile_config import WRITER_TYPES
from burnish.models.learner import Layout, hush, layout_of, pick_device
from burnish.models.room import Room, passes
from burnish.models.rows import flat_rows, padded_rows
from burnish.models.shortage import Tightest
from burnish.models.stacks import hidden_states, padded_hidden_states
from burnish.records.encoding import Batch, Encoding, FloatArray, IntArray

_INFERENCE_TOKENS = 1024


@dataclass(frozen=True, slots=True)
class Embedder:
    """A base model that turns texts into vectors. `tightest` remembers whether memory made the passes smaller."""

    model: nn.Module
    tokeniser: Tokeniser
    device: torch.device
    layout: Layout
    tightest: Tightest = field(default_factory=Tightest)

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        """Token ids of each text."""
        return tokenise(self.tokeniser, texts)

    def vectors(self, encodings: Sequence[Encoding]) -> FloatArray:
        """Vectors (R, H) of unit length: the mean of the last hidden states over a row's real tokens."""
        return _mean_vectors(self, encodings)

    def size_bytes(self) -> int:
        """Bytes of the weights."""
        return sum(value.numel() * value.element_size() for value in self.model.parameters())


def load_embedder(folder: Path, *, max_tokens: int) -> Embedder:
    """The base model of a folder, in evaluation mode, fp32.

    Raises: base-no-vectors for a model that writes.
    """
    hush()
    respect_limit()
    if (model_type := model_type_of(folder)) in WRITER_TYPES:
        raise fail(
            "base-no-vectors",
            f"a base of type {model_type} writes, and its vectors of texts mean little",
            expected="an encoder as base model",
            fix="name an encoder with --base, or leave --base out to use the default",
        )
    model = AutoModel.from_pretrained(
        folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
    )
    device = pick_device()
    model = model.to(device).eval()
    layout = layout_of(model, device=device, precision="fp32")
    return Embedder(model, load_tokeniser(folder, max_tokens=max_tokens), device, layout)


def _mean_vectors(embedder: Embedder, encodings: Sequence[Encoding]) -> FloatArray:
    lengths = [len(encoding) for encoding in encodings]
    width = int(embedder.model.config.hidden_size)  # pyright: ignore
    result = np.zeros((len(encodings), width))
    empty = np.zeros((len(encodings), 1))
    ones = np.ones(len(encodings))
    every = np.arange(len(encodings))

    def unit(piece: IntArray) -> FloatArray:
        batch = pack(encodings, piece, targets_RL=empty, weights_R=ones)
        with torch.inference_mode():
            hidden_NH = _hidden(embedder, batch)
            parts = hidden_NH.split(list(batch.lengths))
            mean_RH = torch.stack([part.mean(0) for part in parts])
            return torch.nn.functional.normalize(mean_RH, dim=1).cpu().numpy()

    room = Room(_INFERENCE_TOKENS, embedder.tightest.note)
    found = passes(every, lengths, room=room, compute=unit, place=lambda row: str(row + 1))
    for rows, unit_RH in found:
        result[rows] = unit_RH
    return result


def _hidden(embedder: Embedder, batch: Batch) -> Tensor:
    """The hidden states of the real tokens, (N, H)."""
    if embedder.layout.padded_because is None:
        rows = flat_rows(batch, device=embedder.device)
        return hidden_states(embedder.model, rows, body=embedder.layout.body)
    rows = padded_rows(batch, pad_id=embedder.tokeniser.pad_id, device=embedder.device)
    states = padded_hidden_states(embedder.model, rows)
    return states if rows.read.tokens is None else states[rows.read.tokens]
