"""Text from a model, token by token: one loop for greedy and drawn answers, batched by length, with a key-value cache.

A row's answer depends on its prompt, the decoding and its seed alone: rows of a batch only share the arithmetic. Beams
are transformers' own (models/beams.py).

Shape legend: R rows of a batch, T tokens of a prompt (padded in front), V the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutput

from burnish.errors import fail
from burnish.models.draw import Mask, pick, seen_tokens
from burnish.models.learner import compute_precision, plain_model
from burnish.models.pieces import Alternative, Finished, Generated, Piece, whole
from burnish.models.writer import Writer
from burnish.records.decoding import Decoding

Decode = Callable[[Sequence[int]], str]

# Cached tokens of a batch, prompts and answers: bounds memory (SmolLM2-135M keeps 46 kB a token in fp32).
BATCH_TOKENS = 16_384
_MOST_ROWS = 32
# Tokens behind which a stop text of c characters cannot begin: one a byte, four bytes a character, some without any.
_TOKENS_A_CHARACTER, _SPARE_TOKENS = 4, 8


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked beside prompts and decoding; every sequence has one entry a prompt.

    `stop_ids` end an answer. `seeds` decide what is drawn (default: the decoding's seed for each). `masks` say which
    tokens may come next. `decode` turns ids into text and is needed for stop texts. `cancelled(row)` is asked before
    every token. `alternatives` are the likeliest tokens told in each place.
    """

    stop_ids: Sequence[int]
    seeds: Sequence[int] | None = None
    masks: Sequence[Mask | None] | None = None
    decode: Decode | None = None
    cancelled: Callable[[int], bool] | None = None
    alternatives: int = 0
    batch_tokens: int = BATCH_TOKENS


def generate(
    writer: Writer, prompts: Sequence[Sequence[int]], decoding: Decoding, asked: Asked
) -> list[Generated]:
    """One answer a prompt, in order. For an encoder-decoder the prompts are its sources.

    Greedy answers are those of transformers' `generate`, token for token.

    Raises: generation-too-long, generation-empty, generation-not-finite, decoding-conflict.
    """
    if decoding.beams > 1:
        from burnish.models.beams import beam_search

        check_request(writer, prompts, decoding, asked)
        return beam_search(writer, prompts, decoding, asked)
    pieces: list[list[Piece]] = [[] for _ in prompts]
    for piece in stream(writer, prompts, decoding, asked):
        pieces[piece.row].append(piece)
    return [whole(row) for row in pieces]


def stream(
    writer: Writer, prompts: Sequence[Sequence[int]], decoding: Decoding, asked: Asked
) -> Iterator[Piece]:
    """The same answers token by token, rows of a batch taking turns; longest prompts first.

    Closing the iterator ends the work.

    Raises: as `generate`, before the first token; decoding-conflict with beams, which have no token until the end.
    """
    check_request(writer, prompts, decoding, asked)
    if decoding.beams > 1:
        raise fail(
            "decoding-conflict",
            f"beams = {decoding.beams} cannot be streamed: no token is sure before the last",
            expected="beams = 1",
            fix="take stream or beams out",
        )
    return _streamed(writer, prompts, decoding, asked)


def check_request(
    writer: Writer, prompts: Sequence[Sequence[int]], decoding: Decoding, asked: Asked
) -> None:
    """Refuse what cannot be answered, before any work. Never cuts.

    Raises: generation-too-long, generation-empty, decoding-conflict.
    """
    if decoding.beams > 1 and decoding.temperature > 0:
        raise fail(
            "decoding-conflict",
            f"beams = {decoding.beams} and temperature = {decoding.temperature:g} exclude each other",
            expected="beams for the likeliest answer, or a temperature for a drawn one",
            fix="set temperature = 0 or beams = 1",
        )
    if decoding.stop and asked.decode is None:
        raise ValueError("stop texts need a decode")
    for number, prompt in enumerate(prompts):
        if not len(prompt):
            raise fail(
                "generation-empty",
                "has no token",
                where=f"prompt {number + 1}",
                expected="at least one token to write behind",
                fix="put the model's first token or a template around the text",
            )
        most = writer.most_tokens
        if most is None:
            continue
        both = writer.start_id is None
        needed = len(prompt) + decoding.max_new_tokens if both else len(prompt)
        if needed > most or decoding.max_new_tokens > most:
            wanted = f"{len(prompt)} tokens and max_new_tokens = {decoding.max_new_tokens}"
            raise fail(
                "generation-too-long",
                f"{wanted} do not fit the model",
                where=f"prompt {number + 1}",
                expected=f"at most {most} tokens"
                + (" together" if both else " for each of the two"),
                fix="shorten the prompt, set truncate in the task, or lower max_new_tokens",
            )


def batches_of(
    lengths: Sequence[int], *, new_tokens: int, batch_tokens: int
) -> list[NDArray[np.int64]]:
    """Rows of like length together, longest first; no batch caches more than `batch_tokens`, if it has two rows.

    Example:
        >>> [rows.tolist() for rows in batches_of([3, 9, 4], new_tokens=1, batch_tokens=20)]
        [[1, 2], [0]]
    """
    order = np.argsort([-length for length in lengths], kind="stable")
    batches: list[NDArray[np.int64]] = []
    start = 0
    while start < len(order):
        size = max(1, batch_tokens // (lengths[order[start]] + new_tokens))
        batches.append(order[start : start + min(size, _MOST_ROWS)])
        start += len(batches[-1])
    return batches


@dataclass(slots=True)
class Lines:
    """The rows of a batch that are still written, and what the model keeps of them.

    Shapes: read (R, T) what goes into the next pass; seen (R, S) ones for real tokens, None without padding;
    places (R,) of the next token; encoded and source_mask of an encoder-decoder.
    """

    read: Tensor
    seen: Tensor | None
    places: Tensor
    encoded: Tensor | None = None
    source_mask: Tensor | None = None
    cache: Any = None


def opened(writer: Writer, prompts: Sequence[Sequence[int]]) -> Lines:
    """The prompts as one batch: padded in front for a decoder, encoded once for an encoder-decoder."""
    device, longest = writer.device, max(map(len, prompts))
    front = writer.start_id is None
    ids = np.full((len(prompts), longest), writer.pad_id, dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        at = slice(longest - len(prompt), longest) if front else slice(0, len(prompt))
        ids[row, at], mask[row, at] = prompt, 1
    ids_RT = torch.from_numpy(ids).to(device)
    mask_RT = None if mask.all() else torch.from_numpy(mask).to(device)
    lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
    if writer.start_id is None:
        return Lines(ids_RT, mask_RT, lengths)
    with compute_precision(writer):
        encoder = cast(Any, plain_model(writer.model)).get_encoder()
        encoded = encoder(input_ids=ids_RT, attention_mask=mask_RT).last_hidden_state
    start_R1 = torch.full((len(prompts), 1), writer.start_id, device=device)
    return Lines(start_R1, None, torch.zeros_like(lengths), encoded, mask_RT)


def next_logits(writer: Writer, lines: Lines, *, every: bool = False) -> Tensor:
    """Logits of what comes behind `lines.read`, (R, V) fp32, or behind each of its tokens (R, T, V); fills the cache."""
    model = cast(Any, writer.model)
    count = lines.read.shape[1]
    with compute_precision(writer):
        if lines.encoded is not None:
            answer = model(
                encoder_outputs=BaseModelOutput(last_hidden_state=lines.encoded),
                attention_mask=lines.source_mask,
                decoder_input_ids=lines.read,
                past_key_values=lines.cache,
                use_cache=True,
            )
        else:
            behind = torch.arange(count, device=lines.read.device) - count
            places_RT = (lines.places[:, None] + behind).clamp(min=0)
            answer = model(
                input_ids=lines.read,
                attention_mask=lines.seen,
                position_ids=places_RT,
                past_key_values=lines.cache,
                use_cache=True,
                logits_to_keep=0 if every else 1,
            )
    lines.cache = answer.past_key_values
    logits = answer.logits if every else answer.logits[:, -1]
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def advance(lines: Lines, tokens_RT: Tensor) -> None:
    """Put these tokens behind what was read."""
    lines.read = tokens_RT
    lines.places = lines.places + tokens_RT.shape[1]
    if lines.seen is not None:
        lines.seen = torch.cat([lines.seen, torch.ones_like(tokens_RT)], dim=1)


def keep_rows(lines: Lines, kept: Tensor) -> None:
    """Go on with these rows alone, in this order; a row may stand in it more than once."""
    lines.cache.batch_select_indices(kept)
    lines.read, lines.places = lines.read[kept], lines.places[kept]
    lines.seen = None if lines.seen is None else lines.seen[kept]
    lines.encoded = None if lines.encoded is None else lines.encoded[kept]
    lines.source_mask = None if lines.source_mask is None else lines.source_mask[kept]


@dataclass(slots=True)
class _Row:
    """A row that is still written."""

    number: int
    random: np.random.Generator
    mask: Mask | None
    ids: list[int] = field(default_factory=list[int])


def _streamed(
    writer: Writer, prompts: Sequence[Sequence[int]], decoding: Decoding, asked: Asked
) -> Iterator[Piece]:
    batches = batches_of(
        [len(prompt) for prompt in prompts],
        new_tokens=decoding.max_new_tokens,
        batch_tokens=asked.batch_tokens,
    )
    was_training = writer.model.training
    writer.model.eval()
    try:
        for batch in batches:
            yield from _batch(writer, prompts, decoding, asked, batch.tolist())
    finally:
        writer.model.train(was_training)


def _batch(
    writer: Writer,
    prompts: Sequence[Sequence[int]],
    decoding: Decoding,
    asked: Asked,
    numbers: list[int],
) -> Iterator[Piece]:
    seeds = asked.seeds or [decoding.seed] * len(prompts)
    rows = [
        _Row(
            number,
            np.random.Generator(np.random.PCG64(seeds[number])),
            asked.masks[number] if asked.masks else None,
        )
        for number in numbers
    ]
    cancelled = asked.cancelled or _never
    ended = {row.number for row in rows if cancelled(row.number)}
    for number in sorted(ended):
        yield Piece(number, None, 0.0, finished="cancelled")
    rows = [row for row in rows if row.number not in ended]
    if not rows:
        return
    # no_grad stands around each pass and not around a yield, which would leave it on in the caller's code
    with torch.no_grad():
        lines = opened(writer, [prompts[row.number] for row in rows])
    penal = decoding.repetition_penalty != 1
    # an encoder-decoder's answer begins with its start token, which transformers takes for said
    said = [[writer.start_id] if writer.start_id is not None else list(prompts[row.number])
            for row in rows]  # fmt: skip
    seen_RV: Tensor | None = None
    while rows:
        with torch.no_grad():
            logits_RV = next_logits(writer, lines)
            _refuse_broken(logits_RV, rows)
            if penal and seen_RV is None:
                seen_RV = seen_tokens(said, like=logits_RV)
            chosen_R = pick(
                logits_RV,
                decoding,
                seen_RV=seen_RV,
                allowed=[None if row.mask is None else row.mask(row.ids) for row in rows],
                randoms=[row.random for row in rows],
            )
            told = _told(logits_RV, chosen_R, most=asked.alternatives)
            if seen_RV is not None:
                seen_RV[torch.arange(len(rows)), chosen_R] = True
            advance(lines, chosen_R[:, None])
        going: list[int] = []
        for place, (row, piece) in enumerate(zip(rows, told, strict=True)):
            token = int(piece.token or 0)
            row.ids.append(token)
            finished, stopped_by = _end(row.ids, token, decoding, asked)
            if finished is None:
                going.append(place)
            yield Piece(row.number, token, piece.logprob, piece.alternatives, finished, stopped_by)
        left = [place for place in going if not cancelled(rows[place].number)]
        for place in going:
            if place not in left:
                yield Piece(rows[place].number, None, 0.0, finished="cancelled")
        if left and len(left) < len(rows):
            kept = torch.tensor(left, device=writer.device)
            with torch.no_grad():
                keep_rows(lines, kept)
            seen_RV = None if seen_RV is None else seen_RV[kept]
        rows = [rows[place] for place in left]


def _never(row: int) -> bool:
    return False


def _end(
    ids: list[int], token: int, decoding: Decoding, asked: Asked
) -> tuple[Finished | None, str | None]:
    if token in asked.stop_ids:
        return "stop", None
    stopped_by = _stop_text(ids, decoding, asked)
    if stopped_by is not None:
        return "stop", stopped_by
    return ("length", None) if len(ids) >= decoding.max_new_tokens else (None, None)


def _stop_text(ids: list[int], decoding: Decoding, asked: Asked) -> str | None:
    """The stop text that the newest token completed. Only so many tokens are decoded as can hold it."""
    if not decoding.stop or asked.decode is None:
        return None
    tail = _TOKENS_A_CHARACTER * max(map(len, decoding.stop)) + _SPARE_TOKENS
    text = asked.decode(ids[-tail:])
    return next((stop for stop in decoding.stop if stop and stop in text), None)


def _told(logits_RV: Tensor, chosen_R: Tensor, *, most: int) -> list[Piece]:
    """The chosen tokens with the model's own log-probabilities; rows are filled in by the caller."""
    spread_R = torch.logsumexp(logits_RV, dim=1)
    hit_R = (logits_RV.gather(1, chosen_R[:, None])[:, 0] - spread_R).tolist()
    if not most:
        return [Piece(-1, token, hit) for token, hit in zip(chosen_R.tolist(), hit_R, strict=True)]
    best = torch.topk(logits_RV, min(most, logits_RV.shape[1]), dim=1)
    scores = (best.values - spread_R[:, None]).tolist()
    return [
        Piece(-1, token, hit, tuple(map(Alternative, ids, values)))
        for token, hit, ids, values in zip(
            chosen_R.tolist(), hit_R, best.indices.tolist(), scores, strict=True
        )
    ]


def _refuse_broken(logits_RV: Tensor, rows: Sequence[_Row]) -> None:
    broken = ~torch.isfinite(logits_RV).all(dim=1)
    if bool(broken.any()):
        row = rows[int(broken.nonzero()[0, 0])]
        raise fail(
            "generation-not-finite",
            "the model answered with numbers that are not finite",
            where=f"prompt {row.number + 1}, new token {len(row.ids) + 1}",
            expected="finite logits",
            fix="check the weights; with precision bf16 try fp32",
        )
