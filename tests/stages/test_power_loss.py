"""Power lost at any moment of any durable act: the old state or the new one, never a mix, nothing acknowledged gone.

The long version is tests/soak/power_loss.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from burnish.store import durable, line_log
from crash_scenes import SCENES, Scene, Tally, in_memory, recorded, survive, training_scene

STATES = {"files": 2000, "folders": 2000, "exchange": 1000, "logs": 2500, "checkpoints": 2000}
TALLIES: dict[str, Tally] = {}


@pytest.fixture
def place() -> Iterator[Path]:
    with in_memory() as folder:
        yield folder


@pytest.mark.parametrize("name", SCENES)
def test_power_may_fail_at_any_moment(place: Path, name: str) -> None:
    TALLIES[name] = survive(SCENES[name], place, count=STATES[name], seed=1)
    assert TALLIES[name].distinct >= 60


def test_power_may_fail_at_any_moment_of_a_training(place: Path) -> None:
    """Each thirtieth state is trained on from, and ends in the same bytes."""
    scene = training_scene(place / "base", resume_every=30)
    TALLIES["training"] = survive(scene, place, count=600, seed=1)
    assert TALLIES["training"].distinct >= 100


def test_these_were_enough_states() -> None:
    if len(TALLIES) <= len(SCENES):
        pytest.skip("counts what the tests above looked at, and not all of them ran")
    assert sum(one.states for one in TALLIES.values()) >= 10_000
    assert sum(one.distinct for one in TALLIES.values()) >= 2_000


def test_the_end_of_every_scene_is_right_without_a_power_loss(place: Path) -> None:
    for name, scene in SCENES.items():
        folder = place / name
        folder.mkdir()
        disk = recorded(scene, folder)
        scene.check(disk.home, tuple(label for _, label in disk.acks))


def forgets_to(what: str) -> Callable[[pytest.MonkeyPatch], None]:
    """A broken copy of the store."""

    def break_it(patch: pytest.MonkeyPatch) -> None:
        def nothing(*_: object) -> None:
            return None

        for module in (durable, line_log):
            patch.setattr(module, what, nothing)

    return break_it


def renames_first(patch: pytest.MonkeyPatch) -> None:
    """The manifest written and the folder renamed before the files are synced."""
    patch.setattr(durable, "_settle", lambda path: None)


def prunes_first(patch: pytest.MonkeyPatch) -> None:
    """The old folder removed and the new one not synced into its place."""
    real = durable.exchange_folder

    def exchange(target: Path, *, published: Path) -> None:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(durable, "sync_folder", lambda folder: None)
            real(target, published=published)

    import crash_scenes

    patch.setattr(crash_scenes, "exchange_folder", exchange)


BROKEN: dict[str, tuple[str, Callable[[pytest.MonkeyPatch], None]]] = {
    "a file is not synced": ("files", forgets_to("sync")),
    "a name is not synced": ("files", forgets_to("sync_folder")),
    "files of a folder are not synced": ("folders", renames_first),
    "a folder's name is not synced": ("folders", forgets_to("sync_folder")),
    "an exchange is not synced": ("exchange", prunes_first),
    "lines are not synced": ("logs", forgets_to("sync")),
    "a checkpoint is not synced": ("checkpoints", forgets_to("sync")),
    "a checkpoint's name is not synced": ("checkpoints", forgets_to("sync_folder")),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_store_is_noticed(place: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The same states find what a store loses that leaves out one of its steps."""
    scene_name, break_it = BROKEN[name]
    scene = SCENES[scene_name]

    def act(home: Path, acknowledge: Callable[[object], None]) -> None:
        with monkeypatch.context() as patch:
            break_it(patch)
            scene.act(home, acknowledge)

    with pytest.raises(AssertionError, match="after .* operations"):
        survive(Scene(scene.prepare, act, scene.check), place, count=600, seed=1)
