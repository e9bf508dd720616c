"""Burnish: from labelled rows to a model you can defend. The public API, in life-cycle order.

Example:
    >>> import burnish
    >>> burnish.Recipe(method="lora").lora_rank
    16
"""

from importlib import import_module
from importlib.metadata import version
from types import ModuleType
from typing import Any

__version__ = version("burnish")

# Where each public name lives. Resolved on first use, so that `import burnish` costs nothing.
_HOMES = {
    "init": "burnish.api",
    "load_task": "burnish.tasks.load",
    "check": "burnish.api",
    "make_dataset": "burnish.api",
    "export": "burnish.api",
    "train": "burnish.api",
    "evaluate": "burnish.api",
    "decide": "burnish.api",
    "run": "burnish.api",
    "promote": "burnish.api",
    "rollback": "burnish.api",
    "deployments": "burnish.api",
    "predict": "burnish.api",
    "serve": "burnish.api",
    "give_feedback": "burnish.api",
    "monitor": "burnish.api",
    "retrain": "burnish.api",
    "forget": "burnish.api",
    "doctor": "burnish.api",
    "Task": "burnish.records.task",
    "Dataset": "burnish.records.dataset",
    "Recipe": "burnish.records.recipe",
    "Run": "burnish.records.run",
    "Report": "burnish.records.report",
    "Decision": "burnish.records.decision",
    "Deployment": "burnish.records.deployment",
    "BurnishError": "burnish.errors",
}
__all__ = list(_HOMES)


class _StageVerb(ModuleType):
    """A stage's package that is its verb as well: `burnish.train(...)` and `burnish.train.fit` both work."""

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call the verb of burnish.api with the same name."""
        return getattr(import_module("burnish.api"), self.__name__.rpartition(".")[2])(
            *arguments, **named
        )


# Six verbs share their name with the stage's package. Binding a function here would hide the package from
# `import burnish.train.fit as fit`; a callable package serves both. Each import costs a docstring.
for _stage in ("train", "evaluate", "decide", "serve", "monitor", "retrain"):
    import_module(f"burnish.{_stage}").__class__ = _StageVerb


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'burnish' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*_HOMES, "__version__"]
