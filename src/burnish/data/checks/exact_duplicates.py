"""The same text with the same label more than once in one split."""

from __future__ import annotations

from burnish.data.evidence import Evidence, by_input, disagree, excerpt, places
from burnish.records.dataset import Issue

CODE = "duplicate-rows"


def check(evidence: Evidence) -> tuple[Issue, ...]:
    """One issue per split: how many rows repeat an earlier one word for word, label included."""
    issues = []
    for split, examples in evidence.examples.items():
        groups = [same for same in by_input(examples).values() if not disagree(same)]
        extra = [example for same in groups for example in same[1:]]
        if not extra:
            continue
        kept = "the first of each is kept" if split == "train" else "kept as published"
        issues.append(
            Issue(
                code=CODE,
                severity="note",
                what=f"{len(extra)} rows of {split} repeat an earlier row ({kept}), "
                f"for instance {excerpt(extra[0])}",
                count=len(extra),
                rows=places(extra),
            )
        )
    return tuple(issues)
