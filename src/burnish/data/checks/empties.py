"""Rows without a text or a label, and texts that only stand for nothing."""

from __future__ import annotations

from burnish.data.evidence import LISTED_ROWS, Evidence, places
from burnish.records.dataset import Issue

CODES = ("empty-text", "empty-label")
# what spreadsheets and exports write where nothing was
PLACEHOLDERS = frozenset({"na", "n/a", "nan", "none", "null", "nil", "-", "--", "?", ".", "#n/a"})


def check(evidence: Evidence) -> tuple[Issue, ...]:
    """Issues for empty texts, empty labels, and texts such as "N/A" (kept: they may be meant)."""
    issues = []
    for code, column in zip(CODES, ("text", "label"), strict=True):
        found = [r.where for r in evidence.rejections if r.reason == code]
        if found:
            issues.append(
                Issue(
                    code=code,
                    severity="warning",
                    what=f"{len(found)} rows have no {column} and are not used",
                    count=len(found),
                    rows=tuple(found[:LISTED_ROWS]),
                    fix=f"fill in the {column} or delete the rows",
                )
            )
    hollow = [
        example
        for example in evidence.all_examples()
        if all(not t.strip() or t.strip().lower() in PLACEHOLDERS for t in example.inputs.values())
    ]
    if hollow:
        issues.append(
            Issue(
                code="text-placeholder",
                severity="note",
                what=f'{len(hollow)} texts say only something like "N/A"; they are used as written',
                count=len(hollow),
                rows=places(hollow),
                fix="delete the rows if the words stand for a missing text",
            )
        )
    return tuple(issues)
