"""The door for data checks: each looks at every row once and says what a person should know.

To add a check, write `data/checks/<name>.py` with a class that is an `Inspector` and takes the `Scene`, add a row
to `CHECKS` (cheap: always) or `ASKED` (slow, or in need of a model: on request), and run `tests/laws/test_checks.py`,
which tests every row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from burnish.data.checks.answer_offsets import AnswerOffsets
from burnish.data.checks.chat_marks import ChatMarks
from burnish.data.checks.chat_roles import ChatRoles
from burnish.data.checks.class_support import ClassSupport
from burnish.data.checks.conflicts import Conflicts
from burnish.data.checks.empties import Empties
from burnish.data.checks.encoding_damage import EncodingDamage
from burnish.data.checks.exact_duplicates import ExactDuplicates
from burnish.data.checks.injection_marks import InjectionMarks
from burnish.data.checks.junk import Junk
from burnish.data.checks.label_spellings import LabelSpellings
from burnish.data.checks.language_mix import LanguageMix
from burnish.data.checks.leakage import Leakage
from burnish.data.checks.lengths import Lengths
from burnish.data.checks.mislabels import Mislabels
from burnish.data.checks.near_duplicates import NearDuplicates, every_near_duplicate
from burnish.data.checks.outliers import Outliers
from burnish.data.checks.personal import Personal
from burnish.data.checks.semantic_duplicates import SemanticDuplicates
from burnish.data.checks.shortcuts import Shortcuts
from burnish.data.checks.template_leakage import TemplateLeakage
from burnish.data.checks.time_leakage import TimeLeakage
from burnish.data.evidence import Finding, Inspector, Scene, Seen, TokenLengths, seen
from burnish.records.dataset import Issue, Rejection
from burnish.records.example import Example, Split
from burnish.records.task import Task

__all__ = ["ASKED", "CHECKS", "TokenLengths", "check", "inspect"]

CHECKS: Mapping[str, Callable[[Scene], Inspector]] = {
    "label-spellings": LabelSpellings,
    "class-support": ClassSupport,
    "conflicts": Conflicts,
    "leakage": Leakage,
    "empties": Empties,
    "exact-duplicates": ExactDuplicates,
    "lengths": Lengths,
    "personal": Personal,
    "encoding-damage": EncodingDamage,
    "chat-marks": ChatMarks,
    "injection-marks": InjectionMarks,
    "answer-offsets": AnswerOffsets,
    "chat-roles": ChatRoles,
    "shortcuts": Shortcuts,
    "template-leakage": TemplateLeakage,
    "time-leakage": TimeLeakage,
    "language-mix": LanguageMix,
    "junk": Junk,
    "near-duplicates": NearDuplicates,
}
ASKED: Mapping[str, Callable[[Scene], Inspector]] = {
    "mislabels": Mislabels,
    "outliers": Outliers,
    "semantic-duplicates": SemanticDuplicates,
    # without its limit of rows
    "near-duplicates": every_near_duplicate,
}
_ORDER = ("error", "warning", "note")


def inspect(
    scene: Scene, records: Iterable[Seen | Rejection], *, asked: Sequence[str] = ()
) -> tuple[Finding, ...]:
    """What all cheap checks and those `asked` for find in one pass over the records, the worst first.

    Memory does not grow with the rows, but for checks that are `asked`.
    """
    chosen = {**CHECKS, **{name: ASKED[name] for name in asked}}
    inspectors = [begin(scene) for begin in chosen.values()]
    looks = [inspector.see for inspector in inspectors]
    for record in records:
        if isinstance(record, Rejection):
            scene.reject(record)
            continue
        scene.remember(record)
        for look in looks:
            look(record)
    found = [*_other_rejections(scene)]
    for inspector in inspectors:
        found.extend(inspector.findings())
    return tuple(sorted(found, key=lambda finding: _ORDER.index(finding.issue.severity)))


def check(
    task: Task,
    examples: Mapping[Split, Sequence[Example]],
    rejections: Sequence[Rejection] = (),
    *,
    token_lengths: TokenLengths | None = None,
    limit_tokens: int | None = None,
) -> tuple[Issue, ...]:
    """What the cheap checks find in rows that are in memory, the worst first; the rows are looked at, never changed.

    `token_lengths` counts the tokens of rendered inputs and `limit_tokens` is what the model reads:
    without them the length check is silent, since characters say little about tokens.
    """
    rows = rows_of(examples)
    scene = Scene(
        task,
        recall=lambda numbers: {number: rows[number] for number in numbers},
        token_lengths=token_lengths,
        limit_tokens=limit_tokens,
    )
    return tuple(finding.issue for finding in inspect(scene, [*rejections, *rows]))


def rows_of(examples: Mapping[Split, Sequence[Example]]) -> list[Seen]:
    """The rows of all splits, numbered in order."""
    rows: list[Seen] = []
    for split, some in examples.items():
        rows += [seen(number, split, example) for number, example in enumerate(some, len(rows))]
    return rows


# reasons that a check, or the tombstones, report in their own words
_TOLD = frozenset({"label-unknown", "empty-text", "empty-label", "forgotten"})


def _other_rejections(scene: Scene) -> Iterable[Finding]:
    """One for each further reason why rows were rejected, so that none goes unsaid."""
    for reason, found in scene.rejections.items():
        if reason == "edited":
            yield Finding(
                Issue(
                    code=reason,
                    severity="note",
                    what=f"{found.count} rows are left out by edits",
                    count=found.count,
                    rows=tuple(one.where for one in found.first),
                    fix="burnish data edits lists them, burnish data undo takes one back",
                )
            )
        elif reason not in _TOLD:
            detail = f" ({found.first[0].detail})" if found.first[0].detail else ""
            yield Finding(
                Issue(
                    code=reason,
                    severity="warning",
                    what=f"{found.count} rows could not be read{detail} and are not used",
                    count=found.count,
                    rows=tuple(one.where for one in found.first),
                    fix="correct these lines in the file",
                )
            )
