"""Training on texts in a run folder: the same bytes after every stop, adapters, 4 bits, and a task learnt to the end."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from burnish.encode.pack import answer_row, causal_row
from burnish.errors import BurnishError
from burnish.models.generate import Asked, generate
from burnish.models.learnt_words import is_tiny, pieces_only_in, without_pieces
from burnish.models.pretrained import open_pretrained
from burnish.models.source import BaseModel
from burnish.models.writer import (
    Writer,
    choose_method,
    load_writer,
    new_writer,
)
from burnish.records.decoding import Decoding
from burnish.records.encoding import TokenRow
from burnish.records.recipe import Recipe
from burnish.records.run import Run, Step
from burnish.store.durable import verify_folder
from burnish.train import estimate as estimating
from burnish.train import fit_text as fitting
from burnish.train.fit_text import fit_text
from burnish.train.follow import Surroundings
from burnish.train.loop import LoopState, updates
from burnish.train.memory import Limit, Memory
from burnish.train.optimizer import make_optimizer
from burnish.train.token_rows import TextRows, text_rows, token_shares
from support_task import make_task
from tiny_training import AT, small_recipe

END = 2
DAYS = [dt.date(1990, 1, 1) + dt.timedelta(days=17 * day) for day in range(700)]


def pairs(count: int, *, skip: int = 0) -> list[tuple[str, str]]:
    """Dates as people write them, and as ISO does."""
    random = np.random.default_rng(4)
    chosen = random.permutation(len(DAYS))[skip : skip + count]
    return [(f"{DAYS[at]:%d.%m.%Y}", DAYS[at].isoformat()) for at in chosen]


def base_of(root: Path, model_type: str) -> BaseModel:
    return open_pretrained(
        f"tiny:{model_type}",
        cache=root,
        texts=lambda: [text for pair in pairs(50) for text in pair],
        announce=lambda text: None,
    )


def rows_of(base: BaseModel, found: list[tuple[str, str]]) -> TextRows:
    tokenizer = Tokenizer.from_file(str(base.folder / "tokenizer.json"))
    config = json.loads((base.folder / "config.json").read_text())

    def ids(text: str) -> list[int]:
        return tokenizer.encode(text, add_special_tokens=False).ids

    rows: list[TokenRow] = []
    for read, said in found:
        if "decoder_start_token_id" in config and config.get("is_encoder_decoder"):
            source, answer = np.array([*ids(read), END]), np.array([*ids(said), END])
            rows.append(answer_row(source, answer, start_id=config["decoder_start_token_id"]))
        else:
            prompt, answer = ids(f"{read} ="), [*ids(said), END]
            whole = np.array([*prompt, *answer])
            rows.append(causal_row(whole, answer_T=np.arange(len(whole)) >= len(prompt)))
    return text_rows(rows, places=[f"dates.csv:{at + 2}" for at in range(len(rows))])


def trained(
    base: BaseModel,
    runs: Path,
    *,
    recipe: Recipe,
    stop: Callable[[], int | None] = lambda: None,
    on_step: Callable[[Step], None] = lambda step: None,
    count: int = 24,
) -> Run:
    return fit_text(
        make_task(),
        train=rows_of(base, pairs(count)),
        validation=rows_of(base, pairs(12, skip=650)),
        stop_ids=[END],
        truncated=[0] * count,
        base=base,
        recipe=recipe,
        dataset_id="d1",
        runs=runs,
        around=Surroundings(
            now=lambda: AT,
            announce=lambda text: None,
            on_step=on_step,
            stop=stop,
            save_every_seconds=0.0,
        ),
    )


def recipe_of(**changes: object) -> Recipe:
    return small_recipe(
        **{"epochs": 2, "batch_rows": 8, "batch_tokens": 100, "learning_rate": 1e-3, **changes}
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bases")


@pytest.mark.parametrize(
    ("model_type", "method"),
    [("llama", "full"), ("llama", "lora"), ("t5", "dora"), ("bart", "full")],
)
def test_stopped_after_every_step_it_ends_in_the_same_bytes(
    model_type: str, method: str, root: Path, tmp_path: Path
) -> None:
    base, recipe = base_of(root, model_type), recipe_of(method=method)
    seen: list[Step] = []
    whole = trained(base, tmp_path / "whole", recipe=recipe, on_step=seen.append)
    assert [step.step for step in seen] == [1, 2, 3, 4, 5, 6]
    for _ in range(20):
        steps = 0

        def stop() -> int | None:
            nonlocal steps
            steps += 1
            return 143 if steps > 2 else None

        try:
            again = trained(base, tmp_path / "parts", recipe=recipe, stop=stop)
            break
        except BurnishError as error:
            assert error.code == "training-interrupted"
    else:
        pytest.fail("never done")
    assert again.weights_sha256 == whole.weights_sha256
    assert whole.best_validation is not None and whole.best_validation < 0
    assert seen[-1].loss < seen[0].loss
    model = tmp_path / "whole" / whole.id / "model"
    assert verify_folder(model) == ()
    assert (tmp_path / "whole" / whole.id / "adapter").is_dir() == (method != "full")
    assert trained(base, tmp_path / "whole", recipe=recipe).weights_sha256 == whole.weights_sha256


def test_rows_beyond_the_models_positions_are_named(root: Path, tmp_path: Path) -> None:
    base = base_of(root, "gpt2")
    rows = rows_of(base, pairs(3))
    with pytest.raises(BurnishError) as refused:
        rows.refuse_longer(10)
    assert refused.value.code == "row-beyond-model"
    assert "dates.csv:2" in str(refused.value.problems[0].where)
    rows.refuse_longer(None)


def test_a_method_that_has_no_meaning_is_refused(root: Path, tmp_path: Path) -> None:
    base = base_of(root, "gpt2")
    for method in ("head",):
        with pytest.raises(BurnishError) as refused:
            trained(base, tmp_path, recipe=recipe_of(method=method))
        assert refused.value.code == "method-not-here"


@pytest.mark.parametrize("model_type", ["t5", "bart"])
def test_a_model_from_scratch_learns(model_type: str, root: Path, tmp_path: Path) -> None:
    """Eighteen updates; that the whole task is learnt is shown by the commands, in minutes."""
    base = base_of(root, model_type)
    recipe = recipe_of(epochs=3, batch_rows=16, batch_tokens=2048, learning_rate=3e-3, dropout=0.0)
    run = trained(base, tmp_path, recipe=recipe, count=96)
    assert run.best_validation is not None
    assert run.best_validation > -3  # from 5.6, the logarithm of the vocabulary


# ---- 4 bits


def test_quantised_layers_train_and_merge(root: Path, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes", reason="the extra burnish[qlora] is not installed")
    base, recipe = base_of(root, "llama"), recipe_of(method="qlora")
    run = trained(base, tmp_path, recipe=recipe)
    writer = load_writer(tmp_path / run.id / "model", precision="fp32")
    assert not any(type(part).__name__ == "Linear4bit" for part in writer.model.modules())
    assert not hasattr(writer.model.config, "quantization_config")
    assert trained(base, tmp_path / "two", recipe=recipe).weights_sha256 == run.weights_sha256


def quantised_writer(base: BaseModel) -> tuple[Writer, Recipe]:
    recipe = recipe_of(method="qlora", batch_rows=8, clip_norm=1e9, epochs=1)
    writer = new_writer(base.folder, recipe=recipe)
    torch.manual_seed(1)
    choose_method(writer, recipe)
    for key, value in writer.model.named_parameters():
        if "lora_B" in key:
            torch.nn.init.normal_(value, std=0.1)
    return writer, recipe


def test_quantised_gradients_do_not_depend_on_the_cut(root: Path) -> None:
    pytest.importorskip("bitsandbytes", reason="the extra burnish[qlora] is not installed")
    base = base_of(root, "llama")
    rows = rows_of(base, pairs(8))
    found: list[dict[str, torch.Tensor]] = []
    for pieces in (1, 2, 4):
        writer, recipe = quantised_writer(base)
        budget = int(rows.lengths.max()) * 8 // pieces
        recipe = recipe.model_copy(update={"batch_tokens": budget})
        state = LoopState(make_optimizer(writer.model, recipe, head_modules=()))
        shares = token_shares(writer, rows)
        next(updates(writer.model, rows, recipe, shares=shares, judge=lambda: 0.0, state=state))
        found.append({key: value.grad.clone() for key, value in writer.model.named_parameters()
                      if value.grad is not None})  # fmt: skip
    assert found[0] and all("lora" in key for key in found[0])
    for other in found[1:]:
        for key, slope in found[0].items():
            torch.testing.assert_close(other[key], slope, atol=1e-5, rtol=1e-4)


def test_a_look_without_gradients_does_not_spoil_quantised_training(root: Path) -> None:
    """On CPUs with avx512_bf16 such a pass repacks the weights, and later gradients point anywhere."""
    pytest.importorskip("bitsandbytes", reason="the extra burnish[qlora] is not installed")
    base = base_of(root, "llama")
    rows = rows_of(base, pairs(8))
    slopes = []
    for look in (False, True):
        writer, recipe = quantised_writer(base)
        layers = [part for part in writer.model.modules() if type(part).__name__ == "Linear4bit"
                  and not hasattr(part, "base_layer")]  # fmt: skip
        assert layers and not any(layer.support_avx512bf16_for_cpu for layer in layers)
        if look:
            from burnish.models.room import Room
            from burnish.train.token_rows import mean_token_loss

            mean_token_loss(writer, rows, room=Room(4096, print), pause=lambda: None)
        shares = token_shares(writer, rows)
        shares(np.arange(8), 1.0).sum().backward()
        slopes.append(torch.cat([one.grad.flatten() for one in writer.model.parameters()
                                 if one.grad is not None]))  # fmt: skip
        assert recipe.method == "qlora"
    assert torch.nn.functional.cosine_similarity(*slopes, dim=0) > 0.9999


# ---- a schema, and words that are forgotten


def test_answers_fit_a_schema(root: Path) -> None:
    pytest.importorskip("xgrammar", reason="the extra burnish[json] is not installed")
    from burnish.models.json_schema import schema_masks

    base = base_of(root, "llama")
    writer = load_writer(base.folder, precision="fp32")
    tokenizer = Tokenizer.from_file(str(base.folder / "tokenizer.json"))
    schema = {
        "type": "object",
        "properties": {"day": {"type": "integer", "minimum": 1, "maximum": 9}, "sure": {"enum": ["yes", "no"]}},
        "required": ["day", "sure"],
        "additionalProperties": False,
    }  # fmt: skip
    mask_of = schema_masks(tokenizer, vocabulary=tokenizer.get_vocab_size(), stop_ids=[END])
    prompts = [tokenizer.encode(text).ids for text in ("12.3.2020", "another one")]
    for temperature in (0.0, 1.5):
        said = generate(
            writer,
            prompts,
            Decoding(max_new_tokens=120, temperature=temperature),
            Asked(stop_ids=[END], masks=[mask_of(json.dumps(schema)) for _ in prompts]),
        )
        for one in said:
            assert one.finished == "stop"
            value: Any = json.loads(tokenizer.decode(list(one.ids[:-1])))
            assert set(value) == {"day", "sure"}
            assert value["sure"] in ("yes", "no") and 1 <= value["day"] <= 9
    for bad in ({"type": "nonsense"}, {"enum": ["x" * 100_000]}):
        with pytest.raises(BurnishError) as refused:
            mask_of(json.dumps(bad))
        assert refused.value.code == "schema-refused"


@pytest.mark.parametrize("model_type", ["gpt2", "t5", "bart", "llama"])
def test_a_learnt_byte_level_tokenizer_forgets_words(model_type: str, tmp_path: Path) -> None:
    gone = ["Annegret Böttcher wrote from Hohenwestedt"] * 5
    others = ["the parcel came late, thanks", "money back für alle"] * 5
    base = open_pretrained(
        f"tiny:{model_type}", cache=tmp_path, texts=lambda: [f"{a} {b}" for a, b in zip(gone, [f"{one} {at}" for at, one in enumerate(others)], strict=False)],
        announce=lambda text: None,
    )  # fmt: skip
    assert is_tiny(base.folder)
    data = (base.folder / "tokenizer.json").read_bytes()
    before = Tokenizer.from_str(data.decode())
    assert any("negret" in token for token in before.get_vocab())
    pieces = pieces_only_in(data, gone, others)
    changed = without_pieces(data, pieces)
    after = Tokenizer.from_str(changed.decode())
    for word in (b"Annegret", b"egret", b"Hohenwestedt", b"westedt"):
        assert word not in changed
    for text in others:
        assert after.encode(text).ids == before.encode(text).ids
        assert after.decode(after.encode(text).ids) == text
    assert after.decode(after.encode(gone[0]).ids) == gone[0]


@pytest.mark.parametrize(
    ("method", "room", "proposed"),
    [
        ("full", 2.0, 'write method = "lora" into recipe.toml'),
        ("full", 0.5, 'write method = "qlora" into recipe.toml'),
        ("rslora", 0.5, 'write method = "qlora" into recipe.toml'),
        ("qlora", 0.05, "take a smaller base model"),
    ],
)
def test_a_base_that_cannot_fit_is_refused_before_it_is_loaded(
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    room: float,
    proposed: str,
) -> None:
    base = base_of(root, "gpt2")
    weights = sum(
        value.numel() * 4
        for value in load_file(base.folder / "model.safetensors", device="cpu").values()
    )
    most = 10**6 + int(room * weights)
    machine = Memory(10**6, (Limit(most, "a small machine", refuses=False),))
    monkeypatch.setattr(estimating, "host_memory", lambda: machine)
    monkeypatch.setattr(fitting, "new_writer", lambda *args, **named: pytest.fail("it was loaded"))
    with pytest.raises(BurnishError) as caught:
        trained(base, tmp_path, recipe=recipe_of(method=method))
    (problem,) = caught.value.problems
    assert problem.code == "memory-too-small" and problem.where == "a small machine"
    assert proposed in problem.fix
