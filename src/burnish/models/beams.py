"""The likeliest of several beams: transformers' own search, given the same prompts, stops and masks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList

from burnish.models.generate import Asked
from burnish.models.learner import compute_precision, plain_model
from burnish.models.likelihood import answer_logprobs
from burnish.models.pieces import Generated
from burnish.models.writer import Writer
from burnish.records.decoding import Decoding


class _Cancelled(StoppingCriteria):
    """Ends the search of a group when all its rows were cancelled; a beam has no answer before its end."""

    def __init__(self, asked: Asked, rows: Sequence[int]) -> None:
        self._asked, self._rows = asked, rows

    def all_cancelled(self) -> bool:
        """Whether nobody waits any more."""
        cancelled = self._asked.cancelled
        return cancelled is not None and all(cancelled(row) for row in self._rows)

    def __call__(self, input_ids: Any, scores: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return torch.full((len(input_ids),), self.all_cancelled(), device=input_ids.device)


def beam_search(
    writer: Writer, prompts: Sequence[Sequence[int]], decoding: Decoding, asked: Asked
) -> list[Generated]:
    """One answer a prompt. Prompts of equal length share a batch, so that no padding can be penalised.

    A stop text cuts the finished answer behind it: beams are not compared by where they would have stopped.
    `alternatives` are not told.
    """
    found: list[Generated | None] = [None] * len(prompts)
    order = sorted(range(len(prompts)), key=lambda row: -len(prompts[row]))
    was_training = writer.model.training
    writer.model.eval()
    try:
        for length, same in groupby(order, key=lambda row: len(prompts[row])):
            rows = list(same)
            size = asked.batch_tokens // (decoding.beams * (length + decoding.max_new_tokens))
            for at in range(0, len(rows), max(1, size)):
                for row, answer in _searched(
                    writer, prompts, decoding, asked, rows[at : at + max(1, size)]
                ):
                    found[row] = answer
    finally:
        writer.model.train(was_training)
    return [answer for answer in found if answer is not None]


def _searched(
    writer: Writer,
    prompts: Sequence[Sequence[int]],
    decoding: Decoding,
    asked: Asked,
    rows: list[int],
) -> list[tuple[int, Generated]]:
    watch = _Cancelled(asked, rows)
    if watch.all_cancelled():
        return [(row, Generated((), (), "cancelled")) for row in rows]
    ids_RT = torch.tensor([list(prompts[row]) for row in rows], device=writer.device)
    config = GenerationConfig(
        do_sample=False,
        num_beams=decoding.beams,
        max_new_tokens=decoding.max_new_tokens,
        repetition_penalty=decoding.repetition_penalty,
        eos_token_id=list(asked.stop_ids) or None,
        pad_token_id=writer.pad_id,
        decoder_start_token_id=writer.start_id,
    )
    masks = asked.masks
    start = 1 if writer.start_id is not None else ids_RT.shape[1]
    every = np.arange(writer_vocabulary(writer)).tolist()

    def allowed(number: int, ids: Tensor) -> list[int]:
        mask = masks[rows[number]] if masks else None
        found = None if mask is None else mask(tuple(ids[start:].tolist()))
        return every if found is None else found.tolist()

    with torch.no_grad(), compute_precision(writer):
        said = cast(Any, plain_model(writer.model)).generate(
            ids_RT,
            attention_mask=torch.ones_like(ids_RT),
            generation_config=config,
            prefix_allowed_tokens_fn=allowed if masks else None,
            stopping_criteria=StoppingCriteriaList([watch]),
        )
    answers = [_cut(ids[start:].tolist(), decoding, asked) for ids in said]
    if watch.all_cancelled():
        answers = [Generated((), (), "cancelled") for _ in rows]
    scores = answer_logprobs(
        writer, [prompts[row] for row in rows], [answer.ids for answer in answers]
    )
    return [
        (row, Generated(answer.ids, tuple(logprobs), answer.finished, answer.stopped_by))
        for row, answer, logprobs in zip(rows, answers, scores, strict=True)
    ]


def writer_vocabulary(writer: Writer) -> int:
    """How many tokens the language head knows."""
    return len(cast(Any, plain_model(writer.model)).get_output_embeddings().weight)


def _cut(ids: list[int], decoding: Decoding, asked: Asked) -> Generated:
    """The answer up to its stop token or stop text; what transformers fills up behind it is dropped."""
    stop = next((at for at, token in enumerate(ids) if token in asked.stop_ids), None)
    ids = ids if stop is None else ids[: stop + 1]
    if decoding.stop and asked.decode is not None:
        for end in range(1, len(ids) + 1):
            text = asked.decode(ids[:end])
            for wanted in decoding.stop:
                if wanted and wanted in text:
                    return Generated(tuple(ids[:end]), (), "stop", wanted)
    return Generated(tuple(ids), (), "length" if stop is None else "stop")
