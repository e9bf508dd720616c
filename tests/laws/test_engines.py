"""What every engine promises, for every row of the door's table."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.deploy.bundle import make_bundle, open_bundle
from burnish.deploy.engine import ENGINES, load_engine
from burnish.deploy.engines import majority
from burnish.deploy.golden import TOLERANCE
from burnish.encode.render import render
from burnish.errors import BurnishError
from burnish.evaluate.predict import predict
from burnish.records.recipe import Recipe
from deployed import AT, forge, make_workspace
from support_task import LABELS, make_task

MAX_TOKENS = 64
TASK = make_task()
TEXTS = st.text(min_size=0, max_size=80)


TRAIN = [
    ("I want my money back now", "refund"),
    ("please send a refund for the order", "refund"),
    ("where is my parcel today", "delivery"),
    ("the parcel has not arrived", "delivery"),
    ("how do I change my password", "other"),
    ("good morning to all of you", "other"),
]
# engines that read at most `max_tokens`; term weights read everything
LIMITED = {"majority", "transformers", "choices", "centroid", "knn"}


def write_base(folder: Path) -> None:
    from burnish.models.families.tiny import make_tiny

    make_tiny(folder, texts=[text for text, _ in TRAIN], model_type="bert", seed=1)


def write_majority(folder: Path) -> None:
    majority.write(folder, dict(zip(LABELS, (0.6, 0.3, 0.1), strict=True)))


def write_transformers(folder: Path) -> None:
    from burnish.models.classifier import copy_tokenizer, new_classifier

    base = folder.with_name(f"{folder.name}-base")
    base.mkdir()
    write_base(base)
    recipe = Recipe(seed=1, precision="fp32")
    learner = new_classifier(base, label_names=LABELS, objective="softmax", recipe=recipe)
    learner.model.save_pretrained(folder)  # type: ignore[operator]
    copy_tokenizer(base, folder)


def write_choices(folder: Path) -> None:
    from burnish.models.choice_model import write_temperature
    from burnish.models.families.tiny_writer import make_tiny_writer
    from burnish.tasks.choice import choice_prompt

    texts = [choice_prompt(TASK, text)[0].content for text, _ in TRAIN]
    make_tiny_writer(folder, texts=[*texts, *LABELS], model_type="llama", seed=1)
    write_temperature(folder, 0.5)


def write_baseline(folder: Path, name: str) -> None:
    from burnish.decide.baseline import BASELINES

    vectors = None
    if BASELINES[name].USES_BASE:
        from burnish.models.embed import load_embedder

        write_base(folder)
        vectors = load_embedder(folder, max_tokens=MAX_TOKENS)
    targets_RL = np.eye(len(LABELS))[[LABELS.index(label) for _, label in TRAIN]]
    texts = [text for text, _ in TRAIN]
    built = BASELINES[name].build(texts, targets_RL, objective="softmax", vectors=vectors, seed=1)
    built.save(folder)


# Who writes a small folder for each engine of the table.
WRITERS: Mapping[str, Callable[[Path], None]] = {
    "majority": write_majority,
    "transformers": write_transformers,
    "choices": write_choices,
    "tfidf": partial(write_baseline, name="tfidf"),
    "centroid": partial(write_baseline, name="centroid"),
    "knn": partial(write_baseline, name="knn"),
}


@pytest.fixture(scope="module", params=sorted(ENGINES))
def engine(request: pytest.FixtureRequest) -> str:
    if request.param != "majority":
        pytest.importorskip("torch" if request.param != "tfidf" else "sklearn")
    return request.param


@pytest.fixture(scope="module")
def folder(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(engine)
    WRITERS[engine](folder)
    return folder


@pytest.fixture(scope="module")
def fitted(engine: str, folder: Path):
    return load_engine(folder, TASK, engine=engine, precision="fp32", max_tokens=MAX_TOKENS)


def test_every_engine_is_under_these_laws() -> None:
    assert set(WRITERS) == set(ENGINES)


def test_every_engine_of_the_table_exists() -> None:
    folder = Path(load_engine.__code__.co_filename).parent / "engines"
    assert {f"{module}.py" for module in ENGINES.values()} <= {p.name for p in folder.iterdir()}


def test_an_unknown_engine_is_told_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(BurnishError) as caught:
        load_engine(tmp_path, TASK, engine="transformer", precision="fp32", max_tokens=8)
    assert caught.value.code == "engine-unknown"
    assert caught.value.problems[0].nearest == "transformers"


@settings(max_examples=15, deadline=None)
@given(texts=st.lists(TEXTS, max_size=8))
def test_encode_sees_every_text_and_counts_what_it_drops(
    engine: str, fitted, texts: list[str]
) -> None:
    rendered = [render(TASK, {"text": text}) for text in texts]
    encodings = fitted.encode(rendered)
    assert len(encodings) == len(texts)
    for text, one in zip(rendered, encodings, strict=True):
        assert one.ids_T.dtype == np.int32 and one.offsets_T2.dtype == np.int32
        assert one.offsets_T2.shape == (len(one), 2)
        assert len(one) <= MAX_TOKENS or engine not in LIMITED
        assert ((one.offsets_T2 >= 0) & (one.offsets_T2 <= len(text))).all()
        assert (one.dropped_tokens == 0) <= (one.dropped_characters == 0)
        assert 0 <= one.dropped_characters <= len(text)
        again = fitted.encode([text])[0]
        assert np.array_equal(again.ids_T, one.ids_T)


@settings(max_examples=5, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=5), seed=st.integers(0, 99))
def test_a_row_gets_the_same_answer_in_any_company(fitted, texts: list[str], seed: int) -> None:
    rows = [{"text": text} for text in texts]
    together = predict(fitted, TASK, rows)
    order = np.random.default_rng(seed).permutation(len(rows))
    mixed = predict(fitted, TASK, [rows[i] for i in order])
    for place, i in enumerate(order):
        alone = predict(fitted, TASK, [rows[i]])[0]
        for other in (mixed[place], alone):
            limit = TOLERANCE["fp32"]
            assert np.allclose(
                other.probabilities_L, together[i].probabilities_L, atol=limit, rtol=0
            )


def test_logits_are_numbers_one_row_each(fitted) -> None:
    logits_RL = fitted.logits(fitted.encode(["one", "two words", ""]))
    assert logits_RL.shape == (3, len(LABELS)) and logits_RL.dtype == np.float64
    assert np.isfinite(logits_RL).all()
    assert fitted.logits([]).shape == (0, len(LABELS))


def test_a_bundle_opens_only_as_it_was_made(engine: str, folder: Path, fitted, tmp_path) -> None:
    workspace = make_workspace(tmp_path)
    bundle = make_bundle(
        TASK,
        fitted,
        model_folder_writer=lambda target: shutil.copytree(folder, target, dirs_exist_ok=True),
        workspace=workspace,
        engine=engine,
        run_id=None,
        dataset_id="d",
        report_id="e",
        golden_inputs=[{"text": text} for text, _ in TRAIN],
        precision="fp32",
        max_tokens=MAX_TOKENS,
        card="# Card\n",
        at=AT,
    )
    assert open_bundle(workspace.bundles / bundle.id).bundle == bundle
    golden = "burnish/golden.jsonl"
    rows = [json.loads(line) for line in (workspace.bundles / bundle.id / golden).open()]
    rows[-1]["ids"][0] += 1
    wrong = "\n".join(json.dumps(row) for row in rows).encode()
    with pytest.raises(BurnishError, match="golden-ids-differ"):
        open_bundle(workspace.bundles / forge(workspace, bundle, {golden: wrong}).id)


def test_an_empty_folder_is_told(tmp_path: Path, engine: str) -> None:
    with pytest.raises(BurnishError):
        load_engine(tmp_path, TASK, engine=engine, precision="fp32", max_tokens=8)


def test_a_server_imports_only_the_engine_it_uses() -> None:
    script = (
        "import sys, burnish.serve.app, burnish.deploy.engines.majority;"
        "sys.exit(bool({'torch', 'transformers', 'sklearn', 'scipy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
