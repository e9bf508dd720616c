"""Sentence embeddings of a base model without training: mean-pooled, unit length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import AutoModel

from burnish.encode.pack import micro_batches, pack
from burnish.encode.tokenise import Tokeniser, load_tokeniser, tokenise
from burnish.models.learner import hush, pick_device, rectangle
from burnish.records.encoding import Encoding, FloatArray

_INFERENCE_TOKENS = 1024


@dataclass(frozen=True, slots=True)
class Embedder:
    """A base model that turns texts into vectors."""

    model: nn.Module
    tokeniser: Tokeniser
    device: torch.device

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
    """The base model of a folder, in evaluation mode, fp32."""
    hush()
    model = AutoModel.from_pretrained(
        folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
    )
    device = pick_device()
    model = model.to(device).eval()
    return Embedder(model, load_tokeniser(folder, max_tokens=max_tokens), device)


def _mean_vectors(embedder: Embedder, encodings: Sequence[Encoding]) -> FloatArray:
    lengths = [len(encoding) for encoding in encodings]
    width = int(embedder.model.config.hidden_size)  # pyright: ignore
    result = np.zeros((len(encodings), width))
    empty = np.zeros((len(encodings), 1))
    ones = np.ones(len(encodings))
    every = np.arange(len(encodings))
    for rows in micro_batches(every, lengths, batch_tokens=_INFERENCE_TOKENS):
        batch = pack(encodings, rows, targets_RL=empty, weights_R=ones)
        ids, mask = rectangle(batch, pad_id=embedder.tokeniser.pad_id, device=embedder.device)
        with torch.inference_mode():
            hidden_RTH = embedder.model(input_ids=ids, attention_mask=mask).last_hidden_state
            weight = torch.ones_like(ids) if mask is None else mask
            weight_RT1 = weight[:, :, None].to(hidden_RTH.dtype)
            mean_RH = (hidden_RTH * weight_RT1).sum(1) / weight_RT1.sum(1)
            unit_RH = torch.nn.functional.normalize(mean_RH, dim=1)
        result[rows] = unit_RH.cpu().numpy()
    return result
