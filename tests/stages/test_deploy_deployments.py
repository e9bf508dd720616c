"""What is live follows from the events alone."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.deploy.deployments import deployments, history, live, promote, rollback
from burnish.errors import BurnishError
from burnish.store.ledger import Ledger, open_ledger
from deployed import AT, WHO
from deployed import record_of as bundle


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return open_ledger(tmp_path / "ledger.db")


def test_the_history_says_who_when_and_why(ledger: Ledger) -> None:
    first = promote(ledger, bundle(1), by="ann", because="first", at=AT, stage="shadow")
    second = promote(ledger, bundle(1), by="bob", because="looks good", at=AT)
    third = promote(ledger, bundle(2), **WHO)
    fourth = rollback(ledger, "support", by="eve", because="complaints", at=AT)
    assert history(ledger) == [first, second, third, fourth]
    assert [d.version for d in history(ledger)] == [
        "support-1",
        "support-1",
        "support-2",
        "support-1",
    ]
    assert [d.stage for d in history(ledger)] == ["shadow", "live", "live", "live"]
    assert [d.replaces for d in history(ledger)] == [None, None, "support-1", "support-2"]
    assert (fourth.by, fourth.because, fourth.report_id) == ("eve", "complaints", "report1")
    assert [d.sequence for d in history(ledger)] == [1, 2, 3, 4]
    now = {d.version: d.stage for d in deployments(ledger)}
    assert now == {"support-1": "live", "support-2": "retired"}
    assert live(ledger, "support") == fourth


def test_a_failed_gate_is_refused_unless_a_person_says_why(ledger: Ledger) -> None:
    failed = bundle(1, verdict="failed")
    with pytest.raises(BurnishError) as caught:
        promote(ledger, failed, **WHO)
    assert (caught.value.code, caught.value.exit_code) == ("gate-failed", 3)
    with pytest.raises(BurnishError, match="reason-missing"):
        promote(ledger, failed, by="ann", because=" ", at=AT, force=True)
    assert history(ledger) == []
    forced = promote(ledger, failed, by="ann", because="the boss wants it", at=AT, force=True)
    assert (forced.forced, forced.verdict, forced.because) == (True, "failed", "the boss wants it")
    assert not promote(ledger, bundle(2, verdict=None), **WHO, force=True).forced


def test_nothing_to_roll_back(ledger: Ledger) -> None:
    with pytest.raises(BurnishError, match="nothing-to-roll-back"):
        rollback(ledger, "support", **WHO)
    promote(ledger, bundle(1), **WHO)
    with pytest.raises(BurnishError, match="nothing-to-roll-back"):
        rollback(ledger, "support", **WHO)
    assert len(history(ledger)) == 1


def test_tasks_do_not_mix(ledger: Ledger) -> None:
    promote(ledger, bundle(1), **WHO)
    promote(ledger, bundle(2, task="other"), **WHO)
    assert [d.version for d in deployments(ledger)] == ["support-1", "other-1"]
    assert [d.version for d in deployments(ledger, "other")] == ["other-1"]
    assert live(ledger, "third") is None


def test_what_is_live_stays_live_when_it_is_sent_to_shadow(ledger: Ledger) -> None:
    first = promote(ledger, bundle(1), **WHO)
    assert promote(ledger, bundle(1), **WHO, stage="shadow") == first
    assert history(ledger) == [first]


def test_the_same_command_again_changes_nothing(ledger: Ledger) -> None:
    for stage in ("shadow", "live"):
        first = promote(ledger, bundle(1), **WHO, stage=stage)
        assert promote(ledger, bundle(1), **WHO, stage=stage) == first
    assert len(history(ledger)) == 2


MOVES = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["live", "shadow"]), st.integers(1, 4)), st.just(("back", 0))
    ),
    max_size=14,
)


@settings(max_examples=25, deadline=None)
@given(MOVES)
def test_any_course_of_events_ends_as_a_stack_does(moves: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder, open_ledger(Path(folder) / "l.db") as ledger:
        stack: list[int] = []
        order: list[int] = []
        for what, number in moves:
            try:
                if what == "back":
                    rollback(ledger, "support", **WHO)
                else:
                    promote(ledger, bundle(number), **WHO, stage=what)  # type: ignore[arg-type]
            except BurnishError as error:
                assert what == "back" and error.code == "nothing-to-roll-back" and len(stack) < 2
                continue
            if what == "back":
                stack.pop()
            else:
                order += [number] * (number not in order)
                if what == "live" and stack[-1:] != [number]:
                    stack.append(number)
            answer = live(ledger, "support")
            assert (int(answer.bundle_id, 16) if answer else None) == (stack[-1] if stack else None)
        stages = [d.stage for d in deployments(ledger)]
        assert stages.count("live") == bool(stack)
        versions = {d.version: int(d.bundle_id, 16) for d in deployments(ledger)}
        assert versions == {f"support-{n}": number for n, number in enumerate(order, start=1)}
        past = [d.sequence for d in history(ledger)]
        assert all(a < b for a, b in itertools.pairwise(past))
