"""The door for data checks: each looks at the rows as read and says what a person should know.

To add a check, write `data/checks/<name>.py` with `check(evidence) -> tuple[Issue, ...]`, add a row
to `CHECKS`, and run `tests/laws/test_checks.py`, which tests every row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from burnish.data.checks import (
    class_support,
    conflicts,
    empties,
    exact_duplicates,
    label_spellings,
    leakage,
    lengths,
)
from burnish.data.evidence import Check, Evidence, TokenLengths
from burnish.records.dataset import Issue, Rejection
from burnish.records.example import Example, Split
from burnish.records.task import Task

__all__ = ["CHECKS", "Check", "Evidence", "TokenLengths", "check"]

CHECKS: Mapping[str, Check] = {
    "label_spellings": label_spellings.check,
    "class_support": class_support.check,
    "conflicts": conflicts.check,
    "leakage": leakage.check,
    "empties": empties.check,
    "exact_duplicates": exact_duplicates.check,
    "lengths": lengths.check,
}
_ORDER = ("error", "warning", "note")


def check(
    task: Task,
    examples: Mapping[Split, Sequence[Example]],
    rejections: Sequence[Rejection] = (),
    *,
    token_lengths: TokenLengths | None = None,
    limit_tokens: int | None = None,
) -> tuple[Issue, ...]:
    """Everything the checks found, the worst first; the rows are looked at, never changed.

    `token_lengths` counts the tokens of rendered inputs and `limit_tokens` is what the model reads:
    without them the length check is silent, since characters say little about tokens.
    """
    evidence = Evidence(task, examples, rejections, token_lengths, limit_tokens)
    issues = [*_other_rejections(rejections)]
    for look in CHECKS.values():
        issues.extend(look(evidence))
    return tuple(sorted(issues, key=lambda issue: _ORDER.index(issue.severity)))


# reasons that a check, or the tombstones, report in their own words
_TOLD = frozenset({"label-unknown", "empty-text", "empty-label", "forgotten"})


def _other_rejections(rejections: Sequence[Rejection]) -> list[Issue]:
    """One issue for each further reason why rows were rejected, so that none goes unsaid."""
    reasons: dict[str, list[Rejection]] = {}
    for rejection in rejections:
        if rejection.reason not in _TOLD:
            reasons.setdefault(rejection.reason, []).append(rejection)
    return [
        Issue(
            code=reason,
            severity="warning",
            what=f"{len(found)} rows could not be read ({found[0].detail}) and are not used",
            count=len(found),
            rows=tuple(rejection.where for rejection in found[:20]),
            fix="correct these lines in the file",
        )
        for reason, found in reasons.items()
    ]
