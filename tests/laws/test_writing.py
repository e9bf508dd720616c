"""The laws of models that write text, for every architecture: transformers' own answers, whoever shares the batch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import GenerationConfig
from transformers.pytorch_utils import Conv1D

from burnish.errors import BurnishError
from burnish.models.draw import choice_mask
from burnish.models.generate import Asked, generate, next_logits, opened, stream
from burnish.models.learner import layout_of
from burnish.models.likelihood import choice_log_likelihoods
from burnish.models.pieces import Generated
from burnish.models.room import Room
from burnish.models.writer import (
    Writer,
    choose_method,
    load_writer,
    new_writer,
    save_writer,
)
from burnish.models.writer_family import WRITER_FAMILIES, WRITER_TYPES, writer_family_of
from burnish.records.decoding import Decoding
from burnish.records.encoding import TokenRow
from burnish.train.loop import LoopState, updates
from burnish.train.optimizer import make_optimizer
from burnish.train.token_rows import mean_token_loss, text_rows, token_shares
from tiny_models import (
    CPU,
    POSITIONS,
    SHAPES,
    VOCABULARY,
    Tiny,
    gradients,
    rows_of,
    tiny,
    token_row,
)
from tiny_training import small_recipe

NAMES = [name for name, (asked, _) in SHAPES.items() if asked != "label"]
every_shape = pytest.mark.parametrize("name", NAMES)
NEW = 10
STOP = 7
lengths_of_prompts = st.lists(st.integers(1, POSITIONS - NEW), min_size=2, max_size=6)


def writer_of(model: Tiny) -> Writer:
    """The tiny model as a writer, as models/writer.py would make one."""
    config: Any = model.model.config
    model.model.generation_config = GenerationConfig()
    model.stock.generation_config = GenerationConfig()
    return Writer(
        model=model.model.eval(),
        model_type=config.model_type,
        pad_id=config.pad_token_id or 0,
        start_id=config.decoder_start_token_id if config.is_encoder_decoder else None,
        end_ids=(),
        most_tokens=writer_family_of(config.model_type).longest(config),
        device=CPU,
        precision="fp32",
        layout=layout_of(model.model, device=CPU, precision="fp32"),
    )


def prompts_of(lengths: Sequence[int], *, seed: int = 0) -> list[list[int]]:
    random = np.random.default_rng([seed, *lengths])
    return [random.integers(3, VOCABULARY, length).tolist() for length in lengths]


def stock_answer(model: Tiny, prompt: Sequence[int], **given: Any) -> list[int]:
    """What plain transformers writes behind one prompt, up to and with its stop token."""
    config = GenerationConfig(
        max_new_tokens=NEW,
        do_sample=False,
        eos_token_id=STOP,
        pad_token_id=0,
        decoder_start_token_id=getattr(model.stock.config, "decoder_start_token_id", None),
        **given,
    )
    ids = torch.tensor([list(prompt)])
    with torch.no_grad():
        said = model.stock.eval().generate(
            ids, attention_mask=torch.ones_like(ids), generation_config=config
        )[0]
    said = said[1 if model.asked == "answer" else len(prompt) :].tolist()
    return said[: said.index(STOP) + 1] if STOP in said else said


def answers(writer: Writer, prompts: list[list[int]], **given: Any) -> list[Generated]:
    asked = {key: given.pop(key) for key in tuple(given) if key in Asked.__slots__}
    asked.setdefault("stop_ids", [STOP])
    decoding = Decoding(**{"max_new_tokens": NEW, **given})
    return generate(writer, prompts, decoding, Asked(**asked))


def test_every_type_that_writes_is_tested_here() -> None:
    assert {tiny(name).model.config.model_type for name in NAMES} == WRITER_TYPES
    assert all(row.MODEL_TYPES for row in WRITER_FAMILIES.values())


# ---- decoding


@every_shape
@settings(max_examples=3, deadline=None)
@given(lengths=lengths_of_prompts, penalty=st.sampled_from([1.0, 1.0, 1.3]))
def test_greedy_answers_are_those_of_transformers(
    name: str, lengths: list[int], penalty: float
) -> None:
    model = tiny(name)
    writer, prompts = writer_of(model), prompts_of(lengths)
    want = [stock_answer(model, prompt, repetition_penalty=penalty) for prompt in prompts]
    together = answers(writer, prompts, repetition_penalty=penalty)
    alone = [answers(writer, [prompt], repetition_penalty=penalty)[0] for prompt in prompts]
    assert [list(answer.ids) for answer in together] == want
    assert [answer.ids for answer in alone] == [answer.ids for answer in together]
    ends = ["stop" if ids[-1] == STOP else "length" for ids in want]
    assert [answer.finished for answer in together] == ends
    for one, two in zip(alone, together, strict=True):
        np.testing.assert_allclose(one.logprobs, two.logprobs, atol=1e-4)


@every_shape
@settings(max_examples=3, deadline=None)
@given(lengths=lengths_of_prompts)
def test_logits_of_a_mixed_batch_are_those_of_each_alone(name: str, lengths: list[int]) -> None:
    model = tiny(name)
    writer, prompts = writer_of(model), prompts_of(lengths)
    with torch.no_grad():
        together = next_logits(writer, opened(writer, prompts))
        for row, prompt in enumerate(prompts):
            ids = torch.tensor([prompt])
            start = {} if writer.start_id is None else {
                "decoder_input_ids": torch.tensor([[writer.start_id]])
            }  # fmt: skip
            stock = model.stock.eval()(input_ids=ids, **start).logits[0, -1]
            torch.testing.assert_close(together[row], stock, atol=1e-4, rtol=1e-4)


@every_shape
@settings(max_examples=2, deadline=None)
@given(lengths=lengths_of_prompts)
def test_beams_are_those_of_transformers(name: str, lengths: list[int]) -> None:
    model = tiny(name)
    writer, prompts = writer_of(model), prompts_of(lengths[:3])
    got = answers(writer, prompts, beams=3)
    assert [list(one.ids) for one in got] == [
        stock_answer(model, prompt, num_beams=3) for prompt in prompts
    ]
    chances = [
        choice_log_likelihoods(writer, [prompt], [one.ids])[0, 0]
        for prompt, one in zip(prompts, got, strict=True)
    ]
    np.testing.assert_allclose([one.logprob for one in got], chances, atol=1e-4)


@every_shape
@settings(max_examples=2, deadline=None)
@given(lengths=lengths_of_prompts, top_p=st.sampled_from([1.0, 0.7]), seed=st.integers(0, 99))
def test_a_drawn_answer_does_not_depend_on_its_company(
    name: str, lengths: list[int], top_p: float, seed: int
) -> None:
    writer, prompts = writer_of(tiny(name)), prompts_of(lengths)
    seeds = [seed + row for row in range(len(prompts))]
    given_here = {"temperature": 1.5, "top_p": top_p}
    together = answers(writer, prompts, **given_here, seeds=seeds)
    backwards = answers(writer, prompts[::-1], **given_here, seeds=seeds[::-1])[::-1]
    alone = [
        answers(writer, [prompt], **given_here, seeds=[one])[0]
        for prompt, one in zip(prompts, seeds, strict=True)
    ]
    assert [a.ids for a in together] == [a.ids for a in alone] == [a.ids for a in backwards]


def test_draws_follow_the_models_own_chances() -> None:
    """6,000 draws of one token against the softmax; top-p keeps the smallest set that holds the share."""
    writer = writer_of(tiny("llama"))
    prompt = prompts_of([5])[0]
    with torch.no_grad():
        logits = next_logits(writer, opened(writer, [prompt]))[0].double()
    for temperature, top_p in ((1.0, 1.0), (0.7, 0.6)):
        chances = torch.softmax(logits / temperature, 0).numpy()
        order = np.argsort(-chances)
        kept = order[: int(np.searchsorted(chances[order].cumsum(), top_p - 1e-12)) + 1]
        wanted = np.zeros(VOCABULARY)
        wanted[kept] = chances[kept] / chances[kept].sum()
        drawn = answers(
            writer, [prompt] * 6000, temperature=temperature, top_p=top_p, max_new_tokens=1,
            seeds=list(range(6000)),
        )  # fmt: skip
        counts = np.bincount([one.ids[0] for one in drawn], minlength=VOCABULARY) / 6000
        assert set(np.flatnonzero(counts)) <= set(kept.tolist())
        assert np.abs(counts - wanted).max() < 0.03


@pytest.mark.parametrize("name", ["gpt2", "qwen3, sliding window", "t5", "bart"])
def test_only_choices_are_written_and_their_likelihoods_are_right(name: str) -> None:
    model = tiny(name)
    writer, prompts = writer_of(model), prompts_of([4, 9, 6])
    choices = [[5, 6, STOP], [5, 9, 9, STOP], [20, STOP]]
    got = answers(writer, prompts, masks=[choice_mask(choices)] * 3)
    assert all(list(one.ids) in choices and one.finished == "stop" for one in got)
    table = choice_log_likelihoods(writer, prompts, choices)
    for row, prompt in enumerate(prompts):
        for column, choice in enumerate(choices):
            if model.asked == "answer":
                read = torch.tensor([[writer.start_id, *choice[:-1]]])
                logits = model.stock(
                    input_ids=torch.tensor([prompt]), decoder_input_ids=read
                ).logits
            else:
                whole = torch.tensor([[*prompt, *choice[:-1]]])
                logits = model.stock(input_ids=whole).logits[:, len(prompt) - 1 :]
            hits = torch.log_softmax(logits[0].float(), -1)[range(len(choice)), choice]
            assert table[row, column] == pytest.approx(float(hits.sum().detach()), abs=1e-4)
    beams = answers(writer, prompts, masks=[choice_mask(choices)] * 3, beams=3)
    assert [choices.index(list(one.ids)) for one in beams] != None
    assert all(list(one.ids) in choices for one in beams)


@every_shape
def test_likelihoods_do_not_depend_on_the_cut(name: str) -> None:
    writer, prompts = writer_of(tiny(name)), prompts_of([4, 9, 6, 6, 1])
    choices = [[5], [5, 9, 9], [20, 4]]
    whole = choice_log_likelihoods(writer, prompts, choices)
    np.testing.assert_allclose(
        whole, choice_log_likelihoods(writer, prompts, choices, batch_tokens=1), atol=1e-4
    )


@pytest.mark.parametrize("name", ["llama", "t5"])
def test_a_stop_text_ends_an_answer(name: str) -> None:
    writer, prompts = writer_of(tiny(name)), prompts_of([4, 9])

    def decode(ids: Sequence[int]) -> str:
        return "".join(f"<{token}>" for token in ids)

    free = answers(writer, prompts, stop_ids=[])
    stop = decode(free[0].ids[2:4])
    for beams in (1, 2):
        wanted = free if beams == 1 else answers(writer, prompts, stop_ids=[], beams=2)
        stop = decode(wanted[0].ids[2:4])
        got = answers(writer, prompts, stop=(stop,), decode=decode, stop_ids=[], beams=beams)
        assert got[0].stopped_by == stop and got[0].finished == "stop"
        assert decode(got[0].ids).endswith(stop)
        assert decode(got[0].ids).count(stop) == 1


def test_rows_are_streamed_and_cancelled_one_by_one() -> None:
    writer, prompts = writer_of(tiny("llama")), prompts_of([4, 9, 6])
    said: dict[int, list[int]] = {0: [], 1: [], 2: []}

    def cancelled(row: int) -> bool:
        return row == 1 and len(said[1]) >= 3

    asked = Asked(stop_ids=(), cancelled=cancelled, alternatives=2)
    decoding = Decoding(max_new_tokens=6)
    ends = {}
    for piece in stream(writer, prompts, decoding, asked):
        if piece.token is not None:
            said[piece.row].append(piece.token)
            best = piece.alternatives
            assert best[0].token == piece.token and best[0].logprob >= best[1].logprob
            assert piece.logprob == pytest.approx(best[0].logprob, abs=1e-6)
        if piece.finished:
            ends[piece.row] = piece.finished
    assert ends == {0: "length", 1: "cancelled", 2: "length"}
    assert len(said[1]) == 3
    whole = generate(writer, prompts, decoding, Asked(stop_ids=()))
    assert [list(one.ids) for one in whole][::2] == [said[0], said[2]]
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("name", "length", "new", "fits"),
    [
        ("gpt2", POSITIONS - 5, 5, True),
        ("gpt2", POSITIONS - 5, 6, False),
        ("bart", POSITIONS, POSITIONS, True),
        ("bart", POSITIONS + 1, 2, False),
        ("bart", 3, POSITIONS + 1, False),
        ("t5", 3 * POSITIONS, 2 * POSITIONS, True),
    ],
)
def test_what_does_not_fit_is_refused_and_never_cut(
    name: str, length: int, new: int, fits: bool
) -> None:
    writer = writer_of(tiny(name))
    prompts = [[5, 6], prompts_of([length])[0]]
    asked = Asked(stop_ids=())
    if fits:
        got = generate(writer, prompts[1:], Decoding(max_new_tokens=new), asked)
        assert len(got[0].ids) == new
        return
    for call in (generate, stream):
        with pytest.raises(BurnishError) as refused:
            call(writer, prompts, Decoding(max_new_tokens=new), asked)
        assert refused.value.code == "generation-too-long"
        assert str(POSITIONS) in refused.value.problems[0].expected


def test_requests_that_cannot_be_meant_are_refused() -> None:
    writer = writer_of(tiny("gpt2"))
    asked = Asked(stop_ids=())
    cases = [
        ([[]], Decoding(), "generation-empty", generate),
        ([[5]], Decoding(beams=2, temperature=1, max_new_tokens=2), "decoding-conflict", generate),
        ([[5]], Decoding(beams=2, max_new_tokens=2), "decoding-conflict", stream),
    ]
    for prompts, decoding, code, call in cases:
        with pytest.raises(BurnishError) as refused:
            call(writer, prompts, decoding, asked)
        assert refused.value.code == code
    assert generate(writer, [], Decoding(max_new_tokens=2), asked) == []


def test_numbers_that_are_not_finite_are_named() -> None:
    model = tiny("gpt2")
    writer = writer_of(model)
    with torch.no_grad():
        model.model.lm_head.weight[3] = float("nan")
    with pytest.raises(BurnishError, match="not finite"):
        generate(writer, [[5, 6]], Decoding(max_new_tokens=2), Asked(stop_ids=()))


# ---- training


def lessons(name: str) -> list[TokenRow]:
    asked = SHAPES[name][0]
    return [token_row(asked, row) for row in rows_of([9, 4, 12, 4, 7, 1, 9, 3])]


class AllInDouble(torch.utils._python_dispatch.TorchDispatchMode):
    """No fp32 in an fp64 model (see tests/laws/test_packed.py)."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.ops.aten._to_copy.default and args[0].dtype == torch.float64:
            if kwargs.get("dtype") == torch.float32:
                kwargs = {**kwargs, "dtype": torch.float64}
        return func(*args, **kwargs)


METHODS = ["full", "lora", "dora", "rslora"]


@every_shape
def test_one_update_has_the_same_gradient_in_every_cut(name: str) -> None:
    methods = METHODS if name in ("gpt2", "llama", "t5", "bart") else METHODS[:2]
    for method in methods:
        found = {pieces: gradient_of(name, method=method, pieces=pieces) for pieces in (1, 2, 4)}
        for pieces in (2, 4):
            for key, slope in found[1].items():
                torch.testing.assert_close(found[pieces][key], slope, atol=1e-10, rtol=0)
        assert max(float(one.abs().max()) for one in found[1].values()) > 1e-4


def gradient_of(name: str, *, method: str, pieces: int) -> dict[str, torch.Tensor]:
    """The gradient of one update of eight rows through the real loop, in fp64, cut into at least so many passes."""
    model = tiny(name, torch.float64)
    writer = writer_of(model)
    rows = text_rows(lessons(name), places=[f"row {at}" for at in range(8)])
    budget = max(16, int(rows.lengths.max()) * 8 // pieces)
    recipe = small_recipe(
        method=method, batch_rows=8, epochs=1, clip_norm=1e9, batch_tokens=budget, lora_rank=3
    )
    torch.manual_seed(1)
    choose_method(writer, recipe)
    writer.model.to(torch.float64)
    if method != "full":
        for key, value in writer.model.named_parameters():
            if "lora_B" in key:  # zero at first, and then the gradient of A is
                torch.nn.init.normal_(value, std=0.1)
    state = LoopState(make_optimizer(writer.model, recipe, head_modules=()))
    with AllInDouble():
        step = next(
            updates(
                writer.model, rows, recipe, shares=token_shares(writer, rows),
                judge=lambda: 0.0, state=state,
            )
        )  # fmt: skip
    assert step.rows == 8
    return {
        key: value for key, value in gradients(writer.model).items()
        if method == "full" or "lora" in key
    }  # fmt: skip


@pytest.mark.parametrize("name", ["gpt2", "mistral", "t5", "pegasus"])
def test_the_judged_loss_is_the_mean_over_supervised_tokens(name: str) -> None:
    writer = writer_of(tiny(name))
    rows = lessons(name)
    every = text_rows(rows, places=[""] * 8)
    total = weight = 0.0
    for row in rows:
        alone = text_rows([row], places=[""])
        part = float(alone.weights_R.sum())
        total += mean_token_loss(writer, alone, room=Room(4096, print), pause=lambda: None) * part
        weight += part
    assert mean_token_loss(
        writer, every, room=Room(4096, print), pause=lambda: None
    ) == pytest.approx(total / weight, abs=1e-5)


def test_a_row_that_asks_for_nothing_is_named_before_training() -> None:
    idle = TokenRow(np.array([3, 4]), np.array([-1, -1]))
    with pytest.raises(BurnishError) as refused:
        text_rows([*lessons("gpt2"), idle], places=[f"t.csv:{at + 2}" for at in range(9)])
    assert refused.value.code == "row-unsupervised"
    assert "t.csv:10" in str(refused.value.problems[0].where)


# ---- folders


@every_shape
def test_a_saved_writer_is_loaded_by_plain_transformers_and_answers_the_same(
    name: str, tmp_path: Path
) -> None:
    model = tiny(name)
    writer = writer_of(model)
    save_writer(writer, tmp_path, stop_ids=[STOP])
    family = writer_family_of(writer.model_type)
    stock = family.AUTO.from_pretrained(tmp_path).eval()
    again = load_writer(tmp_path, precision="fp32")
    assert again.start_id == writer.start_id and again.end_ids is not None
    for prompt in prompts_of([5, 12]):
        ids = torch.tensor([prompt])
        with torch.no_grad():
            said = stock.generate(ids, max_new_tokens=NEW, do_sample=False)[0].tolist()
        said = said[1 if model.asked == "answer" else len(prompt) :]
        got = generate(again, [prompt], Decoding(max_new_tokens=NEW), Asked(stop_ids=[STOP]))
        assert list(got[0].ids) == said


@pytest.mark.parametrize("method", ["lora", "dora", "rslora"])
@pytest.mark.parametrize("name", ["gpt2", "llama", "t5", "bart"])
def test_adapters_sit_on_every_linear_layer_of_the_blocks(
    name: str, method: str, tmp_path: Path
) -> None:
    model = tiny(name)
    save_writer(writer_of(model), tmp_path, stop_ids=[STOP])
    recipe = small_recipe(method=method, lora_rank=2, dropout=0.0)
    writer = new_writer(tmp_path, recipe=recipe)
    before = answers(writer, prompts_of([5, 9]))
    choose_method(writer, recipe)
    assert [one.ids for one in answers(writer, prompts_of([5, 9]))] == [one.ids for one in before]
    trained = {key for key, value in writer.model.named_parameters() if value.requires_grad}
    assert trained and all("lora" in key for key in trained)
    plain: Any = writer.model
    linears = [
        key for key, part in plain.get_base_model().named_modules()
        if type(part) in (torch.nn.Linear, Conv1D) and ".base_layer" not in key
        and ".lora_" not in key
    ]  # fmt: skip
    assert [key for key in linears if "lm_head" not in key] == []


def test_missing_weights_are_refused_and_not_made_up(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    save_writer(writer_of(tiny("llama")), tmp_path, stop_ids=[])
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    tensors.pop("model.norm.weight")
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(BurnishError) as refused:
        load_writer(tmp_path, precision="fp32")
    assert refused.value.code == "base-weights-missing"


def test_bf16_answers_stay_close(tmp_path: Path) -> None:
    save_writer(writer_of(tiny("llama")), tmp_path, stop_ids=[])
    fp32 = load_writer(tmp_path, precision="fp32")
    bf16 = load_writer(tmp_path, precision="bf16")
    prompts = prompts_of([5, 9, 12])
    with torch.no_grad():
        wanted = torch.softmax(next_logits(fp32, opened(fp32, prompts)), 1)
        got = torch.softmax(next_logits(bf16, opened(bf16, prompts)), 1)
    assert float((wanted - got).abs().max()) < 0.05
