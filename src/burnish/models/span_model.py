"""Encoders that find an answer in a context: two logits a token, start and end, in stock transformers' own layout.

Rows are windows (encode/windows.py) laid end to end; plain AutoModelForQuestionAnswering loads what is saved here and
gives the same logits.

Shape legend: N tokens of a batch, R windows of a batch, T tokens of the longest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoConfig, AutoModelForQuestionAnswering

from burnish.data.normalise import normalise_inputs
from burnish.encode.best_span import DEFAULT_ANSWER_TOKENS, BestSpan, SpanRule, best_span
from burnish.encode.pack import pack_windows
from burnish.encode.windows import PairTokeniser, Window, load_pair_tokeniser, windows_of
from burnish.errors import fail
from burnish.models.allocator import respect_limit
from burnish.models.families.encoder import set_dropout
from burnish.models.family import family_of, model_type_of
from burnish.models.fitted_text import TextAnswer
from burnish.models.learner import (
    Learner,
    compute_precision,
    hush,
    layout_of,
    pick_device,
    pick_precision,
    plain_model,
)
from burnish.models.room import Room, passes
from burnish.models.rows import flat_rows, padded_rows
from burnish.models.shortage import Tightest
from burnish.models.stacks import hidden_states, padded_hidden_states
from burnish.records.decoding import Decoding
from burnish.records.encoding import Batch, FloatArray, IntArray
from burnish.records.recipe import Recipe
from burnish.records.task import Task

# Tokens of one forward pass without gradients: longer rows than a classifier's, so that more of them share a pass.
INFERENCE_TOKENS = 4096
_FRESH_STD = 0.02
# What our own config key says of a model that finds answers; transformers carries keys it does not know.
RULE_KEY = "burnish_span"
PEFT_TASK = "QUESTION_ANS"


@dataclass(frozen=True, slots=True, eq=False)
class SpanModel:
    """A span model with its tokenizer and its rule: inputs of rows to answers with their places.

    `tightest` remembers whether memory made it answer in smaller pieces.
    """

    learner: Learner
    tokeniser: PairTokeniser
    rule: SpanRule
    tightest: Tightest = field(default_factory=Tightest)

    def answer(
        self,
        task: Task,
        inputs: Sequence[Mapping[str, str]],
        *,
        decoding: Decoding | None = None,
    ) -> list[TextAnswer]:
        """One answer a row, in order: a piece of its context with its start, or "" for no answer. Decoding is nothing
        to it.

        Raises: question-too-long, memory-full.
        """
        del decoding
        pairs = [pair_of(task, normalise_inputs(task, row)) for row in inputs]
        places = [f"row {number + 1}" if len(inputs) > 1 else "" for number in range(len(inputs))]
        windows = windows_of(self.tokeniser, pairs, places=places)
        found = self.find(windows, [context for _, context in pairs])
        return [
            said(one, windows=row, context=context)
            for one, row, (_, context) in zip(found, windows, pairs, strict=True)
        ]

    def check(self, task: Task, inputs: Sequence[Mapping[str, str]]) -> None:
        """Refuse rows that cannot be asked, before anything is computed.

        Raises: question-too-long.
        """
        pairs = [pair_of(task, normalise_inputs(task, row)) for row in inputs]
        windows_of(self.tokeniser, pairs, places=[""] * len(pairs))

    def find(self, windows: Sequence[Sequence[Window]], contexts: Sequence[str]) -> list[BestSpan]:
        """The best piece of each context, over all its windows.

        Raises: memory-full.
        """
        flat = [one for row in windows for one in row]
        room = Room(INFERENCE_TOKENS, self.tightest.note)
        scores = iter(window_scores(self.learner, flat, room=room))
        return [
            best_span(row, [next(scores) for _ in row], context, rule=self.rule)
            for row, context in zip(windows, contexts, strict=True)
        ]

    def surprise(self, answers: Sequence[TextAnswer]) -> list[float | None]:
        """None: what is written down of an answer is its confidence."""
        return [None] * len(answers)

    def size_bytes(self) -> int:
        """Memory of the weights."""
        parameters = self.learner.model.parameters()
        return sum(value.numel() * value.element_size() for value in parameters)


def pair_of(task: Task, inputs: Mapping[str, str]) -> tuple[str, str]:
    """Question and context of a row."""
    first, *_, last = task.inputs
    return inputs[first], inputs[last]


def said(found: BestSpan, *, windows: Sequence[Window], context: str) -> TextAnswer:
    """A found span as an answer, cut out of the context."""
    nothing = found.start is None or found.end is None
    return TextAnswer(
        text="" if nothing else context[found.start : found.end],
        prompt_ids=tuple(int(token) for one in windows for token in one.ids_T),
        start=found.start,
        confidence=found.confidence,
    )


def new_span_model(folder: Path, *, recipe: Recipe) -> Learner:
    """A base model that is to find answers: a fresh head, unless the base was trained to find answers already.

    `recipe.seed` decides the head; the head's two logits are start and end.

    Raises: model-type-unknown.
    """
    hush()
    respect_limit()
    family_of(model_type_of(folder))
    torch.manual_seed(recipe.seed)
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    made_for = getattr(config, "architectures", None) or [""]
    knows = made_for[0].endswith("ForQuestionAnswering")
    config.num_labels = 2
    set_dropout(config, recipe)
    if hasattr(config, "qa_dropout"):
        config.qa_dropout = recipe.dropout
    model = _loaded(folder, config)
    if not knows:
        last = cast(nn.Linear, model.get_submodule(head_modules(model)[-1]))
        with torch.no_grad():
            last.weight.normal_(std=_FRESH_STD)
            last.bias.zero_()
    return _learner(model, folder=folder, precision=recipe.precision)


def choose_span_method(learner: Learner, recipe: Recipe) -> None:
    """Make ready for the recipe's method, in place: everything trains, adapters, or the head alone.

    Raises: method-not-here.
    """
    if recipe.method not in ("full", "lora", "head"):
        raise fail(
            "method-not-here",
            f'method "{recipe.method}" is for models that write text',
            where="recipe",
            expected="method full, lora or head",
            fix='write method = "lora"',
        )
    heads = head_modules(learner.model)
    if recipe.method == "head":
        prefixes = tuple(f"{name}." for name in heads)
        for name, parameter in learner.model.named_parameters():
            parameter.requires_grad = name.startswith(prefixes)
    if recipe.method == "lora":
        from burnish.models.adapters import add_adapters

        family = family_of(learner.model_type)
        learner.model = add_adapters(
            learner.model,
            recipe,
            task=PEFT_TASK,
            targets=family.lora_targets(learner.model),
            whole=heads,
        )


def load_span_model(folder: Path, *, precision: str, max_tokens: int) -> SpanModel:
    """A saved span model in evaluation mode, ready to answer.

    Raises: model-type-unknown, base-weights-missing, and the codes of load_pair_tokeniser.
    """
    hush()
    respect_limit()
    family_of(model_type_of(folder))
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    model = _loaded(folder, config, whole=True)
    learner = _learner(model, folder=folder, precision=precision)
    learner.model.eval()
    if learner.precision == "bf16":
        # as for a classifier: products in bf16, sums between them, norms and the head in fp32
        heads = head_modules(model)
        for name, part in model.named_modules():
            if isinstance(part, nn.Linear) and not name.startswith(heads):
                part.to(torch.bfloat16)
    tokeniser = load_pair_tokeniser(folder, max_tokens=max_tokens)
    return SpanModel(learner, tokeniser, rule_in(config))


def rule_in(config: Any) -> SpanRule:
    """What a model's config.json says may be an answer; SQuAD's habits where it says nothing."""
    told = getattr(config, RULE_KEY, None)
    if not isinstance(told, dict):
        return SpanRule()
    tokens, none = told.get("answer_tokens"), told.get("may_be_none")
    return SpanRule(
        tokens if isinstance(tokens, int) and tokens > 0 else DEFAULT_ANSWER_TOKENS,
        none is not False,
    )


def write_rule(learner: Learner, rule: SpanRule) -> None:
    """Put the rule into the config that is saved with the model."""
    told = {"answer_tokens": rule.answer_tokens, "may_be_none": rule.may_be_none}
    setattr(cast(Any, plain_model(learner.model)).config, RULE_KEY, told)


def head_modules(model: nn.Module) -> tuple[str, ...]:
    """Names of the modules after the encoder stack, the last of them linear."""
    kind = str(cast(Any, model).config.model_type)
    return ("head", "classifier") if kind == "modernbert" else ("qa_outputs",)


def span_logits(learner: Learner, batch: Batch) -> Tensor:
    """Start and end logits (N, 2) fp32 of every token, with gradients where the model trains."""
    model = plain_model(learner.model)
    with compute_precision(learner):
        if learner.layout.padded_because is None:
            rows = flat_rows(batch, device=learner.device)
            hidden_NH = hidden_states(model, rows, body=learner.layout.body)
        else:
            rows = padded_rows(batch, pad_id=learner.pad_id, device=learner.device)
            hidden_NH = padded_hidden_states(model, rows)
            if rows.read.tokens is not None:
                hidden_NH = hidden_NH[rows.read.tokens]
    # in fp32 whatever the precision, as for a classifier
    return _head(model, hidden_NH.float() if hidden_NH.dtype == torch.bfloat16 else hidden_NH)


def span_losses(logits_N2: Tensor, batch: Batch) -> Tensor:
    """Each window's loss, (R,): the mean of the cross-entropies of its start and its end over its own tokens.

    Source: Devlin et al. (2019), section 4.2; the first token is the target of windows without the answer (4.3).
    """
    parts = logits_N2.split(list(batch.lengths))
    grid_RT2 = pad_sequence(list(parts), batch_first=True, padding_value=-torch.inf)
    targets_R2 = torch.from_numpy(batch.targets).to(logits_N2.device)
    start_R = cross_entropy(grid_RT2[:, :, 0], targets_R2[:, 0], reduction="none")
    end_R = cross_entropy(grid_RT2[:, :, 1], targets_R2[:, 1], reduction="none")
    return (start_R + end_R) / 2


def window_scores(
    learner: Learner,
    windows: Sequence[Window],
    *,
    room: Room,
    pause: Callable[[], None] = lambda: None,
) -> list[FloatArray]:
    """Start and end logits (T, 2) of each window, without gradients or dropout; longest first, like lengths together.

    `pause` is called before passes and may raise.

    Raises: memory-full.
    """
    if not windows:
        return []
    found: list[FloatArray] = [np.zeros((0, 2))] * len(windows)
    targets_R2, ones = np.zeros((len(windows), 2), np.int64), np.ones(len(windows))

    def compute(piece: IntArray) -> list[FloatArray]:
        pause()
        batch = pack_windows(windows, piece, targets_R2=targets_R2, weights_R=ones)
        logits_N2 = span_logits(learner, batch).double().cpu().numpy()
        return np.split(logits_N2, batch.cumulative_lengths[1:-1])

    was_training = learner.model.training
    learner.model.eval()
    try:
        with torch.inference_mode():
            for piece, parts in passes(
                np.arange(len(windows)),
                [len(one) for one in windows],
                room=room,
                compute=compute,
                place=lambda row: str(windows[row].row + 1),
            ):
                for row, part in zip(piece, parts, strict=True):
                    found[int(row)] = part
    finally:
        learner.model.train(was_training)
    return found


def _head(model: nn.Module, hidden_NH: Tensor) -> Tensor:
    part = cast(Any, model)
    match str(part.config.model_type):
        case "modernbert":
            return part.classifier(part.drop(part.head(hidden_NH)))
        case "distilbert":
            return part.qa_outputs(part.dropout(hidden_NH))
        case _:
            return part.qa_outputs(hidden_NH)


def _loaded(folder: Path, config: Any, *, whole: bool = False) -> nn.Module:
    model, told = AutoModelForQuestionAnswering.from_pretrained(
        folder,
        config=config,
        local_files_only=True,
        use_safetensors=True,
        dtype=torch.float32,
        ignore_mismatched_sizes=not whole,
        output_loading_info=True,
    )
    missing = sorted(told["missing_keys"])
    if whole and missing:
        raise fail(
            "base-weights-missing",
            f"the weights lack {len(missing)} tensors, as {missing[0]}",
            where=folder.name,
            expected=f"all weights of {type(model).__name__}",
            fix="use a model that was trained to find answers",
        )
    return model


def _learner(model: nn.Module, *, folder: Path, precision: str) -> Learner:
    device = pick_device()
    pad_id = getattr(cast(Any, model).config, "pad_token_id", None)
    chosen = pick_precision(precision, device)
    return Learner(
        model=model.to(device),
        model_type=model_type_of(folder),
        n_labels=2,
        pad_id=pad_id if isinstance(pad_id, int) else 0,
        device=device,
        precision=chosen,
        layout=layout_of(model, device=device, precision=chosen),
    )
