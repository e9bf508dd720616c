"""Adapters in bundles: beside the merged weights lies what was learnt alone, so that several versions can share one
base in memory.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pydantic

from burnish.deploy.host import Hosted
from burnish.records.deployment import Adapter, Bundle
from burnish.records.task import Task

if TYPE_CHECKING:
    from burnish.models.writer import Writer

ADAPTER_FOLDER = "adapter"
ADAPTER_FILE = "burnish/adapter.json"
# Of a model trained on a base in 4 bits the adapter knows another base than the one that rests in the cache.
SHARING_METHODS = ("lora", "dora", "rslora")

BaseKey = tuple[str, str]


def write_adapter(source: Path, folder: Path, *, adapter: Adapter) -> None:
    """Put the adapter that peft saved in `source` into a bundle that is being made."""
    target = folder / ADAPTER_FOLDER
    target.mkdir(mode=0o700)
    for path in sorted(source.iterdir()):
        if path.is_file() and path.name != "manifest.json":
            shutil.copyfile(path, target / path.name)
    (folder / ADAPTER_FILE).write_text(adapter.model_dump_json(indent=1), encoding="utf-8")


def read_adapter(folder: Path) -> Adapter | None:
    """What the adapter of a verified bundle stands on; None for a bundle without one."""
    try:
        return Adapter.model_validate_json((folder / ADAPTER_FILE).read_bytes())
    except (FileNotFoundError, pydantic.ValidationError):
        return None


@dataclass(slots=True)
class Bases:
    """Base models in memory, each once. `find` gives the verified folder of a base by its digest, None where it is not
    here; `held` goes by digest and precision.

    One thread loads; models that were handed out never change.
    """

    find: Callable[[str], Path | None]
    held: dict[BaseKey, Writer] = field(default_factory=dict)

    # an adapter beside a base that is held costs little
    opens_shadows = True

    def open(self, folder: Path, task: Task, bundle: Bundle) -> Hosted | None:
        """The model of a verified bundle on its shared base; None where it has no adapter, or its base is not here whole.

        Raises: the codes of load_writer and open_codec.
        """
        adapter = read_adapter(folder) if bundle.engine == "writer" else None
        if adapter is None:
            return None
        base = self._base(adapter, bundle)
        if base is None:
            return None
        from burnish.models.chat_model import open_chat_model
        from burnish.models.shared_base import with_adapter

        chat = open_chat_model(
            folder,
            precision=bundle.precision,
            max_tokens=bundle.max_tokens,
            new_tokens=task.decoding.max_new_tokens,
            truncate=task.truncate,
            writer=with_adapter(base, folder / ADAPTER_FOLDER),
        )
        return Hosted(chat, base_key(adapter, bundle), shares_base=True)

    def keep(self, used: Collection[Hashable]) -> None:
        """Let go of the bases that no model uses any more."""
        for key in [key for key in self.held if key not in used]:
            del self.held[key]

    def broken(self) -> tuple[Hashable, ...]:
        """Weights in this process do not break by themselves."""
        return ()

    def hurry(self) -> None:
        """A base is soon read."""

    def stop(self) -> None:
        """Let go of every base."""
        self.held.clear()

    def _base(self, adapter: Adapter, bundle: Bundle) -> Writer | None:
        key = base_key(adapter, bundle)
        if key not in self.held:
            from burnish.models.writer import load_writer

            folder = self.find(adapter.base_sha256)
            if folder is None:
                return None
            self.held[key] = load_writer(folder, precision=bundle.precision)
        return self.held[key]


def cached_bases(cache: Path) -> Bases:
    """Bases out of a cache of base models, none of them in memory yet."""
    from burnish.models.cached_base import find_cached

    return Bases(lambda sha256: find_cached(cache, sha256=sha256))


def base_key(adapter: Adapter, bundle: Bundle) -> BaseKey:
    """What two bundles must have in common to share a base."""
    return adapter.base_sha256, bundle.precision
