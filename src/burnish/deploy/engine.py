"""The door of engines: who runs a bundle's model. One module per engine, one table.

There are two tables: engines of closed label sets give logits, engines of texts give texts.
To add an engine, write `deploy/engines/<name>.py` with a function `load` of the `Load` shape, add a
row to `ENGINES`, and run `tests/laws/test_engines.py`, which tests every row. The table holds names,
not modules, so that a server imports the one engine it uses and nothing else (torch least of all).
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from burnish.errors import fail, nearest
from burnish.records.task import Task

if TYPE_CHECKING:
    from burnish.models.fitted import Fitted
    from burnish.models.fitted_text import FittedText

ENGINES: Mapping[str, str] = {
    "transformers": "transformers_engine",
    "choices": "choices",
    "tfidf": "arrays",
    "centroid": "arrays",
    "knn": "arrays",
    "majority": "majority",
}
# Engines of kinds that answer with texts: a model that writes or finds, and what answers without any.
TEXT_ENGINES: Mapping[str, str] = {
    "writer": "writer",
    "span": "span",
    "lead": "text_arrays",
    "retrieval": "text_arrays",
    "sentence": "text_arrays",
}


class Load(Protocol):
    """What every engine module offers under the name `load`."""

    def __call__(self, folder: Path, task: Task, *, precision: str, max_tokens: int) -> Fitted:
        """The model in `folder`, ready to encode texts and give logits in the task's label order."""
        ...


class LoadText(Protocol):
    """The same for kinds that answer with texts."""

    def __call__(self, folder: Path, task: Task, *, precision: str, max_tokens: int) -> FittedText:
        """The model in `folder`, ready to answer rows."""
        ...


def load_text_engine(
    folder: Path, task: Task, *, engine: str, precision: str, max_tokens: int
) -> FittedText:
    """The model in `folder` that answers with texts, run by the engine of that name.

    Raises: engine-unknown; whatever the engine raises for a folder it cannot read.
    """
    load: LoadText = _module_of(engine, TEXT_ENGINES).load
    return load(folder, task, precision=precision, max_tokens=max_tokens)


def load_engine(
    folder: Path, task: Task, *, engine: str, precision: str, max_tokens: int
) -> Fitted:
    """The model in `folder`, run by the engine of that name.

    Raises: engine-unknown; whatever the engine raises for a folder it cannot read.

    Example:
        >>> load_engine(Path("."), None, engine="majorty", precision="fp32", max_tokens=8)
        Traceback (most recent call last):
        burnish.errors.BurnishError: error: engine-unknown
          no engine named "majorty".
          expected one of: transformers, choices, tfidf, centroid, knn, majority.
          fix: make the bundle again with an engine of this version.   (nearest: "majority")
    """
    load: Load = _module_of(engine, ENGINES).load
    return load(folder, task, precision=precision, max_tokens=max_tokens)


def _module_of(engine: str, known: Mapping[str, str]) -> Any:
    module = known.get(engine)
    if module is None:
        raise fail(
            "engine-unknown",
            f'no engine named "{engine}"',
            expected=f"one of: {', '.join(known)}",
            fix="make the bundle again with an engine of this version",
            nearest=nearest(engine, known),
        )
    return import_module(f"burnish.deploy.engines.{module}")
