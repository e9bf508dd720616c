"""The laws of packed rows, for every architecture: plain transformers' numbers, in any cut and order, and no row seen by another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from burnish.models.attention import BODIES, Rules, body_named, choose_body
from burnish.models.rows import Spans
from burnish.models.stacks import STACKS, why_padded
from burnish.models.token_loss import token_losses
from tiny_models import (
    CPU,
    POSITIONS,
    SHAPES,
    VOCABULARY,
    Row,
    Tiny,
    batch_of,
    embeddings_of,
    gradients,
    row_losses,
    row_of,
    rows_of,
    stock_loss,
    tiny,
    update_loss,
)

# tiny answers of up to 8 tokens go behind a decoder's prompt
LONGEST = POSITIONS - 8
lengths_of_rows = st.one_of(
    st.lists(st.integers(1, LONGEST), min_size=1, max_size=6),
    st.lists(st.integers(1, 3), min_size=8, max_size=16),
    st.lists(st.sampled_from([1, LONGEST]), min_size=2, max_size=4),
)
PACKED = [name for name in SHAPES if tiny(name).body]
PRECISIONS = [(torch.float64, 1e-10), (torch.float32, 1e-5)]
every_shape = pytest.mark.parametrize("name", SHAPES)
packed_shape = pytest.mark.parametrize("name", PACKED)


def largest_gap(one: dict[str, Tensor], two: dict[str, Tensor]) -> float:
    """Of any number, in units of the largest number there is, or of 1."""
    size = max(1.0, *(float(part.abs().max()) for part in two.values()))
    return max(float((one[name] - two[name]).abs().max()) for name in one) / size


def ways(model: Tiny) -> list[str | None]:
    """Bodies to test the model with; None is the padded builder."""
    return [None] if model.body is None else ["rows", "dense", None]


def test_every_type_that_is_packed_is_tested_here() -> None:
    tested = {tiny(name).model.config.model_type for name in PACKED}
    assert tested == set(STACKS)


def test_the_table_in_the_documentation_is_this_one() -> None:
    """docs/train.md says which run packed and which padded, and why; this is where the table comes from."""
    lines = ["| architecture | rows | because |", "|---|---|---|"]
    for name in SHAPES:
        model = tiny(name).model
        reason = why_padded(model)
        needs = STACKS[model.config.model_type].needs
        lines.append(f"| {name} | {'packed' if reason is None else 'padded'} | {reason or needs} |")
    lines.append("| any other | padded | it was not shown to take flat rows |")
    table = "\n".join(lines)
    page = (Path(__file__).parents[2] / "docs" / "train.md").read_text(encoding="utf-8")
    assert table in page, f"docs/train.md must hold:\n{table}"


@pytest.mark.parametrize("dtype, tolerance", PRECISIONS)
@every_shape
@settings(max_examples=2, deadline=None)
@given(lengths=lengths_of_rows)
def test_loss_and_gradients_are_plain_transformers(
    name: str, dtype: torch.dtype, tolerance: float, lengths: list[int]
) -> None:
    model, rows = tiny(name, dtype), rows_of(lengths)
    with AllInDouble() if dtype == torch.float64 else nullcontext():
        want, expected = stock_loss(model, rows), gradients(model.stock)
        assert max(float(one.abs().max()) for one in expected.values()) > 1e-3
        for body in ways(model):
            got = update_loss(model, rows, body=body)
            assert got == pytest.approx(want, abs=tolerance, rel=tolerance), body
            assert largest_gap(gradients(model.model), expected) < tolerance, body


@pytest.mark.parametrize("dtype, tolerance", PRECISIONS)
@every_shape
@settings(max_examples=2, deadline=None)
@given(lengths=st.lists(st.integers(1, LONGEST), min_size=4, max_size=5), seed=st.integers(0, 99))
def test_an_update_is_the_same_in_every_cut_order_and_layout(
    name: str, dtype: torch.dtype, tolerance: float, lengths: list[int], seed: int
) -> None:
    model, rows = tiny(name, dtype), rows_of(lengths)
    shuffled = [rows[at] for at in np.random.default_rng(seed).permutation(len(rows))]
    with AllInDouble() if dtype == torch.float64 else nullcontext():
        want = update_loss(model, rows, body=ways(model)[0])
        expected = gradients(model.model)
        for body in ways(model):
            for cut in (1, 2, 4, None) if body == ways(model)[0] else (2, None):
                for order in (rows, shuffled) if cut == 4 else (shuffled,):
                    got = update_loss(model, order, body=body, micro=cut)
                    assert got == pytest.approx(want, abs=tolerance, rel=tolerance), (body, cut)
                    gap = largest_gap(gradients(model.model), expected)
                    assert gap < tolerance, (body, cut)


# ---- the leak law: change row A, and nothing of row B may move
#
# Bit-equal means equal in every bit. It is asked wherever the matrix products have the same shapes: then row B's
# loss and its whole gradient must not move by a bit. When A changes its length, the products that hold all rows
# together change their shape, and a BLAS library may then add the same numbers in another order; so there B's loss
# is asked to be bit-equal with products that treat every row of a matrix alike (RowByRow), and its gradient with
# respect to everything of A's to be exactly zero, which no order of adding can hide.


def alone(model: Tiny, rows: Sequence[Row], place: int) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of the row at `place` in this company, and its own contribution to the gradient."""
    model.model.zero_grad()
    loss = row_losses(model, batch_of(model.asked, rows), body=model.body)[place]
    loss.backward()
    return loss.detach(), gradients(model.model)


@every_shape
@settings(max_examples=4, deadline=None)
@given(lengths=st.lists(st.integers(1, LONGEST), min_size=2, max_size=5), seed=st.integers(0, 99))
def test_other_tokens_in_a_neighbour_change_no_bit(
    name: str, lengths: list[int], seed: int
) -> None:
    model, rows = tiny(name), rows_of(lengths)
    random = np.random.default_rng(seed)
    changed, kept = random.permutation(len(rows))[:2]
    before_loss, before = alone(model, rows, kept)
    other = [*rows]
    old = rows[changed]
    other[changed] = Row(
        random.integers(0, VOCABULARY, len(old.ids_T)), old.label, old.answer_T, old.weight
    )
    after_loss, after = alone(model, other, kept)
    assert torch.equal(before_loss, after_loss)
    # the products' shapes are the same; what differs are exact zeros times other numbers
    assert all(torch.equal(before[part], after[part]) for part in before)


@packed_shape
@settings(max_examples=4, deadline=None)
@given(
    lengths=st.lists(st.integers(1, LONGEST), min_size=2, max_size=5),
    longer=st.integers(1, LONGEST),
    seed=st.integers(0, 99),
)
def test_a_neighbour_of_another_length_changes_no_bit_of_the_loss(
    name: str, lengths: list[int], longer: int, seed: int
) -> None:
    model, rows = tiny(name), rows_of(lengths)
    random = np.random.default_rng(seed)
    changed, kept = random.permutation(len(rows))[:2]
    other = [*rows]
    other[changed] = row_of(longer, random)
    with torch.no_grad(), RowByRow():
        before = row_losses(model, batch_of(model.asked, rows), body="rows")[kept]
        after = row_losses(model, batch_of(model.asked, other), body="rows")[kept]
    if name == "deberta-v2":
        # its attention adds over a rectangle's width, zeros behind the row included, in a grouping of that width
        torch.testing.assert_close(before, after, atol=1e-6, rtol=1e-6)
    else:
        assert torch.equal(before, after)


@packed_shape
@settings(max_examples=3, deadline=None)
@given(lengths=st.lists(st.integers(1, LONGEST), min_size=2, max_size=5))
def test_no_row_has_a_gradient_in_another(name: str, lengths: list[int]) -> None:
    model, rows = tiny(name), rows_of(lengths)
    batch = batch_of(model.asked, rows)
    with recorded_embeddings(model) as seen:
        losses_R = row_losses(model, batch, body="rows")
    sides = [batch] if batch.decoder is None else [batch, batch.decoder]
    # an encoder-decoder embeds twice, the encoder's tokens first
    for side, states in zip(sides, seen, strict=True):
        ends = side.cumulative_lengths
        for row in range(len(rows)):
            (slope,) = torch.autograd.grad(losses_R[row], states, retain_graph=True)
            inside = torch.zeros(slope.shape[1], dtype=torch.bool)
            inside[ends[row] : ends[row + 1]] = True
            assert slope[0, inside].abs().max() > 0
            assert not slope[0, ~inside].any()


@packed_shape
def test_a_poisoned_neighbour_is_not_even_multiplied(name: str) -> None:
    """Not a number in row A: a mask would hand it on to row B as 0 times NaN; the rows body never meets it."""
    model, rows = tiny(name), rows_of([4, 9, 6])
    if model.model.config.model_type == "deberta-v2":
        pytest.skip("its attention stands in a rectangle, whose rows are apart already")
    batch = batch_of(model.asked, rows)
    with torch.no_grad():
        clean = row_losses(model, batch, body="rows")
        with poisoned_row(model, batch.cumulative_lengths, row=1):
            dirty = row_losses(model, batch, body="rows")
    assert torch.isnan(dirty[1])
    assert torch.equal(clean[[0, 2]], dirty[[0, 2]])


@pytest.mark.parametrize("name", ["bert", "llama", "bart"])
def test_a_leaking_packing_fails_these_laws(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deliberately broken copy: rows laid end to end, attention told of one long row."""
    model, rows = tiny(name), rows_of([6, 6, 9])
    whole = BODIES["rows"]

    def leaking(query: Tensor, key: Tensor, value: Tensor, spans: Spans, rules: Rules) -> Tensor:
        one = Spans((sum(spans.queries),), (sum(spans.keys),), spans.device)
        return whole(query, key, value, one, rules)

    monkeypatch.setitem(BODIES, "rows", leaking)  # type: ignore[arg-type]
    assert abs(update_loss(model, rows, body="rows") - stock_loss(model, rows)) > 1e-3
    other = [row_of(6, np.random.default_rng(3)), *rows[1:]]
    assert not torch.equal(alone(model, rows, 1)[0], alone(model, other, 1)[0])
    with torch.no_grad(), poisoned_row(model, np.array([0, 6, 12, 21]), row=1):
        assert torch.isnan(row_losses(model, batch_of(model.asked, rows), body="rows")).all()


# ---- the parts


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=6),
    causal=st.booleans(),
    window=st.none() | st.integers(1, 12),
    softcap=st.none() | st.just(3.0),
    biased=st.booleans(),
    crossed=st.booleans(),
)
def test_every_body_is_the_dense_reference(
    lengths: list[tuple[int, int]],
    causal: bool,
    window: int | None,
    softcap: float | None,
    biased: bool,
    crossed: bool,
) -> None:
    queries = tuple(one for one, _ in lengths)
    keys = tuple(two for _, two in lengths) if crossed else queries
    if crossed:
        causal, window = False, None
    made = torch.Generator().manual_seed(sum(queries))
    counts = (sum(queries), sum(keys), sum(keys))
    parts = [torch.randn(1, 3, n, 8, generator=made, dtype=torch.float64) for n in counts]
    bias = torch.randn(1, 3, 40, 40, generator=made, dtype=torch.float64) if biased else None
    leaves = [part.requires_grad_() for part in (*parts, *([] if bias is None else [bias]))]
    rules = Rules(0.3, causal=causal, window=window, softcap=softcap, bias=bias)
    spans = Spans(queries, keys, CPU)
    found = {name: BODIES[name](*parts, spans, rules) for name in BODIES}
    slopes = {
        name: torch.autograd.grad(answer.square().sum(), leaves) for name, answer in found.items()
    }
    for name in BODIES:
        assert found[name].shape == (1, counts[0], 3, 8)
        torch.testing.assert_close(found[name], found["dense"], atol=1e-12, rtol=0)
        for one, two in zip(slopes[name], slopes["dense"], strict=True):
            torch.testing.assert_close(one, two, atol=1e-10, rtol=0)


def test_a_body_is_taken_only_when_it_agrees_here(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_body(CPU, torch.float32, typical_tokens=20) == "rows"

    def wrong(query: Tensor, key: Tensor, value: Tensor, spans: Spans, rules: Rules) -> Tensor:
        return BODIES["dense"](query, key, value * 1.01, spans, rules)

    def absent(query: Tensor, key: Tensor, value: Tensor, spans: Spans, rules: Rules) -> Tensor:
        raise NotImplementedError

    for broken in (wrong, absent):
        monkeypatch.setitem(BODIES, "rows", broken)  # type: ignore[arg-type]
        assert choose_body(CPU, torch.float32, typical_tokens=20) == "dense"
    # a CUDA kernel does not run here, and says so instead of failing a run
    assert body_named("varlen") is not body_named("flex")


@packed_shape
def test_a_plain_call_of_a_packed_model_is_the_stock_call(name: str) -> None:
    """A model made ready for flat rows still honours an ordinary padding mask."""
    model = tiny(name)
    ids = torch.from_numpy(np.random.default_rng(1).integers(3, VOCABULARY, (2, 9)))
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    given = {"decoder_input_ids": ids} if model.asked == "answer" else {}
    with torch.no_grad():
        ours = model.model(input_ids=ids, attention_mask=mask, **given).logits
        stock = model.stock(input_ids=ids, attention_mask=mask, **given).logits
    real = mask.bool() if model.asked == "next" else torch.ones(len(ours), dtype=torch.bool)
    torch.testing.assert_close(ours[real], stock[real], atol=1e-5, rtol=1e-5)


@packed_shape
def test_being_packed_leaves_no_mark_on_a_saved_model(name: str, tmp_path: Path) -> None:
    tiny(name).model.save_pretrained(tmp_path)
    assert "burnish" not in (tmp_path / "config.json").read_text()


def test_what_cannot_be_packed_is_padded_and_says_why() -> None:
    assert "convolution" in str(why_padded(tiny("deberta-v2, convolution").model))
    model = tiny("bert").model
    model.config.model_type = "mpnet"
    assert why_padded(model) == "mpnet was not shown to take flat rows"


# ---- less work, exactly


@pytest.mark.parametrize("name", ["bert", "roberta", "electra", "distilbert"])
@pytest.mark.parametrize("packed", [True, False])
def test_the_last_layer_works_at_the_pooled_position_alone(name: str, packed: bool) -> None:
    model, rows = tiny(name), rows_of([5, 5, 9])
    stem = model.model.base_model
    layers = (stem.transformer if name == "distilbert" else stem.encoder).layer
    wide = [layer.ffn.lin1 if name == "distilbert" else layer.intermediate for layer in layers]
    worked: list[int] = []
    for part in wide:
        part.register_forward_hook(
            lambda part, given, answer: worked.append(answer[..., 0].numel())
        )
    row_losses(model, batch_of("label", rows), body="rows" if packed else None)
    assert worked == ([19, 3] if packed else [27, 3])


@pytest.mark.parametrize("name", ["llama", "gemma2", "t5", "bart"])
def test_the_language_head_sees_supervised_tokens_alone_and_in_chunks(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, rows = tiny(name), rows_of([9, 14, 5])
    want = update_loss(model, rows, body="rows")
    whole = gradients(model.model)
    monkeypatch.setattr("burnish.models.token_loss._CHUNK_LOGITS", 3 * VOCABULARY)
    supervised = len(batch_of(model.asked, rows).supervised_S)
    assert supervised > 6
    with Tallest() as most:
        assert update_loss(model, rows, body="rows") == pytest.approx(want, abs=1e-6)
    assert largest_gap(gradients(model.model), whole) < 1e-6
    assert most.rows == 3


def test_token_losses_are_right_in_bf16_without_fp32_logits_of_all() -> None:
    model = tiny("llama").model.to(torch.bfloat16)
    hidden = torch.randn(40, 16, generator=torch.Generator().manual_seed(1)).to(torch.bfloat16)
    targets = torch.arange(40) % VOCABULARY
    hidden.requires_grad_()
    losses = token_losses(model, hidden, targets)
    assert losses.dtype == torch.float32
    losses.sum().backward()
    logits = (hidden.detach() @ model.lm_head.weight.T).float()
    want = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    torch.testing.assert_close(losses, want, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["bert", "llama", "deberta-v2", "t5, gated"])
def test_frozen_layers_at_the_bottom_keep_nothing_for_a_gradient(name: str) -> None:
    model, rows = tiny(name), rows_of([5, 8])
    for part in model.model.parameters():
        part.requires_grad = False
    words = model.model.get_input_embeddings().weight
    linears = [one for one in model.model.modules() if hasattr(one, "in_features")]
    top = [one for one in linears if one.weight is not words and len(one.weight) != VOCABULARY][-3:]
    for linear in top:
        linear.weight.requires_grad = True
    with recorded_embeddings(model) as seen:
        loss = row_losses(model, batch_of(model.asked, rows), body="rows").sum()
    assert seen and not any(states.requires_grad for states in seen)
    loss.backward()
    assert all(linear.weight.grad is not None and linear.weight.grad.any() for linear in top)


class Tallest(TorchDispatchMode):
    """Notes the most rows of a product with the language head."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.mm.default and answer.shape[1] == VOCABULARY:
            self.rows = max(self.rows, len(answer))
        return answer


class AllInDouble(TorchDispatchMode):
    """No fp32 in an fp64 model: transformers' norms, rotary places and softmax step down to it whatever comes in."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.ops.aten._to_copy.default and args[0].dtype == torch.float64:
            if kwargs.get("dtype") == torch.float32:
                kwargs = {**kwargs, "dtype": torch.float64}
        return func(*args, **kwargs)


class RowByRow(TorchDispatchMode):
    """Matrix products whose answer for one row of the left matrix never depends on how many rows there are."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        aten = torch.ops.aten
        if func is aten.mm.default:
            return _row_products(*args)
        if func is aten.addmm.default:
            bias, left, right = args
            return _row_products(left, right) + bias
        return func(*args, **(kwargs or {}))


def _row_products(left: Tensor, right: Tensor) -> Tensor:
    return torch.cat([left[at : at + 1] @ right for at in range(len(left))])


@contextmanager
def recorded_embeddings(model: Tiny) -> Iterator[list[Tensor]]:
    """What the embeddings answer from now on, the encoder's before the decoder's."""
    seen: list[Tensor] = []

    def keep(module: nn.Module, given: Any, answer: Tensor) -> None:
        seen.append(answer)

    hooks = [part.register_forward_hook(keep) for part in embeddings_of(model)]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def poisoned_row(model: Tiny, ends: np.ndarray, *, row: int) -> Iterator[None]:
    """The row's tokens enter the model, or the encoder, as not a number."""

    def poison(module: nn.Module, given: Any, answer: Tensor) -> Tensor:
        answer = answer.clone()
        answer[:, ends[row] : ends[row + 1]] = float("nan")
        return answer

    hook = embeddings_of(model)[0].register_forward_hook(poison)
    try:
        yield
    finally:
        hook.remove()
