"""Faults that today's trainers have shipped, each as a check that we pass and that a deliberately broken copy fails.

A GGUF base that can no longer be saved as a plain model has its check in test_gguf.py, beside the files it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import Tensor
from torch.nn.functional import cross_entropy

from burnish.encode.answers import answered
from burnish.encode.pack import causal_row, micro_batches, pack, pack_tokens
from burnish.encode.tokenise import load_tokeniser
from burnish.errors import BurnishError
from burnish.models.attention import BODIES, Rules
from burnish.models.classifier import TransformersFitted, new_classifier
from burnish.models.families.decoder import longest
from burnish.models.family import family_of
from burnish.models.learner import logits_of
from burnish.models.rows import Spans
from burnish.records.encoding import IntArray, TokenRow
from burnish.train.loop import LoopState, TrainRows, steps
from burnish.train.optimizer import make_optimizer
from tiny_models import POSITIONS, batch_of, row_losses, row_of, rows_of, tiny
from tiny_training import sentences, small_recipe, tiny_base

TEXTS = [text for text, _ in sentences(12, seed=3)]
TARGETS_RL = np.eye(3)[[0, 1, 2] * 4]
WEIGHTS_R = np.random.default_rng(2).uniform(0.5, 2, 12)
Norm = Callable[[TransformersFitted, int], float]


# ---- gradient accumulation: exactly 4 times too large at 4 pieces
# (HF Trainer 5.23 with BERT sequence classification: the division is skipped although the loss ignores the count)


def our_norm(fitted: TransformersFitted, pieces: int) -> float:
    """The gradient's norm of one update through our own loop, cut into about so many pieces."""
    encodings = fitted.encode(TEXTS)
    lengths = np.array([len(row) for row in encodings])
    budget = int(lengths.max()) * len(TEXTS) // pieces
    recipe = _recipe(batch_rows=12, epochs=1, clip_norm=1e9, batch_tokens=budget)
    assert len(micro_batches(np.arange(12), lengths, batch_tokens=budget)) >= pieces - 1
    learner = fitted.learner
    heads = family_of(learner.model_type).head_modules(learner.model)
    stream = steps(
        learner.model,
        TrainRows(lengths, TARGETS_RL, WEIGHTS_R, TEXTS),
        recipe,
        objective="softmax",
        logits=lambda piece: logits_of(
            learner, pack(encodings, piece, targets_RL=TARGETS_RL, weights_R=WEIGHTS_R)
        ),
        judge=lambda: 0.0,
        state=LoopState(make_optimizer(learner.model, recipe, head_modules=heads)),
    )
    return next(stream).gradient_norm


def broken_norm(fitted: TransformersFitted, pieces: int) -> float:
    """The mean of each piece, added up: what the trainer did."""
    encodings, learner = fitted.encode(TEXTS), fitted.learner
    learner.model.zero_grad()
    for piece in np.array_split(np.arange(12), pieces):
        batch = pack(encodings, piece, targets_RL=TARGETS_RL, weights_R=WEIGHTS_R)
        targets = torch.from_numpy(TARGETS_RL[piece].argmax(1))
        cross_entropy(logits_of(learner, batch), targets).backward()
    return float(torch.nn.utils.get_total_norm(
        [one.grad for one in learner.model.parameters() if one.grad is not None]
    ))  # fmt: skip


def does_not_depend_on_the_cut(norm: Norm, base: Path) -> bool:
    one, four = (norm(_fitted(base), pieces) for pieces in (1, 4))
    return abs(four / one - 1) < 1e-4


@pytest.mark.parametrize("model_type", ["bert", "modernbert", "deberta-v2"])
def test_accumulation_does_not_multiply_the_gradient(model_type: str, tmp_path: Path) -> None:
    base = tiny_base(tmp_path, model_type).folder
    assert does_not_depend_on_the_cut(our_norm, base)
    assert not does_not_depend_on_the_cut(broken_norm, base)


def _recipe(**changes: object):
    return small_recipe(**{"dropout": 0.0, "head_start": "random", **changes})


def _fitted(base: Path) -> TransformersFitted:
    learner = new_classifier(
        base, label_names=("a", "b", "c"), objective="softmax", recipe=_recipe()
    )
    return TransformersFitted(learner, load_tokeniser(base, max_tokens=24))


# ---- packing that leaks across rows (TRL packing="wrapped": a logit moved by 0.74)


def one_long_row(query: Tensor, key: Tensor, value: Tensor, spans: Spans, rules: Rules) -> Tensor:
    """Attention that was not told where rows end."""
    whole = Spans((sum(spans.queries),), (sum(spans.keys),), spans.device)
    return BODIES["dense"](query, key, value, whole, rules)


def keeps_rows_apart(name: str) -> bool:
    model, rows = tiny(name), rows_of([8, 6, 5])
    other = [row_of(8, np.random.default_rng(9)), *rows[1:]]
    with torch.no_grad():
        one, two = (
            row_losses(model, batch_of(model.asked, chosen), body="rows")[1:]
            for chosen in (rows, other)
        )
    return torch.equal(one, two)


@pytest.mark.parametrize("name", ["bert", "gemma3_text", "bart"])
def test_packed_rows_do_not_leak(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert keeps_rows_apart(name)
    monkeypatch.setitem(BODIES, "rows", one_long_row)  # type: ignore[arg-type]
    assert not keeps_rows_apart(name)


# ---- positions that run on through the line (error 5 to 6 in the last hidden state)


def test_positions_start_again_in_every_row() -> None:
    model, rows = tiny("bert"), rows_of([7, 5])
    whole = batch_of("label", rows)
    alone = row_losses(model, batch_of("label", rows[1:]), body="rows")
    assert torch.allclose(row_losses(model, whole, body="rows")[1:], alone, atol=1e-6)
    whole.position_ids_N[:] = np.arange(12)  # the broken copy
    assert not torch.allclose(row_losses(model, whole, body="rows")[1:], alone, atol=1e-3)


# ---- positions that hang on the longest row beside them (LongRoPE: 4096 tokens for Phi-3.5 and Phi-4-mini)


def test_no_row_is_longer_than_what_longrope_was_stretched_from() -> None:
    model = tiny("phi3, LongRoPE and sliding window")
    most = longest(model.model.config)
    assert most == POSITIONS < model.model.config.max_position_embeddings

    def beside(neighbour: int) -> Tensor:
        """The loss of a row beside one of so many tokens, its answer of one token among them."""
        row, long = (row_of(size, np.random.default_rng(3)) for size in (8, neighbour - 1))
        other = replace(long, answer_T=long.answer_T[:1])
        with torch.no_grad():
            return row_losses(model, batch_of("next", [row, other]), body="rows")[0]

    assert torch.allclose(beside(most), beside(8), atol=1e-5)
    assert not torch.allclose(beside(most + 1), beside(8), atol=1e-3)  # the trap: one token more


# ---- the loss on prompts, the masked stop token, the doubled first token, the boundary
# (TRL "messages"; HF's language-modelling collator with pad == eos; pre-templated text; prompt and answer apart)

BOS, STOP = "<s>", "</s>"
PROMPT, ANSWER = "ask: what is the time now", "time is now four"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """A small byte-level BPE that puts <s> before every text, as Llama's does. Its padding token is </s>."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=[BOS, STOP], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    made.train_from_iterator([f"{PROMPT} {ANSWER} now is the time"] * 9, trainer)
    made.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, made.token_to_id(BOS))]
    )
    return made


def templated(prompt: str, answer: str) -> tuple[str, int]:
    """A template's text, and the character at which the answer starts."""
    before = f"{BOS}{prompt}\n"
    return f"{before}{answer}{STOP}", len(before)


Build = Callable[[Tokenizer, str, int], TokenRow]


def ours(tokenizer: Tokenizer, text: str, answer_at: int) -> TokenRow:
    return answered(tokenizer, text, answer_at=answer_at, marks="template").row


def on_every_token(tokenizer: Tokenizer, text: str, answer_at: int) -> TokenRow:
    row = ours(tokenizer, text, answer_at)
    return causal_row(row.ids_T, answer_T=np.ones(len(row), bool))


def padding_masked_by_id(tokenizer: Tokenizer, text: str, answer_at: int) -> TokenRow:
    row = ours(tokenizer, text, answer_at)
    pad_id = tokenizer.token_to_id(STOP)
    return TokenRow(row.ids_T, np.where(row.targets_T == pad_id, -1, row.targets_T))


def marked_twice(tokenizer: Tokenizer, text: str, answer_at: int) -> TokenRow:
    return answered(tokenizer, text, answer_at=answer_at, marks="tokenizer").row


def tokenised_apart(tokenizer: Tokenizer, text: str, answer_at: int) -> TokenRow:
    parts = [
        tokenizer.encode(part, add_special_tokens=False).ids
        for part in (text[:answer_at], text[answer_at:])
    ]
    ids = np.array([*parts[0], *parts[1]])
    return causal_row(ids, answer_T=np.arange(len(ids)) >= len(parts[0]))


def asks_for_the_answer_alone(build: Build, tokenizer: Tokenizer) -> bool:
    row = build(tokenizer, *templated(PROMPT, ANSWER))
    asked = [int(one) for one in row.targets_T if one >= 0]
    return tokenizer.decode(asked, skip_special_tokens=True) == ANSWER


def learns_to_stop(build: Build, tokenizer: Tokenizer) -> bool:
    row = build(tokenizer, *templated(PROMPT, ANSWER))
    return int(row.targets_T[-2]) == tokenizer.token_to_id(STOP)


def has_one_first_token(build: Build, tokenizer: Tokenizer) -> bool:
    row = build(tokenizer, *templated(PROMPT, ANSWER))
    return int((row.ids_T == tokenizer.token_to_id(BOS)).sum()) == 1


def reads_what_the_whole_text_gives(build: Build, tokenizer: Tokenizer) -> bool:
    text = f"{PROMPT} {ANSWER}"
    whole: Sequence[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return build(tokenizer, text, len(PROMPT)).ids_T.tolist() == list(whole)


Check = Callable[[Build, Tokenizer], bool]


@pytest.mark.parametrize(
    "check, broken",
    [
        (asks_for_the_answer_alone, on_every_token),
        (learns_to_stop, padding_masked_by_id),
        (has_one_first_token, marked_twice),
        (reads_what_the_whole_text_gives, tokenised_apart),
    ],
)
def test_a_row_asks_for_what_a_server_will_say(
    check: Check, broken: Build, tokenizer: Tokenizer
) -> None:
    assert check(ours, tokenizer)
    assert not check(broken, tokenizer)


def test_a_token_across_the_boundary_is_told_and_carries_no_loss(tokenizer: Tokenizer) -> None:
    text = f"{PROMPT} {ANSWER}"
    ends = [end for _, end in tokenizer.encode(text, add_special_tokens=False).offsets]
    inside = next(at for at in range(1, len(text)) if at not in ends)
    split = answered(tokenizer, text, answer_at=inside, marks="template")
    assert split.straddles
    assert not answered(tokenizer, text, answer_at=ends[0], marks="template").straddles
    whole = [int(one) for one in split.row.targets_T if one >= 0]
    assert text[inside:].endswith(tokenizer.decode(whole))


def test_the_stop_token_that_a_tokenizer_adds_is_asked_for(tokenizer: Tokenizer) -> None:
    made = Tokenizer.from_str(tokenizer.to_str())
    marks = [(mark, made.token_to_id(mark)) for mark in (BOS, STOP)]
    made.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A {STOP}", special_tokens=marks
    )
    row = answered(made, f"{PROMPT}\n{ANSWER}", answer_at=len(PROMPT) + 1, marks="tokenizer").row
    asked = [int(one) for one in row.targets_T if one >= 0]
    assert made.decode(asked, skip_special_tokens=False) == f"{ANSWER}{STOP}"


# ---- rows with no supervised token (TRL drops them without a count; plain HF answers NaN)


def dropped_in_silence(token_rows: list[TokenRow], rows: IntArray, *, places: list[str]) -> object:
    kept = np.array([row for row in rows if (token_rows[row].targets_T >= 0).any()])
    return pack_tokens(token_rows, kept, places=places)


def names_rows_that_teach_nothing(pack_rows: Callable[..., object]) -> bool:
    ids = np.arange(5)
    token_rows = [
        causal_row(ids, answer_T=ids > 2),
        causal_row(
            ids, answer_T=ids < 1
        ),  # the answer was cut away; nothing stands before the first token
    ]
    try:
        pack_rows(token_rows, np.arange(2), places=["t.csv:2", "t.csv:3"])
    except BurnishError as error:
        problem = error.problems[0]
        return problem.code == "row-unsupervised" and "t.csv:3" in str(problem.where)
    return False


def test_a_row_without_a_supervised_token_is_refused_by_name() -> None:
    assert names_rows_that_teach_nothing(pack_tokens)
    assert not names_rows_that_teach_nothing(dropped_in_silence)
