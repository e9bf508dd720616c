"""What the task's policies say now: retrain, promote, roll back, or wait; from facts of the ledger alone.

Asking twice gives the same answer, so a scheduler that was killed, or a second one, does nothing twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from burnish.records.deployment import Deployment
from burnish.records.retraining import Retraining
from burnish.records.signal import LEVELS, Watched
from burnish.records.task import Retrain, Task
from burnish.tasks.cron import cron

# A schedule missed for longer counts as missed once: minutes are looked through one by one.
_LOOK_BACK = timedelta(days=32)
BUDGET_SPAN = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Facts:
    """What policies look at. `windows` are the live version's judged windows, oldest first; `new_labels` pieces of
    feedback since the last retraining; `silent_rows` what the candidate answered in silence; `since` when the
    scheduler's task first had a live version.
    """

    now: str
    retrainings: Sequence[Retraining]
    live: Deployment | None
    candidate: Deployment | None
    windows: Sequence[Watched]
    new_labels: int
    silent_rows: int
    since: str | None


@dataclass(frozen=True, slots=True)
class Due:
    """Something a policy asks for, and why; `waits` says what holds it back, empty when nothing does."""

    because: str
    waits: str = ""


def due_retraining(task: Task, facts: Facts) -> Due | None:
    """Whether the policies want a retraining now; None when none of them asks.

    A signal asks when a window judged after the last retraining began raised it; labels when enough came since;
    the schedule when its last moment lies after the last beginning. Cool-down and budget hold all of them back.
    """
    policy = task.retrain
    asked = _asked(policy, facts)
    if asked is None:
        return None
    return Due(asked, _held_back(policy, facts))


def due_promotion(task: Task, facts: Facts) -> Due | None:
    """Whether the candidate may be promoted by policy: its gates passed and it answered enough rows in silence.

    Only a candidate that a retraining brought: what a person trained, a person promotes.
    """
    candidate = facts.candidate
    if task.retrain.promote != "policy" or candidate is None:
        return None
    made = next((one for one in facts.retrainings if one.version == candidate.version), None)
    if made is None or made.outcome != "shadow" or candidate.verdict != "passed":
        return None
    wanted = task.retrain.shadow_rows
    waits = ""
    if facts.silent_rows < wanted:
        waits = f"{facts.silent_rows} of {wanted} rows answered in silence"
    return Due(f"policy: retraining {made.id} passed every gate", waits)


def due_rollback(task: Task, facts: Facts) -> Due | None:
    """Whether a signal the task names takes the live version back: its newest window says so, at its highest level.

    Only a version that replaced another, and only windows of its own answers.
    """
    live = facts.live
    if live is None or live.replaces is None or not facts.windows:
        return None
    newest = facts.windows[-1]
    # what it answered in an earlier life is no reason to take it back now
    if newest.version != live.version or _moment(newest.since) < _moment(live.at):
        return None
    for signal in newest.signals:
        if signal.name in task.retrain.rollback_on and signal.level != "quiet":
            return Due(f"policy: {signal.name} says {signal.level}: {signal.because}")
    return None


def _asked(policy: Retrain, facts: Facts) -> str | None:
    last = _last_start(facts)
    for window in facts.windows:
        if last is not None and _moment(window.at) <= _moment(last):
            continue
        if _moment(window.at) > _moment(facts.now):
            continue
        for signal in window.signals:
            if signal.name in policy.on_signals and LEVELS.index(signal.level) > 0:
                return (
                    f"policy: {signal.name} says {signal.level} in the window until {window.until}"
                )
    if policy.on_labels is not None and facts.new_labels >= policy.on_labels:
        return f"policy: {facts.new_labels} new labels, {policy.on_labels} asked"
    if policy.schedule is not None and last is not None:
        moment = last_moment(policy.schedule, after=last, now=facts.now)
        if moment is not None:
            return f'policy: schedule "{policy.schedule}", due at {moment}'
    return None


def _held_back(policy: Retrain, facts: Facts) -> str:
    now = _moment(facts.now)
    if any(one.outcome is None for one in facts.retrainings):
        return "a retraining did not end yet"
    started = _last_start(facts) if facts.retrainings else None
    if started is not None:
        ready = _moment(started) + timedelta(hours=policy.cooldown_hours)
        if now < ready:
            return f"cooling down until {ready.isoformat(timespec='minutes')}"
    if policy.budget_minutes is not None:
        spent = sum(
            one.minutes
            for one in facts.retrainings
            if now >= _moment(one.started_at) > now - BUDGET_SPAN
        )
        if spent >= policy.budget_minutes:
            return f"{spent:.0f} of {policy.budget_minutes:g} minutes were spent within 30 days"
    return ""


def _last_start(facts: Facts) -> str | None:
    """When the last retraining began, or the first version went live; None when neither has happened.

    What was written while the clock stood in the future does not count: it would hold everything back for years.
    """
    now = _moment(facts.now)
    starts = [one.started_at for one in facts.retrainings]
    past = [at for at in starts if _moment(at) <= now]
    if past:
        return past[-1]
    return facts.since if facts.since is not None and _moment(facts.since) <= now else None


def last_moment(schedule: str, *, after: str, now: str) -> str | None:
    """The latest minute of a cron line in (after, now], None when there is none; looks back 32 days at most.

    Example:
        >>> last_moment("0 3 * * 1", after="2026-11-21T00:00:00Z", now="2026-11-23T04:00:00Z")
        '2026-11-23T03:00+00:00'
    """
    matches = cron(schedule)
    first = max(_moment(after), _moment(now) - _LOOK_BACK)
    minute = _moment(now).replace(second=0, microsecond=0)
    while minute > first:
        if matches(minute):
            return minute.isoformat(timespec="minutes")
        minute -= timedelta(minutes=1)
    return None


def _moment(at: str) -> datetime:
    found = datetime.fromisoformat(at)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
