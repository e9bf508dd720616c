"""The gate: every hostile folder is refused with its code, nothing in one is run, and sound models pass."""

from __future__ import annotations

import copy
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.errors import BurnishError
from burnish.models.hostile_config import CLASSIFIER_TYPES, MODEL_TYPES, WRITER_TYPES
from burnish.models.hostile_files import open_regular, parse_json
from burnish.models.hostile_weights import check_weights
from burnish.models.safety import check_model_folder
from model_folders import (
    CORPUS,
    PICKLE,
    SOUND,
    VOCABULARY,
    Hostile,
    config,
    entry,
    header,
    make_good,
    put,
    tokenizer,
    word_piece,
)

_FORBIDDEN = (
    "compile",
    "exec",
    "code.__new__",
    "ctypes",
    "import",
    "marshal",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "os.startfile",
    "os.system",
    "pickle.find_class",
    "pty.spawn",
    "socket.",
    "subprocess.Popen",
    "urllib",
)
_watched: list[tuple[Path, list[str]]] = []


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if not _watched:
        return
    folder, fired = _watched[-1]
    if event.startswith(_FORBIDDEN):
        fired.append(f"{event} {str(arguments)[:80]}")
    elif event == "open" and isinstance(arguments[0], str | bytes):
        flags = arguments[2] if isinstance(arguments[2], int) else 0
        inside = Path(os.fsdecode(arguments[0])).is_relative_to(folder)
        if not inside or flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            fired.append(f"open {arguments}")


sys.addaudithook(_hook)


@contextmanager
def _canary(folder: Path) -> Iterator[list[str]]:
    """What the interpreter was asked to run, load, connect to, or open elsewhere, while this is on."""
    fired: list[str] = []
    _watched.append((folder, fired))
    try:
        yield fired
    finally:
        _watched.pop()


@pytest.fixture(scope="module", autouse=True)
def _loaded(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One check beforehand, so that the tokenizers library is imported before the canary listens."""
    assert check_model_folder(make_good(tmp_path_factory.mktemp("first") / "m")) == ()


def test_the_corpus_is_large_and_its_names_are_different() -> None:
    assert len(CORPUS) >= 60
    assert len({case.name for case in CORPUS}) == len(CORPUS)


@pytest.mark.parametrize("case", CORPUS, ids=lambda case: case.name.replace(" ", "-"))
def test_a_hostile_folder_is_refused_and_nothing_in_it_runs(case: Hostile, tmp_path: Path) -> None:
    folder = make_good(tmp_path / "model")
    case.spoil(folder)
    with _canary(folder) as fired:
        problems = check_model_folder(folder)
    assert case.code in [problem.code for problem in problems]
    assert fired == []
    assert all(problem.what and problem.fix for problem in problems)
    # a hostile name must not reach the terminal as it is
    assert all(problem.text().replace("\n", "").isprintable() for problem in problems)


def test_the_canary_sings(tmp_path: Path) -> None:
    import pickle
    import socket
    import subprocess

    with _canary(tmp_path) as fired:
        compile("1", "x", "eval")
        subprocess.run(["true"], check=True)
        socket.socket().close()
        pickle.loads(b"cbuiltins\nlen\n.")
        Path("/etc/hostname").exists()
        open(os.devnull).close()
    assert next(line.split()[0] for line in fired if "import" not in line) == "compile"
    for event in ("subprocess.Popen", "socket.", "pickle.find_class", "open"):
        assert any(line.startswith(event) for line in fired), event


def test_a_folder_that_is_not_there_or_not_a_folder(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    link = tmp_path / "link"
    link.symlink_to(make_good(tmp_path / "model"))
    found = [check_model_folder(place)[0].code for place in (tmp_path / "no", file, link)]
    assert found == ["base-folder-missing", "base-folder-not-regular", "base-folder-not-regular"]


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    folder = make_good(tmp_path / "model")
    put(folder, "config.json", config(auto_map={}, hidden_size=-1, vocab_size=0))
    put(folder, "model.safetensors", PICKLE)
    codes = [problem.code for problem in check_model_folder(folder)]
    assert sorted(codes) == [
        "base-code-inside",
        "base-config-bounds",
        "base-config-bounds",
        "base-weights-broken",
    ]


def test_sound_folders_pass_with_what_publishers_leave_beside_the_model(tmp_path: Path) -> None:
    folder = make_good(tmp_path / "model", attn_implementation="sdpa", trust_remote_code=False)
    for name in ("vocab.txt", "LICENSE", ".gitattributes", "tf_model.h5", "spm.model"):
        put(folder, name, "x")
    put(folder, "pytorch_model.bin", PICKLE)  # beside safetensors: never opened
    put(folder, "modules.json", [{"idx": 0, "type": "sentence_transformers.models.Transformer"}])
    put(folder, "vocab.json", {token: index for index, token in enumerate(VOCABULARY)})
    (folder / "1_Pooling").mkdir()
    put(folder / "1_Pooling", "anything.py", "1/0")
    with _canary(folder) as fired:
        assert check_model_folder(folder) == ()
    assert fired == []


def test_sharded_weights_pass(tmp_path: Path) -> None:
    folder = make_good(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    for name, tensor in zip(names, "ab", strict=True):
        put(folder, name, header({tensor: entry(0, 2000)}, data_bytes=2000))
    index = {"metadata": {"total_size": 4000}, "weight_map": dict(zip("ab", names, strict=True))}
    put(folder, "model.safetensors.index.json", index)
    assert check_model_folder(folder) == ()


def test_a_vocabulary_may_hold_any_word_but_the_rest_of_the_tokenizer_may_not(
    tmp_path: Path,
) -> None:
    folder = make_good(tmp_path / "model")
    assert "auto_map" in VOCABULARY
    assert check_model_folder(folder) == ()
    put(folder, "tokenizer.json", tokenizer(model=word_piece(extra={"auto_map": "x"})))
    assert check_model_folder(folder)[0].code == "base-code-inside"


def test_the_architectures_are_those_of_the_families() -> None:
    from burnish.models.family import MODEL_TYPES as LEARNABLE
    from burnish.models.writer_family import WRITER_TYPES as WRITERS

    assert CLASSIFIER_TYPES == LEARNABLE
    assert WRITER_TYPES == WRITERS


def test_opening_checks_the_file_itself(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"x")
    (tmp_path / "link").symlink_to(target)
    os.mkfifo(tmp_path / "pipe")
    for name, code in (
        ("link", "base-file-not-regular"),
        ("pipe", "base-file-not-regular"),
        ("gone", "base-file-missing"),
        (".", "base-file-not-regular"),
    ):
        with pytest.raises(BurnishError) as caught:
            open_regular(tmp_path / name)
        assert caught.value.code == code
    with open_regular(target) as handle:
        assert handle.read() == b"x"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_good(tmp_path_factory.mktemp("fuzz") / "model")


_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors")


@settings(max_examples=120, deadline=None)
@given(
    name=st.sampled_from(_FILES),
    place=st.integers(0, 10**6),
    data=st.binary(min_size=1, max_size=6),
    cut=st.one_of(st.none(), st.integers(0, 10**6)),
)
def test_any_change_of_bytes_is_accepted_or_refused_but_never_a_crash(
    good: Path, name: str, place: int, data: bytes, cut: int | None
) -> None:
    path = good / name
    before = path.read_bytes()
    changed = bytearray(before)
    at = place % len(before)
    changed[at : at + len(data)] = data
    path.write_bytes(bytes(changed[: cut % len(changed)] if cut is not None else changed))
    try:
        with _canary(good) as fired:
            problems = check_model_folder(good)
        assert fired == []
        assert all(problem.code.startswith("base-") for problem in problems)
    finally:
        path.write_bytes(before)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5000) | st.floats() | st.sampled_from(["F32", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["dtype", "shape", "data_offsets", "a"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(
    spoilt=st.dictionaries(st.sampled_from(["a", "b", "c", "__metadata__"]), _JSON, max_size=3),
    key=st.sampled_from(["dtype", "shape", "data_offsets"]),
    value=_JSON,
)
def test_weights_the_gate_accepts_open_in_the_library(
    good: Path, spoilt: dict[str, object], key: str, value: object
) -> None:
    from safetensors import safe_open

    tensors: dict[str, object] = copy.deepcopy(SOUND) | spoilt
    if isinstance(tensors["a"], dict):
        tensors["a"][key] = value
    path = good.parent / "weights.safetensors"
    path.write_bytes(header(tensors, data_bytes=4000))
    try:
        facts = check_weights(path)
    except BurnishError as error:
        assert error.code in ("base-weights-broken", "base-json-broken")
        return
    with safe_open(path, framework="np") as opened:
        assert set(opened.keys()) == set(facts.shapes)


@settings(max_examples=200, deadline=None)
@given(_JSON)
def test_sound_json_is_read_as_it_is(value: object) -> None:
    text = json.dumps(value)
    if "NaN" in text or "Infinity" in text:
        with pytest.raises(BurnishError):
            parse_json(text.encode(), name="x.json")
    else:
        assert parse_json(text.encode(), name="x.json") == value


@pytest.mark.parametrize("model_type", sorted(MODEL_TYPES))
def test_what_transformers_writes_passes(model_type: str, tmp_path: Path) -> None:
    from burnish.models.families.tiny import make_tiny
    from burnish.models.families.tiny_writer import make_tiny_writer

    make = make_tiny_writer if model_type in WRITER_TYPES else make_tiny
    make(tmp_path, texts=["hello world", "good bye"], model_type=model_type, seed=0)
    assert check_model_folder(tmp_path) == ()
