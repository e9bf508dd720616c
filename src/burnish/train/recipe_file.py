"""recipe.toml: the recipe as a file people edit; unknown keys and wrong values all told at once."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from pydantic import ValidationError

from burnish.errors import BurnishError, Problem, fail, nearest
from burnish.records.recipe import Recipe, defaults_of

FILE_NAME = "recipe.toml"


def load_recipe(
    path: Path, *, overrides: Mapping[str, object], kind: str = "classification"
) -> Recipe:
    """The recipe of a file (defaults where it is silent or absent) with overrides from the command line on top.

    `kind` is the task's: kinds have defaults of their own.

    Raises: recipe-bad-toml, recipe-unknown-key, recipe-bad-value.
    """
    values: dict[str, object] = {}
    if path.is_file():
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise fail(
                "recipe-bad-toml",
                str(error),
                where=path.name,
                expected="TOML: one `key = value` a line",
                fix=f"correct {path.name}, or remove it to use the defaults",
            ) from None
    given = {key: value for key, value in overrides.items() if value is not None}
    values |= given
    problems = [_unknown(key, path) for key in values if key not in Recipe.model_fields]
    known = {key: value for key, value in values.items() if key in Recipe.model_fields}
    try:
        # strict: epochs = "4" or epochs = true is a slip, not a number
        recipe = Recipe.model_validate({**defaults_of(kind), **known}, strict=True)
    except ValidationError as error:
        problems += [
            Problem(
                code="recipe-bad-value",
                what=f"{item['loc'][0]} = {item['input']!r}",
                where="command line" if str(item["loc"][0]) in given else path.name,
                expected=item["msg"].removeprefix("Input should be "),
                fix="correct the value; docs/train.md lists every field",
                nearest=_nearest_value(str(item["loc"][0]), item["input"]),
            )
            for item in error.errors()
        ]
        raise BurnishError(tuple(problems)) from None
    if problems:
        raise BurnishError(tuple(problems))
    return recipe


def _nearest_value(key: str, value: object) -> str | None:
    """For a field with a closed choice, the choice that was probably meant."""
    choices = get_args(Recipe.model_fields[key].annotation)
    return nearest(value, choices) if isinstance(value, str) and choices else None


def _unknown(key: str, path: Path) -> Problem:
    return Problem(
        code="recipe-unknown-key",
        what=f'unknown key "{key}"',
        where=path.name,
        expected=f"one of: {', '.join(Recipe.model_fields)}",
        fix="correct or remove the key",
        nearest=nearest(key, Recipe.model_fields),
    )
