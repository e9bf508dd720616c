"""ONNX for encoders: logits of classifiers and of models that find answers, through torch's dynamo exporter.

The older TorchScript exporter gave wrong logits without a word (design measurement); it is never used.
"""

from __future__ import annotations

import contextlib
import io
import logging
import shutil
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from burnish.deploy.export import Rescored, Source, refused
from burnish.deploy.exports_plain import labels_as_golden, versions_of
from burnish.errors import fail
from burnish.models.classifier import copy_tokenizer
from burnish.models.learner import hush
from burnish.records.encoding import FloatArray
from burnish.tasks.kind import kind_of

WEIGHTS: Sequence[str] = ("f32",)
MODEL_FILE = "model.onnx"
# Largest difference of a logit of start and end; probabilities of labels are held to the golden rows' own limit.
_LOGIT_LIMIT = 1e-3


def write(source: Source, target: Path) -> str:
    """Write the graph with batch and length left open, and the tokenizer beside it.

    Raises: export-refused, export-missing-extra.
    """
    bundle = source.opened.bundle
    if bundle.engine not in ("transformers", "span"):
        raise refused(source, "onnx", takes="a fine-tuned encoder: engine transformers or span")
    _need_extra()
    model = _plain(source)
    names = _inputs(model)
    # two rows of unlike lengths: sizes of one would be taken for constants
    ids = torch.ones(2, 8, dtype=torch.long)
    mask = torch.ones(2, 8, dtype=torch.long)
    mask[1, 5:] = 0
    example = {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}
    rows, tokens = torch.export.Dim("rows"), torch.export.Dim("tokens")
    with _quiet(), _told(bundle.engine):
        made = torch.onnx.export(
            _Logits(model, names),
            tuple(example[name] for name in names),
            dynamo=True,
            input_names=names,
            output_names=_outputs(bundle.engine),
            dynamic_shapes=(({0: rows, 1: tokens},) * len(names),),
            opset_version=18,
            verbose=False,
        )
        cast(Any, made).save(target / MODEL_FILE, external_data=False)
    copy_tokenizer(source.folder, target)
    shutil.copyfile(source.folder / "config.json", target / "config.json")
    inputs = ", ".join(f"`{name}`" for name in names)
    return (
        f"One ONNX graph, `{MODEL_FILE}`: {inputs} (int64, rows x tokens) to "
        f"{', '.join(f'`{name}`' for name in _outputs(bundle.engine))} (fp32). Tokenise with `tokenizer.json`.\n\n"
        "```python\nimport onnxruntime\n\n"
        f'session = onnxruntime.InferenceSession("FOLDER/{MODEL_FILE}")\n'
        "outputs = session.run(None, {...})\n```"
    )


def rescore(source: Source, target: Path) -> Rescored:
    """Read with ONNX Runtime: probabilities of labels against the golden ones, start and end logits against torch's."""
    import onnxruntime

    session = onnxruntime.InferenceSession(
        str(target / MODEL_FILE), providers=["CPUExecutionProvider"]
    )
    names = [one.name for one in session.get_inputs()]
    tools = versions_of("onnx", "onnxruntime", "onnxscript", "torch", "transformers")

    def ask(ids: Sequence[int], types: Sequence[int] | None) -> list[FloatArray]:
        row = np.array([ids], dtype=np.int64)
        given = {
            "input_ids": row,
            "attention_mask": np.ones_like(row),
            "token_type_ids": np.zeros_like(row) if types is None else np.array([types], np.int64),
        }
        told = session.run(None, {name: given[name] for name in names})
        return [np.asarray(one, dtype=np.float64) for one in told]

    opened = source.opened
    if opened.bundle.engine == "span":
        return _spans(source, ask, tools=tools)
    logits_RL = np.concatenate([ask(row.ids, None)[0] for row in source.golden])
    told_RL = kind_of(opened.task).probabilities(logits_RL)
    return labels_as_golden(told_RL, source, tools=tools)


def _spans(source: Source, ask: Any, *, tools: dict[str, str]) -> Rescored:
    from burnish.data.normalise import normalise_inputs
    from burnish.encode.windows import windows_of
    from burnish.models.room import Room
    from burnish.models.span_model import (
        INFERENCE_TOKENS,
        load_span_model,
        pair_of,
        window_scores,
    )

    task, most = source.opened.task, source.opened.bundle.max_tokens
    # in fp32, whatever the version answers in: what the exporter lost is asked here
    model = load_span_model(source.folder, precision="fp32", max_tokens=most)
    pairs = [pair_of(task, normalise_inputs(task, row.inputs)) for row in source.golden]
    rows = windows_of(model.tokeniser, pairs, places=[""] * len(pairs))
    room = Room(INFERENCE_TOKENS, lambda shortage: None)
    same, largest = 0, 0.0
    for windows in rows:
        ours = window_scores(model.learner, windows, room=room)
        theirs = [
            np.stack(ask(one.ids_T.tolist(), one.types_T.tolist()), axis=-1)[0] for one in windows
        ]
        pairs_T2 = list(zip(ours, theirs, strict=True))
        largest = max(largest, *(float(np.abs(a - b).max()) for a, b in pairs_T2))
        same += all((a.argmax(axis=0) == b.argmax(axis=0)).all() for a, b in pairs_T2)
    return Rescored(len(rows), same, largest, "logit", _LOGIT_LIMIT, tools)


class _Logits(nn.Module):
    """A model whose inputs come in order and whose outputs are tensors."""

    def __init__(self, model: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.model, self.names = model, tuple(names)

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        told = self.model(**dict(zip(self.names, inputs, strict=True)))
        return (told.logits,) if hasattr(told, "logits") else (told.start_logits, told.end_logits)


def _plain(source: Source) -> nn.Module:
    """The model as plain transformers loads it: our packed attention is no part of a graph for others."""
    from transformers import AutoModelForQuestionAnswering, AutoModelForSequenceClassification

    hush()
    span = source.opened.bundle.engine == "span"
    auto = AutoModelForQuestionAnswering if span else AutoModelForSequenceClassification
    return auto.from_pretrained(source.folder, dtype=torch.float32).eval()


def _inputs(model: nn.Module) -> list[str]:
    types = getattr(cast(Any, model).config, "type_vocab_size", 0) > 1
    return ["input_ids", "attention_mask", *(["token_type_ids"] if types else [])]


def _outputs(engine: str) -> list[str]:
    return ["start_logits", "end_logits"] if engine == "span" else ["logits"]


def _need_extra() -> None:
    wanted = ("onnx", "onnxscript", "onnxruntime")
    missing = [name for name in wanted if find_spec(name) is None]
    if missing:
        raise fail(
            "export-missing-extra",
            f"the package {missing[0]} is not installed",
            where="--format onnx",
            fix="python -m pip install 'burnish[onnx]'",
        )


@contextlib.contextmanager
def _told(engine: str) -> Any:
    try:
        yield
    except torch.onnx.OnnxExporterError as error:
        cause = error.__cause__ or error
        raise fail(
            "converter-failed",
            f"{type(cause).__name__}: {str(cause).splitlines()[0][:200]}",
            where="torch.onnx",
            expected=f"an encoder that torch can write (engine {engine})",
            fix="nothing was written; use --format safetensors",
        ) from error


@contextlib.contextmanager
def _quiet() -> Any:
    """The exporter talks to the terminal; what goes wrong is raised all the same."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        log = logging.getLogger("torch.onnx")
        level = log.level
        log.setLevel(logging.ERROR)
        try:
            yield
        finally:
            log.setLevel(level)
