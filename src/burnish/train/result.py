"""What a training leaves behind: the model in the Hugging Face layout, and for LoRA the adapter beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from burnish.encode.chat_template import TEMPLATE_FILE
from burnish.encode.pack import pack_tokens
from burnish.encode.windows import Window
from burnish.errors import BurnishError, fail
from burnish.models.classifier import TransformersFitted, copy_tokenizer
from burnish.models.room import Room
from burnish.models.source import BaseModel
from burnish.models.span_model import INFERENCE_TOKENS, SpanModel, window_scores
from burnish.models.writer import Writer, save_writer, supervised_losses
from burnish.records.encoding import Batch, Encoding, FloatArray
from burnish.store.durable import new_folder, remove_folder
from burnish.store.manifest import listed_checksums
from burnish.train.checkpoint import HEADER_BYTES, tensor_bytes
from burnish.train.runs import MODEL, WEIGHTS, result_fault
from burnish.train.token_rows import TextRows

_ADAPTER = "adapter"
# Rows whose logits a merge must not change, and by how much in fp32: rounding is a hundred times smaller.
_PROBED_ROWS = 32
_MERGE_TOLERANCE = 1e-3


def has_result(
    folder: Path, *, weights_sha256: str | None, announce: Callable[[str], None]
) -> bool:
    """True when a run folder holds its model, whole and with the run's weights; another one is said and removed."""
    if not (folder / MODEL).is_dir():
        return False
    told = result_fault(folder, weights_sha256=weights_sha256)
    if told is not None:
        announce(f"the model of run {folder.name} is damaged ({told}): made again")
        remove_folder(folder / MODEL)
    return told is None


def save_result(
    fitted: TransformersFitted,
    base: BaseModel,
    folder: Path,
    *,
    probe: Sequence[Encoding],
) -> str:
    """Write `model/`; adapters are merged into it only if the logits of the probe rows stay the same.

    Answers with the SHA-256 of the weights.

    Raises: merge-differs, disk-full, not-writable, write-failed.
    """
    model: Any = fitted.learner.model
    if hasattr(model, "merge_and_unload"):
        _save_adapter(model, folder / _ADAPTER)
        model = _merged(fitted, probe[:_PROBED_ROWS], name=folder.name)
    # what an attempt that was killed right after this published: the same, unless somebody exchanged it
    remove_folder(folder / MODEL)
    needs = tensor_bytes(dict(model.named_parameters())) + HEADER_BYTES
    with new_folder(folder / MODEL, needs_bytes=needs) as staging:
        model.save_pretrained(staging, safe_serialization=True)
        copy_tokenizer(base.folder, staging)
    return listed_checksums(folder / MODEL)[WEIGHTS]


def save_text_result(
    writer: Writer,
    base: BaseModel,
    folder: Path,
    *,
    probe: TextRows,
    stop_ids: Sequence[int],
    template: str | None,
) -> str:
    """The same for a model that writes text: `model/`, and for adapters `adapter/` beside it.

    `template` is the text of the chat template that the rows were written with; it is stored with the model.

    Adapters are merged only if the loss of every supervised token of the probe rows stays the same. A model trained
    in 4 bits is merged into the values its 4 bits stand for, so that nothing is rounded again.

    Raises: merge-differs, disk-full, not-writable, write-failed.
    """
    if hasattr(writer.model, "merge_and_unload"):
        _save_adapter(writer.model, folder / _ADAPTER)
        _merge_writer(writer, probe, name=folder.name)
    remove_folder(folder / MODEL)
    with new_folder(folder / MODEL) as staging:
        save_writer(writer, staging, stop_ids=stop_ids)
        copy_tokenizer(base.folder, staging)
        if template is not None:
            (staging / TEMPLATE_FILE).write_text(template, encoding="utf-8")
    return listed_checksums(folder / MODEL)[WEIGHTS]


def save_span_result(
    model: SpanModel, base: BaseModel, folder: Path, *, probe: Sequence[Window]
) -> str:
    """The same for a model that finds answers; adapters are merged only if the probed windows' scores stay the same.

    Raises: merge-differs, disk-full, not-writable, write-failed.
    """
    learner = model.learner
    if hasattr(learner.model, "merge_and_unload"):
        from burnish.models.adapters import merge_lora

        _save_adapter(learner.model, folder / _ADAPTER)
        precision, learner.precision = learner.precision, "fp32"
        room = Room(INFERENCE_TOKENS, lambda shortage: None)
        before = window_scores(learner, probe[:_PROBED_ROWS], room=room)
        learner.model = merge_lora(learner.model)
        after = window_scores(learner, probe[:_PROBED_ROWS], room=room)
        learner.precision = precision
        pairs = zip(before, after, strict=True)
        gap = max((float(np.abs(one - two).max()) for one, two in pairs), default=0.0)
        if not gap <= _MERGE_TOLERANCE:
            raise _differs(f"scores differ from the adapter's by {gap:.2g}", folder.name)
    remove_folder(folder / MODEL)
    with new_folder(folder / MODEL) as staging:
        cast(Any, learner.model).save_pretrained(staging, safe_serialization=True)
        copy_tokenizer(base.folder, staging)
    return listed_checksums(folder / MODEL)[WEIGHTS]


def _merge_writer(writer: Writer, probe: TextRows, *, name: str) -> None:
    from burnish.models.adapters import merge_lora
    from burnish.models.quantised import is_quantised, merge_quantised

    rows = np.arange(min(len(probe.rows), _PROBED_ROWS))
    batch = pack_tokens(probe.rows, rows, places=probe.places)
    precision, writer.precision = writer.precision, "fp32"
    writer.model.eval()
    before_S = _token_losses(writer, batch)
    held = is_quantised(writer.model)
    writer.model = merge_quantised(writer.model) if held else merge_lora(writer.model)
    gap = float(np.abs(_token_losses(writer, batch) - before_S).max(initial=0.0))
    writer.precision = precision
    if not gap <= _MERGE_TOLERANCE:
        raise _differs(f"losses of tokens differ from the adapter's by {gap:.2g}", name)


def _token_losses(writer: Writer, batch: Batch) -> FloatArray:
    with torch.inference_mode():
        return supervised_losses(writer, batch).double().cpu().numpy()


def _differs(what: str, name: str) -> BurnishError:
    return fail(
        "merge-differs",
        f"the merged model's {what}",
        where=f"run {name}",
        expected=f"a difference of at most {_MERGE_TOLERANCE:g}",
        fix="report this run; its adapter is kept in the run folder",
    )


def _save_adapter(model: Any, target: Path) -> None:
    remove_folder(target)
    with new_folder(target) as staging:
        # the base's vocabulary is never changed; "auto" would look for it on the hub
        model.save_pretrained(str(staging), safe_serialization=True, save_embedding_layers=False)
        (staging / "README.md").unlink(missing_ok=True)


def _merged(fitted: TransformersFitted, probe: Sequence[Encoding], *, name: str) -> Any:
    """The plain model with the adapters added in, left in the learner too.

    Compared in fp32: bf16 products round the two paths differently by more than any real fault.
    """
    from burnish.models.adapters import merge_lora

    learner = fitted.learner
    precision, learner.precision = learner.precision, "fp32"
    before_RL: FloatArray = fitted.logits(probe)
    learner.model = merge_lora(learner.model)
    gap = float(np.abs(fitted.logits(probe) - before_RL).max(initial=0.0))
    learner.precision = precision
    if not gap <= _MERGE_TOLERANCE:
        raise _differs(f"logits differ from the adapter's by {gap:.2g}", name)
    return learner.model
