"""The laws of answers found in contexts: exact places in the original text, whole windows, the best of all candidates."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from unicodedata import category

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModelForQuestionAnswering

from burnish.encode.best_span import SpanRule, best_span
from burnish.encode.pack import pack_windows
from burnish.encode.windows import (
    PairTokeniser,
    Window,
    answer_tokens,
    context_offsets,
    load_pair_tokeniser,
    targets_of,
    trimmed,
    windows_of,
)
from burnish.errors import BurnishError
from burnish.models.learner import Layout, Learner, layout_of
from burnish.models.span_model import span_logits, span_losses
from span_models import nasty_texts, span_base, tokenizers, town_rows
from tiny_models import CPU, SHAPES

every_tokenizer = pytest.mark.parametrize("name", list(tokenizers()))


def windows(name: str, question: str, context: str, *, most: int) -> tuple[Window, ...]:
    tokeniser = PairTokeniser(tokenizers()[name], most)
    (found,) = windows_of(tokeniser, [(question, context)], places=["here"])
    return found


@every_tokenizer
@settings(max_examples=60, deadline=None)
@given(question=nasty_texts, context=nasty_texts, room=st.integers(8, 40))
def test_every_token_has_its_exact_place_in_the_original(
    name: str, question: str, context: str, room: int
) -> None:
    """What a token's characters become alone, normalised and split, holds that token (or what nobody knows)."""
    tokenizer = tokenizers()[name]
    whole = tokenizer.encode(question, context)
    asked = len(whole.ids) - whole.sequence_ids.count(1)
    found = windows(name, question, context, most=asked + room)
    assert all(len(one) <= asked + room for one in found)
    offsets = context_offsets(found)
    theirs = [
        pair for pair, part in zip(whole.offsets, whole.sequence_ids, strict=True) if part == 1
    ]
    for (start, end), (their_start, their_end) in zip(offsets.tolist(), theirs, strict=True):
        # the tokenizer's own, but for marks that it leaves to no token
        assert start == their_start and end >= their_end
        assert all(
            category(letter) in ("Mn", "Me", "Mc", "Lm") for letter in context[their_end:end]
        )
    assert (offsets[:, 0] <= offsets[:, 1]).all() and (offsets >= 0).all()
    assert (offsets[:, 1] <= len(context)).all()
    assert (np.diff(offsets[:, 0]) >= 0).all() and (np.diff(offsets[:, 1]) >= 0).all()
    for one in found:
        ids, places = one.ids_T[one.first : one.last], one.offsets_T2[one.first : one.last]
        for token, (start, end) in zip(ids.tolist(), places.tolist(), strict=True):
            if end == start:
                continue
            surface = tokenizer.id_to_token(token)
            if surface == "[UNK]":
                continue
            again = "".join(tokenizer.encode(context[start:end], add_special_tokens=False).tokens)
            bare = surface.removeprefix("##").strip("Ġ▁")
            assert bare in again.replace("##", ""), (surface, context[start:end], again)


@every_tokenizer
@settings(max_examples=40, deadline=None)
@given(question=nasty_texts, context=nasty_texts, room=st.integers(8, 30))
def test_windows_are_the_pair_cut_by_the_tokenizer_itself(
    name: str, question: str, context: str, room: int
) -> None:
    """A window is what the tokenizer makes of the question and that part of the tokens: marks and types included."""
    tokenizer = tokenizers()[name]
    whole = tokenizer.encode(question, context)
    asked = len(whole.ids) - whole.sequence_ids.count(1)
    found = windows(name, question, context, most=asked + room)
    tokens = [one for one, part in zip(whole.ids, whole.sequence_ids, strict=True) if part == 1]
    owned: list[int] = []
    for one in found:
        kept = tokens[one.left : one.left + one.last - one.first]
        assert one.ids_T[one.first : one.last].tolist() == kept
        rest = [*one.ids_T[: one.first].tolist(), *one.ids_T[one.last :].tolist()]
        assert rest == [
            t for t, part in zip(whole.ids, whole.sequence_ids, strict=True) if part != 1
        ]
        owned += range(one.left + one.own_first - one.first, one.left + one.own_last - one.first)
        assert one.first <= one.own_first <= one.own_last <= one.last
    assert owned == list(range(len(tokens)))  # each token belongs to one window
    if len(found) > 1:
        clone = type(tokenizer).from_str(tokenizer.to_str())
        clone.enable_truncation(asked + room, stride=0, strategy="only_second")
        first = clone.encode(question, context)
        assert found[0].ids_T.tolist() == first.ids
        assert found[0].types_T.tolist() == first.type_ids


def visible(text: str) -> str:
    """Without what cannot be seen at both ends: blanks, controls, and the replacement sign, which BERT takes out."""
    unseen = "".join(one for one in text if category(one)[0] in "CZ" or one == "\ufffd")
    return text.strip(unseen) if unseen else text


@every_tokenizer
@settings(max_examples=60, deadline=None)
@given(data=st.data(), context=nasty_texts, room=st.integers(8, 30))
def test_what_is_taught_is_what_is_cut_out(
    name: str, data: st.DataObject, context: str, room: int
) -> None:
    """If a model says what it was taught, the answer comes out; exactly, unless it begins or ends inside a token."""
    question = "Where?"
    asked = len(tokenizers()[name].encode(question, "").ids)
    found = windows(name, question, context, most=asked + room)
    start = data.draw(st.integers(0, max(0, len(context) - 1)))
    end = data.draw(st.integers(start, min(len(context), start + 12)))
    tokens = answer_tokens(found, context, start, end)
    if tokens is None:
        return
    targets = targets_of(found, tokens)
    shown = [target for target in targets if target != (0, 0)]
    if not shown:
        assert (
            tokens[1] - tokens[0] >= room // 3 - 1
        )  # only what is longer than the overlap is shown by none
        return
    starts, ends = trimmed(context_offsets(found), context)
    first, last = int(starts[tokens[0]]), int(ends[tokens[1]])
    scores = []
    for one, target in zip(found, targets, strict=True):
        score = np.full((len(one), 2), -20.0)
        score[target[0], 0] = score[target[1], 1] = 20.0
        scores.append(score)
    owner = [
        at
        for at, (one, target) in enumerate(zip(found, targets, strict=True))
        if target != (0, 0) and one.own_first <= target[0] < one.own_last
    ]
    best = best_span(found, scores, context, rule=SpanRule(answer_tokens=64))
    covered = context[first:last]
    if owner:
        assert best.start is not None and best.end is not None
        assert context[best.start : best.end] == covered
        assert visible(context[start:end]) in context[best.start : best.end]
        assert 0.5 < best.confidence <= 1


span_scores = st.floats(-8, 8, allow_nan=False, width=32)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), rows=st.integers(0, 11), most=st.integers(1, 6), none=st.booleans())
def test_the_best_span_is_that_of_an_exhaustive_search(
    data: st.DataObject, rows: int, most: int, none: bool
) -> None:
    example = town_rows(12, seed=3)[rows]
    question, context = example.inputs["question"], example.inputs["context"]
    found = windows("word pieces", question, context, most=28)
    scores = [
        np.array(data.draw(st.lists(st.tuples(span_scores, span_scores), min_size=len(one), max_size=len(one))))
        for one in found
    ]  # fmt: skip
    best = best_span(found, scores, context, rule=SpanRule(most, none))
    odds: dict[tuple[int, int] | None, float] = {None: 1.0} if none else {}
    for one, score in zip(found, scores, strict=True):
        for first, last in itertools.product(
            range(one.own_first, one.own_last), range(one.first, one.last)
        ):
            if not first <= last < first + most:
                continue
            place = (int(one.offsets_T2[first, 0]), int(one.offsets_T2[last, 1]))
            over = score[first, 0] + score[last, 1] - score[0].sum()
            odds[place] = odds.get(place, 0.0) + float(np.exp(over))
    said = None if best.start is None or best.end is None else (best.start, best.end)
    assert odds[said] == pytest.approx(max(odds.values()), rel=1e-9)
    assert best.confidence == pytest.approx(odds[said] / sum(odds.values()), rel=1e-9)


def test_a_question_that_leaves_no_room_is_named() -> None:
    tokeniser = PairTokeniser(tokenizers()["word pieces"], 16)
    with pytest.raises(BurnishError) as refused:
        windows_of(
            tokeniser, [("Where?", "x"), ("where " * 30, "Ada lives.")], places=["a:1", "a:2"]
        )
    assert refused.value.code == "question-too-long"
    assert refused.value.problems[0].where == "a:2"


def test_an_empty_context_has_one_window_and_no_answer() -> None:
    (one,) = windows("word pieces", "Where?", "", most=16)
    assert one.first == one.last
    best = best_span([one], [np.zeros((len(one), 2))], "", rule=SpanRule(may_be_none=False))
    assert best.start is None and best.confidence == 1.0


def test_a_tokenizer_without_a_first_token_is_refused(tmp_path: Path) -> None:
    bare = type(tokenizers()["word pieces"]).from_str(tokenizers()["word pieces"].to_str())
    from tokenizers import processors

    bare.post_processor = processors.TemplateProcessing(
        single="$A", pair="$A $B", special_tokens=[]
    )
    bare.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "config.json").write_text(json.dumps({"max_position_embeddings": 64}))
    with pytest.raises(BurnishError) as refused:
        load_pair_tokeniser(tmp_path, max_tokens=32)
    assert refused.value.code == "tokenizer-unmarked"


# ---- gradients: plain transformers' own

ENCODERS = [name for name, (asked, _) in SHAPES.items() if asked == "label"]


def made_windows(lengths: Sequence[int], *, vocabulary: int, seed: int) -> list[Window]:
    random = np.random.default_rng(seed)
    made = []
    for row, length in enumerate(lengths):
        first = int(random.integers(1, length)) if length > 1 else 1
        types = (np.arange(length) >= first).astype(np.int32)
        ids = random.integers(5, vocabulary, length).astype(np.int32)
        offsets = np.zeros((length, 2), np.int32)
        made.append(Window(row, ids, types, offsets, first, length, first, length, 0))
    return made


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("pieces", [1, 2, 4])
def test_gradients_are_those_of_plain_transformers(name: str, pieces: int) -> None:
    """Loss and gradient of an update, in one pass or several, packed or padded: the stock model's, row by row."""
    torch.manual_seed(3)
    config = SHAPES[name][1]()
    config.num_labels = 2
    stock = AutoModelForQuestionAnswering.from_config(config).eval()
    stock.set_attn_implementation("eager")
    ours = AutoModelForQuestionAnswering.from_config(config).eval()
    ours.load_state_dict(stock.state_dict())
    layout = layout_of(ours, device=CPU, precision="fp32")
    if layout.padded_because is None:
        layout = Layout("rows")
    learner = Learner(ours, config.model_type, 2, config.pad_token_id, CPU, "fp32", layout)
    made = made_windows([1, 9, 4, 17, 9, 30, 2, 12], vocabulary=config.vocab_size, seed=5)
    random = np.random.default_rng(1)
    ends = [np.sort(random.integers(0, len(one), 2)) for one in made]
    targets_R2, weights_R = np.array(ends, np.int64), random.uniform(0.5, 2, len(made))
    types = getattr(config, "type_vocab_size", 0) > 1
    total = 0.0
    for one, target, weight in zip(made, targets_R2, weights_R, strict=True):
        given = (
            {"token_type_ids": torch.from_numpy(one.types_T.astype(np.int64))[None]}
            if types
            else {}
        )
        said = stock(input_ids=torch.from_numpy(one.ids_T.astype(np.int64))[None], **given)
        losses = [
            torch.nn.functional.cross_entropy(logits, torch.tensor([int(place)]))
            for logits, place in zip((said.start_logits, said.end_logits), target, strict=True)
        ]
        loss = sum(losses) / 2 * weight / weights_R.sum()
        loss.backward()
        total += float(loss.detach())
    reached = 0.0
    for piece in np.array_split(np.arange(len(made)), pieces):
        batch = pack_windows(made, piece, targets_R2=targets_R2, weights_R=weights_R)
        losses_R = span_losses(span_logits(learner, batch), batch)
        loss = (losses_R * torch.from_numpy(batch.weights_S / weights_R.sum()).float()).sum()
        loss.backward()
        reached += float(loss.detach())
    assert reached == pytest.approx(total, rel=1e-5)
    for (part, slope), (_, theirs) in zip(
        ours.named_parameters(), stock.named_parameters(), strict=True
    ):
        expected = torch.zeros_like(theirs) if theirs.grad is None else theirs.grad
        found = torch.zeros_like(slope) if slope.grad is None else slope.grad
        torch.testing.assert_close(
            found, expected, atol=2e-6, rtol=1e-4, msg=lambda text, part=part: f"{part}: {text}"
        )


def test_the_base_reads_which_text_a_token_is_of(tmp_path: Path) -> None:
    """A law with teeth: the types change what BERT says, and ours are the tokenizer's."""
    base = span_base(tmp_path)
    tokeniser = load_pair_tokeniser(base.folder, max_tokens=64)
    (found,) = windows_of(tokeniser, [("Where does Ada live?", "Ada lives in Oslo.")], places=[""])
    config = AutoConfig.from_pretrained(base.folder)
    assert config.type_vocab_size == 2
    assert found[0].types_T.tolist() == [0] * found[0].first + [1] * (
        len(found[0]) - found[0].first
    )
