"""The wall clock goes back by hours and forward by years: nothing that is made or decided hangs on it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from burnish.deploy.deployments import deployments, live, promote, rollback
from burnish.errors import BurnishError
from burnish.store.ledger import check_ledger, events, open_ledger
from burnish.store.workspace import lock, open_workspace
from burnish.train.fit import Surroundings
from burnish.train.runs import load_run
from deployed import record_of
from tiny_training import small_recipe, tiny_base, train_tiny

JUMPS = (
    "2026-11-22T10:00:00Z", "2026-11-22T03:00:00Z", "2061-01-01T00:00:00Z", "1970-01-01T00:00:00Z",
    "2026-11-22T10:00:01Z", "2038-01-19T03:14:08Z",
)  # fmt: skip


@pytest.fixture
def jumping() -> Iterator[str]:
    return itertools.cycle(JUMPS)


def test_a_training_is_the_same_under_any_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jumping: Iterator[str]
) -> None:
    """Stopped and resumed while the clock jumps; saving goes by a clock that cannot."""
    tiny_base(tmp_path / "base")
    recipe = small_recipe(epochs=2)
    steady = train_tiny(tmp_path / "base", tmp_path / "steady", recipe)

    def jumpy(now: object, *rest: object) -> Surroundings:
        return Surroundings(lambda: next(jumping), *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("tiny_training.Surroundings", jumpy)
    monkeypatch.setattr(time, "time", lambda: -1e9)
    stops = iter([None, None, None, 143])
    with pytest.raises(BurnishError, match="training-interrupted"):
        train_tiny(tmp_path / "base", tmp_path / "jumpy", recipe, stop=lambda: next(stops, 143))
    run = train_tiny(tmp_path / "base", tmp_path / "jumpy", recipe)
    assert run.weights_sha256 == steady.weights_sha256
    assert 0 < run.train_seconds < 600
    assert load_run(tmp_path / "jumpy" / run.id) == run
    again = train_tiny(tmp_path / "base", tmp_path / "jumpy", recipe)
    assert again == run


def test_what_is_live_goes_by_the_order_of_events(tmp_path: Path, jumping: Iterator[str]) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        for number in (1, 2, 3):
            promote(
                ledger, record_of(number), by="ann", because="better", at=next(jumping), force=False
            )
        assert live(ledger, "support").bundle_id == record_of(3).id  # type: ignore[union-attr]
        rollback(ledger, "support", by="ann", because="worse", at=next(jumping))
        assert live(ledger, "support").bundle_id == record_of(2).id  # type: ignore[union-attr]
        assert [one.version for one in deployments(ledger, "support")] == [
            f"support-{number}" for number in (1, 2, 3)
        ]
        assert [one.sequence for one in events(ledger)] == [1, 2, 3, 4]
        assert check_ledger(ledger) == ()


def test_a_lock_waits_by_a_clock_that_cannot_jump(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "task.toml").write_text("")
    workspace = open_workspace(tmp_path, create=True)
    wall = itertools.cycle([0.0, 1e12, -1e12])
    monkeypatch.setattr(time, "time", lambda: next(wall))
    with lock(workspace, "train"):
        began = time.monotonic()
        with pytest.raises(BurnishError, match="busy"), lock(workspace, "train", wait_seconds=0.2):
            pytest.fail("two at once")
        assert 0.15 < time.monotonic() - began < 5
    with lock(workspace, "train"):
        pass
