"""How likely given answers are behind a prompt: labels scored by their text, and answers told with log-probabilities.

Shape legend: R prompts, L choices, K rows of a pass (prompt and choice), T tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from burnish.models.generate import (
    BATCH_TOKENS,
    Asked,
    advance,
    batches_of,
    check_request,
    keep_rows,
    next_logits,
    opened,
)
from burnish.models.writer import Writer
from burnish.records.decoding import Decoding
from burnish.records.encoding import FloatArray


def choice_log_likelihoods(
    writer: Writer,
    prompts: Sequence[Sequence[int]],
    choices: Sequence[Sequence[int]],
    *,
    batch_tokens: int = BATCH_TOKENS,
) -> FloatArray:
    """The sum of log-probabilities of every choice behind every prompt, (R, L), in nats.

    A prompt is read once and its cache shared by its choices. Whether a choice ends with the stop token is the
    caller's decision; with it, one choice that begins another is not preferred for being short.

    Raises: generation-too-long, generation-empty.
    """
    longest = max(map(len, choices))
    decoding = Decoding(max_new_tokens=longest)
    check_request(writer, prompts, decoding, Asked(stop_ids=()))
    result = np.zeros((len(prompts), len(choices)))
    batches = batches_of(
        [len(choices) * (len(prompt) + longest) for prompt in prompts],
        new_tokens=0,
        batch_tokens=batch_tokens,
    )
    pairs = range(len(choices))
    with _reading(writer):
        for batch in batches:
            rows = batch.tolist()
            part = _scored(
                writer,
                [prompts[row] for row in rows],
                [[choices[at] for at in pairs] for _ in rows],
            )
            result[rows] = [[sum(scores) for scores in one] for one in part]
    return result


def answer_logprobs(
    writer: Writer, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]
) -> list[list[float]]:
    """The log-probability of each token of one answer a prompt."""
    with _reading(writer):
        return [
            _scored(writer, [prompt], [[answer]])[0][0] if len(answer) else []
            for prompt, answer in zip(prompts, answers, strict=True)
        ]


@contextmanager
def _reading(writer: Writer) -> Iterator[None]:
    """Without gradients or dropout for a while."""
    was_training = writer.model.training
    writer.model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        writer.model.train(was_training)


def _scored(
    writer: Writer, prompts: Sequence[Sequence[int]], choices: Sequence[Sequence[Sequence[int]]]
) -> list[list[list[float]]]:
    """Of each prompt's own choices (as many for each), the log-probability of every token."""
    count = len(choices[0])
    flat = [list(choice) for own in choices for choice in own]
    longest = max(map(len, flat))
    ids_KT = torch.full((len(flat), longest), writer.pad_id, device=writer.device)
    for row, choice in enumerate(flat):
        ids_KT[row, : len(choice)] = torch.tensor(choice, device=writer.device)
    lines = opened(writer, prompts)
    first_KV = next_logits(writer, lines).repeat_interleave(count, 0)
    told_KT = [_chances(first_KV[:, None], ids_KT[:, :1])]
    if longest > 1:
        keep_rows(
            lines,
            torch.arange(len(prompts), device=writer.device).repeat_interleave(count),
        )
        # what stands behind a shorter choice is padding, which no token before it can see
        advance(lines, ids_KT[:, :-1])
        told_KT.append(_chances(next_logits(writer, lines, every=True), ids_KT[:, 1:]))
    table = torch.cat(told_KT, dim=1).tolist()
    scores = [line[: len(choice)] for line, choice in zip(table, flat, strict=True)]
    return [scores[at : at + count] for at in range(0, len(scores), count)]


def _chances(logits_KTV: Tensor, ids_KT: Tensor) -> Tensor:
    hit_KT = logits_KTV.gather(2, ids_KT[:, :, None])[:, :, 0]
    return (hit_KT - torch.logsumexp(logits_KTV, dim=2)).double()
