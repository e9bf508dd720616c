"""The learning rate of a step, as a pure function."""

from __future__ import annotations

import math

from burnish.records.recipe import Recipe


def learning_rate(recipe: Recipe, *, step: int, of: int) -> float:
    """The rate of update `step` (1 is the first) out of `of`: linear warm-up, then the recipe's decay.

    Never zero: the last update of all, perhaps the only one, still learns.

    Example:
        >>> recipe = Recipe(learning_rate=1.0, warmup_fraction=0.5, schedule="linear")
        >>> [learning_rate(recipe, step=step, of=4) for step in (1, 2, 3, 4)]
        [0.5, 1.0, 1.0, 0.5]
    """
    warmup = round(recipe.warmup_fraction * of)
    if step <= warmup:
        return recipe.learning_rate * step / warmup
    if recipe.schedule == "constant":
        return recipe.learning_rate
    left = (of - step + 1) / (of - warmup)
    if recipe.schedule == "cosine":
        return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * (1 - left)))
    return recipe.learning_rate * left
