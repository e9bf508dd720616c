"""A plain model folder in the Hugging Face layout, adapters merged in: nothing of Burnish, nothing of the data."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from burnish.deploy.bundle import CARD_FILE, OpenedText
from burnish.deploy.engine import load_engine, load_text_engine
from burnish.deploy.export import Rescored, Source, refused
from burnish.deploy.exports_plain import (
    classifier_logits,
    labels_as_golden,
    plain_writer,
    reads_as_golden,
    versions_of,
    writer_score,
)
from burnish.deploy.golden_text import TOLERANCE
from burnish.evaluate.predict import predict
from burnish.models.cached_base import FACTS
from burnish.records.deployment import Golden
from burnish.store.manifest import MANIFEST_NAME
from burnish.tasks.kind import kind_of

WEIGHTS: Sequence[str] = ("f32",)
_TAKES = "a fine-tuned model: engine transformers, choices, writer or span"
_AUTO = {
    "transformers": "AutoModelForSequenceClassification",
    "span": "AutoModelForQuestionAnswering",
}


def write(source: Source, target: Path) -> str:
    """Copy the model's own files.

    Raises: export-refused.
    """
    engine = source.opened.bundle.engine
    if engine not in ("transformers", "choices", "writer", "span"):
        raise refused(source, "safetensors", takes=_TAKES)
    for path in sorted(source.folder.iterdir()):
        if path.is_file() and path.name not in (MANIFEST_NAME, CARD_FILE, FACTS):
            shutil.copyfile(path, target / path.name)
    auto = _AUTO.get(engine) or _writing_auto(source.folder)
    return (
        "Weights in fp32 with every adapter merged in; it loads as transformers documents:\n\n```python\n"
        f"from transformers import {auto}, AutoTokenizer\n\n"
        f'model = {auto}.from_pretrained("FOLDER")\n'
        'tokenizer = AutoTokenizer.from_pretrained("FOLDER")\n```'
    )


def rescore(source: Source, target: Path) -> Rescored:
    """Read with plain transformers; labels chosen by likelihood, and spans, which are more than logits, with our engine."""
    opened, golden, tools = source.opened, source.golden, versions_of("transformers", "torch")
    bundle = opened.bundle
    if bundle.engine == "writer":
        return reads_as_golden(writer_score(plain_writer(target)), source, tools=tools)
    if isinstance(opened, OpenedText):
        return _spans(opened, target, golden, tools=tools)
    if bundle.engine == "transformers":
        logits_RL = classifier_logits(target, golden)
        told_RL = kind_of(opened.task).probabilities(logits_RL)
    else:
        fitted = load_engine(
            target,
            opened.task,
            engine=bundle.engine,
            precision="fp32",
            max_tokens=bundle.max_tokens,
        )
        answers = predict(fitted, opened.task, [row.inputs for row in golden])
        told_RL = np.stack([one.probabilities_L for one in answers])
    return labels_as_golden(told_RL, source, tools=tools)


def _spans(
    opened: OpenedText, target: Path, golden: Sequence[Golden], *, tools: dict[str, str]
) -> Rescored:
    bundle = opened.bundle
    fitted = load_text_engine(
        target,
        opened.task,
        engine=bundle.engine,
        precision=bundle.precision,
        max_tokens=bundle.max_tokens,
    )
    answers = fitted.answer(opened.task, [row.inputs for row in golden])
    pairs = list(zip(answers, golden, strict=True))
    same = sum((one.text, one.start) == (row.text, row.start) for one, row in pairs)
    off = [abs((one.confidence or 0.0) - (row.confidence or 0.0)) for one, row in pairs]
    limit = TOLERANCE[bundle.precision]
    return Rescored(len(golden), same, max(off, default=0.0), "probability", limit, tools)


def _writing_auto(folder: Path) -> str:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return "AutoModelForSeq2SeqLM" if config.get("is_encoder_decoder") else "AutoModelForCausalLM"
