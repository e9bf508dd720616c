"""Golden rows asked of plain transformers: no code of ours between the saved files and their logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from burnish.deploy.export import Rescored
from burnish.deploy.golden import TOLERANCE as PROBABILITY_LIMIT
from burnish.deploy.golden_text import TOLERANCE as NATS_LIMIT
from burnish.models.learner import hush
from burnish.records.deployment import Golden
from burnish.records.encoding import FloatArray
from burnish.records.task import Task
from burnish.tasks.kind import kind_of


@dataclass(frozen=True, slots=True)
class Said:
    """One golden answer under another reader: its log-probability in nats, and whether greedy decoding gives its tokens."""

    logprob: float
    greedy: bool


def reads_as_golden(
    score: Callable[[Golden], Said],
    golden: Sequence[Golden],
    *,
    precision: str,
    tools: dict[str, str],
) -> Rescored:
    """Answers of golden rows as likely as they were when the version made them at its precision, and as greedy."""
    rows = [row for row in golden if row.surprise is not None and row.answer_ids]
    said = [score(row) for row in rows]
    off = [
        abs(-one.logprob - (row.surprise or 0.0)) / len(row.answer_ids)
        for row, one in zip(rows, said, strict=True)
    ]
    same = sum(one.greedy for one in said)
    limit = NATS_LIMIT[precision]
    return Rescored(len(rows), same, max(off, default=0.0), "nats a token", limit, tools)


def writer_score(model: Any) -> Callable[[Golden], Said]:
    """How a causal or sequence-to-sequence model of transformers finds a golden answer, one forward pass a row."""
    config = model.config

    def score(row: Golden) -> Said:
        answer = torch.tensor(row.answer_ids)
        with torch.inference_mode():
            if config.is_encoder_decoder:
                start = config.decoder_start_token_id
                before = torch.tensor([[start, *row.answer_ids[:-1]]])
                logits = model(input_ids=torch.tensor([row.ids]), decoder_input_ids=before).logits
                told_TV = logits[0]
            else:
                whole = torch.tensor([[*row.ids, *row.answer_ids]])
                told_TV = model(input_ids=whole).logits[0, len(row.ids) - 1 : -1]
        chances_TV = torch.log_softmax(told_TV.double(), dim=-1)
        logprob = float(chances_TV.gather(1, answer[:, None]).sum())
        return Said(logprob, bool((chances_TV.argmax(-1) == answer).all()))

    return score


def labels_as_golden(
    told_RL: FloatArray,
    task: Task,
    golden: Sequence[Golden],
    *,
    precision: str,
    tools: dict[str, str],
) -> Rescored:
    """Probabilities (R, L) of golden rows as they were, and the same labels."""
    kind = kind_of(task)
    before_RL = np.array([row.probabilities for row in golden])
    same = sum(
        kind.decode(task, one).label == kind.decode(task, other).label
        for one, other in zip(told_RL, before_RL, strict=True)
    )
    difference = float(np.abs(told_RL - before_RL).max(initial=0.0))
    limit = PROBABILITY_LIMIT[precision]
    return Rescored(len(golden), same, difference, "probability", limit, tools)


def plain_writer(folder: Path) -> Any:
    """A model that writes, as transformers documents to load it."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    hush()
    seq2seq = AutoConfig.from_pretrained(folder).is_encoder_decoder
    auto = AutoModelForSeq2SeqLM if seq2seq else AutoModelForCausalLM
    return cast(Any, auto.from_pretrained(folder)).eval()


def classifier_logits(folder: Path, golden: Sequence[Golden]) -> FloatArray:
    """Logits (R, L) of golden rows under a saved sequence classifier, as transformers documents to load it."""
    from transformers import AutoModelForSequenceClassification

    hush()
    model = cast(Any, AutoModelForSequenceClassification.from_pretrained(folder)).eval()
    with torch.inference_mode():
        rows = [model(input_ids=torch.tensor([row.ids])).logits[0] for row in golden]
    return torch.stack(rows).double().numpy()


def versions_of(*packages: str) -> dict[str, str]:
    """The installed versions of packages."""
    from importlib.metadata import version

    return {name: version(name) for name in packages}
