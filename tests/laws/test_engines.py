"""What every engine promises, for every row of the door's table."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from deployed import LABELS, make_task
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.deploy.engine import ENGINES, load_engine
from burnish.deploy.engines import majority
from burnish.deploy.golden import TOLERANCE
from burnish.encode.render import render
from burnish.errors import BurnishError
from burnish.evaluate.predict import predict

MAX_TOKENS = 16
TASK = make_task()
TEXTS = st.text(min_size=0, max_size=80)


def write_majority(folder: Path) -> None:
    majority.write(folder, dict(zip(LABELS, (0.6, 0.3, 0.1), strict=True)))


# Who writes a small folder for each engine; an engine without one is not tested, which the first test says.
WRITERS: Mapping[str, Callable[[Path], None]] = {"majority": write_majority}


@pytest.fixture(scope="module", params=sorted(WRITERS))
def fitted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp(request.param)
    WRITERS[request.param](folder)
    return load_engine(folder, TASK, engine=request.param, precision="fp32", max_tokens=MAX_TOKENS)


def test_every_engine_of_the_table_exists() -> None:
    folder = Path(load_engine.__code__.co_filename).parent / "engines"
    assert {f"{module}.py" for module in ENGINES.values()} <= {p.name for p in folder.iterdir()}


def test_an_unknown_engine_is_told_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(BurnishError) as caught:
        load_engine(tmp_path, TASK, engine="transformer", precision="fp32", max_tokens=8)
    assert caught.value.code == "engine-unknown"
    assert caught.value.problems[0].nearest == "transformers"


@settings(max_examples=30, deadline=None)
@given(texts=st.lists(TEXTS, max_size=8))
def test_encode_sees_every_text_and_counts_what_it_drops(fitted, texts: list[str]) -> None:
    rendered = [render(TASK, {"text": text}) for text in texts]
    encodings = fitted.encode(rendered)
    assert len(encodings) == len(texts)
    for text, one in zip(rendered, encodings, strict=True):
        assert one.ids_T.dtype == np.int32 and one.offsets_T2.dtype == np.int32
        assert one.offsets_T2.shape == (len(one), 2)
        assert len(one) <= MAX_TOKENS
        assert ((one.offsets_T2 >= 0) & (one.offsets_T2 <= len(text))).all()
        assert (one.dropped_tokens == 0) <= (one.dropped_characters == 0)
        assert 0 <= one.dropped_characters <= len(text)
        again = fitted.encode([text])[0]
        assert np.array_equal(again.ids_T, one.ids_T)


@settings(max_examples=20, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=8), seed=st.integers(0, 99))
def test_a_row_gets_the_same_answer_in_any_company(fitted, texts: list[str], seed: int) -> None:
    rows = [{"text": text} for text in texts]
    together = predict(fitted, TASK, rows)
    order = np.random.default_rng(seed).permutation(len(rows))
    mixed = predict(fitted, TASK, [rows[i] for i in order])
    for place, i in enumerate(order):
        alone = predict(fitted, TASK, [rows[i]])[0]
        for other in (mixed[place], alone):
            limit = TOLERANCE["fp32"]
            assert np.allclose(other.probabilities_L, together[i].probabilities_L, atol=limit, rtol=0)


def test_logits_are_numbers_one_row_each(fitted) -> None:
    logits_RL = fitted.logits(fitted.encode(["one", "two words", ""]))
    assert logits_RL.shape == (3, len(LABELS)) and logits_RL.dtype == np.float64
    assert np.isfinite(logits_RL).all()
    assert fitted.logits([]).shape == (0, len(LABELS))


@pytest.mark.parametrize("engine", sorted(WRITERS))
def test_an_empty_folder_is_told(tmp_path: Path, engine: str) -> None:
    with pytest.raises(BurnishError):
        load_engine(tmp_path, TASK, engine=engine, precision="fp32", max_tokens=8)


def test_a_server_imports_only_the_engine_it_uses() -> None:
    script = (
        "import sys, burnish.serve.app, burnish.deploy.engines.majority;"
        "sys.exit(bool({'torch', 'transformers', 'sklearn', 'scipy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
