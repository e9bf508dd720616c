"""Texts and groups that stand in more than one given split: a test on them measures memory."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations

from burnish.data.evidence import Evidence, excerpt, places
from burnish.records.dataset import Issue
from burnish.records.example import Example


def check(evidence: Evidence) -> tuple[Issue, ...]:
    """One issue per pair of given splits and kind of overlap; the rows counted are the earlier split's."""
    issues = []
    for (early, before), (late, after) in combinations(evidence.examples.items(), 2):
        inputs = {example.input_id for example in after}
        same = [example for example in before if example.input_id in inputs]
        if same:
            issues.append(
                _issue(
                    "leakage",
                    f"{len(same)} rows of {early} ask word for word what {late} asks, "
                    f"for instance {excerpt(same[0])}; they are kept out of {early}",
                    same,
                    fix=f"nothing to do: {late} stays as published",
                )
            )
        groups = {example.group for example in after} - {None}
        grouped = [e for e in before if e.group in groups and e.input_id not in inputs]
        if grouped:
            issues.append(
                _issue(
                    "group-leakage",
                    f"{len(grouped)} rows of {early} belong to groups that {late} has too; "
                    f"they are kept out of {early}",
                    grouped,
                    fix="remove group from task.toml if rows of one group may stand in both",
                )
            )
    return tuple(issues)


def _issue(code: str, what: str, examples: Iterable[Example], *, fix: str) -> Issue:
    found = list(examples)
    return Issue(
        code=code, severity="warning", what=what, count=len(found), rows=places(found), fix=fix
    )
