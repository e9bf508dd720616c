"""What is live, who said so and on which evidence: derived by replaying the ledger, never stored twice.

A version is a bundle of a task: the first bundle ever promoted is "task-1", the next new one "task-2".
Live versions form a stack: promotion puts one on top, rollback takes the top away.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from burnish.errors import EXIT_GATE, fail
from burnish.records.deployment import Bundle, Deployment, Stage
from burnish.records.record import Record
from burnish.records.report import Verdict
from burnish.store.ledger import Ledger, events, record_event

# The ledger's kind for everything below; servers follow the sequence of these events.
EVENT_KIND = "deployment"


class _Said(Record):
    """The payload of one event: the bundle that is to answer, and why."""

    action: Literal["promote", "rollback", "replace"]
    bundle_id: str
    engine: str
    run_id: str | None
    report_id: str
    verdict: Verdict | None
    forced: bool
    stage: Stage
    because: str
    # the bundle whose place `bundle_id` takes in everything that was said before: the version keeps its name
    replaced: str | None = None


@dataclass(slots=True)
class _Course:
    """The state of one task while its events are replayed."""

    versions: dict[str, str] = field(default_factory=dict)
    stack: list[str] = field(default_factory=list)
    current: dict[str, Deployment] = field(default_factory=dict)


def promote(
    ledger: Ledger,
    bundle: Bundle,
    *,
    by: str,
    because: str,
    at: str,
    stage: Literal["shadow", "live"] = "live",
    force: bool = False,
) -> Deployment:
    """Put a bundle in a stage, as an event with its evidence; running servers follow within a second.

    Promoting what is in that stage already, or sending to shadow what is live, changes nothing and
    records nothing, so that a command cut short can simply be run again.

    Raises: gate-failed (exit 3) when the report's verdict is "failed" and `force` is not given;
    reason-missing when `force` comes without a reason.
    """
    if bundle.verdict == "failed" and not force:
        raise fail(
            "gate-failed",
            f"the gates refused bundle {bundle.id} of {bundle.task_name}",
            where=f"report {bundle.report_id}",
            expected="every gate of task.toml passed",
            fix="improve the model, or overrule with --force --because REASON, which is recorded",
            exit_code=EXIT_GATE,
        )
    if force and not because.strip():
        raise fail(
            "reason-missing",
            "a forced promotion needs a reason",
            expected="a sentence the next reader of the history understands",
            fix="add --because REASON",
        )
    for known in deployments(ledger, bundle.task_name):
        if known.bundle_id == bundle.id and known.stage in (stage, "live"):
            return known
    said = _Said(
        action="promote",
        bundle_id=bundle.id,
        engine=bundle.engine,
        run_id=bundle.run_id,
        report_id=bundle.report_id,
        verdict=bundle.verdict,
        forced=bundle.verdict == "failed",
        stage=stage,
        because=because,
    )
    return _record(ledger, said, task_name=bundle.task_name, by=by, at=at)


def rollback(ledger: Ledger, task_name: str, *, by: str, because: str, at: str) -> Deployment:
    """Make the live version's predecessor live again, as an event; the history keeps both.

    Raises: nothing-to-roll-back when nothing was live before.
    """
    course = _replay(_said(ledger, task_name))[0].get(task_name, _Course())
    if len(course.stack) < 2:
        found = f"{course.versions[course.stack[0]]} is" if course.stack else "nothing is"
        raise fail(
            "nothing-to-roll-back",
            f"{found} live for {task_name}, and nothing was before",
            expected="an earlier live version",
            fix="burnish deployments shows the history; burnish promote VERSION makes another one live",
        )
    target = course.current[course.stack[-2]]
    said = _Said(
        action="rollback",
        bundle_id=target.bundle_id,
        engine=target.engine,
        run_id=target.run_id,
        report_id=target.report_id,
        verdict=target.verdict,
        forced=target.forced,
        stage="live",
        because=because,
    )
    return _record(ledger, said, task_name=task_name, by=by, at=at)


def replace_bundle(
    ledger: Ledger, bundle: Bundle, *, replaced: str, by: str, because: str, at: str
) -> None:
    """Put a bundle in the place of another in the whole history: same version, same stage, other bytes.

    Running servers verify and load it, and go on answering with the old one until then. Nothing is recorded when
    no version has the old bundle.
    """
    known = deployments(ledger, bundle.task_name)
    old = next((one for one in known if one.bundle_id == replaced), None)
    if old is None:
        return
    said = _Said(
        action="replace",
        bundle_id=bundle.id,
        engine=old.engine,
        run_id=old.run_id,
        report_id=old.report_id,
        verdict=old.verdict,
        forced=old.forced,
        stage=old.stage,
        because=because,
        replaced=replaced,
    )
    record_event(
        ledger,
        kind=EVENT_KIND,
        subject=bundle.task_name,
        by=by,
        at=at,
        payload=said.model_dump(mode="json"),
    )


def deployments(
    ledger: Ledger, task_name: str | None = None, *, until: str | None = None
) -> list[Deployment]:
    """Every version with the stage it has now, or had at the moment `until` (ISO, UTC), oldest first.

    `by`, `because`, `at` and `sequence` are those of the event that last put it in shadow or live. Where a clock
    went back, an event counts from the latest time said before it: what was recorded later was not earlier.
    """
    facts = _said(ledger, task_name)
    courses, _ = _replay(facts if until is None else _before(facts, until))
    return [d for course in courses.values() for d in course.current.values()]


def history(
    ledger: Ledger, task_name: str | None = None, *, until: str | None = None
) -> list[Deployment]:
    """Every promotion and rollback (up to the moment `until`) in the order they happened, each with the stage it set."""
    facts = _said(ledger, task_name)
    return _replay(facts if until is None else _before(facts, until))[1]


def live(ledger: Ledger, task_name: str) -> Deployment | None:
    """The version that should be answering now; None before the first promotion."""
    return next((d for d in deployments(ledger, task_name) if d.stage == "live"), None)


def _record(ledger: Ledger, said: _Said, *, task_name: str, by: str, at: str) -> Deployment:
    sequence = record_event(
        ledger,
        kind=EVENT_KIND,
        subject=task_name,
        by=by,
        at=at,
        payload=said.model_dump(mode="json"),
    )
    return next(d for d in history(ledger, task_name) if d.sequence == sequence)


def _said(ledger: Ledger, task_name: str | None) -> Iterable[tuple[str, str, str, int, _Said]]:
    for event in events(ledger, kind=EVENT_KIND, subject=task_name):
        said = _Said.model_validate(event.payload)
        yield event.subject, event.by, event.at, event.sequence, said


def _before(
    facts: Iterable[tuple[str, str, str, int, _Said]], until: str
) -> Iterable[tuple[str, str, str, int, _Said]]:
    moment, clock = datetime.fromisoformat(until), None
    for fact in facts:
        at = datetime.fromisoformat(fact[2])
        clock = at if clock is None else max(clock, at)
        if clock > moment:
            return
        yield fact


def _replay(
    facts: Iterable[tuple[str, str, str, int, _Said]],
) -> tuple[dict[str, _Course], list[Deployment]]:
    """Version numbers and what replaced what come from the order of events alone, so two people
    promoting in the same moment cannot make two versions of one name.
    """
    courses: dict[str, _Course] = {}
    past: list[Deployment] = []
    for task_name, by, at, sequence, said in facts:
        course = courses.setdefault(task_name, _Course())
        bundle_id = said.bundle_id
        if said.replaced is not None:
            _take_place(course, past, task_name=task_name, old=said.replaced, new=bundle_id)
            continue
        version = course.versions.setdefault(bundle_id, f"{task_name}-{len(course.versions) + 1}")
        top = course.stack[-1] if course.stack else None
        replaces = top if said.stage == "live" and top != bundle_id else None
        deployment = Deployment(
            version=version,
            task_name=task_name,
            bundle_id=bundle_id,
            engine=said.engine,
            run_id=said.run_id,
            report_id=said.report_id,
            verdict=said.verdict,
            forced=said.forced,
            stage=said.stage,
            replaces=course.versions[replaces] if replaces else None,
            by=by,
            because=said.because,
            at=at,
            sequence=sequence,
        )
        past.append(deployment)
        if said.stage == "live":
            _stand(course, bundle_id, rollback=said.action == "rollback")
            if replaces:
                retired = course.current[replaces].model_copy(update={"stage": "retired"})
                course.current[replaces] = retired
        elif top == bundle_id:
            continue  # two people at once: what is live cannot also be in shadow
        course.current[bundle_id] = deployment
    return courses, past


def _take_place(
    course: _Course, past: list[Deployment], *, task_name: str, old: str, new: str
) -> None:
    """Let one bundle stand for another in everything replayed so far."""

    def renamed(one: Deployment) -> Deployment:
        mine = one.task_name == task_name and one.bundle_id == old
        return one.model_copy(update={"bundle_id": new}) if mine else one

    course.versions = {new if id == old else id: name for id, name in course.versions.items()}
    course.stack = [new if id == old else id for id in course.stack]
    course.current = {new if id == old else id: renamed(d) for id, d in course.current.items()}
    past[:] = [renamed(one) for one in past]


def _stand(course: _Course, bundle_id: str, *, rollback: bool) -> None:
    """Put a bundle on top: rollback takes away what stood above it."""
    if rollback and bundle_id in course.stack:
        last = len(course.stack) - 1 - course.stack[::-1].index(bundle_id)
        del course.stack[last + 1 :]
    elif not course.stack or course.stack[-1] != bundle_id:
        course.stack.append(bundle_id)
