"""Golden rows asked of plain transformers: no code of ours between the saved files and their logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from burnish.deploy.engine import load_engine
from burnish.deploy.export import Rescored, Source
from burnish.deploy.golden import TOLERANCE as PROBABILITY_LIMIT
from burnish.deploy.golden_text import TOLERANCE as NATS_LIMIT
from burnish.evaluate.predict import predict
from burnish.models.learner import hush
from burnish.records.deployment import Golden
from burnish.records.encoding import FloatArray
from burnish.tasks.kind import kind_of


@dataclass(frozen=True, slots=True)
class Said:
    """One golden answer under another reader: its log-probability in nats, and whether greedy decoding gives its tokens."""

    logprob: float
    greedy: bool


def reads_as_golden(
    score: Callable[[Golden], Said], source: Source, *, tools: dict[str, str]
) -> Rescored:
    """Golden answers as likely as the version finds them, and those that greedy decoding writes again."""
    rows = [row for row in source.golden if row.surprise is not None and row.answer_ids]
    said = [score(row) for row in rows]
    off = [
        abs(-one.logprob - nats) / len(row.answer_ids)
        for row, nats, one in zip(rows, _nats(source, rows), said, strict=True)
    ]
    same = sum(one.greedy for one in said)
    limit = NATS_LIMIT["fp32"]
    return Rescored(len(rows), same, max(off, default=0.0), "nats a token", limit, tools)


def _nats(source: Source, rows: Sequence[Golden]) -> list[float]:
    """How unlikely the version finds its golden answers in fp32: an export is held to that, whatever it answers in."""
    bundle = source.opened.bundle
    if bundle.precision == "fp32":
        return [row.surprise or 0.0 for row in rows]
    from burnish.models.chat_model import open_chat_model
    from burnish.models.likelihood import answer_logprobs

    model = open_chat_model(
        source.folder,
        precision="fp32",
        max_tokens=bundle.max_tokens,
        new_tokens=source.opened.task.decoding.max_new_tokens,
    )
    told = answer_logprobs(
        model.writer, [row.ids for row in rows], [row.answer_ids for row in rows]
    )
    return [-sum(one) for one in told]


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


def labels_as_golden(told_RL: FloatArray, source: Source, *, tools: dict[str, str]) -> Rescored:
    """Probabilities (R, L) of golden rows as the version gives them in fp32, and the labels it gave."""
    task, golden, bundle = source.opened.task, source.golden, source.opened.bundle
    kind = kind_of(task)
    golden_RL = np.array([row.probabilities for row in golden])
    before_RL = golden_RL
    if bundle.precision != "fp32":
        fitted = load_engine(
            source.folder,
            task,
            engine=bundle.engine,
            precision="fp32",
            max_tokens=bundle.max_tokens,
        )
        answers = predict(fitted, task, [row.inputs for row in golden])
        before_RL = np.stack([one.probabilities_L for one in answers])
    same = sum(
        kind.decode(task, one).label == kind.decode(task, other).label
        for one, other in zip(told_RL, golden_RL, strict=True)
    )
    difference = float(np.abs(told_RL - before_RL).max(initial=0.0))
    limit = PROBABILITY_LIMIT["fp32"]
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
