"""A batch as a model is given it: rows end to end, or each in a line of a padded rectangle.

Two builders of the same thing. Flat is the default; the rectangle is for architectures that cannot be told
where a row ends (models/packed.py says which, and why).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from burnish.records.encoding import Batch, IntArray, Tokens


@dataclass(frozen=True, slots=True)
class Run:
    """`rows` neighbours of equal length: they are one rectangle without padding, and one matrix product."""

    rows: int
    length: int
    keys: int

    @property
    def tokens(self) -> int:
        """Query tokens of the run."""
        return self.rows * self.length

    @property
    def key_tokens(self) -> int:
        """Key tokens of the run."""
        return self.rows * self.keys


@dataclass(frozen=True)
class Spans:
    """Where rows begin and end among the queries and the keys of an attention.

    Queries and keys have the same rows in the same order; their lengths differ in cross-attention only.
    `masks` keeps what a body made from these spans once for all layers.
    """

    queries: tuple[int, ...]
    keys: tuple[int, ...]
    device: torch.device
    masks: dict[object, object] = field(default_factory=dict[object, object], compare=False)

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """Neighbours of equal lengths, in order."""
        pairs = zip(self.queries, self.keys, strict=True)
        return tuple(Run(len(list(same)), *pair) for pair, same in groupby(pairs))

    @cached_property
    def query_rows(self) -> Tensor:
        """The row of every query token, (Nq,)."""
        return _numbered(self.queries, self.device)

    @cached_property
    def key_rows(self) -> Tensor:
        """The row of every key token, (Nk,)."""
        return _numbered(self.keys, self.device)

    @cached_property
    def query_ends(self) -> Tensor:
        """Cumulative lengths of the queries, (R+1,) int32, as CUDA kernels take them."""
        return _ends(self.queries, self.device)

    @cached_property
    def key_ends(self) -> Tensor:
        """Cumulative lengths of the keys, (R+1,) int32."""
        return _ends(self.keys, self.device)


@dataclass(frozen=True, slots=True)
class Side:
    """The tokens of one stack.

    Shapes: flat: ids, positions (1, N), mask None; padded: (R, T), mask int64 or None when nothing is padded.
    `tokens` are the places of the real tokens in the flattened grid, (N,), None when all are real. `types` like ids, or
    None: which of two texts a token belongs to, for models that were made to know it.
    """

    ids: Tensor
    positions: Tensor
    mask: Tensor | None
    lengths: tuple[int, ...]
    tokens: Tensor | None
    types: Tensor | None = None

    @property
    def starts(self) -> Tensor:
        """Flat places of each row's first token, (R,)."""
        if self.ids.shape[0] == len(self.lengths) and self.ids.shape[0] > 1:
            return torch.arange(len(self.lengths), device=self.ids.device) * self.ids.shape[1]
        return _ends(self.lengths, self.ids.device)[:-1].long()


@dataclass(frozen=True, slots=True)
class Rows:
    """A batch on its device. `packed` says how it lies; `supervised_S` are places in the flattened hidden states."""

    packed: bool
    read: Side
    decoder: Side | None
    supervised_S: Tensor

    def spans(self) -> Spans:
        """Of the attention of `read` over itself."""
        return Spans(self.read.lengths, self.read.lengths, self.read.ids.device)


def flat_rows(batch: Batch, *, device: torch.device) -> Rows:
    """The default builder: rows end to end in one line, no padding, no mask."""
    decoder = None if batch.decoder is None else _flat(batch.decoder, device)
    supervised_S = torch.from_numpy(batch.supervised_S).to(device)
    return Rows(True, _flat(batch, device, batch.token_types_N), decoder, supervised_S)


def padded_rows(batch: Batch, *, pad_id: int, device: torch.device) -> Rows:
    """The other builder: one row a line, filled up with `pad_id`; rows of like length keep the padding small."""
    decoder = None if batch.decoder is None else _padded(batch.decoder, pad_id, device)
    read = _padded(batch, pad_id, device, batch.token_types_N)
    places = torch.from_numpy(batch.supervised_S).to(device)
    tokens = (decoder or read).tokens
    return Rows(False, read, decoder, places if tokens is None else tokens[places])


def _flat(tokens: Tokens, device: torch.device, types_N: IntArray | None = None) -> Side:
    ids = torch.from_numpy(tokens.token_ids_N).to(device)[None]
    positions = torch.from_numpy(tokens.position_ids_N).to(device)[None]
    types = None if types_N is None else torch.from_numpy(types_N).to(device)[None]
    return Side(ids, positions, None, tokens.lengths, None, types)


def _padded(
    tokens: Tokens, pad_id: int, device: torch.device, types_N: IntArray | None = None
) -> Side:
    lengths = np.diff(tokens.cumulative_lengths)
    real = np.arange(int(lengths.max()))[None, :] < lengths[:, None]
    grid, positions = np.full(real.shape, pad_id, dtype=np.int64), np.zeros(real.shape, np.int64)
    grid[real], positions[real] = tokens.token_ids_N, tokens.position_ids_N
    types = None
    if types_N is not None:
        types = np.zeros(real.shape, np.int64)
        types[real] = types_N
    full = bool(real.all())
    return Side(
        ids=torch.from_numpy(grid).to(device),
        positions=torch.from_numpy(positions).to(device),
        mask=None if full else torch.from_numpy(real.astype(np.int64)).to(device),
        lengths=tokens.lengths,
        tokens=None if full else torch.from_numpy(np.flatnonzero(real)).to(device),
        types=None if types is None else torch.from_numpy(types).to(device),
    )


def _numbered(lengths: tuple[int, ...], device: torch.device) -> Tensor:
    rows = torch.arange(len(lengths), device=device)
    return rows.repeat_interleave(torch.tensor(lengths, device=device))


def _ends(lengths: tuple[int, ...], device: torch.device) -> Tensor:
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return torch.from_numpy(ends).to(device)
