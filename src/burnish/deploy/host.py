"""Who holds weights for the versions that a server answers with: bases in this process, or vLLM in one of its own."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from burnish.records.deployment import Bundle
from burnish.records.task import Task

if TYPE_CHECKING:
    from burnish.models.fitted_text import FittedText


@dataclass(frozen=True, slots=True)
class Hosted:
    """A version on weights that its host holds under `key`. `shares_base`: they are a base's, and an adapter's its own.

    `limit` is the largest difference of a golden answer's log-probability to that at making, nats a token; None for the
    limit of the version's precision.
    """

    fitted: FittedText
    key: Hashable
    shares_base: bool
    limit: float | None = None


class Host(Protocol):
    """The door that hosts pass. One thread opens, keeps and stops; what was handed out answers in any."""

    @property
    def opens_shadows(self) -> bool:
        """Whether versions in shadow may be opened too, at little cost."""
        ...

    def open(self, folder: Path, task: Task, bundle: Bundle) -> Hosted | None:
        """A verified bundle on weights held here; None where it has to have weights of its own.

        Raises: the codes of the host.
        """
        ...

    def keep(self, used: Collection[Hashable]) -> None:
        """Let go of weights that no version stands on any more."""
        ...

    def broken(self) -> Collection[Hashable]:
        """Keys of weights that do not answer any more."""
        ...

    def hurry(self) -> None:
        """Nobody waits any more for what is being opened; may be said from any thread."""
        ...

    def stop(self) -> None:
        """Let go of everything."""
        ...
