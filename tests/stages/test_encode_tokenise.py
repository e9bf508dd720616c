"""What truncation takes is counted exactly, offsets point at the text, and every room sees the same ids."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import AutoTokenizer

from burnish.encode.render import render
from burnish.encode.show import show
from burnish.encode.tokenise import (
    Tokeniser,
    load_tokeniser,
    model_limit,
    token_lengths,
    tokenise,
)
from burnish.errors import BurnishError
from burnish.models.classifier import load_fitted, save_calibrated
from support_task import make_task
from tiny_training import sentences, small_recipe, tiny_base, train_tiny

NASTY = [
    "",
    " \t\n",
    "\x00",
    "a\u0301\u0301\u0301",
    "👩‍👩‍👧‍👦🏳️‍🌈",
    "\u202eright to left\u202c",
    "İıẞ",
    "\ufeff bom",
    "\U0010ffff",
    "日本語のテスト",
    "[CLS] [SEP] [PAD] [MASK]",
    "money back " * 40,
]
texts = st.one_of(st.sampled_from(NASTY), st.text(max_size=200))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base(tmp_path_factory.getbasetemp() / "bases").folder


@pytest.fixture(scope="module")
def bytes_base(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer of bytes: one character can be several tokens."""
    folder = tmp_path_factory.mktemp("bytes")
    vocabulary = {character: place for place, character in enumerate(sorted(_byte_alphabet()))}
    vocabulary |= {"<s>": len(vocabulary), "</s>": len(vocabulary) + 1}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", vocabulary["</s>"]), ("<s>", vocabulary["<s>"]), trim_offsets=False
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    shutil.copyfile(base / "config.json", folder / "config.json")
    return folder


def _byte_alphabet() -> list[str]:
    return pre_tokenizers.ByteLevel.alphabet()


def whole_ids(tokeniser: Tokeniser, folder: Path, text: str) -> list[int]:
    """The ids without any limit, from a tokenizer of their own."""
    fresh = Tokenizer.from_file(str(folder / "tokenizer.json"))
    fresh.no_truncation()
    fresh.no_padding()
    return fresh.encode(text).ids


@pytest.mark.parametrize("kind", ["base", "bytes_base"])
@settings(max_examples=120, deadline=None)
@given(text=texts, limit=st.integers(3, 40))
@example(text="👩‍👩‍👧‍👦", limit=4)
def test_what_is_kept_and_what_is_dropped_add_up(
    kind: str, request_folder, text: str, limit: int
) -> None:
    folder = request_folder(kind)
    tokeniser = load_tokeniser(folder, max_tokens=limit)
    (row,) = tokenise(tokeniser, [text])
    whole = whole_ids(tokeniser, folder, text)
    assert len(row) <= limit
    assert len(row) + row.dropped_tokens == len(whole)
    assert (row.dropped_tokens > 0) == (len(whole) > limit)
    # the kept text tokens are the first ones of the whole row
    assert row.ids_T.tolist()[:-1] == whole[: len(row) - 1]
    assert row.ids_T[-1] == whole[-1]
    assert 0 <= row.dropped_characters <= len(text)
    if row.dropped_tokens == 0:
        assert row.dropped_characters == 0
    assert token_lengths(tokeniser, [text]) == [len(whole)]


@pytest.fixture(scope="module")
def request_folder(base: Path, bytes_base: Path):
    return {"base": base, "bytes_base": bytes_base}.__getitem__


@settings(max_examples=120, deadline=None)
@given(text=texts)
def test_offsets_point_at_the_text(base_tokeniser: Tokeniser, text: str) -> None:
    (row,) = tokenise(base_tokeniser, [text])
    assert row.text == text
    assert row.offsets_T2.shape == (len(row), 2)
    last = 0
    for place, (start, end) in enumerate(row.offsets_T2.tolist()):
        if place in (0, len(row) - 1):
            assert (start, end) == (0, 0)
            continue
        assert 0 <= last <= start < end <= len(text)
        last = start
        spelling = base_tokeniser.tokenizer.id_to_token(int(row.ids_T[place])) or ""
        spelling = spelling.removeprefix("##")
        covered = text[start:end]
        if covered.isascii() and spelling != "[UNK]" and not spelling.startswith("["):
            assert covered.lower() == spelling
    if row.dropped_tokens:
        assert len(text) - row.dropped_characters == row.offsets_T2[:, 1].max()


@pytest.fixture(scope="module")
def base_tokeniser(base: Path) -> Tokeniser:
    return load_tokeniser(base, max_tokens=32)


def test_a_character_cut_in_the_middle_drops_tokens_and_is_shown(bytes_base: Path) -> None:
    tokeniser = load_tokeniser(bytes_base, max_tokens=5)
    (row,) = tokenise(tokeniser, ["a🎉"])
    assert (len(row), row.dropped_tokens, row.dropped_characters) == (5, 2, 0)
    views = show(row, tokeniser=tokeniser)
    assert views[-1].role == "dropped" and views[-1].token == "(2 tokens cut)"
    assert [view.role for view in views[:2]] == ["supervised", "text"]


def test_show_covers_the_whole_text(base: Path) -> None:
    tokeniser = load_tokeniser(base, max_tokens=6)
    (row,) = tokenise(tokeniser, ["money back please now or never"])
    views = show(row, tokeniser=tokeniser)
    shown = "".join(view.text for view in views).replace(" ", "")
    assert shown == row.text.replace(" ", "")
    assert views[-1].role == "dropped" and views[-1].id == -1


def test_three_hundred_thousand_characters(base_tokeniser: Tokeniser, base: Path) -> None:
    text = "where is my order? " * 16_000
    (row,) = tokenise(base_tokeniser, [text])
    assert len(text) > 300_000 and len(row) == 32
    assert len(row) + row.dropped_tokens == len(whole_ids(base_tokeniser, base, text))
    start, end = row.offsets_T2[-2].tolist()
    assert text[: len(text) - row.dropped_characters].endswith(text[start:end])


def test_more_rows_than_a_call_keep_their_order(base_tokeniser: Tokeniser) -> None:
    rows = [str(number) for number in range(2100)]
    found = tokenise(base_tokeniser, rows)
    assert [row.text for row in found] == rows
    assert tokenise(base_tokeniser, []) == []
    for place in (0, 1023, 1024, 2099):
        assert (
            found[place].ids_T.tolist() == tokenise(base_tokeniser, [rows[place]])[0].ids_T.tolist()
        )


@settings(max_examples=100, deadline=None)
@given(text=st.text(st.characters(codec=None, exclude_categories=()), max_size=50))
@example(text="half \ud83d of a pair")
def test_rendered_text_can_always_be_encoded(base_tokeniser: Tokeniser, text: str) -> None:
    rendered = render(make_task(), {"text": text})
    assert len(rendered) == len(text)
    rendered.encode("utf-8")
    assert len(tokenise(base_tokeniser, [rendered])[0]) >= 2


def test_several_columns_are_lines_and_empty_ones_are_left_out() -> None:
    task = make_task(inputs=("subject", "text"))
    assert render(task, {"subject": "", "text": "x\ud800"}) == "text: x\ufffd"
    assert render(task, {"text": "b", "subject": "a", "more": "c"}) == "subject: a\ntext: b"
    assert render(task, {"text": "", "subject": ""}) == ""
    with pytest.raises(BurnishError) as caught:
        render(task, {"txt": "a"})
    assert caught.value.code == "input-missing"
    assert "subject, text" in caught.value.problems[0].what


def test_training_and_serving_see_the_same_ids(tmp_path_factory, tmp_path: Path) -> None:
    """Base, trained model, its calibrated copy and plain transformers: one tokenizer."""
    root = tmp_path_factory.getbasetemp() / "bases"
    run = train_tiny(root, tmp_path, small_recipe(epochs=1, max_tokens=16))
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    save_calibrated(tmp_path / run.id / "model", bundle, temperature=2.0)
    asked = [*NASTY, *(text for text, _ in sentences(9, seed=4))]
    wanted = [
        row.ids_T.tolist()
        for row in tokenise(load_tokeniser(tiny_base(root).folder, max_tokens=16), asked)
    ]
    for folder in (tmp_path / run.id / "model", bundle):
        fitted = load_fitted(folder, max_tokens=16, precision="fp32")
        assert [row.ids_T.tolist() for row in fitted.encode(asked)] == wanted
        assert (folder / "tokenizer.json").read_bytes() == (
            tiny_base(root).folder / "tokenizer.json"
        ).read_bytes()
    plain = AutoTokenizer.from_pretrained(bundle)
    assert plain(asked, truncation=True, max_length=16)["input_ids"] == wanted


@pytest.mark.parametrize(
    "config, limit",
    [
        ({"max_position_embeddings": 512}, 512),
        ({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
        ({"model_type": "roberta", "max_position_embeddings": 513, "pad_token_id": 0}, 512),
        ({}, None),
        ({"max_position_embeddings": -1}, None),
        ({"max_position_embeddings": "512"}, None),
    ],
)
def test_the_models_own_limit(config: dict[str, object], limit: int | None) -> None:
    assert model_limit(config) == limit


def folder_with(base: Path, target: Path, **changes: object) -> Path:
    """The base's tokenizer with these keys of tokenizer.json replaced."""
    told = json.loads((base / "tokenizer.json").read_text()) | changes
    (target / "tokenizer.json").write_text(json.dumps(told))
    shutil.copyfile(base / "config.json", target / "config.json")
    return target


def test_broken_folders_are_problems(base: Path, tmp_path: Path) -> None:
    codes = []
    for number, prepare in enumerate(
        (
            lambda folder: None,
            lambda folder: (folder / "tokenizer.json").write_text("{"),
            lambda folder: folder_with(base, folder, post_processor=None),
            lambda folder: folder_with(base, folder),
        )
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        prepare(folder)
        with pytest.raises(BurnishError) as caught:
            load_tokeniser(folder, max_tokens=2)
        codes.append(caught.value.code)
    assert codes == [
        "tokenizer-missing",
        "tokenizer-broken",
        "tokenizer-unmarked",
        "max-tokens-small",
    ]


def test_the_folders_own_truncation_and_padding_are_put_aside(base: Path, tmp_path: Path) -> None:
    truncation = {"max_length": 4, "strategy": "LongestFirst", "stride": 1, "direction": "Left"}
    padding = {
        "strategy": {"Fixed": 64},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "[PAD]",
    }
    folder = folder_with(base, tmp_path, truncation=truncation, padding=padding)
    (ours,) = tokenise(load_tokeniser(folder, max_tokens=12), ["where is my order? " * 9])
    (clean,) = tokenise(load_tokeniser(base, max_tokens=12), ["where is my order? " * 9])
    assert ours.ids_T.tolist() == clean.ids_T.tolist()
    assert ours.dropped_tokens == clean.dropped_tokens > 0
