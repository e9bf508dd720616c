"""The names people import: they are there, they say what they do, and no import takes them away."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from pathlib import Path

import pytest

import burnish
from burnish import api
from quick_circle import Circle, write_rows

VERBS = [name for name in burnish.__all__ if name[0].islower()]


def test_there_are_about_twenty_names() -> None:
    assert 15 <= len(burnish.__all__) <= 28
    assert set(burnish.__all__) <= set(dir(burnish))


@pytest.mark.parametrize("name", burnish.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    found = getattr(burnish, name)
    assert inspect.getdoc(found)
    assert found is getattr(burnish, name)


@pytest.mark.parametrize("name", VERBS)
def test_verbs_take_the_subject_first_and_the_rest_by_name(name: str) -> None:
    # a verb that shares its name with a package is the function of burnish.api behind it
    verb = getattr(api, name, None) or getattr(burnish, name)
    assert inspect.isfunction(verb)
    for parameter in inspect.signature(verb).parameters.values():
        assert parameter.annotation is not inspect.Parameter.empty
        assert parameter.kind is not inspect.Parameter.VAR_KEYWORD


def test_a_name_that_is_none_is_refused_in_words() -> None:
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        burnish.trian  # noqa: B018


def test_every_module_imports_and_verbs_stay_verbs() -> None:
    """None is broken, none is forgotten (migrations run only under alembic); and though six verbs share their
    name with a package, importing its modules does not take them away."""
    for module in pkgutil.walk_packages(burnish.__path__, "burnish."):
        if ".migrations" not in module.name and module.name != "burnish.__main__":
            importlib.import_module(module.name)
    assert "burnish.train.fit" in sys.modules
    assert [name for name in VERBS if not callable(getattr(burnish, name))] == []


def test_the_verbs_do_what_the_commands_do(tmp_path: Path, cache: Path) -> None:
    """Without a model: init, check and the dataset, from Python."""
    write_rows(tmp_path / "rows.csv")
    task = burnish.init(tmp_path / "rows.csv", project=tmp_path)
    assert burnish.load_task(tmp_path / "task.toml") == task
    assert not [issue for issue in burnish.check(tmp_path) if issue.severity == "error"]
    dataset = burnish.make_dataset(tmp_path, recipe=burnish.Recipe(base="tiny:bert"))
    assert dataset.rows_in == dataset.rows_used == 225
    assert burnish.deployments(tmp_path) == []
    with pytest.raises(burnish.BurnishError) as error:
        burnish.predict([{"subject": "", "text": "where is my parcel"}], tmp_path)
    assert error.value.code == "nothing-live"


def test_answers_from_python_are_those_of_the_command(circle: Circle) -> None:
    lines = (circle.project / "answers.csv").read_text(encoding="utf-8").splitlines()[1:]
    rows = (circle.project / "new_rows.csv").read_text(encoding="utf-8").splitlines()[1:]
    inputs = [dict(zip(("subject", "text"), row.split(","), strict=False)) for row in rows]
    version = lines[0].split(",")[3]
    answers = burnish.predict(inputs, circle.project, version=version)
    assert [one.answer.label.name for one in answers] == [line.split(",")[1] for line in lines]  # type: ignore[union-attr]
