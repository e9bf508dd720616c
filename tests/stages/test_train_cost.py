"""The arithmetic of an estimate, and how much memory a process may hold."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from burnish.encode.pack import epoch_updates, micro_batches
from burnish.records.recipe import Recipe
from burnish.train.cost import (
    Costs,
    MemoryNeeds,
    line_through,
    schedule_of,
    settings_that_fit,
    work_of,
)
from burnish.train.memory import Limit, host_memory, peak_bytes, resident_bytes

LENGTHS = st.lists(st.integers(1, 300), min_size=1, max_size=120).map(np.array)
MEGABYTE = 1 << 20
SAMPLES = settings(max_examples=60, deadline=None, derandomize=True)


@SAMPLES
@given(LENGTHS, st.integers(1, 40), st.integers(16, 600), st.integers(1, 4))
def test_the_schedule_is_what_the_loop_will_do(
    lengths: np.ndarray, batch_rows: int, batch_tokens: int, epochs: int
) -> None:
    recipe = Recipe(batch_rows=batch_rows, batch_tokens=batch_tokens, epochs=epochs)
    schedule = schedule_of(lengths, recipe, span=100.0)
    rows = np.concatenate([piece.rows for piece in schedule.pieces])
    assert sorted(rows.tolist()) == list(range(len(lengths)))
    works = [piece.work for piece in schedule.pieces]
    assert works == sorted(works)
    every = [
        [work_of(lengths[piece], span=100.0) for piece in micro_batches(update, lengths, batch_tokens=batch_tokens)]
        for epoch in range(epochs)
        for update in epoch_updates(lengths, batch_rows=batch_rows, seed=recipe.seed, epoch=epoch)
    ]  # fmt: skip
    assert schedule.updates * epochs == len(every)
    assert schedule.longest.work == max(map(max, every))
    assert schedule.longest.alone in {len(one) == 1 for one in every if max(one) == max(map(max, every))}  # fmt: skip


@SAMPLES
@given(
    st.floats(0, 10),
    st.floats(1e-4, 10),
    st.lists(st.floats(1, 1000), min_size=2, max_size=8, unique=True),
)
def test_a_line_is_found_again(fixed: float, slope: float, works: list[float]) -> None:
    if max(works) < 1.5 * min(works):
        works = [*works, 2 * max(works)]
    works_S = np.array(works)
    line = line_through(works_S, np.column_stack([fixed + slope * works_S, works_S]))
    assert_allclose(line.at(500.0), [fixed + slope * 500, 500.0], rtol=1e-5)


@SAMPLES
@given(st.lists(st.tuples(st.floats(1, 1e4), st.floats(1e-4, 1e3)), min_size=1, max_size=8))
def test_no_measure_makes_a_line_that_falls_or_starts_below_zero(
    samples: list[tuple[float, float]],
) -> None:
    works, seconds = np.array(samples).T
    line = line_through(works, seconds[:, None])
    assert line.fixed_C[0] >= 0 and line.slope_C[0] >= 0
    assert line.at(1.0)[0] > 0


def test_costs_add_up() -> None:
    one = np.array([1.0, 0.5])
    costs = Costs(start=4 * one, update=2 * one, epoch=3 * one, end=5 * one)
    assert costs.of(updates=10, epochs=2).tolist() == [35.0, 17.5]
    assert costs.of(updates=10, epochs=2, ended=False).tolist() == [30.0, 15.0]


@SAMPLES
@given(LENGTHS, st.floats(1, 1e9), st.sampled_from(["full", "lora", "head"]))
def test_settings_that_fit_do_fit_and_are_the_first_that_do(
    lengths: np.ndarray, most: float, method: str
) -> None:
    needs = MemoryNeeds(
        fixed=1e5,
        learnt={"full": 1e7, "lora": 1e6, "head": 1e5},
        per_token=1e4,
        per_pair=10.0,
        reading=100.0,
    )
    recipe = Recipe(method=method)  # type: ignore[arg-type]
    changes = settings_that_fit(recipe, lengths, needs, most=most)
    if changes is None:
        milder = recipe.model_copy(update={"method": "head"})
        assert method == "head" or needs.of(lengths, milder) > 0.9 * most
        return
    # what is proposed is a recipe, and it fits
    assert needs.of(lengths, Recipe.model_validate({"method": method, **changes})) <= most
    if "method" in changes:  # not before nothing else helped
        least = recipe.model_copy(update={"batch_tokens": 16, "max_tokens": 32})
        assert needs.of(lengths, least) > 0.9 * most
    if "max_tokens" in changes and "method" not in changes:
        longest = int(min(lengths.max(), recipe.max_tokens))
        least = recipe.model_copy(update={"batch_tokens": max(16, longest)})
        assert needs.of(lengths, least) > 0.9 * most


def test_smaller_passes_are_proposed_before_anything_that_changes_the_result() -> None:
    lengths = np.full(64, 200)
    needs = MemoryNeeds(
        fixed=0, learnt={"full": 100, "lora": 10, "head": 1}, per_token=1, per_pair=0, reading=0
    )
    recipe = Recipe()
    assert settings_that_fit(recipe, lengths, needs, most=3000) == {"batch_tokens": 2048}
    assert settings_that_fit(recipe, lengths, needs, most=290) == {
        "batch_tokens": 128,
        "max_tokens": 128,
    }
    assert settings_that_fit(recipe, lengths, needs, most=100) == {
        "method": "lora",
        "batch_tokens": 64,
        "max_tokens": 64,
    }
    assert settings_that_fit(recipe, lengths, needs, most=20) == {"method": "head"}
    assert settings_that_fit(recipe, lengths, needs, most=1) is None


def made_proc(folder: Path, *, cgroup: str, free_kilobytes: int = 8_000_000) -> Path:
    (folder / "self").mkdir(parents=True)
    (folder / "self" / "statm").write_text(
        f"900 {100 * MEGABYTE // resource.getpagesize()} 3 1 0 1 0\n"
    )
    (folder / "self" / "status").write_text("VmSize:\t  204800 kB\nVmData:\t  102400 kB\n")
    (folder / "self" / "cgroup").write_text(cgroup)
    (folder / "meminfo").write_text(f"MemTotal: 9000000 kB\nMemAvailable:  {free_kilobytes} kB\n")
    return folder  # fmt: skip


def made_group(folder: Path, version: int, *, limit: str, used: int, droppable: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = (
        ("memory.max", "memory.current", "inactive_file")
        if version == 2
        else ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    )
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\n{names[2]} {droppable}\n")


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("inside", [True, False])
def test_the_smallest_control_group_counts(tmp_path: Path, version: int, inside: bool) -> None:
    """Its own limit, that of a group around it, or the root's where the path is that of another machine."""
    line = "0::/a/b\n" if version == 2 else "3:cpu:/x\n4:memory:/a/b\n0::/\n"
    proc = made_proc(tmp_path / "proc", cgroup=line)
    home = tmp_path / "groups" / ("memory" if version == 1 else "")
    nothing = "max" if version == 2 else str((1 << 63) - 4096)
    limit = str(400 * MEGABYTE)
    group = {"used": 300 * MEGABYTE, "droppable": 50 * MEGABYTE}
    if inside:
        made_group(home / "a" / "b", version, limit=nothing, **group)
        made_group(home / "a", version, limit=limit, **group)
    else:
        made_group(home, version, limit=limit, **group)
    room = host_memory(proc=proc, cgroups=tmp_path / "groups")
    assert room.held == 100 * MEGABYTE
    assert room.smallest == room.deadly
    assert room.smallest == Limit(250 * MEGABYTE, "the control group's memory limit", refuses=False)


def test_without_other_limits_physical_memory_counts(tmp_path: Path) -> None:
    proc = made_proc(tmp_path / "proc", cgroup="0::/\n")
    made_group(tmp_path / "groups", 2, limit="max", used=1, droppable=0)
    room = host_memory(proc=proc, cgroups=tmp_path / "groups")
    assert room.deadly == Limit(100 * MEGABYTE + 8_000_000 * 1024, "physical memory", refuses=False)


def test_where_the_system_tells_nothing_nothing_is_claimed(tmp_path: Path) -> None:
    room = host_memory(proc=tmp_path / "none", cgroups=tmp_path / "none")
    assert (room.held, room.smallest, room.deadly) == (peak_bytes(), None, None)


@contextmanager
def soft_limit(which: int, count: int) -> Iterator[None]:
    before = resource.getrlimit(which)
    resource.setrlimit(which, (count, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(which, before)


@pytest.mark.parametrize("name", ["RLIMIT_AS", "RLIMIT_DATA"])
def test_limits_of_the_process_count(tmp_path: Path, name: str) -> None:
    proc = made_proc(tmp_path / "proc", cgroup="0::/\n", free_kilobytes=1 << 40)
    taken = {"RLIMIT_AS": 200 * MEGABYTE, "RLIMIT_DATA": 100 * MEGABYTE}[name]
    with soft_limit(getattr(resource, name), 1 << 45):
        room = host_memory(proc=proc, cgroups=tmp_path)
    assert room.smallest is not None and room.smallest.refuses
    assert room.smallest.most == 100 * MEGABYTE + (1 << 45) - taken
    assert room.smallest.name.startswith(name)
    assert room.deadly is not None and room.deadly.name == "physical memory"


def test_this_process_holds_something() -> None:
    room = host_memory()
    assert 1 * MEGABYTE < resident_bytes() <= 1.1 * peak_bytes()
    assert all(limit.most >= room.held for limit in room.limits)
