"""recipe.toml: every slip told at once, with the name that was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from burnish.errors import BurnishError
from burnish.records.recipe import Recipe
from burnish.train.recipe_file import load_recipe


def wrong(path: Path, **overrides: object) -> list[tuple[str, str, str, str | None]]:
    """Code, what, where and nearest of every problem."""
    with pytest.raises(BurnishError) as caught:
        load_recipe(path, overrides=overrides)
    return [(one.code, one.what, one.where, one.nearest) for one in caught.value.problems]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "recipe.toml"


def test_without_a_file_the_defaults(path: Path) -> None:
    assert load_recipe(path, overrides={"epochs": None}) == Recipe()


def test_the_command_line_stands_above_the_file(path: Path) -> None:
    path.write_text('epochs = 3\nlearning_rate = 1\nmethod = "lora"\n')
    recipe = load_recipe(path, overrides={"epochs": 5, "method": None})
    assert (recipe.epochs, recipe.learning_rate, recipe.method) == (5, 1.0, "lora")


def test_all_problems_at_once(path: Path) -> None:
    path.write_text(
        'epocs = 3\nmethod = "lorra"\nepochs = "4"\nseed = -1\ndropout = 1.5\nlearning_rat = 1\n'
        "learning_rate = inf\nbatch_rows = true\n[data]\ntrain = 1\n"
    )
    found = wrong(path, max_tokens=2, epochs=None)
    assert {(code, what) for code, what, _, _ in found} == {
        ("recipe-unknown-key", 'unknown key "epocs"'),
        ("recipe-unknown-key", 'unknown key "learning_rat"'),
        ("recipe-unknown-key", 'unknown key "data"'),
        ("recipe-bad-value", "method = 'lorra'"),
        ("recipe-bad-value", "epochs = '4'"),
        ("recipe-bad-value", "seed = -1"),
        ("recipe-bad-value", "dropout = 1.5"),
        ("recipe-bad-value", "learning_rate = inf"),
        ("recipe-bad-value", "batch_rows = True"),
        ("recipe-bad-value", "max_tokens = 2"),
    }
    nearest = {what: near for _, what, _, near in found}
    assert nearest['unknown key "epocs"'] == "epochs"
    assert nearest['unknown key "learning_rat"'] == "learning_rate"
    assert nearest["method = 'lorra'"] == "lora"
    where = {what: place for _, what, place, _ in found}
    assert where["max_tokens = 2"] == "command line"
    assert where["epochs = '4'"] == "recipe.toml"


@pytest.mark.parametrize("text", [b"epochs 3", b"epochs = 3\nepochs = 4", b"\xff\xfe"])
def test_what_is_not_toml(path: Path, text: bytes) -> None:
    path.write_bytes(text)
    ((code, _, where, _),) = wrong(path)
    assert (code, where) == ("recipe-bad-toml", "recipe.toml")


def test_a_seed_that_some_library_cannot_take_is_refused(path: Path) -> None:
    path.write_text("seed = 4294967296\n")
    assert wrong(path)[0][1] == "seed = 4294967296"
