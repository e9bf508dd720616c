"""Models that write text: loaded from a checked folder, made ready for a method, saved as transformers loads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import AutoConfig, GenerationConfig

from burnish.errors import fail
from burnish.models.family import model_type_of
from burnish.models.learner import (
    Layout,
    Precision,
    compute_precision,
    hush,
    layout_of,
    pick_device,
    pick_precision,
    plain_model,
)
from burnish.models.quantised import quantised, read_quantised
from burnish.models.rows import flat_rows, padded_rows
from burnish.models.stacks import hidden_states, padded_hidden_states
from burnish.models.token_loss import token_losses
from burnish.models.writer_family import writer_family_of
from burnish.records.encoding import Batch
from burnish.records.recipe import Recipe

_HIDDEN_DROPOUT = ("dropout", "dropout_rate", "resid_pdrop", "embd_pdrop")
_ATTENTION_DROPOUT = ("attention_dropout", "attn_pdrop")


@dataclass(slots=True)
class Writer:
    """A model that writes text, in place. Master weights are fp32; `precision` is that of the matrix products.

    `start_id` is what an encoder-decoder's decoder reads first, None for a decoder. `end_ids` are the tokens that the
    model itself ends a text with. `most_tokens` bounds prompt and answer together for a decoder, each of them for an
    encoder-decoder; None without a limit.
    """

    model: nn.Module
    model_type: str
    pad_id: int
    start_id: int | None
    end_ids: tuple[int, ...]
    most_tokens: int | None
    device: torch.device
    precision: Precision
    layout: Layout


def new_writer(folder: Path, *, recipe: Recipe) -> Writer:
    """A base model that is to be trained by the recipe; `choose_method` makes it ready for the method.

    With method "qlora" its linear layers are held in 4 bits.

    Raises: model-type-unknown, base-weights-missing, method-missing-extra, method-not-here.
    """
    hush()
    if recipe.method == "head":
        raise fail(
            "method-not-here",
            'method "head" trains a classifier\'s last layer, and a model that writes text has none',
            where="recipe",
            expected="method full, lora, dora, rslora or qlora",
            fix='write method = "lora"',
        )
    torch.manual_seed(recipe.seed)
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    for names, value in (
        (_HIDDEN_DROPOUT, recipe.dropout),
        (_ATTENTION_DROPOUT, recipe.attention_dropout),
    ):
        for name in names:
            if hasattr(config, name):
                setattr(config, name, value)
    extra = read_quantised() if recipe.method == "qlora" else {}
    model = _loaded(folder, config, extra)
    if recipe.method == "qlora":
        quantised(model)
    return _writer(model, folder=folder, precision=recipe.precision)


def load_writer(folder: Path, *, precision: str) -> Writer:
    """A base or saved model that writes text, in evaluation mode.

    Raises: model-type-unknown, base-weights-missing.
    """
    hush()
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    writer = _writer(_loaded(folder, config, {}), folder=folder, precision=precision)
    writer.model.eval()
    if writer.precision == "bf16":
        # as for a classifier: products in bf16, sums between them, norms and the language head in fp32
        head = cast(Any, writer.model).get_output_embeddings()
        for part in writer.model.modules():
            if isinstance(part, nn.Linear) and part is not head:
                part.to(torch.bfloat16)
    return writer


def choose_method(writer: Writer, recipe: Recipe) -> None:
    """Make ready for the recipe's method, in place: adapters are put on, or everything trains."""
    if recipe.method != "full":
        from burnish.models.adapters import add_adapters

        family = writer_family_of(writer.model_type)
        writer.model = add_adapters(
            writer.model,
            recipe,
            task=family.PEFT_TASK,
            targets=family.lora_targets(writer.model_type),
        )


def supervised_losses(writer: Writer, batch: Batch) -> Tensor:
    """The loss of every supervised token of the batch, in nats, (S,), with gradients where the model trains."""
    model = plain_model(writer.model)
    with compute_precision(writer):
        if writer.layout.padded_because is None:
            rows = flat_rows(batch, device=writer.device)
            hidden_NH = hidden_states(model, rows, body=writer.layout.body)
        else:
            rows = padded_rows(batch, pad_id=writer.pad_id, device=writer.device)
            hidden_NH = padded_hidden_states(model, rows)
        targets_S = torch.from_numpy(batch.targets).to(writer.device)
        return token_losses(model, hidden_NH[rows.supervised_S], targets_S)


def save_writer(writer: Writer, target: Path, *, stop_ids: Sequence[int]) -> None:
    """Write the model in the Hugging Face layout, fp32; plain transformers then stops at `stop_ids` as we do."""
    model = cast(Any, writer.model)
    model.generation_config = _generation(writer, stop_ids=stop_ids)
    model.save_pretrained(target, safe_serialization=True)


def writer_bytes(writer: Writer) -> int:
    """Memory of the weights."""
    return sum(value.numel() * value.element_size() for value in writer.model.parameters())


def _loaded(folder: Path, config: Any, extra: dict[str, Any]) -> nn.Module:
    family = writer_family_of(model_type_of(folder))
    model, told = family.AUTO.from_pretrained(
        folder,
        config=config,
        local_files_only=True,
        use_safetensors=True,
        dtype=torch.float32,
        output_loading_info=True,
        **extra,
    )
    missing = sorted(told["missing_keys"])
    if missing:
        # transformers would fill them with random numbers and go on
        raise fail(
            "base-weights-missing",
            f"the weights lack {len(missing)} tensors, as {missing[0]}",
            where=folder.name,
            expected=f"all weights of {type(model).__name__}",
            fix="use a base model that was saved with its language head",
        )
    return model


def _writer(model: nn.Module, *, folder: Path, precision: str) -> Writer:
    part = cast(Any, model)
    config, device = part.config, pick_device()
    chosen = pick_precision(precision, device)
    model_type = model_type_of(folder)
    pad_id = getattr(config, "pad_token_id", None)
    start_id = getattr(config, "decoder_start_token_id", None)
    if config.is_encoder_decoder and not isinstance(start_id, int):
        raise fail(
            "base-config-broken",
            "does not state decoder_start_token_id",
            where="config.json",
            expected="the token that the decoder reads first",
            fix="download or save the model folder again",
        )
    ends = getattr(config, "eos_token_id", None)
    writer = Writer(
        model=model.to(device),
        model_type=model_type,
        pad_id=pad_id if isinstance(pad_id, int) and pad_id >= 0 else 0,
        start_id=start_id if config.is_encoder_decoder else None,
        end_ids=tuple(ends) if isinstance(ends, list) else (ends,) if isinstance(ends, int) else (),
        most_tokens=writer_family_of(model_type).longest(config),
        device=device,
        precision=chosen,
        layout=layout_of(model, device=device, precision=chosen),
    )
    # what the base's publisher found good for decoding is not the task's: nothing of it may act unseen
    part.generation_config = _generation(writer, stop_ids=writer.end_ids)
    return writer


def _generation(writer: Writer, *, stop_ids: Sequence[int]) -> GenerationConfig:
    return GenerationConfig(
        bos_token_id=getattr(cast(Any, plain_model(writer.model)).config, "bos_token_id", None),
        eos_token_id=list(stop_ids) or None,
        pad_token_id=writer.pad_id,
        decoder_start_token_id=writer.start_id,
    )
