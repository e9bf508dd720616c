"""What the policies look at, gathered from the ledger."""

from __future__ import annotations

from burnish.deploy.deployments import deployments, history
from burnish.records.deployment import Deployment
from burnish.records.task import Task
from burnish.retrain.book import retrainings
from burnish.retrain.policy import Facts
from burnish.retrain.rows import given_until, usable
from burnish.store.ledger import Ledger
from burnish.store.observed import count_shadow_answers, windows

_NO_END = 2**62


def facts_of(task: Task, ledger: Ledger, *, now: str) -> Facts:
    """The facts of this moment."""
    known = deployments(ledger, task.name)
    live = next((one for one in known if one.stage == "live"), None)
    candidate = candidate_of(known)
    done = retrainings(ledger, task.name)
    seen = done[-1].feedback_until if done else 0
    new = given_until(task, ledger, until=_NO_END, after=seen)
    first = next((one.at for one in history(ledger, task.name) if one.stage == "live"), None)
    return Facts(
        now=now,
        retrainings=done,
        live=live,
        candidate=candidate,
        windows=windows(ledger, version=live.version) if live else (),
        new_labels=usable([one.feedback for one in new]),
        silent_rows=count_shadow_answers(ledger, version=candidate.version) if candidate else 0,
        since=first,
    )


def candidate_of(known: list[Deployment]) -> Deployment | None:
    """The newest version in shadow that came after the live one: the one that answers in silence."""
    live = next((one for one in known if one.stage == "live"), None)
    waiting = [one for one in known if one.stage == "shadow"]
    newest = max(waiting, key=lambda one: one.sequence, default=None)
    if live is None or newest is None or newest.sequence < live.sequence:
        return None
    return newest
