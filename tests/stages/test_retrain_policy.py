"""Policies: pure questions to the ledger's facts. Asked twice they answer the same; held back, they say why."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.records.deployment import Deployment
from burnish.records.recipe import Recipe
from burnish.records.retraining import Retraining
from burnish.records.signal import Change, Level, Signal, Watched
from burnish.records.task import Retrain
from burnish.retrain.policy import Facts, due_promotion, due_retraining, due_rollback, last_moment
from burnish.tasks.cron import cron
from support_task import make_task

SAMPLES = settings(max_examples=60, deadline=None, derandomize=True)
START = datetime(2026, 11, 2, 3, 0, tzinfo=UTC)


def at(hours: float) -> str:
    return (START + timedelta(hours=hours)).isoformat(timespec="seconds").replace("+00:00", "Z")


def deployment(
    version: str, stage: str, hours: float, *, replaces: str | None = None
) -> Deployment:
    return Deployment.model_validate(
        {
            "version": version,
            "task_name": "support",
            "bundle_id": version,
            "engine": "transformers",
            "run_id": "r",
            "report_id": "p",
            "verdict": "passed",
            "stage": stage,
            "replaces": replaces,
            "by": "ann",
            "because": "",
            "at": at(hours),
            "sequence": int(hours) + 10,
        }
    )


def retraining(hours: float, **changes: object) -> Retraining:
    fields: dict[str, object] = {
        "id": f"r{hours}",
        "task_name": "support",
        "parent_id": "d",
        "feedback_until": 0,
        "live_version": "support-1",
        "recipe": Recipe(),
        "start": "base",
        "by": "ann",
        "because": "",
        "started_at": at(hours),
        "outcome": "refused",
    }
    return Retraining.model_validate(fields | changes)


def window(
    name: str, level: Level, *, hours: float, version: str = "support-2", until: float | None = None
) -> Watched:
    signal = Signal(name=name, value=0.5, level=level, because="it fell", method="")
    end = hours if until is None else until
    return Watched(
        version=version, first=1, last=9, rows=9, since=at(hours), until=at(end),
        signals=(signal,), change=Change(), at=at(end),
    )  # fmt: skip


def facts(**changes: object) -> Facts:
    fields: dict[str, object] = {
        "now": at(100),
        "retrainings": (),
        "live": deployment("support-2", "live", 1, replaces="support-1"),
        "candidate": None,
        "windows": (),
        "new_labels": 0,
        "silent_rows": 0,
        "since": at(0),
    }
    return Facts(**(fields | changes))  # type: ignore[arg-type]


def task_of(**policy: object):
    return make_task(retrain=Retrain.model_validate(policy))


def test_without_policies_nothing_is_due() -> None:
    loud = (window("audited_accuracy", "act", hours=2),)
    found = facts(windows=loud, new_labels=10**6)
    assert due_retraining(make_task(), found) is None
    assert due_rollback(make_task(), found) is None
    assert due_promotion(make_task(), found) is None


def test_labels_signals_and_schedule_each_ask() -> None:
    assert due_retraining(task_of(on_labels=300), facts(new_labels=299)) is None
    by_labels = due_retraining(task_of(on_labels=300), facts(new_labels=300))
    assert by_labels is not None and "300 new labels" in by_labels.because and not by_labels.waits
    signal = task_of(on_signals=["confidence"])
    assert due_retraining(signal, facts(windows=[window("label_mix", "look", hours=9)])) is None
    assert due_retraining(signal, facts(windows=[window("confidence", "quiet", hours=9)])) is None
    found = due_retraining(signal, facts(windows=[window("confidence", "look", hours=9)]))
    assert found is not None and "confidence says look" in found.because
    weekly = task_of(schedule="0 3 * * 1")
    assert due_retraining(weekly, facts(now=at(24 * 7 - 1))) is None
    assert due_retraining(weekly, facts(now=at(24 * 7))) is not None


def test_what_asked_once_does_not_ask_again() -> None:
    signal = task_of(on_signals=["confidence"], schedule="0 3 * * 1", cooldown_hours=0)
    heard = facts(
        windows=[window("confidence", "look", hours=9)], retrainings=[retraining(24 * 7 + 1)],
        now=at(24 * 7 + 2),
    )  # fmt: skip
    assert due_retraining(signal, heard) is None


def test_cool_down_budget_and_an_open_one_hold_back_and_say_so() -> None:
    def waits(policy: dict[str, object], **changes: object) -> str:
        found = due_retraining(task_of(on_labels=1, **policy), facts(new_labels=5, **changes))
        assert found is not None
        return found.waits

    assert "cooling down" in waits({"cooldown_hours": 24}, retrainings=[retraining(77)])
    assert waits({"cooldown_hours": 24}, retrainings=[retraining(75)]) == ""
    spent = [retraining(1, minutes=40.0), retraining(2, minutes=30.0)]
    assert "70 of 60 minutes" in waits({"budget_minutes": 60}, retrainings=spent)
    assert waits({"budget_minutes": 71}, retrainings=spent) == ""
    old = [retraining(-24 * 40, minutes=500.0)]
    assert waits({"budget_minutes": 60}, retrainings=old) == ""
    assert "did not end" in waits({}, retrainings=[retraining(1, outcome=None)])


def test_a_policy_promotes_only_what_a_retraining_brought_and_after_enough_silent_answers() -> None:
    policy = task_of(promote="policy", shadow_rows=50)
    candidate = deployment("support-3", "shadow", 50)
    made = retraining(40, version="support-3", outcome="shadow")
    assert due_promotion(policy, facts(candidate=candidate, silent_rows=99)) is None
    waiting = due_promotion(policy, facts(candidate=candidate, retrainings=[made], silent_rows=49))
    assert waiting is not None and waiting.waits == "49 of 50 rows answered in silence"
    ready = due_promotion(policy, facts(candidate=candidate, retrainings=[made], silent_rows=50))
    assert ready is not None and not ready.waits
    by_person = task_of(promote="person")
    assert (
        due_promotion(by_person, facts(candidate=candidate, retrainings=[made], silent_rows=99))
        is None
    )
    refused = candidate.model_copy(update={"verdict": "failed"})
    assert (
        due_promotion(policy, facts(candidate=refused, retrainings=[made], silent_rows=99)) is None
    )


def test_a_rollback_needs_a_named_signal_in_a_window_of_the_version_since_it_is_live() -> None:
    policy = task_of(rollback_on=["audited_accuracy"])
    act = window("audited_accuracy", "act", hours=5)
    assert due_rollback(policy, facts(windows=[act])) is not None
    assert due_rollback(task_of(rollback_on=["latency"]), facts(windows=[act])) is None
    later = window("audited_accuracy", "quiet", hours=8)
    assert due_rollback(policy, facts(windows=[act, later])) is None
    before = window("audited_accuracy", "act", hours=0.5, until=0.9)
    assert due_rollback(policy, facts(windows=[before])) is None, "answers of an earlier life"
    first = deployment("support-2", "live", 1)
    assert due_rollback(policy, facts(windows=[act], live=first)) is None, "nothing to go back to"
    assert due_rollback(policy, facts(windows=[], live=None)) is None


@SAMPLES
@given(
    minute=st.integers(0, 59),
    hour=st.integers(0, 23),
    every=st.sampled_from(["* *", "1 *", "* 11"]),
    weekday=st.sampled_from(["*", "1", "1-5"]),
    after=st.integers(0, 60 * 24 * 30),
    span=st.integers(0, 60 * 24 * 3),
)
def test_the_last_moment_is_the_last_minute_the_line_names(
    minute: int, hour: int, every: str, weekday: str, after: int, span: int
) -> None:
    line = f"{minute} {hour} {every} {weekday}"
    matches = cron(line)
    begin, end = START + timedelta(minutes=after), START + timedelta(minutes=after + span)
    minutes = [begin + timedelta(minutes=n) for n in range(1, span + 1)]
    wanted = [one for one in minutes if matches(one)]
    found = last_moment(line, after=begin.isoformat(), now=end.isoformat())
    assert found == (wanted[-1].isoformat(timespec="minutes") if wanted else None)


@pytest.mark.parametrize("backwards", [at(-1000), at(0)])
def test_a_clock_that_goes_back_starts_nothing(backwards: str) -> None:
    weekly = task_of(schedule="0 3 * * 1")
    assert due_retraining(weekly, facts(now=backwards, retrainings=[retraining(50)])) is None


def test_a_clock_that_stood_in_the_future_holds_nothing_back_for_years() -> None:
    """A retraining written down in 2061, the clock right again: the schedule fires, cool-down and budget let it."""
    from burnish.records.task import Retrain

    policy = Retrain(schedule="0 3 * * 1", cooldown_hours=24, budget_minutes=60)
    task = make_task(retrain=policy)
    years = 35 * 365 * 24.0
    future = retraining(years, minutes=1000.0)
    due = due_retraining(task, facts(retrainings=[future], since=at(-1000), now=at(200)))
    assert due is not None and due.waits == ""
    # the one made now is the last one from here on: no storm
    after = facts(retrainings=[future, retraining(200)], since=at(-1000), now=at(201))
    again = due_retraining(task, after)
    assert again is None
